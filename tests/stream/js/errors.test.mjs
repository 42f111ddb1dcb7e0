// What is wrong is told once and clearly, and leaves the conversation as it was. test_package.py
// runs this file with the vectors' folder in TURNSTREAM_VECTORS.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import * as ort from "onnxruntime-web";

import { Engine, policySettings, TurnPredictor } from "../../../stream/js/index.js";
import { samplesOf } from "./parity.mjs";

const [vector] = JSON.parse(
  readFileSync(join(process.env.TURNSTREAM_VECTORS, "predictor.json"), "utf8"),
);
const metadata = JSON.parse(readFileSync(vector.model.replace(".onnx", ".json"), "utf8"));
const engine = await Engine.load({ ort, model: vector.model });
const create = (settings) => TurnPredictor.create({ model: engine, ...settings });
const silence = (seconds) => new Float32Array(2 * 16000 * seconds);

const SETTINGS = [
  [{ sampleRate: 7999 }, /^sampleRate: expected an integer from 8000 to 192000 Hz, got 7999$/],
  [{ sampleRate: "16000" }, /^sampleRate: expected an integer/],
  [{ channels: 3 }, /^channels: expected 1 or 2, got 3$/],
  [{ policy: "hasty" }, /^policy: expected one of fast, balanced, patient; got "hasty"$/],
  [{ policyValues: { end_treshold: 1 } }, /^expected values of a policy .*, got "end_treshold"$/],
  [{ policyValues: { end_threshold: 2 } }, /^end_threshold: expected a number from 0 to 1, got 2$/],
  [{ policyValues: { end_threshold: "1" } }, /^end_threshold: .*, got "1"$/],
  [{ policyValues: { start_secs: NaN } }, /^start_secs: expected a number from 0 to 60, got NaN$/],
  [{ policyValues: { eager_threshold: 0.9 } }, /^expected eager values of at most end_/],
  [{ policyValues: { timeout_secs: 0.1 } }, /^expected timeout_secs >= end_silence_secs \(0.4\)/],
  [{ policy: null, policyValues: { start_secs: 1 } }, /^policyValues: expected none without/],
  [{ sample_rate: 8000 }, /^expected the settings ort, model, .*, got sample_rate$/],
];

for (const [settings, message] of SETTINGS) {
  test(`a wrong setting is told: ${JSON.stringify(settings)}`, async () => {
    await assert.rejects(create(settings), { message });
  });
}

test("a preset's settings are those of the file, and changed values are checked", () => {
  assert.equal(policySettings("patient", { end_threshold: 0.8 }).end_threshold, 0.8);
  assert.throws(() => policySettings("toString"), /got "toString"/);
});

const MODELS = [
  [{}, /^ort: expected the module of ONNX Runtime .*, got undefined$/],
  [{ ort: null }, /^ort: .*, got null$/],
  [{ ort, model: "missing.onnx" }, /^metadata: expected a file at missing.json, got: ENOENT/],
  [{ ort, model: "missing.onnx", metadata }, /^model: expected a file at missing.onnx, got:/],
  [{ ort, model: 7, metadata }, /^model: expected an address, a path or bytes, got number$/],
  [{ ort, model: new Uint8Array(4) }, /^metadata: expected the JSON beside the model, got none$/],
  [{ ort, model: new Uint8Array(4), metadata }, /^model: expected an ONNX model that ONNX/],
  [{ ort, model: vector.model, metadata: [] }, /^metadata: expected the JSON that .*, got \[\]$/],
  [{ ort, model: vector.model, metadata: null }, /^metadata: expected the JSON/],
  [
    { ort, model: vector.model, metadata: { ...metadata, format_version: 2 } },
    /^metadata: expected format 1, got 2$/,
  ],
  [
    { ort, model: vector.model, metadata: { ...metadata, input: "mel" } },
    /^metadata: expected a model whose input is pcm, got mel$/,
  ],
  [
    { ort, model: vector.model, metadata: { ...metadata, state: { size: 0.5 } } },
    /^metadata: expected a size of state from 1, got 0.5$/,
  ],
  [
    { ort, model: vector.model, metadata: { ...metadata, sample_rate_hz: "16000" } },
    /^metadata: sample_rate_hz: expected an integer from 8000/,
  ],
  [
    { ort, model: vector.model, metadata: { ...metadata, outputs: {} } },
    /^metadata: expected an output vad with its shape, got none$/,
  ],
  [
    { ort, model: vector.model, metadata: { ...metadata, state: { size: 7 } } },
    /^model: expected one that fits its metadata, got: /,
  ],
  [
    {
      ort,
      model: vector.model,
      metadata: { ...metadata, outputs: { ...metadata.outputs, latent: { shape: [2, 5] } } },
    },
    /^model: the metadata promises 10 values of latent, the graph gives 256$/,
  ],
];

for (const [settings, message] of MODELS) {
  test(`what is no model is told: ${message.source}`, async () => {
    await assert.rejects(Engine.load(settings), { message });
  });
}

test("metadata that is no JSON is told with its beginning", async () => {
  const path = join(mkdtempSync(join(tmpdir(), "turnstream-")), "m.json");
  writeFileSync(path, "<!doctype html>");
  const message = `metadata: expected JSON at ${path}, got "<!doctype html>"`;
  await assert.rejects(Engine.load({ ort, model: vector.model, metadata: path }), { message });
});

const SAMPLES = [
  [[0, 0], /^expected samples as Float32Array or Int16Array, got Array$/],
  [new Float64Array(2), /^expected samples as .*, got Float64Array$/],
  [undefined, /^expected samples as .*, got undefined$/],
  [new Float32Array(3), /^expected whole samples of 2 channels, got 3 values$/],
  [Float32Array.of(0, NaN), /^expected float samples in \[-1, 1\], got NaN/],
  [Float32Array.of(0, Infinity), /^expected float samples in \[-1, 1\], got Infinity/],
  [Float32Array.of(0, 1000), /^expected .*, got 1000; integer audio must be given as Int16Array$/],
];

for (const [samples, message] of SAMPLES) {
  test(`wrong samples are told, and nothing is added: ${message.source}`, async () => {
    const predictor = await create({});
    await predictor.pushAudio(silence(0.01));
    await assert.rejects(predictor.pushAudio(samples), { message });
    assert.deepEqual((await predictor.pushAudio(silence(0.01))).map(({ frame }) => frame), [0]);
  });
}

test("floats a little above full scale are clipped", async () => {
  const [loud, full] = await Promise.all([1.5, 1].map(async (peak) => {
    const predictor = await create({});
    return predictor.pushAudio(silence(0.1).fill(peak, 0, 800));
  }));
  assert.deepEqual(loud, full);
});

test("calls that do not wait are answered in order, until 60 s of audio wait", async () => {
  const predictor = await create({ policy: null });
  const answers = [1, 2, 3].map(() => predictor.pushAudio(silence(0.5)));
  const rest = Promise.all([...answers, predictor.flush()]);
  await assert.rejects(predictor.pushAudio(silence(59)), {
    message: /^expected at most 960000 samples \(60 s\) to wait, got 968000 samples; await/,
  });
  const frames = (await rest).flat().map(({ frame }) => frame);
  assert.deepEqual(frames, Array.from({ length: 75 }, (_, frame) => frame));
});

test("one call may have any length", async () => {
  const predictor = await create({ sampleRate: 8000, channels: 1 });
  assert.equal((await predictor.pushAudio(new Int16Array(61 * 8000))).length, 61 * 50 - 1);
});

test("a model that gives NaN is told, and the next call has its own chance", async () => {
  const predictor = await create({});
  const run = async (feeds, names) => {
    const outputs = await engine._session.run(feeds, names);
    outputs.p_now.data[1] = NaN;
    return outputs;
  };
  predictor.engine = Object.create(engine, { _session: { value: { run } } });
  const message = "expected finite outputs of the model, got NaN or infinity in p_now";
  await assert.rejects(predictor.pushAudio(silence(0.02)), { message });
  predictor.engine = engine;
  assert.equal((await predictor.pushAudio(silence(0.02))).length, 1);
});

test("after a reset the conversation begins anew", async () => {
  const predictor = await create({ sampleRate: 44100 });
  const noise = Float32Array.from({ length: 88200 }, (_, i) => Math.sin(i * i) / 2);
  const first = await predictor.pushAudio(noise);
  await predictor.reset();
  assert.deepEqual(await predictor.pushAudio(noise), first);
});

test("a turn is ended by the application, and only where there is one", async () => {
  const predictor = await create({ sampleRate: vector.sampleRate });
  const samples = samplesOf(vector).subarray(0, 2 * 2 * vector.sampleRate);
  assert.deepEqual(await predictor.endTurn(), []);
  await predictor.pushAudio(samples); // 2 s, in which the user speaks
  const [{ type, trigger, speaker }] = await predictor.endTurn();
  assert.deepEqual([type, trigger, speaker], ["end_of_turn", "forced", 0]);
  await assert.rejects(predictor.endTurn(2), { message: "speaker: expected 0 or 1, got 2" });
  predictor.configure({ policy: null });
  await assert.rejects(predictor.endTurn(), { message: "endTurn: expected a policy, got none" });
  assert.throws(() => predictor.configure({ policy: "hasty" }), /policy: expected one of/);
});

test("thresholds that are changed hold from the next frame on", async () => {
  const samples = samplesOf(vector);
  const never = { end_threshold: 1, end_silence_secs: 5, timeout_secs: 60 };
  const predictor = await create({ sampleRate: vector.sampleRate, policyValues: never });
  const half = 2 * 2 * vector.sampleRate;
  await predictor.pushAudio(samples.subarray(0, half));
  predictor.configure({ policy: "balanced" });
  const events = (await predictor.pushAudio(samples.subarray(half))).flatMap((p) => p.events);
  const expected = vector.predictions.flatMap((p) => p.events).filter(({ timeS }) => timeS > 2);
  assert.deepEqual(events.map(({ type }) => type), expected.map(({ type }) => type));
});
