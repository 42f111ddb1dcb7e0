// Paths: events, or a whole conversation, as lines through the plane. Everything is measured in true places, and only drawn on a scale.
// Over 400 lines, since a page has one script.

(() => {
  const { contents, element, colours } = kit;
  const { events, projections, conversations } = contents;
  const rate = contents.frame_rate_hz;
  const webgl = Boolean(document.createElement("canvas").getContext("webgl"));
  const flat = webgl ? "scattergl" : "scatter"; // one kind for all: the others would be drawn below it, whatever their order
  const range = (count) => Array.from({ length: count }, (_, i) => i);
  const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
  const ROLES = ["speaker", "listener"];
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const FLAT = ["diamond", "circle", "square", "triangle-up", "star", "pentagon"];
  const DEEP = ["diamond", "circle", "square", "cross", "x", "diamond-open"]; // that 3-D pictures have
  const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7b61a8", "#5f9e2f", "#888888"];
  const TIME = [[0, "#4a6fd0"], [0.5, "#2c9fa5"], [1, "#a8c62c"]]; // visible on light and on dark pages
  const MOST_GROUPS = 8;
  const FIRST = ["shift", "hold", "gap", "pause", "overlap", "backchannel", "correct", "wrong", "speaker", "listener", "question", "statement"]; // their order
  const UNTOLD = ["unknown", "not predicted", "neither shift nor hold", "the others"];
  const LEAST_SPREAD = 3; // paths, for an ellipse
  const STRETCHES_S = [2, 5, 10, 30, 60];

  const known = (value) => !Number.isNaN(value) && value !== null && value !== undefined;
  const fixed = (value) => (known(value) ? value.toFixed(2) : "unknown");
  const hasPrediction = events.some((e) => e.predicted);
  const splits = [...new Set(events.map((e) => e.split))];
  const splitName = (name) => name || "no split";

  // ---- what paths can be grouped by: [words, of an event and a role] ----

  const GROUPS = {
    none: ["nothing", () => "all"],
    kind: ["kind of event", (e) => e.kind],
    true: ["true class", (e) => e.true || "neither shift nor hold"],
    predicted: ["predicted class", (e) => e.predicted || "not predicted"],
    correct: ["correct or wrong", (e) => (e.correct === null ? "not predicted" : e.correct ? "correct" : "wrong")],
    outcome: ["true and predicted class", (e) => (e.predicted ? `${e.true} taken for ${e.predicted}` : "not predicted")],
    role: ["speaker or listener", (e, role) => ROLES[role]],
    channel: ["channel", (e, role) => `channel ${role ? 1 - e.speaker : e.speaker}`],
    ending: ["question or statement", (e) => e.ending || "unknown"],
    dialogue: ["dialogue", (e) => e.dialogue],
    split: ["split", (e) => splitName(e.split)],
  };
  if (!hasPrediction) for (const name of ["predicted", "correct", "outcome"]) delete GROUPS[name];
  if (events.every((e) => !e.true)) delete GROUPS.true;
  if (events.every((e) => !e.ending)) delete GROUPS.ending;
  if (splits.length < 2) delete GROUPS.split;
  if (new Set(events.map((e) => e.dialogue)).size < 2) delete GROUPS.dialogue;
  const lacking = [
    ["ending", "question against statement: no text is known"],
    ["split", "split: all dialogues are of the same"],
    ["dialogue", "dialogue: there is but one"],
    ["predicted", "predicted class: no prediction is read at these events"],
  ].filter(([name]) => !(name in GROUPS)).map(([, words]) => words);

  const state = {
    view: contents.opens,
    dims: projections[0].dims,
    log: false,
    whose: `${contents.whose}`,
    group: "true" in GROUPS ? "true" : "kind",
    split: "all",
    colour: "time",
    single: true,
    means: true,
    chosen: null,
    pair: null,
    apart: false,
    conversation: 0,
    channel: "both",
    from: 0,
    length: 10,
    playing: null,
  };

  // ---- the page ----

  const bar = element(kit.view, "div", { className: "controls" });
  const control = (parent, words, made) => (element(parent, "label", {}, words, made), made);
  function choice(parent, id, words, options, value, act) {
    const made = control(parent, words, element(null, "select", { id }));
    for (const [name, text] of options) element(made, "option", { value: name }, text);
    made.value = value;
    made.addEventListener("change", () => (act(made.value), draw()));
    return made;
  }
  function tick(parent, id, words, value, act) {
    const made = element(null, "input", { id, type: "checkbox", checked: value });
    element(parent, "label", {}, made, words);
    made.addEventListener("change", () => (act(made.checked), draw()));
  }
  const views = [["paths", "paths around events"], ["last", "last points alone"]];
  if (hasPrediction) views.push(["mistakes", "mistakes: true and predicted class"]);
  if (conversations.length) views.push(["conversation", "a whole conversation"]);
  choice(bar, "view-choice", "Show", views, state.view, (v) => (state.view = v));
  choice(bar, "scale", "Scale", [["linear", "linear"], ["log", "sign(x) · log(1 + |x|)"]], "linear", (v) => (state.log = v === "log"));
  const dims = projections.map((p) => [`${p.dims}`, `${p.dims}-D (${p.method})`]).sort();
  choice(bar, "dims", "Dimensions", dims, `${state.dims}`, (v) => (state.dims = Number(v)));
  const whoseChoice = choice(bar, "whose", "State of", [["0", "the speaker before it"], ["1", "the listener"], ["both", "both"]], state.whose, (v) => (state.whose = v));
  const ofEvents = element(kit.view, "div", { className: "controls" });
  const groupChoice = choice(ofEvents, "group", "Group by", Object.entries(GROUPS).map(([name, [words]]) => [name, words]), state.group, (v) => (state.group = v));
  if (splits.length > 1) choice(ofEvents, "split", "Split", [["all", "all together"], ["apart", "each apart"], ...splits.map((s, i) => [`${i}`, splitName(s)])], "all", (v) => (state.split = v));
  choice(ofEvents, "colour", "Colour of single paths", [["time", "time"], ["group", "group"]], state.colour, (v) => (state.colour = v));
  tick(ofEvents, "single", "single paths", true, (v) => (state.single = v));
  tick(ofEvents, "means", "means with spread", true, (v) => (state.means = v));
  const ofConversation = element(kit.view, "div", { className: "controls" });
  const conversationChoice = choice(ofConversation, "conversation", "Dialogue", conversations.map((c, i) => [`${i}`, c.id]), "0", (v) => ((state.conversation = Number(v)), setStretch()));
  const lengthChoice = choice(ofConversation, "length", "Stretch of", [...STRETCHES_S.map((s) => [`${s}`, `${s} s`]), ["all", "all of it"]], "10", (v) => ((state.length = v === "all" ? Infinity : Number(v)), setStretch()));
  choice(ofConversation, "channel", "State of", [["both", "both speakers"], ["0", "channel 0"], ["1", "channel 1"]], "both", (v) => (state.channel = v));
  const fromRange = control(ofConversation, "from", element(null, "input", { id: "from", type: "range", min: 0, step: 0.1, value: 0 }));
  const fromWords = element(ofConversation, "span", { id: "from-words" });
  fromRange.addEventListener("input", () => ((state.from = Number(fromRange.value)), draw()));
  function setStretch() {
    const c = conversations[state.conversation];
    fromRange.min = c.first / rate;
    fromRange.max = Math.max(c.first / rate, c.last / rate - state.length);
    fromRange.disabled = Number(fromRange.max) <= Number(fromRange.min);
    state.from = Math.min(Math.max(state.from, Number(fromRange.min)), Number(fromRange.max));
    fromRange.value = state.from;
  }

  const picking = element(kit.view, "div", { className: "controls", id: "picking" });
  const eventOptions = [["", "none"], ...events.map((e, i) => [`${i}`, inWords(e)])];
  const eventChoice = choice(picking, "event", "Event", eventOptions, "", (v) => choose(v === "" ? null : Number(v)));
  const button = (id, words, act) => element(picking, "button", { id, type: "button", onclick: act }, words);
  button("previous", "◀", () => (choose(step(-1)), draw())).setAttribute("aria-label", "previous event");
  button("next", "▶", () => (choose(step(1)), draw())).setAttribute("aria-label", "next event");
  const playButton = button("play", "Play", () => (state.playing ? stop() : play()));
  const pairChoice = choice(picking, "pair", "Compare with", eventOptions, "", (v) => (state.pair = v === "" ? null : Number(v)));
  const nearestButton = button("nearest", "nearest of the other class", () => ((state.pair = contents.nearest[state.chosen]), draw()));
  const layoutChoice = choice(picking, "layout", "drawn", [["over", "over each other"], ["apart", "side by side"]], "over", (v) => (state.apart = v === "apart"));
  for (const made of [eventChoice, pairChoice]) made.style.maxWidth = "21em";

  const words = element(kit.view, "p", { id: "words" });
  const holder = element(kit.view, "div", { style: "position: relative" });
  const chart = element(holder, "div", { className: "chart", id: "chart", style: "height: 620px" });
  const marks = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  marks.setAttribute("style", "position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none; overflow: hidden");
  holder.append(marks);
  const chosenWords = element(kit.view, "p", { id: "chosen-words", ariaLive: "polite" });
  const note = element(kit.view, "p", { className: "note", id: "note" });
  const lackingWords = element(kit.view, "p", { className: "note" }, lacking.length ? `Cannot be grouped by ${lacking.join("; ")}.` : "");
  if (contents.silent) element(kit.view, "p", { className: "note" }, contents.silent);
  const tableHolder = element(kit.view, "div", { className: "wide", id: "mistakes" });

  function inWords(e) {
    const predicted = e.predicted ? `, p(shift) ${fixed(e.p_shift)}${e.correct ? "" : ", wrong"}` : "";
    return `${e.dialogue} ${kit.clock(e.start_s)} ${e.kind}${e.ending ? ` after a ${e.ending}` : ""}${predicted}`;
  }

  // ---- places ----

  const shown = () => projections.find((p) => p.dims === state.dims);
  const scale = (x) => (state.log ? Math.sign(x) * Math.log1p(Math.abs(x)) : x);
  const unscaled = (x) => (state.log ? Math.sign(x) * Math.expm1(Math.abs(x)) : x);
  const scaled = (place) => [...place].map(scale);

  /** Place of event `e`, role `role`, at step `t` of its path, true; null outside of the dialogue. */
  function placeAt(e, role, t) {
    const { places, times_s: times, dims: d } = shown();
    const at = ((e * times.length + t) * 2 + role) * d;
    return Number.isNaN(places[at]) ? null : places.subarray(at, at + d);
  }

  /** Every place of the paths that are drawn, or their last points. */
  function placesOf(list) {
    const steps = (e) => (state.view === "last" ? [lastOf(e)] : range(shown().times_s.length));
    return list.flatMap((facet) => facet.members.flatMap(([e, role]) => steps(e).map((t) => placeAt(e, role, t)).filter(Boolean)));
  }

  const lastOf = (e) => shown().last[e];
  const zero = () => shown().times_s.reduce((best, t, i, all) => (Math.abs(t) < Math.abs(all[best]) ? i : best), 0);
  const roles = () => (state.whose === "both" ? [0, 1] : [Number(state.whose)]);
  const colourOf = (name, index) => (UNTOLD.includes(name) ? "#888888" : (colours[name] ?? PALETTE[index % PALETTE.length]));

  /** Every event of a set with each role that is shown: [[e, role], ...]. */
  const withRoles = (list) => list.flatMap((e) => roles().map((role) => [e, role]));
  const inSplit = () => (["all", "apart"].includes(state.split) ? range(events.length) : range(events.length).filter((e) => events[e].split === splits[Number(state.split)]));

  /** What is drawn beside each other: [{title, members}]. */
  function facets() {
    const pairs = state.chosen !== null && state.pair !== null;
    if (pairs && state.apart) return [state.chosen, state.pair].map((e) => ({ title: inWords(events[e]), members: withRoles([e]) }));
    if (pairs) return [{ title: "", members: withRoles([state.chosen, state.pair]) }];
    if (state.split === "apart") return splits.map((s) => ({ title: splitName(s), members: withRoles(range(events.length).filter((e) => events[e].split === s)) }));
    return [{ title: "", members: withRoles(inSplit()) }];
  }

  /** Members by group: [{name, colour, dash, symbol, members}]; the same group looks the same in every facet. */
  function grouped(members) {
    const classOf = GROUPS[state.group][1];
    const counts = new Map();
    for (const [e, role] of withRoles(inSplit())) counts.set(classOf(events[e], role), (counts.get(classOf(events[e], role)) ?? 0) + 1);
    const rank = (name) => (FIRST.indexOf(name) < 0 ? FIRST.length + UNTOLD.includes(name) : FIRST.indexOf(name));
    let names = [...counts.keys()].sort((a, b) => rank(a) - rank(b));
    if (names.length > MOST_GROUPS) names = [...names.sort((a, b) => counts.get(b) - counts.get(a)).slice(0, MOST_GROUPS - 1), "the others"];
    const symbols = state.dims === 3 ? DEEP : FLAT;
    const taken = names.map((name) => (UNTOLD.includes(name) ? "#888888" : colours[name]));
    const free = PALETTE.filter((colour) => !taken.includes(colour));
    const total = (name) => counts.get(name) ?? [...counts].filter(([other]) => !names.includes(other)).reduce((sum, [, count]) => sum + count, 0);
    const found = names.map((name, i) => ({ name, total: total(name), colour: taken[i] ?? free[names.slice(0, i).filter((_, j) => !taken[j]).length % free.length], dash: DASHES[i % DASHES.length], symbol: symbols[i % symbols.length], members: [] }));
    for (const [e, role] of members) (found.find((g) => g.name === classOf(events[e], role)) ?? found.at(-1)).members.push([e, role]);
    return found;
  }

  // ---- statistics, of true places ----

  function meanAt(members, t) {
    const there = members.map(([e, role]) => placeAt(e, role, t)).filter(Boolean);
    if (!there.length || there.length < members.length / 2) return null;
    return range(state.dims).map((axis) => there.reduce((sum, p) => sum + p[axis], 0) / there.length);
  }

  /** The outline of one standard deviation around a mean: an ellipse in the plane, three bars in space. */
  function spread(places) {
    const mean = range(state.dims).map((axis) => places.reduce((s, p) => s + p[axis], 0) / places.length);
    const cov = (i, j) => places.reduce((s, p) => s + (p[i] - mean[i]) * (p[j] - mean[j]), 0) / (places.length - 1);
    if (state.dims === 3) {
      return range(3).flatMap((axis) => {
        const sd = Math.sqrt(cov(axis, axis));
        return [...[-1, 1].map((side) => mean.map((v, i) => (i === axis ? v + side * sd : v))), null];
      });
    }
    const [a, b, c] = [cov(0, 0), cov(0, 1), cov(1, 1)];
    const half = Math.hypot((a - c) / 2, b);
    const [long, short] = [Math.sqrt((a + c) / 2 + half), Math.sqrt(Math.max((a + c) / 2 - half, 0))];
    const angle = Math.atan2(2 * b, a - c) / 2;
    return [...range(49).map((i) => {
      const [u, v] = [long * Math.cos((i * Math.PI) / 24), short * Math.sin((i * Math.PI) / 24)];
      return [mean[0] + u * Math.cos(angle) - v * Math.sin(angle), mean[1] + u * Math.sin(angle) + v * Math.cos(angle)];
    }), null];
  }

  function varianceBetween(groups) {
    const lists = groups.map((g) => g.members.map(([e, role]) => placeAt(e, role, lastOf(e)))).filter((list) => list.length);
    const all = lists.flat();
    const scatter = (list) => {
      const mean = range(state.dims).map((axis) => list.reduce((s, p) => s + p[axis], 0) / list.length);
      return list.reduce((s, p) => s + mean.reduce((q, m, axis) => q + (p[axis] - m) ** 2, 0), 0);
    };
    const total = scatter(all);
    return lists.length > 1 && total > 0 ? { share: 1 - lists.reduce((s, list) => s + scatter(list), 0) / total, chance: (lists.length - 1) / (all.length - 1), groups: lists.length } : null;
  }

  // ---- drawing ----

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
      add(0, path, { mode: "lines", line: { color: PALETTE[speaker], width: size(1.5), ...(state.dims === 3 ? {} : { dash: speaker ? "dot" : "solid" }) }, opacity: 0.45, name: `channel ${speaker}`, showlegend: true });
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
    const title = { text: `${["to the right", "up", "third"][index]}${state.log ? ", log" : ""}`, ...(state.dims === 3 ? {} : { standoff: 6 }) };
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

  // ---- words ----

  function sayGroups(list) {
    const said = list.filter((f) => f.members.length).map((facet) => {
      const groups = grouped(facet.members).filter((g) => g.members.length);
      const counts = groups.map((g) => `${g.name} ${g.members.length}`).join(", ");
      const between = varianceBetween(groups);
      const share = between ? ` ${Math.round(100 * between.share)} % of the variance of the last points lies between ${between.groups === 2 ? "the two" : "these groups"}; by chance it would be about ${Math.max(1, Math.round(100 * between.chance))} %.` : "";
      return `${list.length > 1 && facet.title ? `${facet.title}: ` : ""}${counts}.${share}`;
    });
    if (state.view === "mistakes") said.length = 0;
    const judged = list.map((facet) => [facet, facet.members.filter(([e]) => events[e].correct !== null)]).filter(([, m]) => m.length);
    if (state.view === "mistakes") for (const [facet, m] of judged) said.push(`${facet.title ? `${facet.title}: ` : ""}${counted(m.filter(([e]) => !events[e].correct).length, "path")} of ${m.length} with a wrong prediction.`);
    words.textContent = state.chosen !== null && state.pair !== null ? "" : said.join(" ");
  }

  /** Of true places that are drawn. */
  function sayNote(places) {
    const p = shown();
    const said = [];
    if (state.dims === 3 && !webgl) said.push("This browser has no WebGL, which a picture in three dimensions needs.");
    const { view } = state;
    const decision = `${contents.judged_s} s into the event, or at its end if it is over before`;
    if (view === "paths" && state.colour === "time" && state.single && !(state.chosen !== null && state.pair !== null)) said.push("Dots become larger, and their colour changes, with time.");
    const pair = state.chosen !== null && state.pair !== null;
    if (pair && view !== "conversation") said.push("Dots become larger, and their colour changes, with time; marked are the start of the event, the last point, in the colour and shape of what was predicted, and the end of an event that is over before the path.");
    if (view === "paths" && state.means && !pair) said.push(`Thick: the mean of a group, hollow symbols at the beginning of the window and at the start of the event, a filled one ${contents.judged_s} s into it; the ${state.dims === 2 ? "ellipses" : "bars"} at these two are one standard deviation.`);
    if (view === "last" && !pair) said.push(`Each point is a path's state when the decision is read, ${decision}; ${state.means ? `the ${state.dims === 2 ? "ellipse" : "bars"} of a group ${state.dims === 2 ? "is" : "are"} one standard deviation; ` : ""}hollow points lie where fewer than half of the neighbours stay when the projection is fitted again${p.trust.stability === undefined ? " (which was not measured for this one)" : ""}.`);
    if (view === "mistakes" && !pair) said.push(`Lines have the colour of what came true, markers, at the last points, that of what was predicted; grey paths were predicted right.`);
    said.push(scaleWords(places));
    said.push(`A state has ${contents.width} values and the picture ${p.dims}, so paths that cross in it need not meet.`);
    const trust = ["trustworthiness", "continuity", "stability"].filter((name) => name in p.trust).map((name) => `${name} ${p.trust[name].toFixed(2)}`);
    said.push(trust.length ? `How far the picture can be believed: ${trust.join(", ")}${p.trust.stability_by_chance === undefined ? "" : ` (by chance ${p.trust.stability_by_chance.toFixed(2)})`}.` : "How far this picture can be believed was not measured when it was fitted.");
    if (p.about) said.push(p.about);
    note.textContent = said.join(" ");
  }

  /** What the scale does here: how much of an axis the middle half of the states takes up. */
  function scaleWords(places) {
    const values = range(state.dims).map((axis) => places.map((place) => place[axis]).sort((a, b) => a - b));
    const share = (list, of) => {
      const at = (q) => of(list[Math.floor(q * (list.length - 1))]);
      return (at(0.75) - at(0.25)) / (at(1) - at(0) || 1);
    };
    if (!values[0].length) return "";
    const percent = (of) => values.map((list) => `${Math.round(100 * share(list, of))} %`).join(" and ");
    return `The middle half of what is drawn takes up ${percent((x) => x)} of the axes on the linear scale, ${percent((x) => Math.sign(x) * Math.log1p(Math.abs(x)))} on that of sign(x) · log(1 + |x|), which opens up what lies near zero${state.log ? "; axes are labelled with the true values" : ""}.`;
  }

  function sayChosen() {
    if (state.view === "conversation" || state.chosen === null) {
      chosenWords.textContent = state.view === "conversation" ? "" : "Choose an event from the list, or click a path, to draw it bold, hear it and compare it.";
      return;
    }
    const said = [describe(state.chosen)];
    const near = contents.nearest[state.chosen];
    if (near >= 0) said.push(`Nearest of the other class: ${inWords(events[near])}, ${fixed(contents.distance[state.chosen])} away in the full states of the speakers (any two paths: ${fixed(contents.typical)}, the median).`);
    if (state.pair !== null) said.push(`Compared with ${describe(state.pair)}`);
    chosenWords.textContent = said.join(" ");
  }

  function describe(index) {
    const e = events[index];
    const after = e.kind === "backchannel" ? `by channel ${e.speaker}` : e.speaker === e.next ? `channel ${e.speaker} goes on` : `channel ${e.next} after channel ${e.speaker}`;
    const judged = e.predicted ? ` Predicted: ${e.predicted}, with p(shift) ${fixed(e.p_shift)}: ${e.correct ? "correct" : "wrong"}.` : "";
    return `${e.dialogue} at ${kit.clock(e.start_s)}, a ${e.kind} of ${(e.end_s - e.start_s).toFixed(2)} s, ${after}${e.ending ? `, after a ${e.ending}` : ""}${e.split ? `, ${e.split}` : ""}.${judged}`;
  }

  // ---- choosing, comparing, hearing ----

  function choose(index) {
    state.chosen = index;
    state.pair = null;
  }

  function step(by) {
    const list = inSplit();
    const at = list.indexOf(state.chosen);
    return list[at < 0 ? (by > 0 ? 0 : list.length - 1) : (at + by + list.length) % list.length] ?? null;
  }

  function syncPicking() {
    if (state.chosen !== null && !inSplit().includes(state.chosen)) choose(null);
    eventChoice.value = state.chosen ?? "";
    pairChoice.value = state.pair ?? "";
    pairChoice.disabled = state.chosen === null;
    nearestButton.disabled = state.chosen === null || contents.nearest[state.chosen] < 0;
    layoutChoice.disabled = state.pair === null;
    playButton.disabled = state.chosen === null || !known(contents.offsets[state.chosen]);
  }

  function listenToClicks() {
    if (chart.dataset.listening || !chart.on) return;
    chart.dataset.listening = "yes";
    chart.on("plotly_click", ({ points: [clicked] }) => {
      const e = drawn[clicked.curveNumber]?.[clicked.pointNumber];
      if (e === undefined || e === null) return;
      choose(e);
      setTimeout(draw); // not while plotly is still at its event
    });
  }

  let sound = null;
  function play() {
    sound ??= new Audio(contents.sound);
    const begin = contents.offsets[state.chosen];
    const playing = {};
    state.playing = playing;
    sound.currentTime = begin;
    sound.play().catch((error) => state.playing === playing && (stop(), (chosenWords.textContent += ` This browser cannot play it: ${error.message}`)));
    playButton.textContent = "Stop";
    const follow = () => {
      if (state.playing !== playing) return;
      const now = sound.currentTime - begin - contents.before_s;
      if (sound.ended || now >= contents.after_s) return stop();
      moveNow(now);
      requestAnimationFrame(follow);
    };
    requestAnimationFrame(follow);
  }

  function stop() {
    sound?.pause();
    state.playing = null;
    playButton.textContent = "Play";
    marks.replaceChildren();
  }

  let moved = 0;
  function moveNow(now) {
    const { times_s: times } = shown();
    const t = times.reduce((best, at, i) => (at <= now ? i : best), 0);
    const here = roles().map((role) => placeAt(state.chosen, role, t)).filter(Boolean).map(scaled);
    if (state.dims === 3) {
      if (!webgl || performance.now() - moved < 120) return;
      moved = performance.now();
      Plotly.restyle(chart, { x: [here.map((p) => p[0])], y: [here.map((p) => p[1])], z: [here.map((p) => p[2])] }, [nowTrace]);
      return;
    }
    marks.replaceChildren();
    const f = Math.max(0, facets().findIndex((facet) => facet.members.some(([e]) => e === state.chosen)));
    const [x, y] = ["xaxis", "yaxis"].map((name) => chart._fullLayout[`${name}${f ? f + 1 : ""}`]);
    for (const place of here) {
      const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
      const at = { cx: x._offset + x.l2p(place[0]), cy: y._offset + y.l2p(place[1]), r: 10, fill: "none", stroke: kit.ink("--ink"), "stroke-width": 3.5 };
      for (const [key, value] of Object.entries(at)) circle.setAttribute(key, value);
      marks.append(circle);
    }
  }

  // ---- the mistakes as a table ----

  function drawTable() {
    tableHolder.replaceChildren();
    if (!hasPrediction || state.view === "conversation") return;
    const wrong = inSplit().filter((e) => events[e].correct === false).sort((a, b) => Math.abs(events[b].p_shift - 0.5) - Math.abs(events[a].p_shift - 0.5));
    element(tableHolder, "h2", {}, `Mistakes (${wrong.length} of ${inSplit().filter((e) => events[e].correct !== null).length})`);
    if (!wrong.length) return element(tableHolder, "p", { className: "note" }, "None of these predictions was wrong.");
    element(tableHolder, "p", { className: "note" }, "The surest first. Distances are of full states, to the nearest path of the other class.");
    const table = element(tableHolder, "table");
    const columns = ["dialogue", "split", "at", "true", "predicted", "p(shift)", "after a", "distance", ""].filter((name) => (name !== "split" || splits.length > 1) && (name !== "after a" || "ending" in GROUPS));
    element(table, "tr", {}, ...columns.map((name) => element(null, "th", {}, name)));
    for (const index of wrong) {
      const e = events[index];
      const cells = { dialogue: e.dialogue, split: splitName(e.split), at: kit.clock(e.start_s), true: e.true, predicted: e.predicted, "p(shift)": fixed(e.p_shift), "after a": e.ending, distance: fixed(contents.distance[index]) };
      const show = element(null, "button", { type: "button", onclick: () => (choose(index), draw(), chart.scrollIntoView({ block: "center" })) }, "show");
      element(table, "tr", {}, ...columns.map((name) => element(null, "td", {}, name ? cells[name] : show)));
    }
  }

  if (conversations.length) setStretch();
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
