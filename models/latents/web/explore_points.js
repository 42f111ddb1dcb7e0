// The explorer's points and events: where they lie in the projection that is shown, of which class they are, and what they are called.

const { contents, element, colours, palette, range, counted, webgl } = kit;
const { dialogues, points, events, projections, contrasts, situations, when_s: whens } = contents;
const rate = contents.frame_rate_hz;
const BEFORE_S = 3; // of a moment, that is heard and drawn
const AFTER_S = 1.5;
const TRAIL_S = 0.6;
const UNKNOWN = 255; // of tracks of bytes
const FLAT = ["circle", "diamond", "square", "triangle-up", "star", "pentagon", "hexagram"];
const DEEP = ["circle", "diamond", "square"]; // those that have a hollow form in 3-D
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid"];
const MOST_CLASSES = 10; // that a legend tells apart
const LEAST_DENSITY = 8; // points, for contours

// What is shown. A moment is a frame of a dialogue and one of its speakers; `own` is its place where it was clicked as a point.
const state = { projection: 0, show: "situation", density: false, when: whens.indexOf(0), whose: 0, moment: null, playing: null };

// ---- what points can be coloured by ----

const minutes = Float32Array.from(points.time_s, (t) => t / 60);
const VALUES = {
  p_next: ["p(this speaker is next)", points.p_next],
  p_shift: ["p(shift): who did not speak last is next", points.p_shift],
  vad: ["p(this speaker speaks now)", points.vad],
  minutes: ["time in the dialogue, minutes", minutes],
};
const splits = [...new Set(dialogues.map((d) => d.split))];
const CLASSES = {
  situation: ["situation", situations, (i) => points.situation[i]],
  dialogue: ["dialogue", dialogues.map((d) => d.id), (i) => points.number[i]],
  split: ["split", splits.map((name) => name || "no split"), (i) => splits.indexOf(dialogues[points.number[i]].split)],
  speaker: ["speaker", ["speaker 0", "speaker 1"], (i) => points.speaker[i]],
};
if (splits.length < 2) delete CLASSES.split;
for (const [name, { classes, values }] of Object.entries(contents.labels)) { // of the user's own
  if (classes) CLASSES[`label ${name}`] = [name, classes, (i) => values[i]];
  else VALUES[`label ${name}`] = [name, values];
}

// ---- points and events ----

const contrast = () => (state.show.startsWith("contrast ") ? Number(state.show.slice(9)) : null);
const shown = () => projections[state.projection];
const track = (bytes, index) => (bytes[index] === UNKNOWN ? NaN : bytes[index] / (UNKNOWN - 1));
const said = (value) => (Number.isNaN(value) || value === null ? "unknown" : value.toFixed(2));
const timeOf = (frame) => (frame + 1) / rate; // its end
const placeIn = (array, index, dims) => array.subarray(index * dims, (index + 1) * dims);

function framePoint(index) {
  const { dims, points: places, stability } = shown();
  const [number, frame, speaker] = [points.number[index], points.frame[index], points.speaker[index]];
  const text = `${dialogues[number].id} ${kit.clock(timeOf(frame))}, speaker ${speaker}<br>${situations[points.situation[index]]}`
    + `<br>p(next) ${said(points.p_next[index])}, p(shift) ${said(points.p_shift[index])}`;
  return { place: placeIn(places, index, dims), stable: stability[index], text, moment: { number, frame, speaker, point: index, event: null } };
}

/** The place of an event, read at the time that is chosen; null where it cannot be read then. */
function eventPoint(index, role) {
  const { dims, events: places, event_stability: stability } = shown();
  const at = (index * whens.length + state.when) * 2 + role;
  const place = placeIn(places, at, dims);
  if (Number.isNaN(place[0])) return null;
  const event = events[index];
  const frame = contents.event_frames[index * whens.length + state.when];
  const speaker = role ? 1 - event.speaker : event.speaker;
  return { place, stable: stability[at], text: `${event.dialogue}<br>${inWords(event)}`, moment: { number: event.number, frame, speaker, point: null, event: index } };
}

function inWords(event) {
  const span = `${event.kind} at ${kit.clock(event.start_s)} (${(event.end_s - event.start_s).toFixed(2)} s)`;
  if (event.kind === "backchannel") return `${span} by speaker ${event.speaker}`;
  if (event.kind === "overlap") return `${span}: speaker ${event.next} begins while ${event.speaker} speaks`;
  const after = event.speaker === event.next ? `speaker ${event.speaker} goes on` : `speaker ${event.next} after ${event.speaker}`;
  const predicted = event.correct === null ? "" : `; p(shift) ${said(event.p_shift)} after 0.25 s, ${event.correct ? "correct" : "wrong"}`;
  return `${span}: ${after}${event.ending ? `, after a ${event.ending}` : ""}${predicted}`;
}

/** [{name, colour, points}] of what is shown in classes. */
function groups() {
  const chosen = contrast();
  if (chosen !== null) {
    const { classes, events: members, first, by_role: both } = contrasts[chosen];
    const lists = [[], []];
    members.forEach((index, i) => {
      if (both) [0, 1].forEach((role) => lists[role].push(eventPoint(index, role)));
      else lists[first[i] ? 0 : 1].push(eventPoint(index, state.whose));
    });
    return classes.map((name, i) => ({ name, colour: colours[name], points: lists[i].filter(Boolean) }));
  }
  let [, names, classOf] = CLASSES[state.show];
  if (names.length > MOST_CLASSES) {
    const own = state.moment ? state.moment.number : 0;
    const all = classOf;
    [names, classOf] = [[names[own], "the others"], (i) => (all(i) === own ? 0 : 1)];
  }
  const lists = names.map(() => []);
  for (let i = 0; i < points.number.length; i++) lists[classOf(i)].push(framePoint(i));
  return names.map((name, i) => ({ name, colour: colours[name] ?? palette[i % palette.length], points: lists[i] })).filter((group) => group.points.length);
}

/** Without the gap or pause that is also given as a shift or a hold. */
const unique = (list) => list.filter((e) => !["gap", "pause"].includes(e.kind) || !list.some((f) => ["shift", "hold"].includes(f.kind) && f.start_s === e.start_s));
