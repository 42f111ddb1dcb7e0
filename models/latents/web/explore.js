// The explorer: from a point of the latent space to its moment, and back. explore_points.js and explore_plane.js come before it.

// ---- the page ----

const controls = element(kit.view, "div", { className: "controls" });
const labelled = (parent, words, control) => (element(parent, "label", {}, words, control), control);
const projectionSelect = labelled(controls, "Projection", element(null, "select", { id: "projection" }));
projections.forEach((p, i) => element(projectionSelect, "option", { value: i }, p.name));
const showSelect = labelled(controls, "Show", element(null, "select", { id: "show" }));
const frameGroup = element(showSelect, "optgroup", { label: "frames of single speakers, by" });
for (const [name, [words]] of [...Object.entries(CLASSES), ...Object.entries(VALUES)]) element(frameGroup, "option", { value: name }, words);
const eventGroup = element(showSelect, "optgroup", { label: "mutual silences, by" });
contrasts.forEach((c, i) => !c.lacking && element(eventGroup, "option", { value: `contrast ${i}` }, c.name));
const drawSelect = labelled(controls, "as", element(null, "select", { id: "draw" }));
for (const name of ["scatter", "density"]) element(drawSelect, "option", { value: name }, name);
const reading = element(kit.view, "div", { className: "controls", id: "reading" });
const whenRange = labelled(reading, "Read", element(null, "input", { type: "range", id: "when", min: 0, max: whens.length - 1, step: 1, value: state.when }));
const whenWords = element(reading, "span", { id: "when-words" });
const whoseSelect = labelled(reading, "the state of", element(null, "select", { id: "whose" }));
contents.whose.forEach((words, i) => element(whoseSelect, "option", { value: i }, words));

const halves = element(kit.view, "div", { className: "side-by-side" });
const left = element(halves, "div");
const apartWords = element(left, "p", { id: "apart-words" });
const planeHolder = element(left, "div", { style: "position: relative" });
const plane = element(planeHolder, "div", { className: "chart", id: "plane", style: "height: 640px" });
const marks = document.createElementNS("http://www.w3.org/2000/svg", "svg");
marks.setAttribute("id", "marks");
marks.setAttribute("style", "position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none; overflow: hidden");
planeHolder.append(marks);
const planeWords = element(left, "p", { className: "note", id: "plane-words" });
const apartChart = element(left, "div", { id: "apart", style: "height: 230px" });

const right = element(halves, "div");
const who = element(right, "p", { id: "who", ariaLive: "polite", style: "min-height: 6em" });
const buttons = element(right, "div", { className: "controls" });
const button = (id, words, act) => element(buttons, "button", { id, type: "button", onclick: act }, words);
const playButton = button("play", "Play around it", () => (state.playing ? stop() : play(false)));
const onButton = button("play-on", "Play on", () => play(true));
const backButton = button("back", "◀ frame", () => step(-1));
const forthButton = button("forth", "frame ▶", () => step(1));
const otherButton = button("other", "other speaker", () => state.moment && go({ ...state.moment, speaker: 1 - state.moment.speaker, own: null }));
const curvesHolder = element(right, "div", { style: "position: relative" });
const curves = element(curvesHolder, "div", { id: "curves", style: "height: 400px" });
const cursor = element(curvesHolder, "div", { id: "cursor", style: "position: absolute; width: 2px; pointer-events: none; background: var(--ink); display: none" });
const finding = element(right, "div", { className: "controls" });
const dialogueSelect = labelled(finding, "Dialogue", element(null, "select", { id: "dialogue", style: "max-width: 15em" }));
dialogues.forEach((d, i) => element(dialogueSelect, "option", { value: i, disabled: !d.embedded }, d.id + (d.embedded ? "" : " (not embedded)")));
const eventSelect = labelled(finding, "Moment", element(null, "select", { id: "event", style: "max-width: 22em" }));
const timeRange = element(right, "input", { type: "range", id: "time", min: 0, step: 1, style: "width: 100%; box-sizing: border-box; margin: 0", ariaLabel: "time in the dialogue" });
const overviewHolder = element(right, "div", { style: "position: relative" });
const overview = element(overviewHolder, "div", { id: "overview", style: "height: 120px" });
const overviewCursor = element(overviewHolder, "div", { style: "position: absolute; width: 2px; pointer-events: none; background: var(--ink); display: none" });
element(right, "p", { className: "note" },
  "Click a point of the plane to hear its moment, or a time in the curves or the strip below them, or choose a moment from the list, to see its place. "
  + "Left and right arrow keys step by a frame (with Shift by ten), space plays and stops. "
  + "0 and 1 are where the two speakers are, with a trail of the last "
  + `${TRAIL_S} s; in the sound speaker 0 is on the left.`);

const cannotBeHeard = (list, why) => {
  const named = list.slice(0, 12).map((d) => d.id).join(", ") + (list.length > 12 ? ` and ${list.length - 12} more` : "");
  return `Cannot be heard: ${named} (${why}).`;
};
const lacking = [
  ...contrasts.map((c) => c.lacking).filter(Boolean),
  ...(splits.length < 2 ? [`Split is not offered: ${splits[0] ? `all dialogues are of ${splits[0]}` : "the dialogues name none"}.`] : []),
  ...[...new Set(dialogues.map((d) => d.silent).filter(Boolean))].map((why) => cannotBeHeard(dialogues.filter((d) => d.silent === why), why)),
  ...dialogues.filter((d) => d.sound && d.embedded < d.frames).map((d) => `Of ${d.id} the first ${kit.clock(d.embedded / rate)} can be heard.`),
];
if (contents.silences.drawn < contents.silences.all) lacking.push("Not every silence is drawn: there are more than points were asked for (--points).");
if (lacking.length) element(kit.view, "p", { className: "note", id: "lacking" }, lacking.join(" "));

// ---- the moment ----

/** Show a moment: {number, frame, speaker} and, of a point, its own place; `heard` plays it. */
function go(moment, heard = false) {
  stop();
  const changed = moment.number !== state.moment?.number;
  const fixed = dialogues[moment.number].embedded ? { ...moment, frame: Math.max(0, Math.min(moment.frame, dialogues[moment.number].frames - 1)) } : moment;
  state.moment = { event: null, point: null, own: null, ...fixed };
  sayMoment();
  if (changed) drawDialogue();
  drawCurves(timeOf(state.moment.frame) - BEFORE_S);
  timeRange.value = state.moment.frame;
  eventSelect.value = state.moment.event ?? "";
  if (changed && state.show === "dialogue" && dialogues.length > MOST_CLASSES) drawPlane();
  showTime(timeOf(state.moment.frame), state.moment.frame);
  if (heard) play(false);
}

function sayMoment() {
  const { number, frame, speaker, event, point, own } = state.moment;
  const dialogue = dialogues[number];
  const words = [`${dialogue.id} at ${kit.clock(timeOf(frame))}, speaker ${speaker}`];
  const inside = frame < dialogue.embedded;
  if (inside) {
    const at = frame * 2 + speaker;
    words[0] += `: ${situations[dialogue.situation[at]]}.`;
    words.push(`p(speaks now) ${said(track(dialogue.vad, at))}, p(is next) ${said(track(dialogue.p_next, at))}, p(shift) ${said(track(dialogue.p_shift, frame))}.`);
  } else if (point !== null) {
    words[0] += `: ${situations[points.situation[point]]}.`;
    words.push(`p(speaks now) ${said(points.vad[point])}, p(is next) ${said(points.p_next[point])}, p(shift) ${said(points.p_shift[point])}.`);
  } else words[0] += ".";
  const now = timeOf(frame);
  const around = event !== null ? [events[event]] : unique(events.filter((e) => e.number === number && e.start_s <= now && now <= e.end_s));
  for (const e of around) words.push(`${inWords(e)}.`.replace(/^./, (letter) => letter.toUpperCase()));
  if (!inside) words.push(`Neither curves nor sound of it are in this page (--sound-minutes), ${own ? "so only its place is shown." : "nor its place."}`);
  else if (!dialogue.sound) words.push(`It cannot be heard: ${dialogue.silent}.`);
  who.textContent = words.join(" ");
  Object.assign(who.dataset, { number, frame, speaker, time: timeOf(frame).toFixed(3) });
  for (const b of [playButton, onButton]) b.disabled = !dialogue.sound || !inside;
  for (const b of [backButton, forthButton, otherButton]) b.disabled = !dialogue.embedded;
}

function step(by) {
  if (!state.moment || !dialogues[state.moment.number].embedded) return;
  const { number, frame, speaker } = state.moment;
  go({ number, speaker, frame: Math.max(0, Math.min(frame + by, dialogues[number].embedded - 1)) });
}

/** A filled outline of what each speaker's sound and speech are like, and the curves of the network, in a window from `start`. */
function drawCurves(start) {
  const { number } = state.moment;
  const dialogue = dialogues[number];
  const first = Math.max(0, Math.min(Math.round(start * rate), dialogue.embedded - 2));
  const last = Math.min(dialogue.embedded, first + Math.round((BEFORE_S + AFTER_S) * rate));
  const frames = range(Math.max(0, last - first)).map((i) => first + i);
  const times = frames.map(timeOf);
  const ink = ["#0072b2", "#d55e00"];
  const traces = [];
  const shapes = [];
  const rows = ["y3", "y2"];
  [0, 1].forEach((speaker) => {
    const height = frames.map((f) => (dialogue.envelope ? track(dialogue.envelope, f * 2 + speaker) : 0));
    traces.push({ x: [...times, ...[...times].reverse()], y: [...height, ...height.map((v) => -v).reverse()], yaxis: rows[speaker], fill: "toself", mode: "lines", line: { width: 0.5, color: ink[speaker] }, fillcolor: ink[speaker], hoverinfo: "skip", showlegend: false });
    let began = null;
    [...frames, -1].forEach((f, i) => {
      const speaking = f >= 0 && dialogue.speaking[f * 2 + speaker];
      if (speaking && began === null) began = i;
      if (!speaking && began !== null) {
        shapes.push({ type: "rect", xref: "x", yref: rows[speaker], x0: frames[began] / rate, x1: (frames[i - 1] + 1) / rate, y0: -1.05, y1: 1.05, fillcolor: ink[speaker], opacity: 0.16, line: { width: 0 }, layer: "below" });
        began = null;
      }
    });
  });
  const curve = (name, values, colour, dash, width) => ({ x: times, y: values, name, mode: "lines", line: { color: colour, dash, width }, hovertemplate: "%{y:.2f}" });
  traces.push(
    curve("p(shift)", frames.map((f) => track(dialogue.p_shift, f)), kit.ink("--ink"), "solid", 2.5),
    curve("p(0 is next)", frames.map((f) => track(dialogue.p_next, f * 2)), "#009e73", "dashdot", 1.5),
    curve("vad 0", frames.map((f) => track(dialogue.vad, f * 2)), ink[0], "dash", 1.5),
    curve("vad 1", frames.map((f) => track(dialogue.vad, f * 2 + 1)), ink[1], "dot", 1.5),
  );
  const band = (domain, title) => ({ domain, range: [-1.05, 1.05], showticklabels: false, title: { text: title }, zeroline: false, showgrid: false, fixedrange: true });
  const from = first / rate;
  Plotly.react(curves, traces, kit.layout({
    margin: { l: 44, r: 8, t: 6, b: 40 }, shapes, dragmode: false, hovermode: "x unified", hoverdistance: -1, legend: { orientation: "h", y: -0.1 },
    xaxis: { range: [from, from + BEFORE_S + AFTER_S], ticksuffix: " s", fixedrange: true, anchor: "y", hoverformat: ".2f" },
    yaxis: { domain: [0, 0.5], range: [-0.03, 1.03], fixedrange: true }, yaxis2: band([0.53, 0.75], "1"), yaxis3: band([0.78, 1], "0"),
  }), { ...kit.config, displayModeBar: false });
  curves.dataset.from = from;
}

/** The whole dialogue as a strip, and its moments as a list. */
function drawDialogue() {
  const { number } = state.moment;
  const dialogue = dialogues[number];
  dialogueSelect.value = number;
  timeRange.max = Math.max(0, dialogue.embedded - 1);
  timeRange.disabled = !dialogue.embedded;
  eventSelect.replaceChildren();
  const listed = unique(events.filter((e) => e.number === number && e.start_s * rate < dialogue.embedded));
  element(eventSelect, "option", { value: "" }, counted(listed.length, "moment"));
  for (const e of listed) element(eventSelect, "option", { value: events.indexOf(e) }, inWords(e));
  const cells = Math.min(1000, dialogue.embedded);
  const share = (cell, speaker) => {
    const [from, to] = [Math.floor((cell * dialogue.embedded) / cells), Math.floor(((cell + 1) * dialogue.embedded) / cells)];
    return range(to - from).reduce((sum, i) => sum + dialogue.speaking[(from + i) * 2 + speaker], 0) / (to - from);
  };
  const width = dialogue.embedded / rate / Math.max(cells, 1);
  const row = (speaker, colour) => ({ type: "heatmap", x0: width / 2, dx: width, y0: 1 - speaker, dy: 1, z: [range(cells).map((cell) => share(cell, speaker))], zmin: 0, zmax: 1, colorscale: [[0, "rgba(127,127,127,0.08)"], [1, colour]], showscale: false, hovertemplate: `%{x:.1f} s<extra>speaker ${speaker}</extra>` });
  const silences = listed.filter((e) => e.kind === "shift" || e.kind === "hold");
  const ticks = (kind, symbol) => ({ x: silences.filter((e) => e.kind === kind).map((e) => e.start_s), y: silences.filter((e) => e.kind === kind).map(() => 2), mode: "markers", name: kind, marker: { symbol, size: 7, color: colours[kind] }, hovertemplate: `${kind} %{x:.2f} s<extra></extra>` });
  Plotly.react(overview, [ticks("shift", "diamond"), ticks("hold", "circle"), row(1, "#d55e00"), row(0, "#0072b2")], kit.layout({
    margin: { l: 52, r: 8, t: 20, b: 22 }, dragmode: false, hovermode: "closest", legend: { orientation: "h", x: 1, xanchor: "right", y: 1.42 },
    xaxis: { range: [0, Math.max(dialogue.embedded / rate, 0.1)], fixedrange: true, ticksuffix: " s" }, yaxis: { tickvals: [0, 1, 2], ticktext: ["1", "0", "events"], fixedrange: true, showgrid: false, zeroline: false, range: [-0.5, 2.5] },
  }), { ...kit.config, displayModeBar: false });
}

/** Move the cursors to a time, and the speakers to where they are then. */
function showTime(seconds, frame) {
  for (const [chart, line] of [[curves, cursor], [overview, overviewCursor]]) {
    const axis = chart._fullLayout?.xaxis;
    const inside = axis && dialogues[state.moment.number].embedded && seconds >= axis.range[0] && seconds <= axis.range[1];
    line.style.display = inside ? "" : "none";
    if (!inside) continue;
    const { t, h } = chart._fullLayout._size;
    Object.assign(line.style, { left: `${axis._offset + axis.l2p(seconds) - 1}px`, top: `${t}px`, height: `${h}px` });
  }
  moveMarks(frame);
}

// ---- sound ----

const sounds = new Map();
function soundOf(number) {
  if (!sounds.has(number)) sounds.set(number, new Audio(dialogues[number].sound));
  return sounds.get(number);
}

function play(on) {
  if (!state.moment || playButton.disabled) return;
  stop();
  const { number, frame } = state.moment;
  const sound = soundOf(number);
  const at = timeOf(frame);
  const end = on ? dialogues[number].embedded / rate : at + AFTER_S;
  const begin = on ? at : Math.max(0, at - BEFORE_S);
  const playing = { sound, frame };
  state.playing = playing;
  sound.currentTime = begin;
  sound.play().catch((error) => state.playing === playing && (stop(), (who.textContent += ` This browser cannot play it: ${error.message}`)));
  playButton.textContent = "Stop";
  const follow = () => {
    if (state.playing !== playing) return;
    const now = sound.currentTime;
    if (sound.ended || now >= end) {
      stop();
      if (on) go({ number, speaker: state.moment.speaker, frame: Math.round(Math.min(now, end) * rate) - 1 });
      return;
    }
    playing.frame = Math.max(0, Math.floor(now * rate) - 1);
    if (now > Number(curves.dataset.from) + BEFORE_S + AFTER_S) drawCurves(now - 0.2);
    timeRange.value = playing.frame;
    showTime(now, playing.frame);
    requestAnimationFrame(follow);
  };
  requestAnimationFrame(follow);
}

function stop() {
  if (!state.playing) return;
  state.playing.sound.pause();
  state.playing = null;
  playButton.textContent = "Play around it";
  drawCurves(timeOf(state.moment.frame) - BEFORE_S);
  timeRange.value = state.moment.frame;
  showTime(timeOf(state.moment.frame), state.moment.frame);
}

// ---- what a person does ----

function redraw() {
  drawPlane();
  if (!state.moment) return;
  drawDialogue();
  go(state.moment);
}

const listen = (control, act) => control.addEventListener(control.type === "range" ? "input" : "change", () => act(control.value));
listen(projectionSelect, (value) => ((state.projection = Number(value)), forget(), drawPlane(), state.moment && sayMoment()));
listen(showSelect, (value) => ((state.show = value), drawPlane()));
listen(drawSelect, (value) => ((state.density = value === "density"), drawPlane()));
listen(whenRange, (value) => ((state.when = Number(value)), drawPlane()));
listen(whoseSelect, (value) => ((state.whose = Number(value)), drawPlane()));
listen(timeRange, (value) => state.moment && go({ number: state.moment.number, speaker: state.moment.speaker, frame: Number(value) }));
listen(dialogueSelect, (value) => go({ number: Number(value), speaker: 0, frame: Math.min(Math.round(BEFORE_S * rate), dialogues[value].embedded) - 1 }));
listen(eventSelect, (value) => value !== "" && goEvent(Number(value)));

/** A place is one of the projection that it was clicked in. */
function forget() {
  if (!state.moment) return;
  const { point } = state.moment;
  state.moment.own = point === null ? null : placeIn(shown().points, point, shown().dims);
}

function goEvent(index, heard = false) {
  const event = events[index];
  const last = contents.event_frames[index * whens.length + whens.indexOf(0)]; // before it
  go({ number: event.number, speaker: event.speaker, frame: Math.max(0, last), event: index }, heard);
}

drawPlane();
plane.on("plotly_click", ({ points: [clicked] }) => {
  const found = drawn[clicked.curveNumber]?.[clicked.pointNumber];
  if (found) go({ ...found.moment, own: found.place }, true);
});
for (const change of ["plotly_relayout", "plotly_relayouting", "plotly_afterplot"]) plane.on(change, () => shown().dims === 2 && moveMarks(state.playing ? state.playing.frame : state.moment?.frame));
const start = events.findIndex((e) => (e.kind === "shift" || e.kind === "hold") && e.start_s * rate < dialogues[e.number].embedded);
if (start >= 0) goEvent(start);
else go({ number: points.number[0] ?? 0, speaker: points.speaker[0] ?? 0, frame: points.frame[0] ?? 0, point: points.number.length ? 0 : null, own: points.number.length ? framePoint(0).place : null });
for (const chart of [curves, overview]) {
  chart.on("plotly_click", ({ points: [clicked] }) => go({ number: state.moment.number, speaker: state.moment.speaker, frame: Math.max(0, Math.round(clicked.x * rate) - 1) }));
  chart.on("plotly_afterplot", () => state.moment && !state.playing && showTime(timeOf(state.moment.frame), state.moment.frame));
}
document.addEventListener("keydown", (pressed) => {
  const typing = ["SELECT", "INPUT", "TEXTAREA"].includes(pressed.target.tagName);
  if (pressed.key === " " && (typing || pressed.target.tagName === "BUTTON")) return;
  if (typing && pressed.target !== plane) return;
  if (pressed.key === "ArrowLeft") step(pressed.shiftKey ? -10 : -1);
  else if (pressed.key === "ArrowRight") step(pressed.shiftKey ? 10 : 1);
  else if (pressed.key === " ") state.playing ? stop() : play(false);
  else return;
  pressed.preventDefault();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
window.addEventListener("resize", () => setTimeout(() => state.moment && showTime(timeOf(state.moment.frame), state.moment.frame), 300));
