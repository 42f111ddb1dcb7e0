// Predicts turn-taking in this process: in a browser tab or in Node, without a server. It does what
// TurnPredictor does in Python, without the pause model, which is 55 MB, and without warnings about
// the audio.
//
//   import * as ort from "onnxruntime-web/wasm";
//   const predictor = await TurnPredictor.create({ ort, sampleRate: 48000, channels: 1 });
//   for (const { timeS, pShift, events } of await predictor.pushAudio(samples)) ...

import { Engine } from "./engine.js";
import { FloorTracker } from "./floor.js";
import { TurnPolicy } from "./policy.js";
import { policySettings } from "./policy_settings.js";
import { checkRate, StreamingResampler } from "./resample.js";

const MAX_WAITING_S = 60; // of audio in calls that wait for others
const BLOCK_S = 1; // resampled at once: bounds the memory, whatever the length of a call's audio
const MAX_LEVEL = 8; // floats above this are unscaled integers
const SILENCE_DBFS = -120;

export class TurnPredictor {
  /**
   * Load a model, and begin a conversation.
   *
   * @param {object} settings
   *   ort, model, metadata: see Engine.load; model may also be a loaded Engine, which conversations
   *   can share.
   *   sampleRate: of the pushed audio, an integer from 8000 to 192000 Hz.
   *   channels: 1 for the user alone, 2 for user and other.
   *   policy: name of a preset, or null for no events.
   *   policyValues: values that replace those of the preset, such as { end_threshold: 0.8 }.
   * @throws {Error} the model cannot be read or run; TypeError, RangeError: a setting is wrong
   */
  static async create({ ort, model, metadata, ...settings } = {}) {
    const checked = checkSettings(settings);
    const engine = model instanceof Engine ? model : await Engine.load({ ort, model, metadata });
    return new TurnPredictor(engine, checked);
  }

  /** @private use `create` */
  constructor(engine, { sampleRate, channels, policy }) {
    this.engine = engine;
    this.sampleRate = sampleRate;
    this.channels = channels;
    this._resampler = new StreamingResampler(sampleRate, engine.sampleRate, channels);
    this._settings = policy;
    this._last = Promise.resolve(); // calls are answered one after the other
    this._waiting = 0; // samples of the calls that are not answered yet
    this._begin();
  }

  /**
   * Add audio and predict on every frame that it completes. How the audio is cut changes nothing.
   * A call may come before the last one is answered; at most 60 s of audio may wait so.
   *
   * @param {Float32Array|Int16Array} samples any number; floats in [-1, 1]; of two channels
   *   interleaved (user, other, user, other ...). They are copied.
   * @returns {Promise<object[]>} the predictions; see index.d.ts
   * @throws {TypeError|RangeError} the samples are wrong or too many; nothing was added
   */
  async pushAudio(samples) {
    const rows = separated(samples, this.channels);
    const count = rows[0].length;
    const most = MAX_WAITING_S * this.sampleRate;
    if (this._waiting > 0 && this._waiting + count > most) {
      const got = `${this._waiting + count} samples`;
      throw new RangeError(
        `expected at most ${most} samples (${MAX_WAITING_S} s) to wait, got ${got}; `
        + "await pushAudio, or push less",
      );
    }
    this._waiting += count;
    return this._inTurn(async () => {
      try {
        return await this._push(rows);
      } finally {
        this._waiting -= count;
      }
    });
  }

  /** Fill the last frame with silence; gives its prediction. More audio may follow. */
  flush() {
    return this._inTurn(async () => {
      const predictions = await this._take(this._resampler.flush());
      if (this._filled > 0) {
        const { frameSamples } = this.engine;
        for (let channel = 0; channel < this.channels; channel++) {
          const start = channel * frameSamples;
          this._frame.fill(0, start + this._filled, start + frameSamples);
        }
        predictions.push(await this._step());
      }
      return predictions;
    });
  }

  /** Forget the conversation: the next frame is frame 0 at time 0 of a new one. */
  reset() {
    return this._inTurn(async () => this._begin());
  }

  /** Change the policy from the next frame on. Turns in progress continue. */
  configure({ policy, policyValues }) {
    this._settings = checkPolicy(policy, policyValues);
    if (this._settings === null) this._policy = null;
    else if (this._policy === null) this._policy = new TurnPolicy(this._settings);
    else this._policy.settings = this._settings;
  }

  /**
   * End a speaker's turn now, because you know that it is over.
   *
   * @param {number} speaker 0 user, 1 other
   * @returns {Promise<object[]>} the end_of_turn; nothing if the speaker is not in a turn
   */
  async endTurn(speaker = 0) {
    if (speaker !== 0 && speaker !== 1) {
      throw new RangeError(`speaker: expected 0 or 1, got ${speaker}`);
    }
    return this._inTurn(async () => {
      if (this._policy === null) throw new Error("endTurn: expected a policy, got none");
      return this._policy.endTurn(speaker);
    });
  }

  _begin() {
    this._resampler.reset();
    this._frame = new Float32Array(2 * this.engine.frameSamples); // the user's samples come first
    this._filled = 0; // of each channel
    this._state = this.engine.initState();
    this._floor = new FloorTracker();
    this._policy = this._settings === null ? null : new TurnPolicy(this._settings);
    this._frames = 0; // predictions made
  }

  _inTurn(work) {
    const done = this._last.then(work);
    this._last = done.catch(() => {}); // its caller is told; the next call has its own chance
    return done;
  }

  async _push(rows) {
    const predictions = [];
    const most = BLOCK_S * this.sampleRate;
    for (let at = 0; at < rows[0].length; at += most) {
      const block = rows.map((row) => row.subarray(at, at + most));
      for (const one of await this._take(this._resampler.push(block))) predictions.push(one);
    }
    return predictions;
  }

  /** Predict on samples at the model's rate. */
  async _take(rows) {
    const predictions = [];
    const { frameSamples } = this.engine;
    for (let at = 0; at < rows[0].length; ) {
      const end = Math.min(rows[0].length, at + frameSamples - this._filled);
      rows.forEach((row, channel) => {
        this._frame.set(row.subarray(at, end), channel * frameSamples + this._filled);
      });
      this._filled += end - at;
      at = end;
      if (this._filled === frameSamples) predictions.push(await this._step());
    }
    return predictions;
  }

  async _step() {
    const { frameSamples, sampleRate } = this.engine;
    this._filled = 0;
    const user = this._frame.subarray(0, frameSamples);
    const levelDbfs = [levelOf(user), levelOf(this._frame.subarray(frameSamples))];
    const outputs = await this.engine.step(this._frame, this._state);
    this._state = outputs.next_state;
    this._floor.update(outputs.vad, frameSamples / sampleRate, levelDbfs);
    const { active, holder } = this._floor;
    const pShift = holder === null ? null : outputs.p_next[1 - holder];
    const prediction = {
      frame: this._frames,
      timeS: ((this._frames + 1) * frameSamples) / sampleRate,
      holder,
      pShift,
      pHold: pShift === null ? null : 1 - pShift,
      vad: outputs.vad,
      pNow: outputs.p_now,
      pFuture: outputs.p_future,
      pNext: outputs.p_next,
      pBackchannel: outputs.p_backchannel,
      latent: outputs.latent,
      latentSpeaker: outputs.latent_speaker,
      active,
      levelDbfs,
      events: [],
    };
    this._frames += 1;
    if (this._policy !== null) prediction.events = this._policy.update(prediction);
    return prediction;
  }
}

function checkSettings(settings) {
  const { sampleRate = 16000, channels = 2, policy = "balanced", policyValues, ...rest } = settings;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) {
    throw new TypeError(
      "expected the settings ort, model, metadata, sampleRate, channels, policy and policyValues, "
      + `got ${unknown}`,
    );
  }
  checkRate("sampleRate", sampleRate);
  if (channels !== 1 && channels !== 2) {
    throw new RangeError(`channels: expected 1 or 2, got ${channels}`);
  }
  return { sampleRate, channels, policy: checkPolicy(policy, policyValues) };
}

function checkPolicy(policy, values = {}) {
  if (policy !== null) return policySettings(policy, values);
  const [name] = Object.keys(values);
  if (name !== undefined) {
    throw new TypeError(`policyValues: expected none without a policy, got ${name}`);
  }
  return null;
}

/** One Float32Array for each channel, in [-1, 1]. */
function separated(samples, channels) {
  const isInt16 = samples instanceof Int16Array;
  if (!isInt16 && !(samples instanceof Float32Array)) {
    const got = samples?.constructor?.name ?? String(samples);
    throw new TypeError(`expected samples as Float32Array or Int16Array, got ${got}`);
  }
  if (samples.length % channels !== 0) {
    const got = `${samples.length} values`;
    throw new RangeError(`expected whole samples of ${channels} channels, got ${got}`);
  }
  const wrong = isInt16 ? undefined : samples.find((value) => !(Math.abs(value) <= MAX_LEVEL));
  if (wrong !== undefined) {
    throw new RangeError(
      `expected float samples in [-1, 1], got ${wrong}; integer audio must be given as Int16Array`,
    );
  }
  const count = samples.length / channels;
  const scale = isInt16 ? 1 / 32768 : 1;
  return Array.from({ length: channels }, (_, channel) => {
    const row = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      row[i] = Math.max(-1, Math.min(1, samples[i * channels + channel] * scale));
    }
    return row;
  });
}

/** RMS level of samples without their mean, in dB re full scale. */
function levelOf(samples) {
  let [sum, squares] = [0, 0];
  for (const value of samples) {
    sum += value;
    squares += value * value;
  }
  const power = squares / samples.length - (sum / samples.length) ** 2;
  return power > 10 ** (SILENCE_DBFS / 10) ? 10 * Math.log10(power) : SILENCE_DBFS;
}
