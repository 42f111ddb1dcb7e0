// The newest minutes of the conversation in rings of fixed size (0.8 MB): what the pictures are
// drawn from.

const CAPACITY = 16384; // frames, 327 s: a little more than recording.js keeps
const MAX_EVENTS = 1024;

export class History {
  constructor() {
    const ring = () => new Float32Array(CAPACITY).fill(NaN);
    this.vad = [ring(), ring()];
    this.level = [ring(), ring()]; // 0 to 1, of the sound sent
    this.decibels = [ring(), ring()]; // the same, in dB of full scale
    this.shift = ring();
    this.holder = ring(); // NaN: nobody
    this.place = [ring(), ring(), ring(), ring()]; // x, y of the user; x, y of the other
    this.events = [];
    this.clear();
  }

  clear() {
    this.newest = -1; // frame
    this.latest = null; // frame message
    this.frameRate = 50;
    this.events.length = 0;
    const rings = [
      ...this.vad, ...this.level, ...this.decibels, this.shift, this.holder, ...this.place,
    ];
    for (const ring of rings) ring.fill(NaN);
  }

  cell(frame) {
    return frame % CAPACITY;
  }

  knows(frame) {
    return frame >= 0 && frame <= this.newest && frame > this.newest - CAPACITY;
  }

  /** The frame that ends at a time, as far as the captions need it; null if it is not known. */
  frameAt(time_s) {
    const frame = Math.min(this.newest, Math.ceil(time_s * this.frameRate) - 1);
    const cell = this.cell(frame);
    if (!this.knows(frame) || Number.isNaN(this.vad[0][cell])) return null;
    const holder = Number.isNaN(this.holder[cell]) ? null : this.holder[cell];
    return { vad: this.vad.map((ring) => ring[cell]), holder, p_shift: this.shift[cell] };
  }

  /** Levels of both channels in a frame, in dB of full scale; null if they are not known. */
  levelsAt(frame) {
    const levels = this.decibels.map((ring) => ring[this.cell(frame)]);
    return levels.some(Number.isNaN) ? null : levels;
  }

  /** [x, y] of a speaker in the plane at a time; null if it is not known. */
  placeAt(time_s, speaker) {
    const frame = Math.min(this.newest, Math.ceil(time_s * this.frameRate) - 1);
    const [x, y] = [0, 1].map((axis) => this.place[2 * speaker + axis][this.cell(frame)]);
    return this.knows(frame) && !Number.isNaN(x) ? [x, y] : null;
  }

  addFrame(message) {
    const cell = this.cell(message.frame);
    const first = Math.max(this.newest + 1, message.frame - CAPACITY);
    for (let frame = first; frame < message.frame; frame++) this._blank(this.cell(frame));
    this._blank(cell);
    this.vad[0][cell] = message.vad[0];
    this.vad[1][cell] = message.vad[1];
    if (message.holder !== null) {
      this.shift[cell] = message.p_shift;
      this.holder[cell] = message.holder;
    }
    this.newest = message.frame;
    this.latest = message;
  }

  _blank(cell) {
    for (const ring of [...this.vad, this.shift, this.holder, ...this.place]) ring[cell] = NaN;
  }

  /**
   * How loud a frame was in dB of full scale; -55 dB are drawn as 0, -12 dB as 1. Comes before its
   * prediction.
   */
  addLevel(frame, channel, decibels) {
    this.decibels[channel][this.cell(frame)] = decibels;
    this.level[channel][this.cell(frame)] = Math.max(0, Math.min(1, (decibels + 55) / 43)) ** 1.5;
  }

  addPlace(frame, speaker, x, y) {
    this.place[2 * speaker][this.cell(frame)] = x;
    this.place[2 * speaker + 1][this.cell(frame)] = y;
  }

  addEvent(event) {
    const before = this.events.at(-1);
    const cutIn = before?.type === "interruption" && before.time_s === event.time_s;
    if (event.type === "start_of_turn" && cutIn) return; // whoever cuts in begins
    this.events.push(event);
    if (this.events.length > MAX_EVENTS) this.events.shift();
  }
}

/** Cuts the sound that is sent into frames and tells how loud each is. */
export class LevelMeter {
  constructor(history, sampleRate, channels) {
    this._history = history;
    this._samplesPerFrame = sampleRate / history.frameRate;
    this._channels = channels;
    this._sums = new Float64Array(2);
    this._squares = new Float64Array(2);
    this._count = 0;
    this._samples = 0;
    this._frame = 0;
  }

  add(block) {
    for (let i = 0; i < block.length; i += this._channels) {
      for (let channel = 0; channel < this._channels; channel++) {
        this._sums[channel] += block[i + channel];
        this._squares[channel] += block[i + channel] ** 2;
      }
      this._count += 1;
      this._samples += 1;
      if (this._samples >= (this._frame + 1) * this._samplesPerFrame) this._finishFrame();
    }
  }

  _finishFrame() {
    for (let channel = 0; channel < 2; channel++) {
      const mean = this._sums[channel] / this._count;
      const power = this._squares[channel] / this._count - mean ** 2; // without the mean
      this._history.addLevel(this._frame, channel, 10 * Math.log10(Math.max(0, power) + 1e-12));
      this._sums[channel] = this._squares[channel] = 0;
    }
    this._count = 0;
    this._frame += 1;
  }
}

/** The median of the last values. */
export class Median {
  constructor(size = 500) {
    this._values = new Float64Array(size);
    this._count = 0;
  }

  add(value) {
    this._values[this._count++ % this._values.length] = value;
  }

  get value() {
    const count = Math.min(this._count, this._values.length);
    const known = this._values.subarray(0, count).slice().sort();
    return known.length ? known[known.length >> 1] : null;
  }
}
