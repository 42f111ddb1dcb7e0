// The explorer's plane: points or density, where the two speakers are in it, and how far apart classes lie.

let drawn = []; // of each trace that can be clicked, its moments
let marksTrace = -1; // of a 3-D picture

/** Coordinates of points, as plotly has them. */
function coordinates(list, dims) {
  return Object.fromEntries(["x", "y", "z"].slice(0, dims).map((name, axis) => [name, list.map((point) => point.place[axis])]));
}

const unstable = (point) => point.stable < contents.unstable; // false of NaN, which was not measured

function scatter(list, dims, more) {
  return { type: dims === 3 ? "scatter3d" : webgl ? "scattergl" : "scatter", mode: "markers", ...coordinates(list, dims), text: list.map((p) => p.text), hoverinfo: "text", ...more };
}

/** Contours within which a quarter, a half and three quarters of points lie: a Gaussian kernel estimate on a grid, of less than Scott's
 *  width, which is for a single cloud, as classes often are not. */
function contours(group, index, [low, high]) {
  const GRID = 60;
  const axes = [0, 1].map((axis) => {
    const values = group.points.map((p) => p.place[axis]);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const spread = Math.sqrt(values.reduce((a, v) => a + (v - mean) ** 2, 0) / (values.length - 1)) || 1e-6;
    const width = 0.7 * spread * values.length ** (-1 / 6);
    const grid = range(GRID).map((i) => low[axis] + ((high[axis] - low[axis]) * i) / (GRID - 1));
    return { grid, kernel: values.map((v) => grid.map((g) => Math.exp(-0.5 * ((g - v) / width) ** 2))) };
  });
  const density = new Float64Array(GRID * GRID);
  group.points.forEach((_, n) => axes[1].kernel[n].forEach((ky, j) => axes[0].kernel[n].forEach((kx, i) => (density[j * GRID + i] += ky * kx))));
  const order = range(GRID * GRID).sort((a, b) => density[b] - density[a]);
  const total = density.reduce((a, b) => a + b, 0);
  const mass = new Float64Array(GRID * GRID);
  order.reduce((sum, cell) => (mass[cell] = sum + density[cell] / total), 0);
  return {
    type: "contour", x: axes[0].grid, y: axes[1].grid, z: range(GRID).map((j) => [...mass.subarray(j * GRID, (j + 1) * GRID)]),
    contours: { coloring: "none", start: 0.25, end: 0.75, size: 0.25, showlabels: true, labelfont: { size: 10, color: group.colour } },
    line: { color: group.colour, width: 2, dash: DASHES[index % DASHES.length] }, hoverinfo: "skip", showscale: false, showlegend: true, name: `${group.name} (${group.points.length})`,
  };
}

/** Corners of what is drawn: nearly all of the sampled frames, and a margin. */
function corners() {
  const { dims, points: places } = shown();
  const found = [0, 1].map((axis) => {
    const values = kit.column(places, axis).filter((v) => !Number.isNaN(v)).sort();
    const [low, high] = [values[Math.floor(0.002 * values.length)] ?? -1, values[Math.ceil(0.998 * (values.length - 1))] ?? 1];
    return [low - 0.06 * (high - low), high + 0.06 * (high - low)];
  });
  return dims && [found.map((f) => f[0]), found.map((f) => f[1])];
}

function drawPlane() {
  const { dims } = shown();
  const [low, high] = corners();
  const traces = [];
  const size = contrast() === null ? 5 : 8;
  const symbols = dims === 3 ? DEEP : FLAT;
  const everything = () => range(points.number.length).map(framePoint);
  let hollow = 0;
  let count = 0;
  drawn = [];
  const add = (trace, list) => (traces.push(trace), drawn.push(list));
  const density = state.density && dims === 2;
  if (contrast() !== null) {
    add(scatter(everything(), dims, { hoverinfo: "skip", marker: { size: dims === 3 ? 1.5 : 3, color: kit.ink("--soft"), opacity: 0.22 }, name: `frames, for comparison (${points.number.length})` }), null);
  }
  if (state.show in VALUES) {
    const [words, values] = VALUES[state.show];
    const list = everything().filter((_, i) => !Number.isNaN(values[i]));
    const colour = [...values].filter((v) => !Number.isNaN(v));
    count = list.length;
    if (density) {
      add({ type: "histogram2d", ...coordinates(list, 2), z: colour, histfunc: "avg", nbinsx: 50, nbinsy: 50, colorscale: "Viridis", colorbar: { title: { text: `mean ${words}`, side: "right" } }, hovertemplate: "mean %{z:.2f}<extra></extra>" }, null);
    } else {
      const marker = { size: dims === 3 ? 2.5 : size, color: colour, colorscale: "Viridis", symbol: list.map((p) => (unstable(p) ? "circle-open" : "circle")), colorbar: { title: { text: words, side: "right" } } };
      list.forEach((point) => (hollow += unstable(point)));
      add(scatter(list, dims, { marker, showlegend: false }), list);
    }
  } else {
    groups().forEach((group, index) => {
      const symbol = symbols[index % symbols.length];
      count += group.points.length;
      if (density && group.points.length >= LEAST_DENSITY) return add(contours(group, index, [low, high]), null);
      group.points.sort((a, b) => unstable(a) - unstable(b)); // the legend shows the first one's mark
      group.points.forEach((point) => (hollow += unstable(point)));
      const marker = { size: dims === 3 ? size / 2 : size, color: group.colour, opacity: contrast() === null ? 0.75 : 0.9, symbol: group.points.map((p) => (unstable(p) ? `${symbol}-open` : symbol)) };
      return add(scatter(group.points, dims, { marker, name: `${group.name} (${group.points.length})` }), group.points);
    });
  }
  const names = Object.entries(shown().landmarks);
  if (dims === 3) add({ type: "scatter3d", ...coordinates(names.map(([, place]) => ({ place })), 3), text: names.map(([name]) => name), mode: "text", hoverinfo: "skip", showlegend: false, textfont: { color: kit.ink("--ink"), size: 13 } }, null);
  marksTrace = dims === 3 ? traces.length : -1;
  if (dims === 3) add({ type: "scatter3d", mode: "markers+text", x: [], y: [], z: [], text: [], hoverinfo: "skip", showlegend: false, marker: { size: 7, color: kit.ink("--ink") }, textfont: { color: kit.ink("--ink"), size: 18 } }, null);
  if (dims === 3 && !webgl) Plotly.purge(plane);
  else {
    const axis = { zeroline: false, showticklabels: false };
    const flat = { xaxis: { ...axis, range: [low[0], high[0]] }, yaxis: { ...axis, range: [low[1], high[1]], scaleanchor: "x" } };
    const more = { ...(dims === 3 ? {} : flat), dragmode: dims === 3 ? "turntable" : "pan", legend: { orientation: "h", y: -0.03, itemsizing: "constant" }, margin: { l: 8, r: 8, t: 8, b: 8 }, uirevision: state.projection };
    Plotly.react(plane, traces, kit.layout(more), { ...kit.config, scrollZoom: true, modeBarButtonsToRemove: [...kit.config.modeBarButtonsToRemove, "select2d", "lasso2d"] });
  }
  sayPlane(count, hollow, density);
  moveMarks(state.playing ? state.playing.frame : state.moment?.frame);
}

function sayPlane(count, hollow, density) {
  const p = shown();
  const chosen = contrast();
  const words = [];
  if (p.dims === 3 && !webgl) words.push("This browser has no WebGL, which a picture in three dimensions needs.");
  if (state.density && p.dims === 3) words.push("Density is drawn in two dimensions only, so these are the points.");
  if (density) words.push(state.show in VALUES ? "Each cell has the mean of its frames." : `Lines hold a quarter, a half and three quarters of a class (of fewer than ${LEAST_DENSITY}, the points are drawn).`);
  const measured = (chosen === null ? p.stability : p.event_stability).some((v) => !Number.isNaN(v));
  if (!measured) words.push("How stable its neighbourhoods are was not measured for this projection.");
  else if (!density) words.push(`${hollow} of ${counted(count, "point")} ${hollow === 1 ? "is" : "are"} hollow: there, fewer than half of the neighbours stay neighbours when the projection is fitted again, so what lies side by side should not be believed.`);
  words.push(p.trust);
  if (p.about) words.push(p.about);
  planeWords.textContent = words.join(" ");
  reading.hidden = chosen === null;
  reading.style.display = chosen === null ? "none" : "";
  whoseSelect.parentElement.style.display = chosen !== null && contrasts[chosen].by_role ? "none" : "";
  const when = whens[state.when];
  whenWords.textContent = when === 0 ? "when the silence begins" : `${Math.abs(when)} s ${when < 0 ? "before the silence" : "into the silence, of those that last so long"}`;
  const row = chosen === null || contrasts[chosen].by_role ? 0 : state.whose;
  const judged = chosen !== null && contrasts[chosen].classes.includes("correct") ? " Correct means that the network itself was right 0.25 s into the silence, so its states there must tell." : "";
  apartWords.textContent = chosen === null ? "" : `${p.apart[chosen].said[row][state.when]}${judged} This is said of the picture: the full state may hold more.`;
  const figures = p.apart[chosen]?.figures;
  const told = figures && whens.some((_, w) => !Number.isNaN(figures[(row * whens.length + w) * 8 + 2]));
  apartChart.style.display = told ? "" : "none";
  if (told) drawApart(figures, row);
}

/** AUC against the time of reading: (R, W, 8) of counts, then value, low and high by a line and by the neighbours. */
function drawApart(figures, row) {
  const at = (k) => whens.map((_, w) => figures[(row * whens.length + w) * 8 + k]);
  const [first, second] = [at(0), at(1)];
  const line = (k, name, colour, dash, symbol) => {
    const [value, low, high] = [at(k), at(k + 1), at(k + 2)];
    const bars = { type: "data", symmetric: false, array: high.map((v, i) => v - value[i]), arrayminus: low.map((v, i) => value[i] - v), thickness: 1, width: 2 };
    return { x: whens, y: value, error_y: { ...bars, visible: low.some((v) => !Number.isNaN(v)) }, name, line: { color: colour, dash }, marker: { symbol, size: 7 }, text: first.map((n, i) => `${n} and ${second[i]}`), hovertemplate: "%{y:.2f} at %{x} s (%{text})" };
  };
  const traces = [line(2, "by a line", "#0072b2", "solid", "circle"), line(5, "by the neighbours", "#d55e00", "dot", "diamond")];
  const lowest = Math.min(0.4, ...traces.flatMap((t) => t.y.filter((v) => !Number.isNaN(v))));
  const rule = (more) => ({ type: "line", line: { color: kit.ink("--soft"), width: 1, dash: "dot" }, ...more });
  Plotly.react(apartChart, traces, kit.layout({
    margin: { l: 44, r: 8, t: 26, b: 40 },
    xaxis: { title: { text: "s after the silence begins" } }, yaxis: { range: [lowest - 0.05, 1.02], title: { text: "AUC in this picture" } }, legend: { orientation: "h", x: 1, xanchor: "right", y: 1.16 }, hovermode: "closest",
    shapes: [rule({ xref: "paper", x0: 0, x1: 1, y0: 0.5, y1: 0.5 }), rule({ yref: "paper", y0: 0, y1: 1, x0: whens[state.when], x1: whens[state.when], line: { color: kit.ink("--ink"), width: 1.5 } })],
  }), { ...kit.config, displayModeBar: false });
  if (!apartChart.dataset.heard) apartChart.on("plotly_click", ({ points: [clicked] }) => ((state.when = whenRange.value = whens.indexOf(clicked.x)), drawPlane()));
  apartChart.dataset.heard = "yes";
}

// ---- where the speakers are ----

/** The place of a frame, or of the one before it that was placed; null outside of what is embedded. */
function placeOf(number, frame, speaker) {
  const { tracks, every, dims } = shown();
  if (frame < 0 || frame >= dialogues[number].embedded) return null;
  return placeIn(tracks[number], Math.floor(frame / every) * 2 + speaker, dims);
}

const pixel = (place) => {
  const { xaxis, yaxis } = plane._fullLayout;
  return [xaxis._offset + xaxis.l2p(place[0]), yaxis._offset + yaxis.l2p(place[1])];
};
const svg = (name, attributes, text = "") => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  marks.append(made);
};

const halo = { "text-anchor": "middle", "font-size": 13, "font-weight": 600, "stroke-width": 4, "stroke-linejoin": "round", "paint-order": "stroke" };
/** Where speakers are on average in each situation; a name that another is in the way of goes below it. */
function nameLandmarks() {
  const taken = [];
  for (const [name, place] of Object.entries(shown().landmarks)) {
    const [x, middle] = pixel(place);
    let y = middle;
    while (taken.some(([a, b]) => Math.abs(a - x) < 100 && Math.abs(b - y) < 16)) y += 17;
    taken.push([x, y]);
    svg("text", { x, y, ...halo, fill: kit.ink("--ink"), stroke: kit.ink("--paper") }, name);
  }
}

let deepMarks = 0; // when those of a 3-D picture were last moved, which is slow
function moveMarks(frame) {
  marks.replaceChildren();
  if (plane._fullLayout && shown().dims === 2) nameLandmarks();
  if (!state.moment || frame === undefined || !plane._fullLayout) return;
  const { number, speaker, own } = state.moment;
  const here = [0, 1].map((who) => (frame === state.moment.frame && who === speaker && own ? own : placeOf(number, frame, who)));
  if (shown().dims === 3) {
    if (!webgl || (state.playing && performance.now() - deepMarks < 150)) return;
    deepMarks = performance.now();
    const there = [0, 1].filter((who) => here[who]);
    const along = (axis) => [there.map((who) => here[who][axis])];
    Plotly.restyle(plane, { x: along(0), y: along(1), z: along(2), text: [there.map((who) => `${who}`)], "marker.symbol": [there.map((who) => (who === speaker ? "diamond" : "circle"))] }, [marksTrace]);
    return;
  }
  here.forEach((place, who) => {
    if (!place) return;
    const trail = range(Math.round(TRAIL_S * rate)).map((back) => placeOf(number, frame - back, who)).filter(Boolean);
    svg("polyline", { points: trail.map((p) => pixel(p).map((v) => v.toFixed(1)).join()).join(" "), fill: "none", stroke: kit.ink("--ink"), "stroke-width": who === speaker ? 2 : 1, "stroke-dasharray": who ? "4 3" : "none" });
  });
  here.forEach((place, who) => {
    if (!place) return;
    const [x, y] = pixel(place);
    const chosen = who === speaker;
    svg("circle", { cx: x, cy: y, r: chosen ? 11 : 8, fill: kit.ink("--paper"), stroke: kit.ink("--ink"), "stroke-width": chosen ? 3 : 1.5, "data-speaker": who, "data-place": [...place].join() });
    svg("text", { x, y: y + 4.5, "text-anchor": "middle", "font-size": 13, "font-weight": chosen ? 700 : 400, fill: kit.ink("--ink") }, `${who}`);
  });
}
