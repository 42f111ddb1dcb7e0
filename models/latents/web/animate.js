// The same points at several stages, moving from one to the next; chosen points are followed, two stages are shown side by side.

(() => {
  const { names, ids, labels, wrong, marks, places } = kit.contents;
  const [count, dims] = places[0].shape;
  const STAGE_MS = 1400; // from one stage to the next at speed 1
  const MOST_CLASSES = 10;
  const state = { at: 0, playing: false, speed: 1, label: Object.keys(labels)[0] ?? null, hidden: new Set(), chosen: [], compare: false, left: 0, right: names.length - 1 };

  // ---- controls ----
  const controls = kit.element(kit.view, "div", { className: "controls" });
  const back = kit.element(controls, "button", { type: "button", title: "one stage back (left arrow)" }, "◀");
  const play = kit.element(controls, "button", { type: "button", title: "play or pause (space)" }, "Play");
  const forth = kit.element(controls, "button", { type: "button", title: "one stage on (right arrow)" }, "▶");
  const slider = kit.element(controls, "input", { type: "range", min: 0, max: names.length - 1, step: "any", value: 0, ariaLabel: "stage" });
  slider.style.flex = "1 1 14em";
  const stageName = kit.element(controls, "output", {});
  stageName.style.minWidth = "9em";
  const speed = select(controls, "speed", ["0.5", "1", "2", "4"], "1");
  const second = kit.element(kit.view, "div", { className: "controls" });
  const colour = Object.keys(labels).length ? select(second, "colour", Object.keys(labels), state.label) : null;
  const compare = checkbox(second, "two stages side by side");
  const left = select(second, "left", names, names[0]);
  const right = select(second, "right", names, names[names.length - 1]);
  const clear = kit.element(second, "button", { type: "button" }, "follow none");
  const legend = kit.element(kit.view, "div", { className: "controls" });
  const charts = kit.element(kit.view, "div", { className: "side-by-side" });
  const divs = [0, 1].map((i) => kit.element(charts, "div", { className: "chart", id: `chart${i}` }));
  for (const div of divs) div.style.height = "min(72vh, 680px)";
  const list = kit.element(kit.view, "p", { className: "note", id: "followed" });

  function select(parent, words, options, value) {
    const box = kit.element(kit.element(parent, "label", {}, words), "select", { id: `select-${words}` });
    for (const option of options) kit.element(box, "option", { value: option, selected: option === value }, option);
    return box;
  }

  function checkbox(parent, words) {
    const label = kit.element(parent, "label", {});
    const box = kit.element(label, "input", { type: "checkbox" });
    label.append(words);
    return box;
  }

  // ---- what is drawn ----
  let classes = [];
  let classOf = new Int32Array(count);

  function classify() {
    const values = state.label === null ? new Array(count).fill("all") : Array.from(labels[state.label]);
    const known = [...new Set(values)];
    const numeric = typeof values[0] === "number" && known.length > MOST_CLASSES;
    if (numeric) {
      const sorted = Float64Array.from(values).sort();
      const edges = [1, 2, 3, 4].map((part) => sorted[Math.floor((part * count) / 5)]);
      const show = (value) => Number(value.toPrecision(3)).toString();
      classes = [`up to ${show(edges[0])}`, ...[0, 1, 2].map((i) => `${show(edges[i])} to ${show(edges[i + 1])}`), `above ${show(edges[3])}`];
      classOf = Int32Array.from(values, (value) => edges.filter((edge) => value > edge).length);
    } else {
      const amounts = new Map();
      for (const value of values) amounts.set(value, (amounts.get(value) ?? 0) + 1);
      const common = [...amounts.keys()].sort((a, b) => amounts.get(b) - amounts.get(a));
      const shown = common.slice(0, common.length > MOST_CLASSES ? MOST_CLASSES - 1 : MOST_CLASSES);
      classes = shown.map((value) => (value === "" ? "(none)" : String(value)));
      if (common.length > shown.length) classes.push("all others");
      classOf = Int32Array.from(values, (value) => (shown.includes(value) ? shown.indexOf(value) : shown.length));
    }
    state.hidden.clear();
    drawLegend();
  }

  const colourOf = (index) => kit.colours[classes[index]] ?? (classes[index] === "(none)" || classes[index] === "all others" ? "#999999" : kit.palette[index % kit.palette.length]);

  function drawLegend() {
    legend.replaceChildren();
    classes.forEach((name, index) => {
      const amount = classOf.reduce((sum, value) => sum + (value === index), 0);
      const button = kit.element(legend, "button", { type: "button", title: "show or hide" }, `● ${name} (${amount})`);
      button.style.color = colourOf(index);
      button.style.opacity = state.hidden.has(index) ? 0.4 : 1;
      button.setAttribute("aria-pressed", String(!state.hidden.has(index)));
      button.onclick = () => {
        state.hidden.has(index) ? state.hidden.delete(index) : state.hidden.add(index);
        drawLegend();
        styleAll();
      };
    });
    if (wrong) kit.element(legend, "span", { className: "note" }, `a cross: ${marks[1]} at that stage`);
  }

  /** Places at a moment between two stages, one array for each dimension. */
  function between(at) {
    const low = Math.min(names.length - 1, Math.floor(at));
    const high = Math.min(names.length - 1, low + 1);
    const part = at - low;
    const eased = part * part * (3 - 2 * part);
    const [a, b] = [places[low], places[high]];
    return Array.from({ length: dims }, (_, d) => Float32Array.from({ length: count }, (_, i) => a[i * dims + d] + eased * (b[i * dims + d] - a[i * dims + d])));
  }

  function style(stage) {
    const chosen = new Set(state.chosen);
    const opacity = Array.from({ length: count }, (_, i) => (state.hidden.has(classOf[i]) ? 0 : chosen.size === 0 || chosen.has(i) ? 0.85 : 0.18));
    const symbols = Array.from({ length: count }, (_, i) => (wrong && wrong[stage * count + i] === 1 ? "x" : "circle"));
    const sizes = Array.from({ length: count }, (_, i) => (chosen.has(i) ? 12 : dims === 3 ? 4 : 7));
    const colours = Array.from(classOf, colourOf);
    return { opacity, symbols, sizes, colours };
  }

  const axisNames = ["x", "y", "z"].slice(0, dims);
  const kind = dims === 3 ? "scatter3d" : "scattergl";
  const low = axisNames.map((_, d) => Math.min(...places.map((p) => p.reduce((least, value, i) => (i % dims === d ? Math.min(least, value) : least), Infinity))));
  const high = axisNames.map((_, d) => Math.max(...places.map((p) => p.reduce((most, value, i) => (i % dims === d ? Math.max(most, value) : most), -Infinity))));
  const range = (d) => [low[d] - 0.05 * (high[d] - low[d]), high[d] + 0.05 * (high[d] - low[d])];

  function rgba(hex, alpha) {
    const value = parseInt(hex.slice(1), 16);
    return `rgba(${value >> 16},${(value >> 8) & 255},${value & 255},${alpha})`;
  }

  const markers = (stage) => {
    const { opacity, symbols, sizes, colours } = style(stage);
    return { color: colours.map((hex, i) => rgba(hex, opacity[i])), symbol: symbols, size: sizes };
  };

  function create(div) {
    const points = { type: kind, mode: "markers", hoverinfo: "text", text: ids, marker: markers(0) };
    const trails = { type: kind, mode: "lines+markers", hoverinfo: "skip", line: { color: kit.ink("--ink"), width: 2 }, marker: { color: kit.ink("--ink"), size: 4 } };
    between(0).forEach((values, d) => {
      points[axisNames[d]] = values;
      trails[axisNames[d]] = [];
    });
    const axis = (d) => ({ range: range(d), showticklabels: false, title: "" });
    const scene = { xaxis: axis(0), yaxis: axis(1), zaxis: axis(2), aspectmode: "cube" };
    const layout = dims === 3 ? kit.layout({ scene }) : kit.layout({ xaxis: axis(0), yaxis: { ...axis(1), scaleanchor: "x" }, dragmode: "pan" });
    layout.showlegend = false;
    layout.margin = { l: 8, r: 8, t: 30, b: 8 };
    layout.uirevision = "kept";
    layout.title = { text: names[0], font: { size: 14 } };
    Plotly.newPlot(div, [points, trails], layout, { ...kit.config, scrollZoom: true, modeBarButtonsToAdd: dims === 2 ? ["lasso2d", "select2d"] : [] });
    div.on("plotly_click", ({ points: [point] }) => choose([point.pointNumber ?? point.pointIndex], true));
    div.on("plotly_selected", (event) => event?.points.length && choose(event.points.filter((p) => p.curveNumber === 0).map((p) => p.pointIndex), false));
  }

  function trailsUpTo(at) {
    const columns = axisNames.map(() => []);
    for (const i of state.chosen) {
      for (let stage = 0; stage <= Math.floor(at + 1e-6); stage++) columns.forEach((column, d) => column.push(places[stage][i * dims + d]));
      const now = between(at);
      columns.forEach((column, d) => column.push(now[d][i], null));
    }
    return columns;
  }

  function draw(div, at) {
    const stage = Math.min(names.length - 1, Math.round(at));
    const change = { marker: [markers(stage)] };
    between(at).forEach((values, d) => (change[axisNames[d]] = [values]));
    Plotly.restyle(div, change, [0]);
    const trail = {};
    trailsUpTo(at).forEach((values, d) => (trail[axisNames[d]] = [values]));
    Plotly.restyle(div, trail, [1]);
    if (div.shownStage !== stage) {
      div.shownStage = stage;
      Plotly.relayout(div, { "title.text": names[stage] });
    }
  }

  function drawAll() {
    slider.value = state.at;
    stageName.value = names[Math.round(state.at)];
    divs[1].hidden = !state.compare;
    for (const box of [left, right]) box.parentElement.hidden = !state.compare;
    for (const box of [back, play, forth, slider, stageName]) box.disabled = state.compare;
    clear.disabled = state.chosen.length === 0;
    draw(divs[0], state.compare ? state.left : state.at);
    if (state.compare) draw(divs[1], state.right);
    drawList();
  }

  const styleAll = drawAll;

  function drawList() {
    if (state.chosen.length === 0) {
      list.textContent = `Click a point${dims === 2 ? ", or draw around several with the lasso," : ""} to follow it.`;
      return;
    }
    const stage = Math.min(names.length - 1, Math.round(state.compare ? state.right : state.at));
    const told = (i) => (!wrong || Number.isNaN(wrong[stage * count + i]) ? "" : `, ${marks[Number(wrong[stage * count + i] === 1)]} here`);
    const named = (value) => ((value ?? "") === "" || Number.isNaN(value) ? "none" : value);
    const shown = state.chosen.slice(0, 12).map((i) => `${ids[i]}${state.label === null ? "" : ` (${state.label}: ${named(labels[state.label][i])}${told(i)})`}`);
    list.textContent = `Followed: ${shown.join("; ")}${state.chosen.length > 12 ? `; and ${state.chosen.length - 12} more` : ""}.`;
  }

  function choose(points, toggle) {
    const chosen = new Set(toggle ? state.chosen : []);
    for (const i of points) toggle && chosen.has(i) ? chosen.delete(i) : chosen.add(i);
    state.chosen = [...chosen];
    drawAll();
  }

  // ---- time ----
  let before = 0;
  function soon(work) {
    // with the next picture; a browser that shows none, hidden or busy, goes on without
    let begun = false;
    const once = () => {
      if (begun) return;
      begun = true;
      work(performance.now());
    };
    requestAnimationFrame(once);
    setTimeout(once, 250);
  }

  function tick(now) {
    if (!state.playing) return;
    state.at = Math.min(names.length - 1, state.at + (Math.min(100, now - before) * state.speed) / STAGE_MS);
    before = now;
    if (state.at >= names.length - 1) stop();
    else soon(tick);
    drawAll();
  }

  function stop() {
    state.playing = false;
    play.textContent = "Play";
  }

  function start() {
    if (state.at >= names.length - 1) state.at = 0;
    state.playing = true;
    play.textContent = "Pause";
    before = performance.now();
    soon(tick);
  }

  function step(by) {
    stop();
    state.at = Math.max(0, Math.min(names.length - 1, by > 0 ? Math.floor(state.at + 1e-6) + 1 : Math.ceil(state.at - 1e-6) - 1));
    drawAll();
  }

  play.onclick = () => (state.playing ? stop() : start());
  back.onclick = () => step(-1);
  forth.onclick = () => step(1);
  slider.oninput = () => {
    stop();
    state.at = Number(slider.value);
    drawAll();
  };
  speed.onchange = () => (state.speed = Number(speed.value));
  compare.onchange = () => {
    stop();
    state.compare = compare.checked;
    drawAll();
    requestAnimationFrame(() => divs.filter((div) => !div.hidden).forEach((div) => Plotly.Plots.resize(div)));
  };
  left.onchange = () => ((state.left = left.selectedIndex), drawAll());
  right.onchange = () => ((state.right = right.selectedIndex), drawAll());
  clear.onclick = () => choose([], false);
  if (colour) colour.onchange = () => ((state.label = colour.value), classify(), drawAll());
  document.addEventListener("keydown", (event) => {
    if (["INPUT", "SELECT", "BUTTON"].includes(event.target.tagName) && event.target !== slider) return;
    if (event.key === " ") play.onclick();
    else if (event.key === "ArrowRight") step(1);
    else if (event.key === "ArrowLeft") step(-1);
    else return;
    event.preventDefault();
  });

  classify();
  divs[1].hidden = true;
  divs.forEach(create);
  drawAll();
  window.animation = { state, choose, step, places: () => between(state.at) };
})();
