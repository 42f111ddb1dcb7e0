// A loaded model, which steps a conversation by one frame. ONNX Runtime is given by the caller:
// the module "onnxruntime-web/wasm" or "onnxruntime-node".

import { checkRate } from "./resample.js";

const FORMAT_VERSION = 1;
const PROBABILITIES = ["vad", "p_now", "p_future", "p_next", "p_backchannel"];
const LATENTS = ["latent", "latent_speaker"];

// The files that come with the package, in bundlers, too.
const BUNDLED = {
  float32: {
    model: new URL("./model/turnstream.onnx", import.meta.url),
    metadata: new URL("./model/turnstream.json", import.meta.url),
  },
  int8: {
    model: new URL("./model/turnstream.int8.onnx", import.meta.url),
    metadata: new URL("./model/turnstream.int8.json", import.meta.url),
  },
};

/** A model. It keeps no conversation, so several predictors can share it. */
export class Engine {
  /**
   * Load a model.
   *
   * @param {object} settings
   *   ort: the module of ONNX Runtime.
   *   model: address or path of an .onnx file of `turnstream export`, or its bytes; without it the
   *   model of the package, "int8" is the same in int8.
   *   metadata: the JSON beside the model, as an object, an address or a path; without it the
   *   model's address with .json.
   * @throws {Error} a file cannot be read, or is no model of turnstream
   */
  static async load({ ort, model = "float32", metadata } = {}) {
    if (typeof ort?.InferenceSession?.create !== "function" || typeof ort.Tensor !== "function") {
      throw new TypeError(
        "ort: expected the module of ONNX Runtime (onnxruntime-web or onnxruntime-node), "
        + `got ${ort === null ? "null" : typeof ort}`,
      );
    }
    const isNamed = typeof model === "string" && Object.hasOwn(BUNDLED, model);
    const files = isNamed ? { ...BUNDLED[model] } : { model };
    if (metadata !== undefined) files.metadata = metadata;
    const about = readMetadata(await metadataOf(files));
    const bytes = await read("model", files.model);
    let session;
    try {
      session = await ort.InferenceSession.create(bytes, {
        intraOpNumThreads: 1, // fastest for single frames
        interOpNumThreads: 1,
        logSeverityLevel: 3,
      });
    } catch (error) {
      const reason = firstLine(error);
      throw new Error(`model: expected an ONNX model that ONNX Runtime can run: ${reason}`);
    }
    const engine = new Engine(ort, session, about);
    await engine._tryOneFrame();
    return engine;
  }

  /** @private use `load` */
  constructor(ort, session, metadata) {
    this.metadata = metadata; // as it is in the JSON
    this._ort = ort;
    this._session = session;
    this._names = [...PROBABILITIES, ...LATENTS, "next_state"];
  }

  get frameSamples() {
    return this.metadata.frame_samples;
  }

  get sampleRate() {
    return this.metadata.sample_rate_hz;
  }

  /** The state before the first frame: zeros. */
  initState() {
    const { size } = this.metadata.state;
    return new this._ort.Tensor("float32", new Float32Array(size), [1, size]);
  }

  /**
   * Advance a conversation by one frame.
   *
   * @param {Float32Array} audio frameSamples of the user, then as many of the other
   * @param {object} state from initState or the last step
   * @returns {Promise<object>} {vad, p_now, ...: arrays of 2; latent, latent_speaker: Float32Array,
   *   the user's row first; next_state}
   * @throws {Error} an output is NaN or infinite
   */
  async step(audio, state) {
    const input = new this._ort.Tensor("float32", audio, [1, 2, this.frameSamples]);
    const tensors = await this._session.run({ audio: input, state }, this._names);
    const outputs = { next_state: tensors.next_state };
    for (const name of PROBABILITIES) outputs[name] = Array.from(tensors[name].data);
    for (const name of LATENTS) outputs[name] = tensors[name].data;
    for (const name of [...PROBABILITIES, ...LATENTS]) {
      if (!outputs[name].every(Number.isFinite)) {
        throw new Error(`expected finite outputs of the model, got NaN or infinity in ${name}`);
      }
    }
    return outputs;
  }

  /** Let go of the model's memory. */
  async release() {
    await this._session.release();
  }

  /** Throw an Error if the graph does not do what the metadata promises. */
  async _tryOneFrame() {
    let outputs;
    try {
      outputs = await this.step(new Float32Array(2 * this.frameSamples), this.initState());
    } catch (error) {
      throw new Error(`model: expected one that fits its metadata, got: ${firstLine(error)}`);
    }
    for (const name of [...PROBABILITIES, ...LATENTS]) {
      const promised = this.metadata.outputs[name].shape.reduce((a, b) => a * b);
      if (outputs[name].length !== promised) {
        const got = `the graph gives ${outputs[name].length}`;
        throw new Error(`model: the metadata promises ${promised} values of ${name}, ${got}`);
      }
    }
  }
}

async function metadataOf({ model, metadata }) {
  const isPlace = (value) => typeof value === "string" || value instanceof URL;
  if (metadata !== undefined && !isPlace(metadata)) return metadata;
  if (metadata === undefined && !isPlace(model)) {
    throw new TypeError("metadata: expected the JSON beside the model, got none");
  }
  const place = metadata ?? String(model).replace(/\.onnx$/, ".json");
  const text = new TextDecoder().decode(await read("metadata", place));
  try {
    return JSON.parse(text);
  } catch {
    const got = JSON.stringify(text.slice(0, 40));
    throw new Error(`metadata: expected JSON at ${place}, got ${got}`);
  }
}

/** The metadata, if a model can be run by what it says. */
function readMetadata(about) {
  if (typeof about !== "object" || about === null || !("format_version" in about)) {
    const expected = "the JSON that `turnstream export` writes beside a model";
    throw new TypeError(`metadata: expected ${expected}, got ${shown(about)}`);
  }
  if (about.format_version !== FORMAT_VERSION) {
    throw new Error(`metadata: expected format ${FORMAT_VERSION}, got ${about.format_version}`);
  }
  if (about.input !== "pcm") {
    throw new Error(`metadata: expected a model whose input is pcm, got ${about.input}`);
  }
  checkRate("metadata: sample_rate_hz", about.sample_rate_hz);
  const sizes = { frame_samples: about.frame_samples, state: about.state?.size };
  for (const [name, size] of Object.entries(sizes)) {
    if (!Number.isInteger(size) || size < 1) {
      throw new Error(`metadata: expected a size of ${name} from 1, got ${size}`);
    }
  }
  for (const name of [...PROBABILITIES, ...LATENTS]) {
    if (!Array.isArray(about.outputs?.[name]?.shape)) {
      throw new Error(`metadata: expected an output ${name} with its shape, got none`);
    }
  }
  return about;
}

/** The bytes of an address, of a path (in Node) or of an array. */
async function read(name, source) {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (source instanceof Uint8Array) return source;
  if (typeof source !== "string" && !(source instanceof URL)) {
    const got = source === null ? "null" : typeof source;
    throw new TypeError(`${name}: expected an address, a path or bytes, got ${got}`);
  }
  const files = globalThis.process?.getBuiltinModule?.("node:fs/promises"); // Node alone has them
  try {
    if (files !== undefined && !/^(https?|blob|data):/i.test(source)) {
      return await files.readFile(/^file:/i.test(source) ? new URL(source) : source);
    }
    const response = await fetch(source);
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw new Error(`${name}: expected a file at ${source}, got: ${firstLine(error)}`);
  }
}

function shown(value) {
  return String(JSON.stringify(value)).slice(0, 60);
}

function firstLine(error) {
  return String(error?.message ?? error).split("\n", 1)[0].slice(0, 200);
}
