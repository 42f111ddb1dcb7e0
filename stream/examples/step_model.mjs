// Steps an exported model 20 ms at a time, with only onnxruntime-web (npm install onnxruntime-web).
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web";

const USAGE = `Usage: node step_model.mjs MODEL.onnx RECORDING.wav

The recording is 16 kHz, stereo, 16 bit; the first channel is the user. Prints columns of
\`turnstream predict\` as CSV. step_model.py is the same program in Python.`;

const [model, recording] = process.argv.slice(2);
if (process.argv.length !== 4) exit(USAGE);
const session = await ort.InferenceSession.create(readFileSync(model));
// onnxruntime-web does not show the file's metadata, so `turnstream export` also writes MODEL.json.
const about = JSON.parse(readFileSync(model.replace(/\.onnx$/, ".json")));
const { frame_samples: size, sample_rate_hz: rateHz } = about; // 320 samples, 16 kHz
const pcm = readWav(recording); // two channels, each N samples in [-1, 1)

let state = new ort.Tensor(new Float32Array(about.state.size), [1, about.state.size]);
let [active, alone, holder] = [[false, false], 0, null];
console.log("time_s,holder,p_shift,vad_0,vad_1");
for (let end = size; end <= pcm[0].length; end += size) {
  const frames = pcm.map((samples) => samples.subarray(end - size, end));
  const audio = new ort.Tensor(Float32Array.from([...frames[0], ...frames[1]]), [1, 2, size]);
  const outputs = await session.run({ audio, state });
  const [vad, pNext] = [outputs.vad.data, outputs.p_next.data];
  state = outputs.next_state;
  const before = active;
  active = before.map((on, i) => vad[i] >= (on ? 0.35 : 0.5));
  const speaker = active[0] === active[1] ? null : active.indexOf(true); // who speaks alone
  if (speaker === null || String(active) !== String(before)) alone = 0;
  if (speaker !== null && level(frames[speaker]) >= 0.001) alone += 1; // -60 dBFS
  if (alone >= 5) holder = speaker; // the last who spoke alone for 0.1 s
  const shift = holder === null ? ["", ""] : [holder, pNext[1 - holder].toFixed(5)];
  console.log([(end / rateHz).toFixed(2), ...shift, vad[0].toFixed(5), vad[1].toFixed(5)].join());
}

function readWav(path) {
  const wav = readFileSync(path);
  const chunks = {}; // name: bytes
  for (let at = 12, length; at + 8 <= wav.length; at += 8 + length + (length % 2)) {
    length = wav.readUInt32LE(at + 4);
    chunks[wav.toString("latin1", at, at + 4)] = wav.subarray(at + 8, at + 8 + length);
  }
  const { "fmt ": format, data } = chunks;
  const found = [format.readUInt16LE(2), format.readUInt32LE(4), format.readUInt16LE(14)];
  if (String(found) !== String([2, rateHz, 16])) {
    exit(`expected 2 channels, ${rateHz} Hz, 16 bit; got ${found.join(", ")}`);
  }
  const sample = (at) => data.readInt16LE(at) / 32768;
  const length = data.length >> 2;
  return [0, 2].map((at) => Float32Array.from({ length }, (_, i) => sample(4 * i + at)));
}

function level(samples) {
  const mean = samples.reduce((sum, x) => sum + x, 0) / size;
  return Math.sqrt(samples.reduce((sum, x) => sum + (x - mean) ** 2, 0) / size);
}

function exit(message) {
  console.error(message);
  process.exit(1);
}
