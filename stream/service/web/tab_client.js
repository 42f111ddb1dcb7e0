// Runs the network in this tab, with the methods and messages of TurnstreamClient, as far as the
// page uses them. Nothing leaves the tab.

import { Engine, TurnPredictor, TurnstreamError } from "./index.js";

const DIGITS = 4; // of a probability, as a server sends them
const engines = new Map(); // promise of a loaded Engine by the model's address

export class TabClient {
  /**
   * @param {object} files addresses of the model, its metadata, the runtime and its wasm
   * @param {object} settings sampleRate (Hz), channels, policy (a preset's name), presets (settings
   *   by name; null: those of the package)
   */
  constructor(files, { sampleRate, channels, policy, presets }) {
    this._files = files;
    this._settings = { sampleRate, channels };
    this._policy = policy;
    this._presets = presets;
    this._layer = null; // whose latents are told
    this._listeners = new Map();
    this._predictor = null;
    this._isOver = false;
  }

  on(type, listener) {
    this._listeners.set(type, [...(this._listeners.get(type) ?? []), listener]);
  }

  /** Load the network, if this is the first conversation; gives the `begin` message. */
  async connect() {
    let engine;
    try {
      engine = await loaded(this._files);
      this._predictor = await TurnPredictor.create({
        model: engine, ...this._settings, ...this._choice(),
      });
    } catch (error) {
      throw new TurnstreamError("tab_failed", error.message);
    }
    const { name, version, quantized_from, weights_sha256, outputs } = engine.metadata;
    const size = (layer) => outputs[layer].shape[1];
    const begin = {
      type: "begin",
      model: { name, version, sha256: quantized_from ?? weights_sha256 },
      frame_rate_hz: engine.metadata.frame_rate_hz,
      latent_sizes: { latent: size("latent"), latent_speaker: size("latent_speaker") },
      settings: { sample_rate: this._settings.sampleRate, channels: this._settings.channels },
    };
    this._emit("begin", begin);
    return begin;
  }

  pushAudio(samples) {
    const pushedAt = performance.now();
    this._predictor.pushAudio(samples).then(
      (predictions) => { for (const one of predictions) this._tell(one, pushedAt); },
      (error) => this._finish(new TurnstreamError("tab_slow", error.message)),
    );
  }

  configure({ policy = this._policy, latents }) {
    if (latents !== undefined) this._layer = latents === "final" ? "latent" : "latent_speaker";
    this._policy = policy;
    this._predictor?.configure(this._choice());
  }

  keepAlive() {}

  async close() {
    const aborted = new Promise((resolve) => { this._onabort = () => resolve([]); });
    const predictions = await Promise.race([this._predictor.flush(), aborted]);
    for (const one of predictions) this._tell(one, null);
    this._finish(null);
  }

  abort() {
    this._isOver = true;
    this._onabort?.();
  }

  _choice() {
    const policyValues = this._presets?.[this._policy];
    return policyValues ? { policy: "balanced", policyValues } : { policy: this._policy };
  }

  /** The messages of one prediction, in the order of a server. */
  _tell(prediction, pushedAt) {
    if (this._isOver) return;
    const { frame, timeS: time_s, holder } = prediction;
    const latency_ms = pushedAt === null ? null : performance.now() - pushedAt;
    this._emit("frame", {
      type: "frame",
      frame,
      time_s,
      holder,
      p_shift: rounded(prediction.pShift),
      p_hold: rounded(prediction.pHold),
      vad: prediction.vad.map(rounded),
      p_now: prediction.pNow.map(rounded),
      p_future: prediction.pFuture.map(rounded),
      p_next: prediction.pNext.map(rounded),
      p_backchannel: prediction.pBackchannel.map(rounded),
      latency_ms,
    });
    if (this._layer !== null) {
      const values = this._layer === "latent" ? prediction.latent : prediction.latentSpeaker;
      this._emit("latent", { type: "latent", frame, kind: this._layer, values });
    }
    for (const { type, speaker, timeS, probability, turnIndex, trigger } of prediction.events) {
      this._emit("event", {
        type,
        speaker,
        time_s: timeS,
        probability: rounded(probability),
        turn_index: turnIndex,
        ...(trigger !== null && { trigger }),
      });
    }
  }

  _finish(error) {
    if (this._isOver) return;
    this._isOver = true;
    this._emit("end", error);
  }

  _emit(type, message) {
    for (const listener of this._listeners.get(type) ?? []) listener(message);
  }
}

async function loaded({ runtime, wasm, model, metadata }) {
  const address = (file) => new URL(file, import.meta.url).href;
  if (!engines.has(model)) {
    const loading = (async () => {
      const ort = await import(address(runtime));
      ort.env.wasm.numThreads = 1; // fastest for single frames
      ort.env.wasm.wasmPaths = { wasm: address(wasm) };
      return Engine.load({ ort, model: address(model), metadata: address(metadata) });
    })();
    engines.set(model, loading);
    loading.catch(() => engines.delete(model)); // so that the next start tries again
  }
  return engines.get(model);
}

function rounded(probability) {
  return probability === null ? null : Number(probability.toFixed(DIGITS));
}
