// The events of the paths: what they can be grouped by, where they lie, and statistics of them, all of true places.

const { contents, element, colours, palette, range, counted, webgl } = kit;
const { events, projections, conversations } = contents;
const rate = contents.frame_rate_hz;
const flat = webgl ? "scattergl" : "scatter"; // one kind for all: the others would be drawn below it, whatever their order
const ROLES = ["speaker", "listener"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const FLAT = ["diamond", "circle", "square", "triangle-up", "star", "pentagon"];
const DEEP = ["diamond", "circle", "square", "cross", "x", "diamond-open"]; // that 3-D pictures have
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
for (const name of Object.keys(events[0]?.labels ?? {})) GROUPS[`label ${name}`] = [name, (e) => e.labels[name] || "unknown"]; // of the user's own
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
const colourOf = (name, index) => (UNTOLD.includes(name) ? "#888888" : (colours[name] ?? palette[index % palette.length]));

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
  const free = palette.filter((colour) => !taken.includes(colour));
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
