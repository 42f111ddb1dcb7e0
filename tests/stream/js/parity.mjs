// Compares the package with the vectors of vectors.py. It imports nothing, so that a browser can
// load it, too.

const PROBABILITIES = ["vad", "pNow", "pFuture", "pNext", "pBackchannel"];
const NUMBERS = [...PROBABILITIES, "pShift", "pHold", "levelDbfs"];
const EXACT = ["frame", "timeS", "holder", "active"];
const EVENT = ["type", "speaker", "timeS", "turnIndex", "trigger"];

/** Blocks of interleaved samples; sizes are per channel, and repeat. */
export function cut(samples, channels, sizes) {
  const blocks = [];
  for (let at = 0, i = 0; at < samples.length; i++) {
    const end = at + channels * sizes[i % sizes.length];
    blocks.push(samples.subarray(at, end));
    at = end;
  }
  return blocks;
}

/** Numbers from 1 to most that look random, the same every time. */
export function sizesUpTo(most, count = 100) {
  let seed = 7;
  return Array.from({ length: count }, () => {
    seed = (seed * 48271) % 2147483647;
    return 1 + (seed % most);
  });
}

export function samplesOf(vector) {
  const bytes = Uint8Array.from(atob(vector.samples), (letter) => letter.charCodeAt(0));
  return new Int16Array(bytes.buffer);
}

/** All predictions for blocks of audio, the last frame filled up. */
export async function predictAll(predictor, blocks) {
  const predictions = [];
  for (const block of blocks) predictions.push(...(await predictor.pushAudio(block)));
  return predictions.concat(await predictor.flush());
}

/** {difference: the largest of all probabilities and latents, mismatches: what is not equal}. */
export function comparePredictions(vector, predictions) {
  const mismatches = [];
  let difference = 0;
  const near = (a, b) => { difference = Math.max(difference, ...differences(a, b)); };
  if (predictions.length !== vector.predictions.length) {
    mismatches.push(`${predictions.length} predictions, not ${vector.predictions.length}`);
  }
  vector.predictions.forEach((expected, frame) => {
    const got = predictions[frame];
    for (const name of NUMBERS) near(got[name], expected[name]);
    mismatches.push(...unequal(EXACT, got, expected, frame));
    mismatches.push(...compareEvents(got.events, expected.events, frame));
    got.events.forEach((event, i) => near(event.probability, expected.events[i]?.probability));
  });
  for (const name of ["latent", "latentSpeaker"]) near([...predictions.at(-1)[name]], vector[name]);
  return { difference, mismatches };
}

/** The same for a policy that is given planted probabilities; its numbers are exact. */
export function comparePolicy(vector, { FloorTracker, TurnPolicy, policySettings }) {
  const floor = new FloorTracker();
  const policy = new TurnPolicy(policySettings(vector.policy, vector.policyValues));
  const mismatches = [];
  vector.frames.forEach((frame, index) => {
    floor.update(frame.vad, 0.02, frame.levelDbfs);
    const { holder, active } = floor;
    mismatches.push(...unequal(["holder", "active"], { holder, active }, frame, index));
    const timeS = ((index + 1) * 320) / 16000;
    const events = policy.update({ ...frame, frame: index, timeS, active });
    mismatches.push(...compareEvents(events, frame.events, index, [...EVENT, "probability"]));
    if (frame.endTurn !== undefined) {
      const ended = policy.endTurn(frame.endTurn.speaker);
      mismatches.push(...compareEvents(ended, frame.endTurn.events, index));
    }
  });
  return mismatches;
}

/** The largest difference of a resampler's outputs. */
export function compareResampling(vector, StreamingResampler, sizes) {
  const { inputRate, outputRate, inputs, outputs } = vector;
  const resampler = new StreamingResampler(inputRate, outputRate, 2);
  const blocks = inputs.map((row) => cut(Float32Array.from(row), 1, sizes));
  const found = blocks[0].map((_, i) => resampler.push(blocks.map((rows) => rows[i])));
  found.push(resampler.flush());
  const rows = outputs.map((_, channel) => found.flatMap((block) => [...block[channel]]));
  return { rows, difference: Math.max(...rows.flatMap((row, i) => differences(row, outputs[i]))) };
}

function compareEvents(got, expected, frame, names = EVENT) {
  if (got.length !== expected.length) {
    return [`frame ${frame}: events ${JSON.stringify(got)}, not ${JSON.stringify(expected)}`];
  }
  return got.flatMap((event, i) => unequal(names, event, expected[i], frame));
}

function unequal(names, got, expected, frame) {
  return names
    .map((name) => [name, JSON.stringify(got[name]), JSON.stringify(expected[name])])
    .filter(([, one, other]) => one !== other)
    .map(([name, one, other]) => `frame ${frame}: ${name} ${one}, not ${other}`);
}

/** The largest difference of two numbers or lists; infinite if only one has a number. */
function differences(got, expected) {
  const [ours, theirs] = [[got].flat(), [expected].flat()];
  if (ours.length !== theirs.length) return [Infinity];
  let largest = 0;
  ours.forEach((value, i) => {
    const apart = value === null && theirs[i] === null ? 0 : Math.abs(value - theirs[i]);
    largest = Math.max(largest, Number.isNaN(apart) ? Infinity : apart);
    if ((value === null) !== (theirs[i] === null)) largest = Infinity;
  });
  return [largest];
}
