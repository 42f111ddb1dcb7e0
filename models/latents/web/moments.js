// The moment that is looked at: its words, its sound, the curves around it, and the strip of its
// dialogue.

const { contents, element, colours, palette, range, counted, known } = kit;
const { dialogues, events, situations } = contents;
const rate = contents.frame_rate_hz;
const BEFORE_S = 3; // of a moment, that is heard and drawn
const AFTER_S = 1.5;
const TRAIL_S = 0.6;
const UNKNOWN = 255; // of tracks of bytes
const NEXT = "#009e73"; // colour of p(0 is next)
const timeOf = (frame) => (frame + 1) / rate; // its end
const frameOf = (seconds) => Math.max(0, Math.round(seconds * rate) - 1);
const startOf = (event) => frameOf(event.start_s);
const track = (bytes, index) => (bytes[index] === UNKNOWN ? NaN : bytes[index] / (UNKNOWN - 1));
const said = (value) => (known(value) ? value.toFixed(2) : "unknown");
const judged = (event) => (known(event.correct) ? (event.correct ? "correct" : "wrong") : "");

function inWords(event) {
  const words = event.ending ? `, after a ${event.ending}` : "";
  const predicted = judged(event)
    && `; p(shift) ${said(event.p_shift)} after 0.25 s, ${judged(event)}`;
  return `${event.kind} at ${kit.clock(event.start_s)} (${said(event.end_s - event.start_s)} s): `
    + `speaker ${event.speaker}, next ${event.next}${words}${predicted}`;
}

/** Without the gap or pause that is also given as a shift or a hold. */
const unique = (list) => list.filter((e) => !["gap", "pause"].includes(e.kind)
  || !list.some((f) => ["shift", "hold"].includes(f.kind) && f.start_s === e.start_s));

// ---- the panel ----

const now = { moment: null, playing: null }; // a moment: {number, frame, speaker, event}
const halves = element(kit.view, "div", { className: "side-by-side" });
const left = element(halves, "div");
const right = element(halves, "div");
const listening = element(right, "div", { hidden: !dialogues.length });
const who = element(listening, "p", { id: "who", ariaLive: "polite", style: "min-height: 5em" });
const sounding = new kit.Controls(listening);
const playButton = sounding.button("play", "Play around it",
  () => (now.playing ? stop() : play(false)));
const onButton = sounding.button("play-on", "Play on", () => play(true));
const otherButton = sounding.button("other", "other speaker",
  () => now.moment && go({ ...now.moment, speaker: 1 - now.moment.speaker }));
const curves = new kit.Strip(listening, "curves", 330, "sound and predictions around the moment",
  goTime);
const curveWords = element(listening, "p", { className: "note" });
for (const [words, colour] of [["━ p(shift)", "var(--ink)"], ["━ p(0 is next)", NEXT],
  ["╌ vad 0", kit.speakerInks()[0]], ["┈ vad 1", kit.speakerInks()[1]]])
  element(curveWords, "span", { style: `color: ${colour}; margin-right: 1em` }, words);
const finding = new kit.Controls(listening);
const dialogueMenu = finding.choice("dialogue", "Dialogue",
  dialogues.map((d, i) => [i, d.id + (d.embedded ? "" : " (not embedded)")]),
  (number) => go({ number, speaker: 0, frame: frameOf(BEFORE_S) }));
dialogues.forEach((d, i) => (dialogueMenu.options[i].disabled = !d.embedded));
const eventMenu = finding.choice("event", "Moment", [], (index) => known(index) && goEvent(index));
const timeSlider = element(listening, "input", { id: "time", type: "range", min: 0, step: 1,
  style: "width: 100%; margin: 0", ariaLabel: "time in the dialogue" });
timeSlider.addEventListener("input", () => goFrame(Number(timeSlider.value)));
const overview = new kit.Strip(listening, "overview", 76, "who speaks when in the dialogue",
  goTime);
element(listening, "p", { className: "note" }, "Click a point to hear its moment, or a time to go "
  + "there. Arrow keys step by a frame (with Shift by ten), space plays and stops. 0 and 1 are "
  + `where the speakers are, with a trail of ${TRAIL_S} s; in the sound speaker 0 is on the left.`);

// ---- going there ----

function go(moment, heard = false) {
  stop();
  const { embedded, frames } = dialogues[moment.number];
  const changed = moment.number !== now.moment?.number;
  now.moment = { event: null, ...moment,
    frame: embedded ? Math.max(0, Math.min(moment.frame, frames - 1)) : moment.frame };
  if (changed) {
    drawDialogue();
    page.draw();
  }
  sayMoment();
  eventMenu.value = now.moment.event ?? "";
  showMoment();
  if (heard) play(false);
}

/** Go to another frame of the dialogue, as far as it can be followed. */
function goFrame(frame) {
  if (!now.moment || !dialogues[now.moment.number].embedded) return;
  const { number, speaker } = now.moment;
  go({ number, speaker, frame: Math.min(frame, dialogues[number].embedded - 1) });
}

function goTime(seconds) {
  goFrame(frameOf(seconds));
}

function step(by) {
  goFrame(now.moment?.frame + by);
}

function goEvent(index) {
  const { number, speaker } = events[index];
  go({ number, speaker, frame: startOf(events[index]), event: index });
}

/** What is known of a moment, as sentences. */
function sayMoment() {
  const { number, frame, speaker, event } = now.moment;
  const dialogue = dialogues[number];
  const time = timeOf(frame);
  const at = frame * 2 + speaker;
  const followed = frame < dialogue.embedded;
  const words = [`${dialogue.id} at ${kit.clock(time)}, speaker ${speaker}: `
    + `${followed ? situations[dialogue.situation[at]] : "not in this page (--sound-minutes)"}.`];
  if (followed) words.push(`p(speaks now) ${said(track(dialogue.vad, at))}, p(is next) `
    + `${said(track(dialogue.p_next, at))}, p(shift) ${said(track(dialogue.p_shift, frame))}.`);
  const around = known(event) ? [events[event]]
    : unique(events.filter((e) => e.number === number && e.start_s <= time && time <= e.end_s));
  words.push(...around.map((e) => `Here: ${inWords(e)}.`));
  const sound = soundOf(now.moment);
  if (!sound) words.push(
    `It cannot be heard: ${dialogue.silent || "its sound is not in this page (--sound-minutes)"}.`);
  who.textContent = words.join(" ");
  playButton.disabled = !sound;
  onButton.disabled = !sound || sound.clip;
  otherButton.disabled = !dialogue.embedded;
}

// ---- curves ----

/** The sound and speech of each speaker, and the curves of the network, in a window from `start`.
 *  */
function drawCurves(start) {
  const dialogue = dialogues[now.moment.number];
  const first = Math.max(0, Math.min(Math.round(start * rate), dialogue.embedded - 2));
  const last = Math.min(dialogue.embedded, first + Math.round((BEFORE_S + AFTER_S) * rate));
  const frames = range(Math.max(0, last - first)).map((i) => first + i);
  curves.set([first / rate, first / rate + BEFORE_S + AFTER_S], (pen) => curves.sound(pen, frames,
    rate, { lane: 66, bottom: 310,
      reach: (f, speaker) => (dialogue.envelope ? track(dialogue.envelope, f * 2 + speaker) : 0),
      speaks: (f, speaker) => dialogue.speaking[f * 2 + speaker],
      curves: [...[0, 1].map((speaker) => [(f) => track(dialogue.vad, f * 2 + speaker),
        kit.speakerInks()[speaker], 1.5, [[6, 4], [2, 3]][speaker]]),
      [(f) => track(dialogue.p_next, f * 2), NEXT, 1.5],
      [(f) => track(dialogue.p_shift, f), kit.ink("--ink"), 2.5]] }));
}

/** The whole dialogue as a strip, and its moments as a list. */
function drawDialogue() {
  const { number } = now.moment;
  const { embedded, speaking } = dialogues[number];
  dialogueMenu.value = number;
  timeSlider.max = Math.max(0, embedded - 1);
  timeSlider.disabled = !embedded;
  const listed = unique(events.filter((e) => e.number === number && e.start_s * rate < embedded));
  kit.fill(eventMenu, [["", counted(listed.length, "moment")],
    ...listed.map((e) => [events.indexOf(e), inWords(e)])], "");
  const speaks = (frame, speaker) => speaking[frame * 2 + speaker] ?? 0;
  const edges = [0, 1].map((speaker) => range(embedded + 1) // of speech: begin, end, begin, ...
    .filter((frame) => speaks(frame, speaker) !== speaks(frame - 1, speaker)));
  overview.set([0, Math.max(embedded / rate, 0.1)], (pen) => {
    for (const speaker of [0, 1]) {
      const at = edges[speaker].map((frame) => overview.at(frame / rate));
      pen.fillStyle = kit.speakerInks()[speaker];
      at.forEach((x, i) => i % 2 || pen.fillRect(x, 18 + speaker * 20, at[i + 1] - x, 18));
      pen.fillStyle = kit.ink("--soft");
      pen.fillText(`${speaker}`, 12, 32 + speaker * 20);
    }
    for (const { kind, start_s: start } of listed) if (["shift", "hold"].includes(kind))
      symbol(pen, kind === "shift" ? "diamond" : "circle", overview.at(start), 9, 4, colours[kind]);
    overview.seconds(pen, 58);
  });
}

/** Move the cursors to a time, and the speakers to where they are then. */
function showTime(seconds, frame) {
  timeSlider.value = frame;
  for (const strip of [curves, overview])
    strip.show(dialogues[now.moment.number].embedded ? seconds : NaN);
  page.mark(frame);
}

function showMoment() {
  const { frame } = now.moment;
  drawCurves(timeOf(frame) - BEFORE_S);
  showTime(timeOf(frame), frame);
}

// ---- sound ----

const sounds = new Map();
const audioOf = (url) => sounds.get(url) ?? (sounds.set(url, new Audio(url)), sounds.get(url));

/** What a moment is heard in: {url, shift, begin, end}; times in the dialogue plus `shift` are
 *  times in it. */
function soundOf({ number, frame, event }) {
  const dialogue = dialogues[number];
  const time = timeOf(frame);
  if (dialogue?.sound && frame < dialogue.embedded) return { url: dialogue.sound, shift: 0,
    begin: Math.max(0, time - BEFORE_S), end: Math.min(time + AFTER_S, dialogue.embedded / rate),
    whole: dialogue.embedded / rate };
  const clip = contents.clips?.offsets[event];
  if (!known(clip)) return null;
  const begin = events[event].start_s - contents.clips.before_s;
  return { url: contents.clips.sound, shift: clip - begin, begin,
    end: events[event].start_s + contents.clips.after_s, clip: true };
}

/** Play what is around the moment, or on from it. */
function play(on) {
  if (!now.moment || playButton.disabled) return;
  stop();
  const { frame } = now.moment;
  const { url, shift, begin, end, whole } = soundOf(now.moment);
  const until = on ? whole : end;
  const playing = { sound: audioOf(url), frame };
  now.playing = playing;
  playing.sound.currentTime = (on ? timeOf(frame) : begin) + shift;
  playing.sound.play().catch((error) => now.playing === playing
    && (stop(), (who.textContent += ` This browser cannot play it: ${error.message}`)));
  playButton.textContent = "Stop";
  const follow = () => {
    if (now.playing !== playing) return;
    const time = playing.sound.currentTime - shift;
    if (playing.sound.ended || time >= until) {
      stop();
      if (on) goTime(Math.min(time, until));
      return;
    }
    playing.frame = Math.max(0, Math.floor(time * rate) - 1);
    if (time > curves.span[1]) drawCurves(time - 0.2);
    showTime(time, playing.frame);
    requestAnimationFrame(follow);
  };
  requestAnimationFrame(follow);
}

function stop() {
  if (!now.playing) return;
  now.playing.sound.pause();
  now.playing = null;
  playButton.textContent = "Play around it";
  showMoment();
}
