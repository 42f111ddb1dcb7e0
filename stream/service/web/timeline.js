// The timeline: go back in what was heard, replay it with sound, and save it.

import { Replay } from "./replay.js";
import { clock } from "./words.js";

const STEP_S = 5; // of the arrow keys
const SLIDER_STEP_S = 0.1; // as in index.html: its last place is the end
const BUSY = "input, button, select, textarea, summary, a, [tabindex]"; // they use keys themselves

export class Timeline {
  /**
   * @param {(id: string) => HTMLElement} element
   * @param {() => void} onescape while nothing is replayed
   */
  constructor(element, onescape) {
    this.recording = null;
    this.source = null; // what is heard now: {pause, resume, isPaused, volume} if it can do so
    this._element = element;
    this._at_s = null; // where the pictures end; null: at the newest sound
    this._replay = new Replay();
    this._replay.onend = () => this.seek(null);
    element("play").onclick = () => this.toggle();
    element("to-now").onclick = () => this.seek(null);
    element("seek").oninput = () => this.seek(Number(element("seek").value));
    element("volume").oninput = () => this._setVolume();
    element("save-sound").onclick = () => this._save("toWav", "wav");
    element("save-lines").onclick = () => this._save("toLines", "jsonl");
    addEventListener("keydown", (event) => this._key(event, onescape));
  }

  /** A new conversation; `recording` and `source` are null until it has begun. */
  begin(recording, source) {
    this._replay.stop();
    Object.assign(this, { recording, source, _at_s: null });
    this._setVolume();
  }

  /** The sound has ended; from now on it can be replayed. */
  end() {
    this.source = null;
  }

  /** Seconds of sound at which the pictures end; null: follow the newest sound. */
  get at_s() {
    if (this._replay.isPlaying) this._at_s = this._replay.position_s;
    return this._at_s;
  }

  /** @param {number | null} at_s null: back to the newest sound */
  seek(at_s) {
    if (this.recording === null) return;
    const { from_s, to_s } = this.recording;
    const playing = this._replay.isPlaying;
    this._replay.stop();
    this._at_s = at_s === null || at_s > to_s - SLIDER_STEP_S ? null : Math.max(from_s, at_s);
    if (playing && this._at_s !== null) this._replay.play(this.recording, this._at_s);
  }

  /** Play or pause: the recording that is heard now, or the replay once it is over. */
  toggle() {
    if (this.source?.pause) {
      if (this.source.isPaused) this.source.resume();
      else this.source.pause();
    } else if (this._replay.isPlaying) {
      this._at_s = this._replay.position_s;
      this._replay.stop();
    } else if (this.source === null && this.recording !== null) {
      this._replay.play(this.recording, this._at_s ?? this.recording.from_s);
    }
  }

  /** Show the state; called for every picture. */
  show() {
    const { recording } = this;
    this._element("player").hidden = recording === null || recording.to_s === 0;
    if (this._element("player").hidden) return;
    const at_s = this.at_s;
    const seek = this._element("seek");
    Object.assign(seek, { min: recording.from_s, max: recording.to_s });
    seek.value = at_s ?? recording.to_s;
    const words = `${clock(at_s ?? recording.to_s)} of ${clock(recording.to_s)}`;
    seek.ariaValueText = words;
    this._set("seek-words", words);
    const plays = this._replay.isPlaying || (this.source !== null && !this.source.isPaused);
    this._set("play", plays ? "Pause" : "Play");
    const live = this.source !== null && !this.source.pause;
    this._element("play").disabled = live; // what a microphone hears cannot be paused
    this._element("to-now").hidden = at_s === null;
    this._set("to-now", this.source === null ? "To the end" : "Back to now");
  }

  _set(id, text) {
    const element = this._element(id);
    if (element.textContent !== text) element.textContent = text;
  }

  _setVolume() {
    const share = Number(this._element("volume").value);
    this._replay.volume = share;
    if (this.source !== null) this.source.volume = share;
  }

  _save(form, ending) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(this.recording[form]());
    link.download = `turnstream.${ending}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser reads it meanwhile
  }

  _key(event, onescape) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
    if (event.key === "Escape") {
      if (this._replay.isPlaying) this.toggle();
      else onescape();
      return;
    }
    if (this.recording === null || event.target.closest?.(BUSY)) return;
    const at_s = this.at_s ?? this.recording.to_s;
    const keys = {
      " ": () => this.toggle(),
      ArrowLeft: () => this.seek(at_s - STEP_S),
      ArrowRight: () => this.seek(at_s + STEP_S),
      Home: () => this.seek(this.recording.from_s),
      End: () => this.seek(null),
    };
    if (keys[event.key] === undefined) return;
    event.preventDefault();
    keys[event.key]();
  }
}

/** Let a canvas be dragged in time. `perSecond` gives its pixels per second. */
export function dragInTime(canvas, timeline, perSecond) {
  canvas.addEventListener("pointerdown", ({ clientX, pointerId, button }) => {
    if (button !== 0 || timeline.recording === null) return;
    const start_s = timeline.at_s ?? timeline.recording.to_s;
    canvas.setPointerCapture(pointerId);
    canvas.onpointermove = (move) => {
      timeline.seek(start_s - (move.clientX - clientX) / perSecond());
    };
    canvas.onpointerup = canvas.onpointercancel = () => { canvas.onpointermove = null; };
  });
}
