// What was heard and said, for replay and export: the newest five minutes, in the memory of this
// page alone.

/**
 * Older sound and predictions are forgotten. Five minutes of two channels at 48 kHz are 58 MB of
 * 16-bit sound; the predictions are at most 5 MB more.
 */
export const KEPT_S = 300;
const MAX_MESSAGES = 20_000; // 300 s of frames, and as many events as no conversation has
const FORGOTTEN_AT_ONCE = 1000;

export class Recording {
  /** @param {number} channels of interleaved sound */
  constructor(sampleRate, channels, title) {
    Object.assign(this, { sampleRate, channels, title });
    this._seconds = []; // Int16Array of one second each, in a ring
    this._samples = 0; // of each channel, since the start
    this._messages = []; // {time_s, json}
  }

  /** Seconds of sound that can be replayed: from the first kept second to the newest sample. */
  get from_s() {
    return Math.max(0, Math.floor(this._samples / this.sampleRate) - KEPT_S);
  }

  get to_s() {
    return this._samples / this.sampleRate;
  }

  /** @param {Float32Array} block interleaved, in [-1, 1] */
  addSound(block) {
    for (let at = 0; at < block.length; ) {
      const [second, place, room] = this._place(this._samples);
      if (place === 0) this._seconds[second] = new Int16Array(room);
      const values = Math.min(room, block.length - at);
      for (let i = 0; i < values; i++) {
        const value = Math.round(32768 * block[at + i]);
        this._seconds[second][place + i] = Math.max(-32768, Math.min(32767, value));
      }
      at += values;
      this._samples += values / this.channels;
    }
  }

  /** A frame or an event. */
  addMessage({ latency_ms: _, ...message }) {
    this._messages.push({ time_s: message.time_s, json: JSON.stringify(message) });
    if (this._messages.length > MAX_MESSAGES) this._messages.splice(0, FORGOTTEN_AT_ONCE);
  }

  /** Sound from a time on, one Float32Array for each channel; shorter at the end. */
  read(from_s, seconds) {
    const first = Math.round(Math.max(from_s, this.from_s) * this.sampleRate);
    const wanted = Math.round(seconds * this.sampleRate);
    const count = Math.max(0, Math.min(wanted, this._samples - first));
    const sound = Array.from({ length: this.channels }, () => new Float32Array(count));
    for (let at = 0; at < count; ) {
      const [second, place, room] = this._place(first + at);
      const samples = Math.min(room / this.channels, count - at);
      sound.forEach((row, channel) => {
        for (let i = 0; i < samples; i++) {
          row[at + i] = this._seconds[second][place + this.channels * i + channel] / 32768;
        }
      });
      at += samples;
    }
    return sound;
  }

  /** The kept sound as a file: 16 bits, all channels. */
  toWav() {
    const first = this.from_s * this.sampleRate;
    const bytes = 2 * this.channels * (this._samples - first);
    const parts = [wavHeader(this.sampleRate, this.channels, bytes)];
    for (let sample = first; sample < this._samples; sample += this.sampleRate) {
      const values = this.channels * Math.min(this.sampleRate, this._samples - sample);
      parts.push(littleEndian(this._seconds[this._place(sample)[0]].subarray(0, values)));
    }
    return new Blob(parts, { type: "audio/wav" });
  }

  /** Frames and events as JSON Lines, as they came, after a line about the sound. */
  toLines() {
    const { title, from_s, to_s, sampleRate: sample_rate, channels } = this;
    const about = { type: "recording", title, from_s, to_s, sample_rate, channels };
    const kept = this._messages.filter(({ time_s }) => time_s > from_s).map(({ json }) => json);
    const text = [JSON.stringify(about), ...kept].join("\n") + "\n";
    return new Blob([text], { type: "application/jsonl" });
  }

  /** Where a sample lies: which second of the ring, which value in it, and values from there on. */
  _place(sample) {
    const second = Math.floor(sample / this.sampleRate);
    const place = this.channels * (sample - second * this.sampleRate);
    return [second % (KEPT_S + 1), place, this.channels * this.sampleRate - place];
  }
}

function wavHeader(sampleRate, channels, bytes) {
  const view = new DataView(new ArrayBuffer(44));
  const letters = (at, text) => {
    for (let i = 0; i < text.length; i++) view.setUint8(at + i, text.charCodeAt(i));
  };
  letters(0, "RIFF");
  view.setUint32(4, 36 + bytes, true);
  letters(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, channels, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, 2 * channels * sampleRate, true);
  view.setUint16(32, 2 * channels, true);
  view.setUint16(34, 16, true);
  letters(36, "data");
  view.setUint32(40, bytes, true);
  return view.buffer;
}

function littleEndian(values) {
  const view = new DataView(new ArrayBuffer(2 * values.length));
  values.forEach((value, i) => view.setInt16(2 * i, value, true));
  return view.buffer;
}
