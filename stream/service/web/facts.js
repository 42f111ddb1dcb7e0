// What the page is told at its start, by its server or by the files beside it.

import { Plane } from "./plane.js";

/** {presets, plane, servers, place}; null for each that is not told. */
export async function readFacts() {
  const [presets, plane, servers, place] = await Promise.all([
    known("v1/presets"),
    known("plane.json", (words) => new Plane(words)),
    known("v1/servers"),
    known("v1/page"),
  ]);
  return { presets, plane, servers, place };
}

async function known(path, read = (words) => words) {
  try {
    const response = await fetch(path);
    return response.ok ? read(await response.json()) : null;
  } catch {
    return null;
  }
}
