// Statistics of places, all of true ones.

/** The outline of one standard deviation around a mean: an ellipse in the plane, three bars in
 *  space. */
function spread(places, dims) {
  const mean = range(dims).map((axis) => places.reduce((s, p) => s + p[axis], 0) / places.length);
  const cov = (i, j) => places.reduce((s, p) => s + (p[i] - mean[i]) * (p[j] - mean[j]),
    0) / (places.length - 1);
  if (dims === 3) return range(3)
    .flatMap((axis) =>
    [...[-1, 1]
    .map((side) => mean.map((v, i) => (i === axis ? v + side * Math.sqrt(cov(axis, axis)) : v))),
    null]);
  const [a, b, c] = [cov(0, 0), cov(0, 1), cov(1, 1)];
  const half = Math.hypot((a - c) / 2, b);
  const [long, short] = [Math.sqrt((a + c) / 2 + half), Math.sqrt(Math.max((a + c) / 2 - half, 0))];
  const angle = Math.atan2(2 * b, a - c) / 2;
  return [...range(49).map((i) => {
    const [u, v] = [long * Math.cos((i * Math.PI) / 24), short * Math.sin((i * Math.PI) / 24)];
    return [mean[0] + u * Math.cos(angle) - v * Math.sin(angle), mean[1] + u * Math.sin(angle)
      + v * Math.cos(angle)];
  }), null];
}

/** The share of the variance within strata that lies between groups, and by chance; points are
 *  {values, group, stratum}. */
function varianceBetween(points, dims, groups) {
  const strata = new Map(); // places of the points of each
  points.forEach(({ stratum }, i) => strata.set(stratum, [...(strata.get(stratum) ?? []), i]));
  /** Columns less the mean of their stratum. */
  const centred = (columnOf) => {
    const found = points.map(columnOf);
    for (const places of strata.values()) {
      const mean = places.reduce((sum, i) => sum + found[i], 0) / places.length;
      for (const i of places) found[i] -= mean;
    }
    return found;
  };
  const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
  const axes = range(dims).map((axis) => centred((point) => point.values[axis]));
  const total = axes.reduce((sum, v) => sum + dot(v, v), 0);
  const basis = []; // orthogonal directions of belonging to a group
  for (const k of range(groups)) {
    const belongs = centred((point) => Number(point.group === k));
    for (const other of basis) {
      const along = dot(belongs, other) / dot(other, other);
      belongs.forEach((_, i) => (belongs[i] -= along * other[i]));
    }
    if (dot(belongs, belongs) > 1e-9) basis.push(belongs);
  }
  const free = points.length - strata.size;
  if (groups < 2 || !(total > 0) || !basis.length || free <= 0) return null;
  const between = basis.reduce((sum, b) => sum + axes.reduce((s, v) => s + dot(v, b) ** 2,
    0) / dot(b, b), 0);
  return { share: between / total, chance: basis.length / free, groups };
}
