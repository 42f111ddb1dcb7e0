// Paths: events, or a whole conversation, as lines through the plane; words about them, and choosing, comparing and hearing them.

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
  const trust = ["overlap", "trustworthiness", "continuity", "stability"].filter((name) => name in p.trust).map((name) => `${name} ${p.trust[name].toFixed(2)}`);
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
