// Statistics of places, all of true ones.

const sumOf = (values) => values.reduce((sum, value) => sum + value, 0);

/** The inner product of two vectors. */
function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** Make a vector orthogonal to others, which are so to each other, in place. */
function orthogonalise(vector, others) {
  for (const other of others) {
    const along = dot(vector, other) / (dot(other, other) || 1);
    for (let i = 0; i < vector.length; i++) vector[i] -= along * other[i];
  }
  return vector;
}

/** The outline of one standard deviation around a mean: an ellipse in the plane, three of an
 *  ellipsoid in space. */
function spread(places, dims) {
  const mean = range(dims).map((axis) => sumOf(places.map((p) => p[axis])) / places.length);
  const covariance = (i, j) => sumOf(places.map((p) => (p[i] - mean[i]) * (p[j] - mean[j])))
    / (places.length - 1);
  const root = range(dims).map(() => Array(dims).fill(0)); // Cholesky's, of the covariance
  for (const i of range(dims)) for (const j of range(i + 1)) {
    const rest = covariance(i, j) - dot(root[i].slice(0, j), root[j]);
    root[i][j] = i === j ? Math.sqrt(Math.max(rest, 0)) : rest / (root[j][j] || 1);
  }
  const pairs = dims === 2 ? [[0, 1]] : [[0, 1], [0, 2], [1, 2]];
  return pairs.flatMap(([a, b]) => [...range(49).map((i) => {
    const [u, v] = [Math.cos((i * Math.PI) / 24), Math.sin((i * Math.PI) / 24)];
    return mean.map((middle, axis) => middle + u * root[axis][a] + v * root[axis][b]);
  }), null]);
}

/** The share of the variance within strata that lies between groups, and by chance; points are
 *  {values, group, stratum}. */
function varianceBetween(points, dims) {
  const strata = [...Map.groupBy(range(points.length), (i) => points[i].stratum).values()];
  /** A column less the mean of its stratum. */
  const centred = (valueOf) => {
    const found = points.map(valueOf);
    for (const rows of strata) {
      const mean = sumOf(rows.map((i) => found[i])) / rows.length;
      for (const i of rows) found[i] -= mean;
    }
    return found;
  };
  const axes = range(dims).map((axis) => centred((point) => point.values[axis]));
  const total = sumOf(axes.map((axis) => dot(axis, axis)));
  const basis = []; // orthogonal directions of belonging to a group
  for (const group of new Set(points.map((point) => point.group))) {
    const belongs = orthogonalise(centred((point) => Number(point.group === group)), basis);
    if (dot(belongs, belongs) > 1e-9) basis.push(belongs);
  }
  const free = points.length - strata.length;
  if (!(total > 0) || !basis.length || free <= 0) return null;
  const between = sumOf(basis.map((b) => sumOf(axes.map((axis) => dot(axis, b) ** 2)) / dot(b, b)));
  return { share: between / total, chance: basis.length / free };
}
