// Times of TurnPredictor in this JavaScript engine. It imports nothing, so that a browser can load
// it, too.

/**
 * Push audio in blocks of 20 ms, as a microphone gives it.
 *
 * @returns {Promise<object>} {load_ms: of the model; push_ms, step_ms: one number for each frame}
 */
export async function times({ ort, lib, model, metadata, samples, sampleRate }) {
  const began = performance.now();
  const engine = await lib.Engine.load({ ort, model, metadata });
  const load_ms = performance.now() - began;
  const predictor = await lib.TurnPredictor.create({ model: engine, sampleRate, channels: 2 });
  const push_ms = [];
  const block = 2 * Math.round(sampleRate / 50);
  for (let at = 0; at < samples.length; at += block) {
    const start = performance.now();
    await predictor.pushAudio(samples.subarray(at, at + block));
    push_ms.push(performance.now() - start);
  }
  const step_ms = [];
  const audio = new Float32Array(2 * engine.frameSamples).map(() => 0.1 * (Math.random() - 0.5));
  let state = engine.initState();
  for (let frame = 0; frame < push_ms.length; frame++) {
    const start = performance.now();
    ({ next_state: state } = await engine.step(audio, state));
    step_ms.push(performance.now() - start);
  }
  return { load_ms, push_ms, step_ms };
}
