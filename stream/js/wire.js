// What travels between a TurnstreamClient and its server: samples, latents and refusals.

const LATENT_KINDS = { 1: "latent", 2: "latent_speaker" };
const LATENT_HEADER_BYTES = 20;
export const BYTES_A_SAMPLE = { pcm_s16le: 2, pcm_f32le: 4 };

/**
 * Why there is no session, or none any more: `code` is the server's, or unreachable, refused,
 * unreachable_or_refused, lost, gone (the server does not know the session any more), shutdown (it
 * is being stopped) or closed.
 */
export class TurnstreamError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "TurnstreamError";
    this.code = code;
  }
}

/** Of a message: bytes, or characters of JSON. */
export function size(wire) {
  return typeof wire === "string" ? wire.length : wire.byteLength;
}

/** Little-endian bytes of samples. */
export function encode(samples, encoding) {
  const bytes = BYTES_A_SAMPLE[encoding];
  const view = new DataView(new ArrayBuffer(samples.length * bytes));
  const scale = samples instanceof Int16Array ? 1 / 32768 : 1;
  for (let i = 0; i < samples.length; i++) {
    const value = samples[i] * scale;
    if (bytes === 4) view.setFloat32(4 * i, value, true);
    else view.setInt16(2 * i, Math.max(-32768, Math.min(32767, Math.round(value * 32768))), true);
  }
  return view.buffer;
}

/**
 * {type: "latent", frame, kind, rows, columns, values}: values is a Float32Array, the user's row
 * first.
 */
export function parseLatents(buffer) {
  const view = new DataView(buffer);
  const [rows, columns] = [view.getUint16(16, true), view.getUint16(18, true)];
  const magic = String.fromCharCode(...new Uint8Array(buffer, 0, 4));
  if (magic !== "TSLT" || buffer.byteLength !== LATENT_HEADER_BYTES + 4 * rows * columns) {
    const got = `${buffer.byteLength} bytes that start with ${magic}`;
    throw new TurnstreamError("bad_message", `expected latents with header TSLT, got ${got}`);
  }
  const values = new Float32Array(rows * columns);
  for (let i = 0; i < values.length; i++) {
    values[i] = view.getFloat32(LATENT_HEADER_BYTES + 4 * i, true);
  }
  const frame = Number(view.getBigUint64(8, true));
  return { type: "latent", frame, kind: LATENT_KINDS[view.getUint8(5)], rows, columns, values };
}

/**
 * A browser does not tell why a websocket was refused; the same address, asked over plain HTTP,
 * does, if it is that of the page.
 */
export async function why(url) {
  const address = new URL(url);
  address.protocol = url.protocol === "wss:" ? "https:" : "http:";
  if (globalThis.location && address.origin !== location.origin) {
    const silent = `no server answers at ${url.host}, or it refuses`;
    const message = `${silent}; pages from elsewhere are not told why`;
    return new TurnstreamError("unreachable_or_refused", message);
  }
  try {
    const response = await fetch(address, { cache: "no-store" });
    if (response.status === 426) {
      return new TurnstreamError("refused", "the server closed the connection before it began");
    }
    return new TurnstreamError(`http_${response.status}`, (await response.text()).trim());
  } catch {
    return new TurnstreamError("unreachable", `no server answers at ${url.host}`);
  }
}
