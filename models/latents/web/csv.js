// CSV files of anyone's points, read in the page: rows with the same id are the same point at
// several stages. Files with x and y are
// drawn as they are; of others the principal components of all files together are drawn, so that
// what does not change does not move.

const MOST_BYTES = 300e6;
const MOST_POINTS = 20000;
const MOST_COLUMNS = 2048;
const STAGE_COLUMNS = ["stage", "epoch", "step", "batch"]; // of one file that holds several stages
const NEAR = 8; // neighbours of a point
const MOST_PRODUCTS = 4e9; // of two values, for principal components

/** Rows of a CSV text, quoted cells and all. */
function parseCsv(text) {
  const rows = [[]];
  const pattern = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|\r|$)/g;
  for (let match; pattern.lastIndex <= text.length && (match = pattern.exec(text)); ) {
    rows.at(-1).push(match[1] === undefined ? match[2] : match[1].replaceAll('""', '"'));
    if (pattern.lastIndex >= text.length && match[3] === "") break;
    if (match[3] !== ",") rows.push([]);
  }
  return rows.filter((row) => row.length > 1 || row[0]);
}

const refuse = (words) => {
  throw new Error(words);
};
const numeric = (cell) => cell !== "" && Number.isFinite(Number(cell));

/** One file: {name, header, rows}, checked. */
function readTable(name, text) {
  const [header, ...rows] = parseCsv(text.replace(/^\ufeff/, ""));
  if (!header || !rows.length)
    refuse(`${name}: expected a line of column names and a row for each point, got `
    + `${counted(rows.length, "row")}`);
  const twice = header.find((column, i) => header.indexOf(column) !== i);
  if (twice !== undefined)
    refuse(`${name}: expected columns of different names, got ${twice} twice`);
  const short = rows.findIndex((row) => row.length !== header.length);
  if (short >= 0)
    refuse(`${name}, row ${short + 1}: expected ${header.length} values, got `
    + `${rows[short].length}`);
  return { name: name.replace(/\.csv$/i, ""), header, rows };
}

/** Which columns are the representation: x, y (and z); else a series numbered from 0 or 1 on; else
 *  all numbers that are no label. */
function representation({ name, header, rows }, keep) {
  const isNumber = (column) => rows.every((row) => numeric(row[header.indexOf(column)]));
  if (["x", "y"].every((c) => header.includes(c) && isNumber(c)))
    return { placed: true, columns: ["x", "y", "z"].filter((c) => header.includes(c)
    && isNumber(c)) };
  const series = {};
  for (const column of header) {
    const match = /^([A-Za-z_]*)(\d+)$/.exec(column);
    if (match && isNumber(column)) (series[match[1]] ??= []).push([Number(match[2]), column]);
  }
  const whole = Object.entries(series).filter(([, some]) => {
    const numbers = some.map(([number]) => number).sort((a, b) => a - b);
    return numbers.length > 1 && numbers[0] < 2 && numbers.every((n, i) => n === numbers[0] + i);
  });
  const only = whole.length === 1 ? whole[0] : [];
  const [, chosen] = whole.find(([prefix]) => prefix === "d") ?? only;
  const others = () =>
    header.filter((column) => ![...keep, "id", "wrong"].includes(column) && isNumber(column));
  const columns = chosen?.sort((a, b) => a[0] - b[0]).map(([, column]) => column) ?? others();
  if (columns.length < 2)
    refuse(`${name}: expected x and y, or two or more columns of numbers, got `
    + `${header.slice(0, 8).join(", ")}`);
  if (columns.length > MOST_COLUMNS)
    refuse(`${name}: expected at most ${MOST_COLUMNS} columns of numbers, got ${columns.length}`);
  return { placed: false, columns };
}

/** Files as stages, in order of their names: {names, ids, labels, wrong, states (E of (N, H)),
 *  placed}. */
function readStages(files) {
  const natural = new Intl.Collator("en", { numeric: true }).compare;
  let tables = files.map(({ name, text }) => readTable(name, text))
    .sort((a, b) => natural(a.name, b.name));
  const grain = tables.length === 1
    ? STAGE_COLUMNS.filter((column) => tables[0].header.includes(column)) : [];
  if (grain.length) { // one file, with all stages below each other
    const parts = new Map();
    const at = grain.map((column) => tables[0].header.indexOf(column));
    for (const row of tables[0].rows) {
      const stage = at.map((place, i) => `${grain[i]} ${row[place]}`).join(", ");
      if (!parts.has(stage)) parts.set(stage, []);
      parts.get(stage).push(row);
    }
    tables = [...parts].sort(([a], [b]) => natural(a, b))
      .map(([name, rows]) => ({ name, header: tables[0].header, rows }));
  }
  const { placed, columns } = representation(tables[0], grain);
  const seen = tables.map(({ name, header, rows }) => {
    const lacks = columns.find((column) => !header.includes(column));
    if (lacks !== undefined)
      refuse(`${name}: expected the columns of ${tables[0].name}, got none called ${lacks}`);
    const at = header.indexOf("id");
    const known = new Map();
    rows.forEach((row, i) => {
      const id = at < 0 ? `${i}` : row[at];
      if (known.has(id)) refuse(`${name}: expected every id once, got ${id} again`);
      known.set(id, row);
    });
    return known;
  });
  const ids = [...seen.at(-1).keys()].filter((id) => seen.every((known) => known.has(id)));
  if (ids.length < 2)
    refuse(`expected points that are in all ${tables.length} files, got ${ids.length} common `
    + `id${ids.length === 1 ? "" : "s"}`);
  if (ids.length > MOST_POINTS) refuse(`expected at most ${MOST_POINTS} points, got ${ids.length}`);
  const states = tables.map(({ name, header }, e) => {
    const places = columns.map((column) => header.indexOf(column));
    const values = new Float32Array(ids.length * columns.length);
    ids.forEach((id, i) => places.forEach((place, k) => {
      const cell = seen[e].get(id)[place];
      if (!numeric(cell))
        refuse(`${name}, id ${id}: expected a number in ${columns[k]}, got “${cell}”`);
      values[i * columns.length + k] = Number(cell);
    }));
    values.shape = [ids.length, columns.length];
    return values;
  });
  const { header } = tables.at(-1);
  const labels = Object.fromEntries(header.filter((column) => ![...columns, ...grain, "id", "wrong"]
    .includes(column)).map((column) => {
    const cells = ids.map((id) => seen.at(-1).get(id)[header.indexOf(column)]);
    return [column, cells.every(numeric) ? cells.map(Number) : cells];
  }));
  const marked = tables.every((t) => t.header.includes("wrong"));
  const wrong = marked
    && Float32Array.from(
    tables.flatMap((t, e) =>
    ids.map((id) => { const cell = seen[e].get(id)[t.header.indexOf("wrong")]; return cell === ""
    ? NaN : Number(cell); })));
  return { names: tables.map((t) => t.name), ids, labels, wrong: wrong || null, states, placed };
}

/** The first principal components of all stages together: {places (E of (N, dims)), shares of the
 *  variance}. */
function principal(states, dims) {
  const width = states[0].shape[1];
  const total = states.reduce((sum, s) => sum + s.shape[0], 0);
  const mean = new Float64Array(width);
  for (const s of states) for (let i = 0; i < s.length; i++) mean[i % width] += s[i] / total;
  const cov = new Float64Array(width * width);
  const row = new Float64Array(width);
  const every = Math.ceil((total * width * width) / MOST_PRODUCTS); // so that a page answers
  for (const s of states) for (let n = 0; n < s.shape[0]; n += every) {
    for (let k = 0; k < width; k++) row[k] = s[n * width + k] - mean[k];
    for (let a = 0; a < width; a++) for (let b = a, at = a * width + a; b < width; b++, at++)
      cov[at] += row[a] * row[b];
  }
  let variance = 0;
  for (let a = 0; a < width; a++) {
    variance += cov[a * width + a];
    for (let b = 0; b < a; b++) cov[a * width + b] = cov[b * width + a];
  }
  // Orthogonal iteration on a few more directions than are asked for, which makes the first ones
  // converge soon.
  const count = Math.min(width, dims + 6);
  let basis = range(count)
    .map((k) => Float64Array.from({ length: width }, (_, i) => Math.sin(1 + (i + 1) * (k + 1))
    + (i === k ? 1 : 0)));
  let sizes = [];
  for (let round = 0, before = 0; round < 400; round++) {
    basis = basis.map((v) => Float64Array.from({ length: width }, (_, a) => { let sum = 0;
      for (let b = 0; b < width; b++) sum += cov[a * width + b] * v[b]; return sum; }));
    sizes = basis.map((v, k) => {
      for (let j = 0; j < k; j++) {
        const along = v.reduce((sum, x, i) => sum + x * basis[j][i], 0);
        for (let i = 0; i < width; i++) v[i] -= along * basis[j][i];
      }
      const size = Math.hypot(...v) || 1e-300;
      for (let i = 0; i < width; i++) v[i] /= size;
      return size;
    });
    const sum = sizes.slice(0, dims).reduce((a, b) => a + b, 0);
    if (Math.abs(sum - before) < 1e-12 * sum && round > 20) break;
    before = sum;
  }
  const places = states.map((s) => {
    const found = new Float32Array(s.shape[0] * dims);
    for (let n = 0; n < s.shape[0]; n++) for (let d = 0; d < Math.min(dims, count); d++) {
      let sum = 0;
      for (let k = 0; k < width; k++) sum += (s[n * width + k] - mean[k]) * basis[d][k];
      found[n * dims + d] = sum;
    }
    found.shape = [s.shape[0], dims];
    return found;
  });
  return { places, shares: sizes.slice(0, dims).map((size) => size / (variance || 1)), every };
}

/** Indices of the nearest other points of one, in the full states of a stage. */
function nearestOf(states, i) {
  const [count, width] = states.shape;
  const far = range(count).map((n) => {
    let sum = 0;
    for (let k = 0; k < width; k++) sum += (states[n * width + k] - states[i * width + k]) ** 2;
    return sum;
  });
  return range(count).filter((n) => n !== i).sort((a, b) => far[a] - far[b]).slice(0, NEAR);
}
