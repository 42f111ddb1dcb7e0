// The last seconds of the conversation in rings of fixed size: what the pictures are drawn from.

const CAPACITY = 2048; // frames, 41 s
const MAX_EVENTS = 128;

export class History {
  constructor() {
    const ring = () => new Float32Array(CAPACITY).fill(NaN);
    this.vad = [ring(), ring()];
    this.level = [ring(), ring()]; // 0 to 1, of the sound sent
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
    for (const ring of [...this.vad, ...this.level, this.shift, this.holder, ...this.place]) ring.fill(NaN);
  }

  cell(frame) {
    return frame % CAPACITY;
  }

  knows(frame) {
    return frame >= 0 && frame <= this.newest && frame > this.newest - CAPACITY;
  }

  addFrame(message) {
    const cell = this.cell(message.frame);
    for (let frame = Math.max(this.newest + 1, message.frame - CAPACITY); frame < message.frame; frame++) this._blank(this.cell(frame));
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

  /** How loud a frame was, from -55 dB (0) to -12 dB (1) of full scale; comes before its prediction. */
  addLevel(frame, channel, rms) {
    const decibels = 20 * Math.log10(rms + 1e-9);
    this.level[channel][this.cell(frame)] = Math.max(0, Math.min(1, (decibels + 55) / 43)) ** 1.5;
  }

  addPlace(frame, speaker, x, y) {
    this.place[2 * speaker][this.cell(frame)] = x;
    this.place[2 * speaker + 1][this.cell(frame)] = y;
  }

  addEvent(event) {
    const before = this.events.at(-1);
    if (event.type === "start_of_turn" && before?.type === "interruption" && before.time_s === event.time_s) return; // whoever cuts in begins
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
    this._count = 0;
    this._samples = 0;
    this._frame = 0;
  }

  add(block) {
    for (let i = 0; i < block.length; i += this._channels) {
      for (let channel = 0; channel < this._channels; channel++) this._sums[channel] += block[i + channel] ** 2;
      this._count += 1;
      this._samples += 1;
      if (this._samples >= (this._frame + 1) * this._samplesPerFrame) this._finishFrame();
    }
  }

  _finishFrame() {
    for (let channel = 0; channel < 2; channel++) {
      this._history.addLevel(this._frame, channel, Math.sqrt(this._sums[channel] / this._count));
      this._sums[channel] = 0;
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
    const known = this._values.subarray(0, Math.min(this._count, this._values.length)).slice().sort();
    return known.length ? known[known.length >> 1] : null;
  }
}
