// A client of a turnstream server, for browsers and for Node 22 and later. PROTOCOL.md is the wire
// format.
//
//   const client = new TurnstreamClient("ws://127.0.0.1:8765", { sampleRate: 16000, channels: 1 });
//   client.on("end_of_turn", ({ speaker, time_s }) => {
//     console.log(speaker, "has finished at", time_s);
//   });
//   await client.connect();
//   client.pushAudio(samples); // Float32Array or Int16Array, interleaved if there are two channels
//   const { frames } = await client.close();
//
// A lost connection is resumed by itself while the server keeps the session: what the server has
// not received is sent again, and it sends what we have not received, so that nothing is lost and
// nothing comes twice. A browser cannot read pings; that the server has a message is known from its
// predictions, which tell how much audio it has heard. If the server saves its sessions, it may
// die, and only what it says is saved is forgotten.

import { BYTES_A_SAMPLE, encode, parseLatents, size, TurnstreamError, why } from "./wire.js";

export { TurnstreamError };

const STREAM_PATH = "/v1/stream";
const EVENTS = [
  "start_of_turn", "eager_end_of_turn", "turn_resumed",
  "end_of_turn", "backchannel", "interruption",
];
// Of what may have to be sent again; beyond it a lost connection cannot be resumed.
const MAX_KEPT_BYTES = 32 * 2 ** 20;
// Before the next attempt to resume; the last one again and again.
const RETRY_MS = [100, 250, 500, 1000, 2000];
// Without an answer to live audio, after which a connection that seems open is replaced.
const DEAD_MS = 5000;
// Close codes of a connection that broke (1006: without any), not of a session that ended.
const RESUMABLE = [1006, 1011, 1012, 1013];

export class TurnstreamClient {
  /**
   * @param {string} url of the server, with or without /v1/stream
   * @param {object} [settings] sampleRate (Hz), channels (1: the user; 2: user and other), encoding
   *   ("pcm_s16le" or "pcm_f32le"; of the protocol's encodings, this client sends these two),
   *   frames ("all", "none" or N), latents ("none", "final" or "all"), policy (a preset's name;
   *   without it the server's default), policyValues (values that replace those of the preset, such
   *   as { end_threshold: 0.8 }), token
   */
  constructor(url, {
    sampleRate = 16000, channels = 2, encoding = "pcm_s16le", frames = "all", latents = "none",
    policy = null, policyValues = {}, token = "",
  } = {}) {
    if (!(encoding in BYTES_A_SAMPLE)) {
      const known = Object.keys(BYTES_A_SAMPLE).join(" or ");
      throw new TypeError(`encoding: expected ${known}, got ${encoding}`);
    }
    this.settings = {
      sample_rate: sampleRate, channels, encoding, frames, latents,
      ...(policy !== null && { policy }), ...policyValues,
    };
    this.token = token;
    this.begin = null; // the server's first message, once connected
    this._url = new URL(url);
    if (this._url.pathname === "/" || this._url.pathname === "") this._url.pathname = STREAM_PATH;
    this._listeners = new Map();
    this._socket = null;
    // Messages of the server, `begin` the first; without resumed, saved and warnings.
    this._received = 0;
    this._sent = 0; // messages of ours
    this._kept = []; // those that may have to be sent again: {wire, number, end, epoch, sentAt}
    this._keptBytes = 0;
    this._forgotten = 0; // number of the last message that is not kept any more
    // Number of the last message before the one whose audio the newest prediction ended in.
    this._answered = 0;
    this._samples = 0; // per channel, since the last reset
    this._epoch = 0; // resets asked for
    this._heardEpoch = 0; // resets that the server has obeyed
    this._lastFrame = -1;
    this._ended = null; // the termination message or a TurnstreamError, once the session is over
    this._closing = null; // settles `close`
    this._retry = 0;
  }

  /**
   * Listen for messages: "begin", "configured", "frame", "latent", "event" (any turn event), each
   * event by its own name, "warning", "error", "termination", and the connection's own "lost",
   * "resumed" and "end" (a TurnstreamError, or null after a good end). A frame has `latency_ms`:
   * since the audio with its last sample was pushed. Returns a function that stops listening.
   */
  on(type, listener) {
    if (!this._listeners.has(type)) this._listeners.set(type, new Set());
    this._listeners.get(type).add(listener);
    return () => this._listeners.get(type).delete(listener);
  }

  /**
   * Open the session; gives the `begin` message or throws a TurnstreamError. Audio pushed before is
   * sent then.
   */
  connect() {
    if (this._opened) return Promise.reject(new Error("connect: expected one call, got another"));
    return new Promise((resolve, reject) => {
      this._opened = { resolve, reject };
      this._open(this._query({ ...this.settings }));
    });
  }

  /**
   * Audio of any length: Float32Array in [-1, 1] or Int16Array, interleaved (user, other, user,
   * other ...) when there are two channels.
   */
  pushAudio(samples) {
    if (!(samples instanceof Float32Array || samples instanceof Int16Array)) {
      const got = samples?.constructor?.name ?? String(samples);
      throw new TypeError(`expected samples as Float32Array or Int16Array, got ${got}`);
    }
    const { channels } = this.settings;
    if (samples.length % channels !== 0) {
      const expected = `expected whole samples of ${channels} channels`;
      throw new RangeError(`${expected}, got ${samples.length} values`);
    }
    if (samples.length === 0) return;
    this._samples += samples.length / channels;
    this._send(encode(samples, this.settings.encoding));
  }

  /** Change frames, latents, policy or policyValues from here on; "configured" tells what holds. */
  configure({ policyValues, ...change }) {
    Object.assign(change, policyValues);
    Object.assign(this.settings, change);
    this._control({ type: "configure", ...change });
  }

  /**
   * Tell that a turn is over: speaker 0 is the user, 1 the other. The `end_of_turn` has the trigger
   * "forced".
   */
  endTurn(speaker = 0) {
    this._control({ type: "end_turn", speaker });
  }

  /** Let the server predict on the last, unfinished frame. */
  flush() {
    if (this.begin !== null) {
      const frame = this.settings.sample_rate / this.begin.frame_rate_hz;
      // The server pads with silence.
      this._samples = Math.ceil(Math.ceil(this._samples / frame) * frame);
    }
    this._control({ type: "flush" });
  }

  /** Forget the conversation; the next frame is frame 0 of a new one. */
  reset() {
    this._epoch += 1;
    this._samples = 0;
    this._control({ type: "reset" });
  }

  /** For when no audio is sent for a while. */
  keepAlive() {
    this._control({ type: "keep_alive" });
  }

  /**
   * No more audio: gives the `termination` message once everything due has come, or throws a
   * TurnstreamError.
   */
  close() {
    if (this._ended instanceof TurnstreamError) return Promise.reject(this._ended);
    if (this._ended !== null) return Promise.resolve(this._ended);
    if (this._closing === null) {
      const promise = new Promise((resolve, reject) => { this._closing = { resolve, reject }; });
      this._closing.promise = promise;
      this._control({ type: "close" });
    }
    return this._closing.promise;
  }

  /** Let go of the connection at once, without waiting for anything. */
  abort() {
    this._finish(new TurnstreamError("closed", "closed by this side"));
  }

  /**
   * Go on with the session on a new connection now, whether or not the old one seems alive. A lost
   * connection does so by itself.
   */
  resume() {
    clearTimeout(this._timer);
    if (this._ended !== null || this.begin === null || !this.begin.resume_token) return;
    this._open(this._query({ resume: this.begin.resume_token, received: this._received }));
  }

  /** Bytes that wait to be taken by the network. */
  get waitingBytes() {
    return this._socket?.bufferedAmount ?? 0;
  }

  // ---- connection ----

  _query(settings) {
    const url = new URL(this._url);
    for (const [name, value] of Object.entries(settings)) url.searchParams.set(name, String(value));
    if (this.token) url.searchParams.set("token", this.token);
    return url;
  }

  _open(url) {
    // Unclosed: the server closes it when the session goes on over the new one, and a close from
    // here would end the session.
    this._leave();
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    this._socket = socket;
    this._live = false; // open, and the server has said what it has
    socket.onmessage = ({ data }) => this._receive(data);
    socket.onclose = ({ code, reason }) => this._closed(url, code, reason);
  }

  _leave() {
    const socket = this._socket;
    if (socket !== null) socket.onmessage = socket.onclose = null;
    this._socket = null;
    return socket;
  }

  async _closed(url, code, reason) {
    this._socket = null;
    this._live = false;
    if (this._ended !== null) return;
    if (this.begin === null) {
      const refusal = await why(url);
      const told = refusal.code === "refused" && reason;
      this._finish(told ? new TurnstreamError(reason.split(":")[0], reason) : refusal);
    } else if (!RESUMABLE.includes(code)) {
      const message = reason || `the server closed the connection (${code})`;
      this._finish(new TurnstreamError("lost", message));
    } else if (!this.begin.resume_token || !(this.begin.resume_s > 0)) {
      const message = "the connection was lost, and this server does not resume sessions";
      this._finish(new TurnstreamError("lost", message));
    } else {
      await this._tryAgain(url);
    }
  }

  async _tryAgain(url) {
    const now = performance.now();
    this._live = false;
    if (this._retry === 0) {
      this._lostAt = now;
      this._emit("lost", { resume_s: this.begin.resume_s });
    } else if (url.searchParams.has("resume")) {
      const refusal = await why(url);
      if (this._ended !== null) return;
      if (refusal.code.startsWith("http_4")) {
        const code = refusal.code === "http_410" ? "gone" : "lost";
        const lost = "the connection was lost and the session cannot be resumed";
        this._finish(new TurnstreamError(code, `${lost}: ${refusal.message}`));
        return;
      }
    }
    if (now - this._lostAt > 1000 * this.begin.resume_s) {
      const message = `the connection was lost for more than ${this.begin.resume_s} s`;
      this._finish(new TurnstreamError("lost", message));
      return;
    }
    const retry = Math.min(this._retry, RETRY_MS.length - 1);
    this._timer = setTimeout(() => this.resume(), RETRY_MS[retry]);
    this._retry += 1;
  }

  _finish(ended) {
    if (this._ended !== null) return;
    this._ended = ended;
    clearTimeout(this._timer);
    this._leave()?.close();
    this._kept = [];
    const failed = ended instanceof TurnstreamError;
    if (this._opened) this._opened[failed ? "reject" : "resolve"](failed ? ended : this.begin);
    if (this._closing) this._closing[failed ? "reject" : "resolve"](ended);
    this._emit("end", failed ? ended : null);
  }

  // ---- out ----

  _control(words) {
    this._send(JSON.stringify(words));
  }

  _send(wire) {
    if (this._ended !== null) return;
    this._sent += 1;
    const message = {
      wire, number: this._sent, end: this._samples, epoch: this._epoch, sentAt: performance.now(),
    };
    this._kept.push(message);
    this._keptBytes += size(wire);
    while (this._keptBytes > MAX_KEPT_BYTES) this._forget();
    if (this._live && this._isDead(message.sentAt)) this._tryAgain(this._url);
    else if (this._live) this._socket.send(wire);
  }

  /** A network that went away does not close its connections; predictions that stay away tell. */
  _isDead(now) {
    const { resume_token, resume_s } = this.begin;
    const answerable = this.settings.frames === "all" && resume_token && resume_s > 0;
    return answerable && now - this._unanswered.sentAt > DEAD_MS && now - this._heardAt > DEAD_MS;
  }

  _forget() {
    const message = this._kept.shift();
    this._keptBytes -= size(message.wire);
    this._forgotten = message.number;
    this._answered = Math.max(this._answered, message.number);
  }

  _forgetUpTo(number) {
    while (this._kept.length > 0 && this._kept[0].number <= number) this._forget();
  }

  /** The first message that no prediction has answered yet. */
  get _unanswered() {
    return this._kept[this._answered - this._forgotten];
  }

  /** Send everything after the server's count of our messages. */
  _sendAgain(received) {
    if (received < this._forgotten) {
      const lost = `messages ${received + 1} to ${this._forgotten}`;
      const message = `the server lost ${lost}, which are not kept any more`;
      this._finish(new TurnstreamError("lost", message));
      return;
    }
    if (!this.begin.saves) this._forgetUpTo(received);
    this._live = true;
    for (const { wire, number } of this._kept) if (number > received) this._socket.send(wire);
  }

  // ---- in ----

  _receive(wire) {
    this._heardAt = performance.now();
    if (typeof wire !== "string") {
      this._received += 1;
      this._emit("latent", parseLatents(wire));
      return;
    }
    const message = JSON.parse(wire);
    if (message.type === "saved") {
      this._forgetUpTo(message.received);
      return;
    }
    if (message.type === "resumed") {
      this._retry = 0;
      this._sendAgain(message.received);
      this._emit("resumed", { ...message, after_ms: performance.now() - this._lostAt });
      return;
    }
    this._received += message.type === "warning" ? (message.missed ?? 0) : 1;
    if (message.type === "frame") {
      message.latency_ms = this._confirm(message);
    } else if (message.type === "begin") {
      this.begin = message;
      this._sendAgain(0);
      this._opened.resolve(message);
    }
    this._emit(message.type, message);
    if (EVENTS.includes(message.type)) this._emit("event", message);
    if (message.type === "termination") {
      const closed = message.reason === "close";
      const shutdown = new TurnstreamError("shutdown", "the server is being stopped");
      this._finish(closed ? message : shutdown);
    }
    if (message.type === "error") this._finish(new TurnstreamError(message.code, message.message));
  }

  /**
   * Note what the server must have to have made this prediction; gives how long the prediction
   * took, or null if that is not known.
   */
  _confirm(frame) {
    if (frame.frame <= this._lastFrame) this._heardEpoch += 1;
    this._lastFrame = frame.frame;
    const heard = frame.time_s * this.settings.sample_rate - 1e-6;
    const before = ({ epoch, end }) =>
      epoch < this._heardEpoch || (epoch === this._heardEpoch && end < heard);
    while (this._unanswered !== undefined && before(this._unanswered)) this._answered += 1;
    if (!this.begin.saves) this._forgetUpTo(this._answered);
    const cause = this._unanswered;
    const known = cause?.epoch === this._heardEpoch && typeof cause.wire !== "string";
    return known ? performance.now() - cause.sentAt : null;
  }

  /** A listener that fails is reported as uncaught; the others and the session continue. */
  _emit(type, message) {
    for (const listener of this._listeners.get(type) ?? []) {
      try {
        listener(message);
      } catch (error) {
        queueMicrotask(() => { throw error; });
      }
    }
  }
}
