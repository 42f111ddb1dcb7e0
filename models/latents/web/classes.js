// What views share: the projection that is shown, classes with their look, and contours of density.

const MOST_CLASSES = 10; // that a legend tells apart
const LEAST_DENSITY = 8; // points, for contours
const { projections } = contents;
const shared = { projection: 0, hidden: new Set() }; // by all views
const shown = () => projections[shared.projection];
const placeIn = (array, index, dims) => array.subarray(index * dims, (index + 1) * dims);

/** The place of a frame, or of the one before it that was placed; null outside of what is
 *  embedded. */
function placeOf(number, frame, speaker) {
  const { tracks, every, dims } = shown();
  if (frame < 0 || frame >= dialogues[number].embedded) return null;
  return placeIn(tracks[number], Math.floor(frame / every) * 2 + speaker, dims);
}

const projectionOptions = (able) => projections.map((p, i) => [i, p.name])
  .filter(([i]) => able(projections[i]));

/** Entries of a legend for classes, and their colours: [{id, name, colour, symbol, dash, hidden}].
 *  */
function styled(names, counts) {
  const taken = names.map((name) => (UNTOLD.has(name) ? "#888888" : colours[name]));
  const free = palette.filter((colour) => !taken.includes(colour));
  let next = 0;
  return names.map((name, i) => ({
    id: name, name: `${name} (${counts[i]})`, colour: taken[i] ?? free[next++ % free.length]
      ?? "#888888",
    symbol: SYMBOLS[i % SYMBOLS.length], dash: DASHES[i % DASHES.length],
      hidden: shared.hidden.has(name),
  }));
}

const UNTOLD = new Set(["unknown", "none", "not predicted", "neither shift nor hold", "the others",
  "others", "in no cluster"]);

const toggle = (id) => (shared.hidden.has(id) ? shared.hidden.delete(id) : shared.hidden.add(id),
  page.draw());

/** Lines within which a quarter, a half and three quarters of points lie: a Gaussian kernel
 *  estimate on a grid, of less than
 *  Scott's width, which is for a single cloud, as classes often are not; its level lines, cell by
  *  cell. */
function contours(places, limits) {
  const GRID = 60;
  const axes = [0, 1].map((axis) => {
    const values = places.map((place) => place[axis]);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const spread = Math.sqrt(values.reduce((a, v) => a + (v - mean) ** 2, 0) / (values.length - 1))
      || 1e-6;
    const width = 0.7 * spread * values.length ** (-1 / 6);
    const [low, high] = limits[axis];
    const grid = range(GRID).map((i) => low + ((high - low) * i) / (GRID - 1));
    return { grid,
      kernel: values.map((v) => grid.map((g) => Math.exp(-0.5 * ((g - v) / width) ** 2))) };
  });
  const density = new Float64Array(GRID * GRID);
  places.forEach((_, n) => axes[1].kernel[n].forEach((ky, j) => axes[0].kernel[n]
    .forEach((kx, i) => (density[j * GRID + i] += ky * kx))));
  const order = range(GRID * GRID).sort((a, b) => density[b] - density[a]);
  const total = density.reduce((a, b) => a + b, 0);
  const mass = new Float64Array(GRID * GRID); // that lies where it is at least as dense
  order.reduce((sum, cell) => (mass[cell] = sum + density[cell] / total), 0);
  const lines = [];
  for (const level of [0.25, 0.5, 0.75]) for (let j = 0; j + 1 < GRID; j++) for (let i = 0;
    i + 1 < GRID; i++) {
    const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]]
      .map(([a, b]) => [axes[0].grid[a], axes[1].grid[b], mass[b * GRID + a] - level]);
    const crossed = range(4).map((k) => [corners[k], corners[(k + 1) % 4]])
      .filter(([a, b]) => a[2] < 0 !== b[2] < 0)
      .map(([a, b]) => [0, 1].map((d) => a[d] + (a[2] / (a[2] - b[2])) * (b[d] - a[d])));
    for (let k = 0; k + 1 < crossed.length; k += 2) lines.push(crossed[k], crossed[k + 1], null);
  }
  return lines;
}
