// Where the sound comes from: a microphone, or a recording that is played while it is sent. Both go
// through the same audio worklet, so that what is sent is what sounds, at the rate and in the time
// of the sound card.

const BLOCK_S = 0.02;
// So that every block ends a little after a frame of the model, for which the server's resampler
// waits 2 ms.
const FIRST_BLOCK_S = 0.024;

// A microphone may hear the other's voice from the loudspeaker: that echo is not the user speaking.
// Noise suppression and automatic gain stay off: the model learned from plain sound, and both
// change how a phrase fades out, which is what it listens to.
const MICROPHONE = { echoCancellation: true, noiseSuppression: false, autoGainControl: false };

/**
 * Why there is no sound: `code` is insecure, denied, missing, busy, undecodable, unreachable or
 * unsupported.
 */
export class SourceError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "SourceError";
    this.code = code;
  }
}

/**
 * The sound card. To be made in the very moment of the user's click: some browsers allow no sound
 * later.
 */
export function openContext() {
  // First: such a page has no AudioWorkletNode in any browser.
  if (!window.isSecureContext) throw insecure();
  if (!window.AudioContext || !window.AudioWorkletNode) {
    throw new SourceError("unsupported", "the browser has no AudioWorklet");
  }
  const context = new AudioContext();
  context.resume();
  return context;
}

/** The user's microphone, mono. The source closes the context. */
export async function openMicrophone(context = openContext()) {
  if (!navigator.mediaDevices?.getUserMedia) throw insecure();
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: MICROPHONE });
  } catch (error) {
    const codes = {
      NotAllowedError: "denied",
      SecurityError: "denied",
      NotFoundError: "missing",
      NotReadableError: "busy",
    };
    const code = codes[error.name] ?? "missing";
    throw new SourceError(code, error.message);
  }
  const source = await Source.open(context, context.createMediaStreamSource(stream), 1);
  const [track] = stream.getAudioTracks();
  track.onended = () => source.end("unplugged");
  track.onmute = () => source.say("muted");
  track.onunmute = () => source.say("unmuted");
  source.title = track.label || "microphone";
  source.onclose = () => track.stop();
  return source;
}

/**
 * A recording, mono or stereo (of more channels the first two), which is heard while it is sent.
 * The source closes the context.
 */
export async function openRecording(context, bytes, title) {
  let audio;
  try {
    audio = await context.decodeAudioData(bytes);
  } catch (error) {
    throw new SourceError("undecodable", error.message);
  }
  const player = context.createBufferSource();
  player.buffer = audio;
  const source = await Source.open(context, player, Math.min(2, audio.numberOfChannels));
  const gain = new GainNode(context);
  player.connect(gain).connect(context.destination);
  player.onended = () => source.end("finished");
  source.title = title;
  source.duration_s = audio.duration;
  source.pause = () => context.suspend(); // nothing is sent meanwhile either
  source.resume = () => context.resume();
  source.onvolume = (share) => { gain.gain.value = share; };
  source.onstart = () => player.start();
  return source;
}

function insecure() {
  return new SourceError("insecure", "the page is not open over https or from this machine");
}

class Source {
  /** Put the worklet behind a node. */
  static async open(context, node, channels) {
    if (!context.audioWorklet) throw insecure();
    const worklet = new URL("capture.worklet.js", import.meta.url);
    try {
      await context.audioWorklet.addModule(worklet);
    } catch {
      throw new SourceError("unreachable", `no server gives ${worklet}`);
    }
    return new Source(context, node, channels);
  }

  constructor(context, node, channels) {
    this.sampleRate = context.sampleRate;
    this.channels = channels;
    this.title = "";
    this.duration_s = null;
    this.pause = this.resume = null; // functions, where the sound can wait
    this.onvolume = () => {}; // (share, from 0 to 1)
    this.onblock = () => {}; // (Float32Array, interleaved)
    this.onend = () => {}; // (reason: finished, unplugged)
    this.onremark = () => {}; // (remark: muted, unmuted)
    this.onstart = () => {};
    this.onclose = () => {};
    this._context = context;
    this._node = node;
    const samples = (seconds) => Math.round(seconds * context.sampleRate);
    const [blockSamples, firstSamples] = [samples(BLOCK_S), samples(FIRST_BLOCK_S)];
    this._capture = new AudioWorkletNode(context, "turnstream-capture", {
      channelCount: channels,
      channelCountMode: "explicit",
      // A stereo microphone is mixed down; a recording keeps its channels apart.
      channelInterpretation: channels === 1 ? "speakers" : "discrete",
      processorOptions: { channels, blockSamples, firstSamples },
    });
    this._capture.connect(context.destination); // silent, but a node that leads nowhere may not run
    this._closed = false;
  }

  /** Begin to send blocks. */
  async start() {
    await this._context.resume();
    this._capture.port.onmessage = ({ data: { block } }) => {
      if (!this._closed) this.onblock(block);
    };
    this._node.connect(this._capture);
    this.onstart();
  }

  get isPaused() {
    return this._context.state === "suspended";
  }

  set volume(share) {
    this.onvolume(share);
  }

  /** For sound beside that of the source. */
  get context() {
    return this._context;
  }

  say(remark) {
    if (!this._closed) this.onremark(remark);
  }

  /** Hand on the last, unfinished block, then tell the end. */
  end(reason) {
    if (this._closed) return;
    this._capture.port.onmessage = ({ data: { block, asked } }) => {
      if (this._closed) return;
      if (block.length > 0) this.onblock(block);
      if (asked) this.onend(reason);
    };
    this._capture.port.postMessage("end");
  }

  /** Let go of the device. */
  close() {
    if (this._closed) return;
    this._closed = true;
    this._capture.port.onmessage = null;
    this.onclose();
    this._context.close();
  }
}
