// Puts the bundled model and the licence into the package before `npm pack`, and takes them out
// afterwards, so that the repository holds them once.

import { copyFileSync, mkdirSync, rmSync } from "node:fs";

const ROOT = new URL("../../", import.meta.url);
const COPIES = {
  "models/weights/turnstream.onnx": "model/turnstream.onnx",
  "models/weights/turnstream.json": "model/turnstream.json",
  "models/weights/turnstream.int8.onnx": "model/turnstream.int8.onnx",
  "models/weights/turnstream.int8.json": "model/turnstream.int8.json",
  "models/weights/MODEL_CARD.md": "model/MODEL_CARD.md",
  "LICENSE": "LICENSE",
};

const [action] = process.argv.slice(2);
if (action === "add") {
  mkdirSync(new URL("model", import.meta.url), { recursive: true });
  for (const [from, to] of Object.entries(COPIES)) {
    copyFileSync(new URL(from, ROOT), new URL(to, import.meta.url));
  }
} else if (action === "remove") {
  rmSync(new URL("model", import.meta.url), { recursive: true });
  rmSync(new URL("LICENSE", import.meta.url));
} else {
  console.error(`expected add or remove, got ${action}`);
  process.exitCode = 1;
}
