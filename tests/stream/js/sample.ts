// Every use of the package that its types promise; `tsc --noEmit` checks it.

import * as web from "onnxruntime-web/wasm";

import {
  Engine,
  policySettings,
  PRESETS,
  TurnPredictor,
  TurnstreamClient,
  TurnstreamError,
} from "../../../stream/js/index.js";

export async function here(samples: Float32Array): Promise<number | null> {
  const predictor = await TurnPredictor.create({ ort: web, model: "m.onnx", channels: 1 });
  for (const { timeS, pShift, holder, events } of await predictor.pushAudio(samples)) {
    const end = events.find(({ type }) => type === "end_of_turn");
    if (end?.trigger === "model" && holder === end.speaker) return (pShift ?? 0) + timeS;
  }
  predictor.configure({ policy: "patient", policyValues: { end_threshold: 0.8 } });
  await predictor.endTurn(1);
  await predictor.reset();
  return (await predictor.flush()).at(-1)?.pHold ?? null;
}

export async function shared(): Promise<TurnPredictor[]> {
  const engine = await Engine.load({ ort: web, model: new Uint8Array(), metadata: "m.json" });
  console.log(engine.metadata.name, engine.sampleRate, PRESETS.fast.end_threshold);
  const settings = { model: engine, policy: null } as const;
  return Promise.all([TurnPredictor.create(settings), TurnPredictor.create(settings)]);
}

export async function there(samples: Int16Array): Promise<string> {
  const policyValues = { end_threshold: policySettings("fast").end_threshold };
  const client = new TurnstreamClient("ws://127.0.0.1:8765", { frames: 5, policyValues });
  client.on("frame", ({ p_shift, latency_ms }) => console.log(p_shift, latency_ms));
  const stop = client.on("end_of_turn", ({ speaker, time_s }) => console.log(speaker, time_s));
  client.on("end", (error) => console.log(error?.code));
  try {
    const { session } = await client.connect();
    client.pushAudio(samples);
    client.configure({ policy: "own", policyValues, start_secs: 0.2 });
    stop();
    return `${session} ended: ${(await client.close()).reason}`;
  } catch (error) {
    return error instanceof TurnstreamError ? error.code : "another error";
  }
}

// @ts-expect-error: there is no such preset
await TurnPredictor.create({ ort: web, policy: "hasty" });
// @ts-expect-error: without ONNX Runtime there is no model
await TurnPredictor.create({ model: "m.onnx" });
// @ts-expect-error: channels are 1 or 2
await TurnPredictor.create({ ort: web, channels: 3 });
