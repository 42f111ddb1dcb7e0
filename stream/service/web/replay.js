// Plays kept sound from any time on, in pieces, so that it needs memory for two pieces only.

const PIECE_S = 5;

export class Replay {
  constructor() {
    this.onend = () => {}; // the end of the recording was reached
    this._volume = 1;
    this._context = null;
    this._gain = null;
  }

  get isPlaying() {
    return this._context !== null;
  }

  /** Seconds of the recording that sound now. */
  get position_s() {
    return this._from_s + Math.max(0, this._context.currentTime - this._startedAt);
  }

  /** @param {number} share from 0 to 1 */
  set volume(share) {
    this._volume = share;
    if (this._gain !== null) this._gain.gain.value = share;
  }

  /** To be called in the very moment of the user's click or key. */
  play(recording, from_s) {
    this.stop();
    const context = new AudioContext();
    context.resume();
    this._context = context;
    this._gain = new GainNode(context, { gain: this._volume });
    this._gain.connect(context.destination);
    this._recording = recording;
    this._from_s = this._next_s = Math.max(from_s, recording.from_s);
    this._startedAt = context.currentTime + 0.05; // time to make the first piece
    this._schedule();
    this._schedule();
  }

  stop() {
    this._context?.close();
    this._context = this._gain = null;
  }

  _schedule() {
    const context = this._context;
    const { sampleRate, channels } = this._recording;
    const sound = this._recording.read(this._next_s, PIECE_S);
    const length = sound[0].length;
    if (length === 0) return;
    const buffer = new AudioBuffer({ length, numberOfChannels: channels, sampleRate });
    sound.forEach((row, channel) => buffer.copyToChannel(row, channel));
    const piece = new AudioBufferSourceNode(context, { buffer });
    piece.connect(this._gain);
    piece.start(this._startedAt + this._next_s - this._from_s);
    this._next_s += length / sampleRate;
    piece.onended = () => {
      if (this._context !== context) return;
      if (this.position_s < this._recording.to_s - 0.02) {
        this._schedule();
        return;
      }
      this.stop();
      this.onend();
    };
  }
}
