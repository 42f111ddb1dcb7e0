// CSV files of anyone's points, read in the page: rows with the same id are the same point at
// several stages. Files with x and y are drawn as they are; of others the principal components of
// all files together are drawn, so that what does not change does not move.

const MOST_BYTES = 300e6;
const MOST_POINTS = 20000;
const MOST_COLUMNS = 2048;
const STAGE_COLUMNS = ["stage", "epoch", "step", "batch"]; // of one file that holds several stages
const NEAR = 8; // neighbours of a point
const MOST_PRODUCTS = 4e9; // of two values, for principal components

const refuse = (where, expected, got) => {
  throw new Error(`${where}expected ${expected}, got ${got}`);
};
const numeric = (cell) => cell !== "" && Number.isFinite(Number(cell));

/** Rows of a CSV text, quoted cells and all. */
function parseCsv(text) {
  const rows = [[]];
  for (const [, quoted, plain, end] of
    text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|\r|$)/g)) {
    rows.at(-1).push(quoted?.replaceAll('""', '"') ?? plain);
    if (end !== ",") rows.push([]);
  }
  return rows.filter((row) => row.length > 1 || row[0]);
}

/** One file, checked: its name, the column names, rows, and a function of a row and a column. */
function readTable(file, text) {
  const [header = [], ...rows] = parseCsv(text.replace(/^\ufeff/, ""));
  if (!rows.length) refuse(`${file}: `, "a line of column names and a row for each point",
    counted(rows.length, "row"));
  const twice = header.find((column, i) => header.indexOf(column) !== i);
  if (twice !== undefined) refuse(`${file}: `, "columns of different names", `${twice} twice`);
  const short = rows.findIndex((row) => row.length !== header.length);
  if (short >= 0)
    refuse(`${file}, row ${short + 1}: `, `${header.length} values`, rows[short].length);
  return { name: file.replace(/\.csv$/i, ""), header, rows };
}

/** Which columns are the representation: x, y (and z); else a series numbered from 0 or 1 on; else
 *  all numbers that are no label. */
function representation({ name, header, rows }, labels) {
  const numbers = header.filter((_, k) => rows.every((row) => numeric(row[k])));
  if (["x", "y"].every((column) => numbers.includes(column)))
    return { placed: true, columns: ["x", "y", "z"].filter((c) => numbers.includes(c)) };
  const series = Map.groupBy(numbers.map((column) => /^([A-Za-z_]*)(\d+)$/.exec(column))
    .filter(Boolean).sort((a, b) => a[2] - b[2]), ([, prefix]) => prefix);
  const whole = [...series].filter(([, some]) => some.length > 1 && some[0][2] < 2
    && some.every(([, , number], i) => Number(number) === Number(some[0][2]) + i));
  const only = whole.length === 1 ? whole[0] : [];
  const [, chosen] = whole.find(([prefix]) => prefix === "d") ?? only;
  const columns = chosen?.map(([column]) => column)
    ?? numbers.filter((column) => ![...labels, "id", "wrong"].includes(column));
  if (columns.length < 2) refuse(`${name}: `, "x and y, or two or more columns of numbers",
    header.slice(0, 8).join(", "));
  if (columns.length > MOST_COLUMNS)
    refuse(`${name}: `, `at most ${MOST_COLUMNS} columns of numbers`, columns.length);
  return { placed: false, columns };
}

/** Files as stages, in order of their names: {names, ids, labels, wrong, states (E of (N, H)),
 *  placed}. */
function readStages(files) {
  const natural = new Intl.Collator("en", { numeric: true }).compare;
  let tables = files.map(({ name, text }) => readTable(name, text));
  const [{ header }] = tables;
  const grain = tables.length > 1 ? [] : STAGE_COLUMNS.filter((column) => header.includes(column));
  if (grain.length) { // one file, with all stages below each other
    const stageOf = (row) =>
      grain.map((column) => `${column} ${row[header.indexOf(column)]}`).join(", ");
    tables = [...Map.groupBy(tables[0].rows, stageOf)]
      .map(([name, rows]) => ({ name, header, rows }));
  }
  tables.sort((a, b) => natural(a.name, b.name));
  const { placed, columns } = representation(tables[0], grain);
  const seen = tables.map((table) => {
    const lacks = columns.find((column) => !table.header.includes(column));
    if (lacks !== undefined) refuse(`${table.name}: `, `the columns of ${tables[0].name}`,
      `none called ${lacks}`);
    const at = table.header.indexOf("id");
    const byId = Map.groupBy(table.rows.keys(), (i) => (at < 0 ? `${i}` : table.rows[i][at]));
    for (const [id, { length }] of byId) if (length > 1)
      refuse(`${table.name}: `, "every id once", `${id} again`);
    return byId;
  });
  const ids = [...seen.at(-1).keys()].filter((id) => seen.every((byId) => byId.has(id)));
  if (ids.length < 2) refuse("", `points that are in all ${tables.length} files`,
    counted(ids.length, "common id"));
  if (ids.length > MOST_POINTS) refuse("", `at most ${MOST_POINTS} points`, ids.length);
  /** Cells of a column of a stage, in order of the ids. */
  const cellsOf = (stage, column) => {
    const at = tables[stage].header.indexOf(column);
    return ids.map((id) => tables[stage].rows[seen[stage].get(id)[0]][at]);
  };
  const states = tables.map(({ name }, stage) => {
    const values = new Float32Array(ids.length * columns.length);
    columns.forEach((column, k) => cellsOf(stage, column).forEach((cell, i) => {
      if (!numeric(cell)) refuse(`${name}, id ${ids[i]}: `, `a number in ${column}`, `“${cell}”`);
      values[i * columns.length + k] = Number(cell);
    }));
    return Object.assign(values, { shape: [ids.length, columns.length] });
  });
  const labels = Object.fromEntries(tables.at(-1).header
    .filter((column) => ![...columns, ...grain, "id", "wrong"].includes(column))
    .map((column) => [column, cellsOf(tables.length - 1, column)])
    .map(([column, cells]) => [column, cells.every(numeric) ? cells.map(Number) : cells]));
  const wrong = tables.every((table) => table.header.includes("wrong"))
    ? Float32Array.from(tables.flatMap((_, stage) => cellsOf(stage, "wrong")),
      (cell) => (cell === "" ? NaN : Number(cell))) : null;
  return { names: tables.map((table) => table.name), ids, labels, wrong, states, placed };
}

/** The first principal components of all stages together: {places (E of (N, dims)), shares of the
 *  variance}. */
function principal(states, dims) {
  const width = states[0].shape[1];
  const rows = states.flatMap((s) => range(s.shape[0]).map((n) => kit.row(s, n)));
  const mean = range(width).map((k) => sumOf(rows.map((row) => row[k])) / rows.length);
  const every = Math.ceil((rows.length * width * width) / MOST_PRODUCTS); // so that a page answers
  const cov = range(width).map(() => new Float64Array(width));
  rows.forEach((row, n) => {
    if (n % every) return;
    const centred = Float64Array.from(row, (value, k) => value - mean[k]);
    for (let a = 0; a < width; a++) for (let b = 0; b <= a; b++)
      cov[a][b] += centred[a] * centred[b];
  });
  for (let a = 0; a < width; a++) for (let b = 0; b < a; b++) cov[b][a] = cov[a][b];
  // Orthogonal iteration on a few more directions than are asked for, which makes the first ones
  // converge soon.
  let basis = range(Math.min(width, dims + 6)).map((k) =>
    range(width).map((i) => Math.sin(1 + (i + 1) * (k + 1)) + (i === k)));
  let sizes = [];
  for (let round = 0, before = 0; round < 400; round++) {
    const found = [];
    for (const vector of basis)
      found.push(orthogonalise(cov.map((row) => dot(row, vector)), found));
    sizes = found.map((vector) => Math.sqrt(dot(vector, vector)) || 1e-300);
    basis = found.map((vector, k) => vector.map((value) => value / sizes[k]));
    const sum = sumOf(sizes.slice(0, dims));
    if (Math.abs(sum - before) < 1e-12 * sum && round > 20) break;
    before = sum;
  }
  const axes = basis.slice(0, dims);
  const middle = axes.map((axis) => dot(mean, axis));
  const places = states.map((s) => Object.assign(Float32Array.from(range(s.shape[0])
    .flatMap((n) => axes.map((axis, d) => dot(kit.row(s, n), axis) - middle[d]))),
    { shape: [s.shape[0], dims] }));
  const variance = sumOf(cov.map((row, k) => row[k])) || 1;
  return { places, shares: sizes.slice(0, dims).map((size) => size / variance), every };
}

/** Indices of the nearest other points of one, in the full states of a stage. */
function nearestOf(states, i) {
  const others = range(states.shape[0]).filter((n) => n !== i);
  const own = kit.row(states, i);
  const far = range(states.shape[0]).map((n) => {
    const apart = kit.row(states, n).map((value, k) => value - own[k]);
    return dot(apart, apart);
  });
  return others.sort((a, b) => far[a] - far[b]).slice(0, NEAR);
}
