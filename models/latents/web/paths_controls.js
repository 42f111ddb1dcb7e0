// What can be chosen on the page of paths, and where everything is put.

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
