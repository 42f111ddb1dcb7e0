// Paths drawn: everything is measured in true places, and only drawn on a scale.

let traces = [];
let drawn = []; // of each trace that can be clicked, its events
let limits = [];
let nowTrace = -1;

/** A trace of true places, null between lines. */
function add(facet, places, more, picks = null) {
  const at = range(state.dims).map((axis) => places.map((p) => (p ? scale(p[axis]) : null)));
  for (const [axis, values] of at.entries()) {
    for (const v of values) if (v !== null) (limits[axis] ??= [Infinity, -Infinity]), (limits[axis] = [Math.min(limits[axis][0], v), Math.max(limits[axis][1], v)]);
  }
  const n = facet ? `${facet + 1}` : "";
  const where = state.dims === 3 ? { scene: `scene${n}`, z: at[2] } : { xaxis: `x${n}`, yaxis: `y${n}` };
  traces.push({ type: state.dims === 3 ? "scatter3d" : flat, x: at[0], y: at[1], hoverinfo: "skip", showlegend: false, ...where, ...more });
  drawn.push(picks);
}

const size = (inPlane) => (state.dims === 3 ? inPlane * 0.6 : inPlane);
const seen = new Set(); // groups that the legend has

function drawGroups(facet, groups, faint) {
  const { times_s: times } = shown();
  const several = groups.filter((g) => g.members.length);
  const alone = Math.min(0.6, 14 / several.reduce((sum, g) => sum + g.members.length, 0)); // fainter, the more there are
  if (state.single) {
    for (const g of several) {
      const line = { color: state.colour === "time" ? kit.ink("--soft") : g.colour, width: state.colour === "time" ? 0.6 : 1.2 };
      const places = g.members.flatMap(([e, role]) => [...range(times.length).map((t) => placeAt(e, role, t)), null]);
      const picks = g.members.flatMap(([e]) => [...range(times.length).map(() => e), null]);
      const dash = state.dims === 3 || state.colour === "time" ? {} : { dash: g.dash };
      add(facet, places, { mode: "lines", connectgaps: false, line: { ...line, ...dash }, opacity: faint ? alone / 2 : state.colour === "time" ? alone : Math.min(0.8, 2.5 * alone), hoverinfo: "text", text: picks.map((e) => (e === null ? "" : inWords(events[e]))) }, picks);
    }
    if (state.colour === "time" && !faint) {
      const all = several.flatMap((g) => g.members).flatMap(([e, role]) => range(times.length).map((t) => [e, t, placeAt(e, role, t)])).filter(([, , p]) => p);
      timeDots(facet, all.map(([, , p]) => p), all.map(([, t]) => times[t]), all.length > 3000 ? 0.55 : 0.8, [2, 6], all.map(([e, t]) => `${inWords(events[e])}<br>${times[t].toFixed(2)} s`), all.map(([e]) => e), facet === 0 && state.chosen === null);
    }
  }
  if (state.means && several.some((g) => g.members.length > 1)) {
    for (const g of several) {
      const path = range(times.length).map((t) => meanAt(g.members, t));
      halo(facet, path, 8);
      const legend = { name: `${g.name} (${g.total})`, showlegend: !seen.has(g.name), legendgroup: g.name };
      seen.add(g.name);
      add(facet, path, { mode: "lines", line: { color: g.colour, width: state.dims === 3 ? 6 : 4.5, dash: state.dims === 3 ? "solid" : g.dash }, ...legend, hoverinfo: "text", text: times.length ? [...times].map((t) => `mean of ${g.name}, ${t.toFixed(2)} s`) : [] });
      const lastStep = newest(times);
      const stops = [0, zero(), lastStep].filter((t) => path[t]);
      add(facet, stops.map((t) => path[t]), { mode: "markers", marker: { color: stops.map((t) => (t === lastStep ? g.colour : kit.ink("--paper"))), symbol: g.symbol, size: size(12), line: { color: g.colour, width: 2 } }, hoverinfo: "text", text: stops.map((t) => `mean of ${g.name}, ${times[t].toFixed(2)} s`) });
      const outline = stops.filter((t) => t > 0).flatMap((t) => {
        const there = g.members.map(([e, role]) => placeAt(e, role, t)).filter(Boolean);
        return there.length >= LEAST_SPREAD ? spread(there) : [];
      });
      if (outline.length) add(facet, outline, { mode: "lines", line: { color: g.colour, width: size(1.5), dash: state.dims === 3 ? "solid" : g.dash } });
    }
  }
}

/** Paper around a line of the plane, so that it stands out; in space it would hide the line. */
function halo(facet, path, width) {
  if (state.dims === 2) add(facet, path, { mode: "lines", line: { color: kit.ink("--paper"), width }, opacity: 0.9 });
}

/** The step at which means are marked last: the decision. */
const newest = (times) => times.reduce((best, t, i) => (t <= contents.judged_s + 1e-6 ? i : best), 0);

function timeDots(facet, places, at, opacity, [small, large], text, picks, bar, title = "s from the event's start") {
  const [least, high] = at.reduce(([a, b], t) => [Math.min(a, t), Math.max(b, t)], [Infinity, -Infinity]);
  const grow = at.map((t) => size(small + ((large - small) * (t - least)) / Math.max(high - least, 1e-6)) * (state.dims === 3 ? 1.4 : 1));
  add(facet, places, {
    mode: "markers", hoverinfo: "text", text, opacity,
    marker: { size: grow, color: at, colorscale: TIME, cmin: least, cmax: high, line: { width: 0 }, showscale: bar, colorbar: { title: { text: title, side: "right" }, thickness: 12, len: 0.7, outlinewidth: 0 } },
  }, picks);
}

/** Last points; hollow where the neighbourhood does not survive a refit. */
function drawLast(facet, groups, faint) {
  const { stability } = shown();
  const unstable = ([e, role]) => stability[e * 2 + role] < contents.unstable; // false of NaN
  for (const g of groups) {
    if (!g.members.length) continue;
    const open = (m) => (unstable(m) ? `${g.symbol.replace("-open", "")}-open` : g.symbol);
    const points = g.members.map(([e, role]) => placeAt(e, role, lastOf(e)));
    const marker = { color: g.colour, size: size(10), symbol: g.members.map((m) => (["cross", "x"].includes(g.symbol) ? g.symbol : open(m))), opacity: faint ? 0.25 : 0.85 };
    add(facet, points, { mode: "markers", marker, name: `${g.name} (${g.total})`, showlegend: !seen.has(g.name), legendgroup: g.name, hoverinfo: "text", text: g.members.map(([e]) => inWords(events[e])) }, g.members.map(([e]) => e));
    seen.add(g.name);
    if (state.means && points.length >= LEAST_SPREAD) add(facet, spread(points), { mode: "lines", line: { color: g.colour, width: size(2), dash: state.dims === 3 ? "solid" : g.dash } });
  }
}

/** Wrong ones: the line as what came true, the marker as what was predicted; right ones faint. */
function drawMistakes(facet, members) {
  const { times_s: times } = shown();
  const line = (list) => list.flatMap(([e, role]) => [...range(times.length).map((t) => placeAt(e, role, t)), null]);
  const picks = (list) => list.flatMap(([e]) => [...range(times.length).map(() => e), null]);
  const everyone = withRoles(inSplit()); // also those beside this facet, which the legend speaks of as well
  const total = (of) => everyone.filter(([e]) => of(events[e])).length;
  const right = members.filter(([e]) => events[e].correct);
  if (right.length) add(facet, line(right), { mode: "lines", line: { color: kit.ink("--soft"), width: 0.6 }, opacity: Math.min(0.5, 14 / right.length), name: `correct (${total((e) => e.correct)})`, showlegend: !seen.has("correct"), legendgroup: "correct" }, picks(right));
  seen.add("correct");
  for (const [i, name] of ["shift", "hold"].entries()) {
    const wrong = members.filter(([e]) => events[e].correct === false && events[e].true === name);
    if (!wrong.length) continue;
    const count = total((e) => e.correct === false && e.true === name);
    const [other, symbols] = [name === "shift" ? "hold" : "shift", state.dims === 3 ? DEEP : FLAT];
    const key = { showlegend: !seen.has(`wrong ${name}`), legendgroup: `wrong ${name}` };
    add(facet, line(wrong), { mode: "lines", line: { color: colours[name], width: size(wrong.length > 10 ? 1.3 : 2.2), dash: state.dims === 3 ? "solid" : DASHES[i] }, opacity: wrong.length > 10 ? 0.5 : 0.8, name: `line: true ${name} (${count})`, ...key, hoverinfo: "text", text: picks(wrong).map((e) => (e === null ? "" : inWords(events[e]))) }, picks(wrong));
    add(facet, wrong.map(([e, role]) => placeAt(e, role, lastOf(e))), { mode: "markers", marker: { color: colours[other], symbol: symbols[1 - i], size: size(11), line: { color: kit.ink("--paper"), width: 1 } }, name: `marker: predicted ${other} (${count})`, ...key, hoverinfo: "text", text: wrong.map(([e]) => inWords(events[e])) }, wrong.map(([e]) => e));
    seen.add(`wrong ${name}`);
  }
}

/** One event's path, bold, coloured by time, its start and its decision marked. */
function drawChosen(facet, e, index, bar) {
  const { times_s: times } = shown();
  const [event, symbols] = [events[e], state.dims === 3 ? DEEP : FLAT];
  for (const role of roles()) {
    const steps = range(times.length).filter((t) => placeAt(e, role, t));
    const path = steps.map((t) => placeAt(e, role, t));
    const colour = colourOf(event.true || event.kind, index);
    const name = `${inWords(event)}${state.whose === "both" ? `, ${ROLES[role]}` : ""}`;
    halo(facet, path, 9);
    add(facet, path, { mode: "lines", line: { color: colour, width: size(3), dash: state.dims === 3 ? "solid" : index ? "dash" : "solid" }, name, showlegend: true });
    timeDots(facet, path, steps.map((t) => times[t]), 1, [5, 10], steps.map((t) => `${times[t].toFixed(2)} s`), null, bar && role === roles()[0]);
    const ends = Math.min(event.end_s - event.start_s, contents.after_s);
    const stops = [[zero(), "start of the event", "circle-open"], [lastOf(e), "last point", symbols[event.predicted === "hold" ? 1 : 0]]];
    const end = steps.reduce((best, t) => (times[t] <= ends + 1e-6 ? t : best), steps[0]);
    if (event.end_s - event.start_s < contents.after_s) stops.push([end, "end of the event", "square-open"]);
    const there = stops.filter(([t]) => placeAt(e, role, t));
    const predicted = event.predicted ? colours[event.predicted] : kit.ink("--ink");
    add(facet, there.map(([t]) => placeAt(e, role, t)), {
      mode: "markers+text", text: there.map(([, said]) => said), textposition: "top center", textfont: { color: kit.ink("--ink"), size: 12 },
      marker: { size: size(15), symbol: there.map(([, , s]) => s), color: there.map(([t]) => (t === lastOf(e) ? predicted : kit.ink("--ink"))), line: { width: 2, color: kit.ink("--ink") } },
    });
  }
}

function drawConversation() {
  const c = conversations[state.conversation];
  const at = projections.indexOf(shown());
  const [track, every] = [c.tracks[at], c.every[at]];
  const [first, last] = [Math.max(Math.round(state.from * rate), c.first), Math.min(Math.round((state.from + state.length) * rate), c.last)];
  const steps = range(track.shape[0]).filter((i) => c.first + i * every >= first && c.first + i * every < last);
  const who = state.channel === "both" ? [0, 1] : [Number(state.channel)];
  const place = (i, speaker) => track.subarray((i * 2 + speaker) * state.dims, (i * 2 + speaker + 1) * state.dims);
  const time = (i) => (c.first + i * every + 1) / rate;
  who.forEach((speaker, index) => {
    const path = steps.map((i) => place(i, speaker));
    add(0, path, { mode: "lines", line: { color: palette[speaker], width: size(1.5), ...(state.dims === 3 ? {} : { dash: speaker ? "dot" : "solid" }) }, opacity: 0.45, name: `channel ${speaker}`, showlegend: true });
    const text = steps.map((i) => `channel ${speaker}, ${kit.clock(time(i))}, ${c.speaking[i * every * 2 + speaker] ? "speaks" : "silent"}`);
    const spoken = (yes) => steps.map((i, n) => [i, n]).filter(([i]) => Boolean(c.speaking[i * every * 2 + speaker]) === yes);
    for (const yes of [false, true]) {
      const list = spoken(yes);
      const marker = { size: size(yes ? 8 : 5), color: list.map(([i]) => time(i)), cmin: first / rate, cmax: last / rate, colorscale: TIME, symbol: yes ? "circle" : state.dims === 3 ? "circle-open" : "circle", opacity: yes ? 0.9 : 0.6, line: { width: 0 } };
      const bar = index === 0 && yes ? { showscale: true, colorbar: { title: { text: "s of the dialogue", side: "right" }, thickness: 12, len: 0.7, outlinewidth: 0 } } : {};
      add(0, list.map(([, n]) => path[n]), { mode: "markers", marker: { ...marker, ...bar }, hoverinfo: "text", text: list.map(([, n]) => text[n]) });
    }
    for (const [kindIndex, kind] of ["shift", "hold"].entries()) {
      const there = c.events.filter((e) => e.kind === kind && e.speaker === speaker).map((e) => [e, Math.floor((Math.round(e.start_s * rate) - 1 - c.first) / every)]).filter(([, i]) => i >= (steps[0] ?? 0) && i <= (steps.at(-1) ?? -1));
      if (!there.length) continue;
      const symbol = (state.dims === 3 ? DEEP : FLAT)[kindIndex];
      const name = `start of a silence: ${kind}`;
      add(0, there.map(([, i]) => place(i, speaker)), { mode: "markers", marker: { size: size(14), symbol, color: colours[kind], line: { color: kit.ink("--ink"), width: 1.5 } }, name, legendgroup: name, showlegend: !seen.has(name), hoverinfo: "text", text: there.map(([e]) => inWords({ ...e, predicted: e.p_shift === null ? "" : "yes" })) });
      seen.add(name);
    }
  });
  fromWords.textContent = `${kit.clock(first / rate)} to ${kit.clock(last / rate)}`;
  return `${c.id}, ${kit.clock(first / rate)} to ${kit.clock(last / rate)} of ${kit.clock(c.whole_s)}: the state of ${who.length > 1 ? "both speakers" : `the speaker on channel ${who[0]}`}. Large dots: this speaker is speaking.${every > 1 ? ` Every ${every === 3 ? "third" : `${every}th`} frame is drawn.` : ""}`;
}

// ---- axes ----

const NICE = [0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
function axis(index, [low, high], more) {
  const title = { text: `${"xyz"[index]}${state.log ? ", log" : ""}`, ...(state.dims === 3 ? {} : { standoff: 6 }) };
  if (!state.log) return { range: [low, high], title, ...more };
  const apart = (high - low) / 11;
  const values = [];
  for (const v of NICE) for (const signed of v ? [v, -v] : [0]) if (scale(signed) >= low && scale(signed) <= high && values.every((w) => Math.abs(scale(w) - scale(signed)) >= apart)) values.push(signed);
  values.sort((a, b) => a - b);
  return { range: [low, high], tickmode: "array", tickvals: values.map(scale), ticktext: values.map((v) => `${v}`.replace("-", "−")), title, ...more };
}

function layout(list) {
  const far = list.length > 1 ? 1.25 : 1; // boxes beside each other are narrow
  const spans = range(state.dims).map((i) => {
    const [low, high] = limits[i] ?? [-1, 1];
    const margin = Math.max(0.05 * (high - low), 1e-3);
    return [low - margin, high + margin];
  });
  const width = 1 / list.length;
  const more = { annotations: [] };
  list.forEach((facet, i) => {
    const n = i ? `${i + 1}` : "";
    const domain = [i * width + (i ? 0.03 : 0), (i + 1) * width - (i < list.length - 1 ? 0.02 : 0)];
    if (state.dims === 3) {
      const box = (k) => axis(k, spans[k], { gridcolor: kit.ink("--faint"), color: kit.ink("--soft"), showbackground: false });
      more[`scene${n}`] = { domain: { x: domain, y: [0, 1] }, xaxis: box(0), yaxis: box(1), zaxis: box(2), uirevision: `camera ${list.length}`, aspectmode: "cube", camera: { eye: { x: 1.35 * far, y: -1.45 * far, z: 0.6 * far }, center: { x: 0, y: 0, z: -0.12 } } };
    } else {
      more[`xaxis${n}`] = axis(0, spans[0], { domain, anchor: `y${n}`, zeroline: true });
      more[`yaxis${n}`] = axis(1, spans[1], { anchor: `x${n}`, zeroline: true, ...(i ? { title: { text: "" } } : {}) });
    }
    if (facet.title) more.annotations.push({ text: facet.title, showarrow: false, xref: "paper", yref: "paper", x: (domain[0] + domain[1]) / 2, y: 1.0, xanchor: "center", yanchor: "bottom", font: { size: 13 } });
  });
  return kit.layout({ ...more, dragmode: state.dims === 3 ? "turntable" : "pan", legend: { orientation: "h", y: state.dims === 3 ? -0.02 : -0.1, itemsizing: "constant" }, margin: { l: 56, r: 12, t: list.some((facet) => facet.title) ? 56 : 30, b: state.dims === 3 ? 10 : 50 } });
}

function draw() {
  if (state.playing) stop();
  const conversation = state.view === "conversation";
  for (const part of [ofEvents, picking, lackingWords, whoseChoice.parentElement]) part.style.display = conversation ? "none" : "";
  ofConversation.style.display = conversation ? "" : "none";
  groupChoice.disabled = state.view === "mistakes";
  document.getElementById("colour").disabled = state.view !== "paths";
  for (const [id, of] of [["single", ["paths"]], ["means", ["paths", "last"]]]) document.getElementById(id).disabled = !of.includes(state.view);
  syncPicking();
  [traces, drawn, limits] = [[], [], []];
  seen.clear();
  let list = [{ title: "", members: [] }];
  if (conversation) words.textContent = drawConversation();
  else {
    list = facets();
    const pair = state.chosen !== null && state.pair !== null;
    list.forEach((facet, f) => {
      const groups = grouped(facet.members);
      if (!pair) {
        if (state.view === "mistakes") drawMistakes(f, facet.members);
        else if (state.view === "last") drawLast(f, groups, false);
        else drawGroups(f, groups, state.chosen !== null);
      }
      const here = pair && state.apart ? [[state.chosen, state.pair][f]] : [state.chosen, state.pair];
      here.forEach((e, i) => e !== null && facet.members.some(([m]) => m === e) && drawChosen(f, e, pair && state.apart ? f : i, f === 0 && i === 0));
    });
    sayGroups(list);
  }
  nowTrace = traces.length;
  if (state.dims === 3) traces.push({ type: "scatter3d", mode: "markers", x: [], y: [], z: [], hoverinfo: "skip", showlegend: false, marker: { size: 9, color: kit.ink("--ink") } });
  sayNote(conversation ? traces.filter((t) => t.name?.startsWith("channel")).flatMap((t) => t.x.map((_, i) => [t.x[i], t.y[i], t.z?.[i]].map(unscaled))) : placesOf(list));
  sayChosen();
  drawTable();
  if (state.dims === 3 && !webgl) Plotly.purge(chart);
  else Plotly.react(chart, traces, layout(list), { ...kit.config, scrollZoom: true }).then(listenToClicks);
  marks.replaceChildren();
  chart.dataset.drawn = `${state.view} ${state.dims} ${state.log ? "log" : "linear"} ${state.group} ${traces.length}`;
}
