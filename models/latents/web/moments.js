// The moment that is looked at: its words, its sound, the curves around it, and the strip of its
// dialogue.

const { contents, element, colours, palette, range, counted, known } = kit;
const { dialogues, events, situations } = contents;
const rate = contents.frame_rate_hz;
const BEFORE_S = 3; // of a moment, that is heard and drawn
const AFTER_S = 1.5;
const TRAIL_S = 0.6;
const UNKNOWN = 255; // of tracks of bytes
const dark = matchMedia("(prefers-color-scheme: dark)");
const inks = () => (dark.matches ? ["#56b4e9", "#e69f00"] : ["#0072b2", "#d55e00"]);
  // of the speakers
const timeOf = (frame) => (frame + 1) / rate; // its end
const track = (bytes, index) => (bytes[index] === UNKNOWN ? NaN : bytes[index] / (UNKNOWN - 1));
const said = (value) => (known(value) ? value.toFixed(2) : "unknown");

function inWords(event) {
  const span =
    `${event.kind} at ${kit.clock(event.start_s)} (${(event.end_s - event.start_s).toFixed(2)} s)`;
  if (event.kind === "backchannel") return `${span} by speaker ${event.speaker}`;
  if (event.kind === "overlap")
    return `${span}: speaker ${event.next} begins while ${event.speaker} speaks`;
  const after = event.speaker === event.next ? `speaker ${event.speaker} goes on`
    : `speaker ${event.next} after ${event.speaker}`;
  const predicted = event.correct === null ? ""
    : `; p(shift) ${said(event.p_shift)} after 0.25 s, ${event.correct ? "correct" : "wrong"}`;
  return `${span}: ${after}${event.ending ? `, after a ${event.ending}` : ""}${predicted}`;
}

/** Without the gap or pause that is also given as a shift or a hold. */
const unique = (list) => list.filter((e) => !["gap", "pause"].includes(e.kind)
  || !list.some((f) => ["shift", "hold"].includes(f.kind) && f.start_s === e.start_s));

/** A canvas with strips of time: `draw(pen, wide, at)` draws it, at(seconds) being a pixel; a
 *  click goes to its time. */
class Strip {
  constructor(parent, id, high, words) {
    this.canvas = element(parent, "canvas", { id, className: "strip", style: `height: ${high}px`,
      role: "img", ariaLabel: words, title: "click: go there" });
    this.high = high;
    this.canvas.addEventListener("click", (event) => this.span
      && goTime(this.span[0]
      + ((event.offsetX - this.left) / (this.canvas.clientWidth - this.left)) * (
      this.span[1] - this.span[0])));
    new ResizeObserver(() => this.show()).observe(this.canvas);
  }

  left = 34;

  set(span, draw) {
    [this.span, this.draw] = [span, draw];
    this.show();
  }

  at(seconds) {
    return this.left + ((seconds - this.span[0]) / (this.span[1] - this.span[0] || 1)) * (
      this.wide - this.left);
  }

  show(now = this.now) {
    this.now = now;
    const ratio = window.devicePixelRatio || 1;
    this.wide = this.canvas.clientWidth;
    [this.canvas.width, this.canvas.height] = [this.wide * ratio, this.high * ratio];
    if (!this.span) return;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "12px system-ui, sans-serif";
    this.draw(pen, (seconds) => this.at(seconds));
    if (now === undefined || now < this.span[0] || now > this.span[1]) return;
    pen.fillStyle = kit.ink("--ink");
    pen.fillRect(this.at(now) - 1, 0, 2, this.high - 18);
  }

  seconds(pen, high) {
    const length = this.span[1] - this.span[0];
    const every = [0.5, 1, 5, 10, 30, 60, 300, 600, 1800]
      .find((s) => (s / length) * (this.wide - this.left) > 55) ?? 3600;
    pen.fillStyle = kit.ink("--soft");
    pen.textAlign = "center";
    for (let s = Math.ceil(this.span[0] / every) * every; s <= this.span[1]; s += every) {
      pen.fillRect(this.at(s), high, 1, 4);
      pen.fillText(every < 60 ? `${s} s` : `${s / 60} min`, Math.min(this.at(s), this.wide - 16),
        high + 15);
    }
  }
}

// ---- the panel ----

const now = { moment: null, playing: null }; // a moment: {number, frame, speaker, event}
const halves = element(kit.view, "div", { className: "side-by-side" });
const left = element(halves, "div");
const right = element(halves, "div");
const listening = element(right, "div", { hidden: !dialogues.length });
const who = element(listening, "p", { id: "who", ariaLive: "polite", style: "min-height: 5em" });
const sounding = element(listening, "div", { className: "controls" });
const playButton = kit.button(sounding, "play", "Play around it",
  () => (now.playing ? stop() : play(false)));
const onButton = kit.button(sounding, "play-on", "Play on", () => play(true));
const backButton = kit.button(sounding, "back", "◀ frame", () => step(-1));
const forthButton = kit.button(sounding, "forth", "frame ▶", () => step(1));
const otherButton = kit.button(sounding, "other", "other speaker", () => now.moment
  && go({ ...now.moment, speaker: 1 - now.moment.speaker }));
const curves = new Strip(listening, "curves", 330, "sound and predictions around the moment");
const curveWords = element(listening, "p", { className: "note" });
for (const [words, colour] of [["━ p(shift)", "var(--ink)"], ["━ p(0 is next)", "#009e73"],
  ["╌ vad 0", inks()[0]], ["┈ vad 1", inks()[1]]]) element(curveWords, "span",
  { style: `color: ${colour}; margin-right: 1em` }, words);
const finding = element(listening, "div", { className: "controls" });
const dialogueMenu = kit.choice(finding, "dialogue", "Dialogue",
  dialogues.map((d, i) => [i, d.id + (d.embedded ? "" : " (not embedded)")]), "",
  (v) => go({ number: Number(v), speaker: 0, frame: Math.min(Math.round(BEFORE_S * rate),
  dialogues[v].embedded) - 1 }));
dialogues.forEach((d, i) => (dialogueMenu.options[i].disabled = !d.embedded));
const eventMenu = kit.choice(finding, "event", "Moment", [], "", (v) => v !== ""
  && goEvent(Number(v)));
const timeSlider = element(listening, "input", { id: "time", type: "range", min: 0, step: 1,
  style: "width: 100%; margin: 0", ariaLabel: "time in the dialogue" });
timeSlider.addEventListener("input", () => now.moment
  && go({ number: now.moment.number, speaker: now.moment.speaker,
  frame: Number(timeSlider.value) }));
const overview = new Strip(listening, "overview", 76, "who speaks when in the dialogue");
element(listening, "p", { className: "note" },
  "Click a point to hear its moment, or a time in the curves or in the strip below them. Left and "
    + "right arrow keys step by a frame "
  + `(with Shift by ten), space plays and stops. 0 and 1 are where the two speakers are, with a `
    + `trail of the last ${TRAIL_S} s; in the sound speaker 0 is on the left.`);

// ---- going there ----

function go(moment, heard = false) {
  stop();
  const { embedded, frames } = dialogues[moment.number];
  const changed = moment.number !== now.moment?.number;
  now.moment = { event: null, ...moment, frame: embedded
    ? Math.max(0, Math.min(moment.frame, frames - 1)) : moment.frame };
  if (changed) drawDialogue();
  sayMoment();
  drawCurves(timeOf(now.moment.frame) - BEFORE_S);
  timeSlider.value = now.moment.frame;
  eventMenu.value = now.moment.event ?? "";
  showTime(timeOf(now.moment.frame), now.moment.frame);
  page.moved(changed);
  if (heard) play(false);
}

const goTime = (seconds) => now.moment
  && go({ number: now.moment.number, speaker: now.moment.speaker,
  frame: Math.max(0, Math.round(seconds * rate) - 1) });

function goEvent(index, heard = false) {
  const { number, speaker, start_s: start } = events[index];
  go({ number, speaker, frame: Math.max(0, Math.round(start * rate) - 1), event: index }, heard);
}

function step(by) {
  if (!now.moment || !dialogues[now.moment.number].embedded) return;
  const { number, frame, speaker } = now.moment;
  go({ number, speaker, frame: Math.max(0, Math.min(frame + by, dialogues[number].embedded - 1)) });
}

/** What is known of a moment, as sentences. */
function momentWords({ number, frame, speaker, event }) {
  const dialogue = dialogues[number];
  const words = [`${dialogue.id} at ${kit.clock(timeOf(frame))}, speaker ${speaker}`];
  if (frame < dialogue.embedded) {
    const at = frame * 2 + speaker;
    words[0] += `: ${situations[dialogue.situation[at]]}.`;
    words.push(`p(speaks now) ${said(track(dialogue.vad, at))}, p(is next) `
      + `${said(track(dialogue.p_next, at))}, p(shift) ${said(track(dialogue.p_shift, frame))}.`);
  } else words[0] += ".";
  const time = timeOf(frame);
  const around = known(event) ? [events[event]]
    : unique(events.filter((e) => e.number === number && e.start_s <= time && time <= e.end_s));
  for (const e of around)
    words.push(`${inWords(e)}.`.replace(/^./, (letter) => letter.toUpperCase()));
  return words;
}

function sayMoment() {
  const { number, frame, speaker } = now.moment;
  const dialogue = dialogues[number];
  const words = momentWords(now.moment);
  const sound = soundOf(now.moment);
  if (frame >= dialogue.embedded) words.push("Its curves are not in this page (--sound-minutes).");
  if (!sound) words.push(
    `It cannot be heard: ${dialogue.silent || "its sound is not in this page (--sound-minutes)"}.`);
  who.textContent = words.join(" ");
  Object.assign(who.dataset, { number, frame, speaker, time: timeOf(frame).toFixed(3) });
  playButton.disabled = !sound;
  onButton.disabled = !sound || sound.clip;
  for (const b of [backButton, forthButton, otherButton]) b.disabled = !dialogue.embedded;
}

// ---- curves ----

/** The sound and speech of each speaker, and the curves of the network, in a window from `start`.
 *  */
function drawCurves(start) {
  const dialogue = dialogues[now.moment.number];
  const first = Math.max(0, Math.min(Math.round(start * rate), dialogue.embedded - 2));
  const last = Math.min(dialogue.embedded, first + Math.round((BEFORE_S + AFTER_S) * rate));
  const frames = range(Math.max(0, last - first)).map((i) => first + i);
  curves.canvas.dataset.from = first / rate;
  curves.set([first / rate, first / rate + BEFORE_S + AFTER_S], (pen, at) => {
    const [row, bottom] = [66, 310];
    const step = at(1 / rate) - at(0);
    [0, 1].forEach((speaker) => {
      const middle = row * (speaker + 0.5);
      for (const f of frames) {
        pen.fillStyle = inks()[speaker];
        const reach = dialogue.envelope ? track(dialogue.envelope, f * 2 + speaker) * (row / 2 - 2)
          : 0;
        pen.globalAlpha = 0.16;
        if (dialogue.speaking[f * 2 + speaker]) pen.fillRect(at(f / rate), middle - row / 2 + 1,
          step + 0.5, row - 2);
        pen.globalAlpha = 1;
        pen.fillRect(at(f / rate), middle - reach, step, 2 * reach + 0.5);
      }
      pen.fillStyle = kit.ink("--soft");
      pen.textAlign = "left";
      pen.fillText(`${speaker}`, 12, middle + 4);
    });
    const up = (value) => bottom - 8 - value * (bottom - 2 * row - 22);
    pen.strokeStyle = kit.ink("--faint");
    for (const level of [0, 0.5, 1]) {
      pen.strokeRect(at(first / rate), up(level), curves.wide, 0);
      pen.fillText(`${level}`, 6, up(level) + 4);
    }
    const curve = (value, colour, width, dash) => {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.setLineDash(dash);
      pen.beginPath();
      for (const f of frames) if (known(value(f))) pen.lineTo(at(timeOf(f)), up(value(f)));
      pen.stroke();
      pen.setLineDash([]);
    };
    curve((f) => track(dialogue.vad, f * 2), inks()[0], 1.5, [6, 4]);
    curve((f) => track(dialogue.vad, f * 2 + 1), inks()[1], 1.5, [2, 3]);
    curve((f) => track(dialogue.p_next, f * 2), "#009e73", 1.5, []);
    curve((f) => track(dialogue.p_shift, f), kit.ink("--ink"), 2.5, []);
    curves.seconds(pen, bottom);
  });
}

/** The whole dialogue as a strip, and its moments as a list. */
function drawDialogue() {
  const { number } = now.moment;
  const dialogue = dialogues[number];
  dialogueMenu.value = number;
  timeSlider.max = Math.max(0, dialogue.embedded - 1);
  timeSlider.disabled = !dialogue.embedded;
  const listed =
    unique(events.filter((e) => e.number === number && e.start_s * rate < dialogue.embedded));
  kit.fill(eventMenu, [["", counted(listed.length, "moment")],
    ...listed.map((e) => [events.indexOf(e), inWords(e)])], "");
  const seconds = dialogue.embedded / rate;
  overview.set([0, Math.max(seconds, 0.1)], (pen, at) => {
    for (const speaker of [0, 1]) {
      pen.fillStyle = inks()[speaker];
      for (let x = overview.left; x < overview.wide; x++) {
        const [from, to] = [x, x + 1]
          .map((p) =>
          Math.floor(((p - overview.left) / (overview.wide - overview.left)) * dialogue.embedded));
        const spoken = range(Math.max(1, to - from))
          .reduce((sum, i) => sum + dialogue.speaking[(from + i) * 2 + speaker], 0);
        pen.globalAlpha = 0.08 + 0.92 * (spoken / Math.max(1, to - from) || 0);
        pen.fillRect(x, 18 + speaker * 20, 1, 18);
      }
      pen.globalAlpha = 1;
      pen.fillStyle = kit.ink("--soft");
      pen.textAlign = "left";
      pen.fillText(`${speaker}`, 12, 32 + speaker * 20);
    }
    for (const e of listed) if (["shift", "hold"].includes(e.kind)) {
      outline(pen, e.kind === "shift" ? "diamond" : "circle", at(e.start_s), 9, 4);
      pen.fillStyle = colours[e.kind];
      pen.fill();
    }
    overview.seconds(pen, 58);
  });
}

/** Move the cursors to a time, and the speakers to where they are then. */
function showTime(seconds, frame) {
  for (const strip of [curves, overview]) strip.show(dialogues[now.moment.number].embedded
    ? seconds : undefined);
  page.mark(frame);
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
  const { before_s: before, after_s: after } = contents.clips;
  const { start_s: start } = events[event];
  return { url: contents.clips.sound, shift: clip - (start - before), begin: start - before,
    end: start + after, clip: true };
}

function play(on) {
  if (!now.moment || playButton.disabled) return;
  stop();
  const { number, frame } = now.moment;
  const { url, shift, begin, end, whole } = soundOf(now.moment);
  const sound = audioOf(url);
  const until = on ? whole : end;
  const playing = { sound, frame };
  now.playing = playing;
  sound.currentTime = (on ? timeOf(frame) : begin) + shift;
  sound.play().catch((error) => now.playing === playing
    && (stop(), (who.textContent += ` This browser cannot play it: ${error.message}`)));
  playButton.textContent = "Stop";
  const follow = () => {
    if (now.playing !== playing) return;
    const time = sound.currentTime - shift;
    if (sound.ended || time >= until) {
      stop();
      if (on) go({ number, speaker: now.moment.speaker,
        frame: Math.round(Math.min(time, until) * rate) - 1 });
      return;
    }
    playing.frame = Math.max(0, Math.floor(time * rate) - 1);
    if (time > Number(curves.canvas.dataset.from) + BEFORE_S + AFTER_S) drawCurves(time - 0.2);
    timeSlider.value = playing.frame;
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
  drawCurves(timeOf(now.moment.frame) - BEFORE_S);
  timeSlider.value = now.moment.frame;
  showTime(timeOf(now.moment.frame), now.moment.frame);
}
