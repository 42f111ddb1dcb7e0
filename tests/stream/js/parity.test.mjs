// The package gives what Python gives. test_package.py runs this file with the vectors' folder in
// TURNSTREAM_VECTORS.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import * as ort from "onnxruntime-web";

import { FloorTracker } from "../../../stream/js/floor.js";
import { Engine, policySettings, TurnPredictor } from "../../../stream/js/index.js";
import { TurnPolicy } from "../../../stream/js/policy.js";
import { StreamingResampler } from "../../../stream/js/resample.js";
import * as parity from "./parity.mjs";

const vectors = (name) => {
  return JSON.parse(readFileSync(join(process.env.TURNSTREAM_VECTORS, `${name}.json`), "utf8"));
};
const WAYS_TO_CUT = {
  "whole": [Infinity],
  "sample by sample": [1],
  "in an odd size": [37],
  "longer than a block": [50_021],
  "at random": parity.sizesUpTo(3000),
};

// WebAssembly rounds in another way, and in int8 that can move a value by a whole step.
const tolerance = (model) => (model.includes("int8") ? 0.02 : 1e-4);

const create = ({ model, sampleRate, channels, policy, policyValues }) => {
  return TurnPredictor.create({ ort, model, sampleRate, channels, policy, policyValues });
};

for (const vector of vectors("predictor")) {
  const { model, sampleRate, channels } = vector;
  const name = `${model.split("/").at(-1)} at ${sampleRate} Hz, channels: ${channels}`;
  test(`predictions equal Python's: ${name}`, async () => {
    const samples = parity.samplesOf(vector);
    const predictor = await create(vector);
    const predictions = await parity.predictAll(predictor, parity.cut(samples, channels, [4096]));
    const { difference, mismatches } = parity.comparePredictions(vector, predictions);
    assert.deepEqual(mismatches, []);
    assert.ok(difference < tolerance(model), `largest difference ${difference}`);
    assert.ok(predictions.some(({ events }) => events.length > 0), "no event was compared");
  });
}

test("how the audio is cut changes no bit, nor does float instead of int16", async () => {
  const [vector] = vectors("predictor");
  const samples = parity.samplesOf(vector).subarray(0, 2 * 24_000);
  const engine = await Engine.load({ ort, model: vector.model });
  const seen = new Map();
  for (const [way, sizes] of Object.entries(WAYS_TO_CUT)) {
    const predictor = await create({ ...vector, model: engine });
    const blocks = parity.cut(samples, 2, sizes);
    seen.set(way, JSON.stringify(await parity.predictAll(predictor, blocks)));
  }
  const floats = Float32Array.from(samples, (value) => value / 32768);
  seen.set("floats", JSON.stringify(await parity.predictAll(
    await create({ ...vector, model: engine }), [floats],
  )));
  assert.equal(new Set(seen.values()).size, 1, [...seen.keys()].join(", "));
});

test("a state that is lost after every frame is noticed", async () => {
  const [vector] = vectors("predictor");
  const predictor = await create(vector);
  const zeros = predictor._state;
  const { engine } = predictor;
  predictor.engine = Object.create(engine, {
    step: { value: (audio) => engine.step(audio, zeros) },
  });
  const predictions = await parity.predictAll(predictor, [parity.samplesOf(vector)]);
  assert.ok(parity.comparePredictions(vector, predictions).difference > 0.05);
});

test("events equal Python's for planted probabilities", () => {
  const types = new Set();
  const triggers = new Set();
  for (const vector of vectors("policy")) {
    const mismatches = parity.comparePolicy(vector, { FloorTracker, TurnPolicy, policySettings });
    assert.deepEqual(mismatches, []);
    for (const { events, endTurn } of vector.frames) {
      for (const { type, trigger } of [...events, ...(endTurn?.events ?? [])]) {
        types.add(type);
        triggers.add(trigger);
      }
    }
  }
  assert.equal(types.size, 6);
  assert.deepEqual([...triggers].sort(), ["forced", "model", null, "other_spoke", "timeout"]);
});

for (const vector of vectors("resample")) {
  test(`resampling equals Python's: ${vector.inputRate} to ${vector.outputRate} Hz`, () => {
    const ways = Object.values(WAYS_TO_CUT).map((sizes) => {
      return parity.compareResampling(vector, StreamingResampler, sizes);
    });
    for (const { difference, rows } of ways) {
      assert.ok(difference < 2e-6, `largest difference ${difference}`);
      assert.deepEqual(rows, ways[0].rows);
    }
  });
}
