// What views share: the projection that is shown, the words and keys of points, and classes with
// their look.

const MOST_CLASSES = 10; // that a legend tells apart
const UNKNOWN_INK = "#888888";
const UNTOLD = new Set(["unknown", "none", "the others", "others", "in no cluster"]);
const CLUSTER = "cluster that was kept";
const OUTCOME = "true and predicted class";
const { projections } = contents;
const shared = { projection: 0, hidden: new Set() }; // by all views
const shown = () => projections[shared.projection];

/** The place of a moment, or of the frame before it that was placed; null outside of what is
 *  embedded. */
function placeOf(moment) {
  const { tracks, every } = shown();
  const { number, frame, speaker } = moment ?? {};
  if (!(frame >= 0 && frame < dialogues[number].embedded)) return null;
  return kit.row(tracks[number], Math.floor(frame / every) * 2 + speaker);
}

const frameKey = (number, frame, speaker) => `f${number}:${frame}:${speaker}`;
const partsOf = (key) => key.slice(1).split(":").map(Number);

/** A frame as a point that can be chosen. */
function frameItem(key, labels) {
  const [number, frame, speaker] = partsOf(key);
  return { key, labels, moment: { number, frame, speaker, event: null },
    words: `${dialogues[number].id} ${kit.clock(timeOf(frame))}, speaker ${speaker}` };
}

/** An event's speaker (role 0) or the other one, as a point that can be chosen; null of another
 *  key. */
function eventItem(key, frame = -1) {
  if (!key.startsWith("e")) return null;
  const [index, role] = partsOf(key);
  const event = events[index];
  return { key, words: `${event.dialogue} ${inWords(event)}${role ? ", the other speaker" : ""}`,
    moment: { number: event.number, frame: frame >= 0 ? frame : startOf(event),
      speaker: role ? 1 - event.speaker : event.speaker, event: index },
    labels: { kind: event.kind, "true class": event.true, "predicted class": event.predicted,
      [OUTCOME]: event.predicted && `${event.true} taken for ${event.predicted}`,
      "was predicted": judged(event), "p(shift)": event.p_shift, "words end as": event.ending,
      dialogue: event.dialogue, split: event.split, role: ["speaker", "listener"][role],
      channel: `channel ${role ? 1 - event.speaker : event.speaker}`, ...event.labels } };
}

/** Classes of points, by the name of each point's: entries of a legend, those of `first` first,
 *  and the entry of a name. Of too many the largest are told apart. */
function classesOf(names, first = []) {
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  const rank = (name) => (UNTOLD.has(name) ? first.length + 1
    : first.indexOf(name) < 0 ? first.length : first.indexOf(name));
  const larger = (a, b) => counts.get(b) - counts.get(a);
  const found = [...counts.keys()].sort(larger);
  const told = found.slice(0, found.length > MOST_CLASSES ? MOST_CLASSES - 1 : MOST_CLASSES)
    .sort((a, b) => rank(a) - rank(b));
  if (told.length < found.length) {
    const few = found.slice(told.length);
    counts.set("the others", few.reduce((sum, name) => sum + counts.get(name), 0));
    told.push("the others");
  }
  const fixed = told.map((name) => (UNTOLD.has(name) ? UNKNOWN_INK : colours[name]));
  const free = palette.filter((colour) => !fixed.includes(colour));
  const entries = told.map((name, i) => ({ id: name, name: `${name} (${counts.get(name)})`,
    colour: fixed[i] ?? free.shift() ?? UNKNOWN_INK, symbol: SYMBOLS[i % SYMBOLS.length],
    dash: DASHES[i % DASHES.length], hidden: shared.hidden.has(name) }));
  const byName = new Map(entries.map((entry) => [entry.id, entry]));
  return { entries, entryOf: (name) => byName.get(name) ?? entries.at(-1) };
}

const toggle = (id) => (shared.hidden.has(id) ? shared.hidden.delete(id) : shared.hidden.add(id),
  page.draw());

/** Other classes come with another choice of this menu, so none of them is hidden. */
const regroups = (menu) => (menu.addEventListener("change", () => shared.hidden.clear(),
  { capture: true }), menu);

/** Where numbers lie between two of their quantiles, 0 to 1, their colours, and the legend. */
function scaleOf(name, values, cut = 0) {
  const [[low, high]] = limitsOf(Array.from(values, (value) => [value]), 1, cut);
  const share = (i) => (values[i] - low) / (high - low || 1);
  const [least, most] = [low, high].map((value) => `${Number(value.toPrecision(3))}`);
  const unknown = { name: "unknown", colour: UNKNOWN_INK };
  return { share, colour: (i) => (known(values[i]) ? ramp(share(i)) : UNKNOWN_INK),
    entries: [{ name, low: least, high: most }, ...(values.every(known) ? [] : [unknown])] };
}

/** How points look by a value of each: many numbers by their scale, all else as classes. Returns
 *  {entries of the legend, and of the index: colour, symbol, hidden}. */
function looksOf(name, values, first = [], cut = 0) {
  if (typeof values[0] === "number" && new Set(values).size > MOST_CLASSES)
    return { ...scaleOf(name, values, cut), symbol: () => "circle", hidden: () => false };
  const short = (value) => (typeof value === "number" ? Number(value.toPrecision(6)) : value);
  const names = Array.from(values, (value) => (known(value) ? `${short(value)}` : "none"));
  const { entries, entryOf } = classesOf(names, first);
  return { entries, colour: (i) => entryOf(names[i]).colour,
    symbol: (i) => entryOf(names[i]).symbol, hidden: (i) => entryOf(names[i]).hidden };
}

/** What hollow points mean in the projection that is shown. */
const hollowWords = () => (shown().figures.stability === undefined
  ? "How stable its neighbourhoods are was not measured for this projection."
  : "Hollow points lie where fewer than half of the neighbours stay neighbours when the projection "
    + "is fitted again: what lies side by side there should not be believed.");
