// Tracks who is speaking and who holds the floor, as stream/floor.py does.

const VAD_ON = 0.5;
const VAD_OFF = 0.35; // below VAD_ON, so that a fluctuating probability does not split speech
const HOLDER_S = 0.1; // time alone that makes a speaker the holder; a click is shorter
const MIN_LEVEL_DBFS = -60; // a quieter frame does not make a holder

const SLACK_S = 1e-6; // far below a frame: 0.3 s is not exact in binary

/** Causal voice activity with hysteresis, and the floor holder: the last who spoke alone. */
export class FloorTracker {
  constructor() {
    this.active = [false, false]; // whether each speaker is speaking
    this.holder = null; // 0 user, 1 other; null before anyone has spoken alone
    this._aloneFrames = 0; // loud frames since the present speaker began to speak alone
  }

  /**
   * Update the activity and the holder by one frame.
   *
   * @param {number[]} vad probability that each speaker is speaking
   * @param {number} frameS length of the frame in seconds
   * @param {number[]} levelDbfs level of each channel in dB re full scale
   */
  update(vad, frameS, levelDbfs) {
    const before = this.active;
    this.active = before.map((was, speaker) => vad[speaker] >= (was ? VAD_OFF : VAD_ON));
    const [user, other] = this.active;
    if (user === other) {
      this._aloneFrames = 0;
      return;
    }
    const speaker = user ? 0 : 1;
    if (user !== before[0] || other !== before[1]) this._aloneFrames = 0;
    if (levelDbfs[speaker] >= MIN_LEVEL_DBFS) this._aloneFrames += 1;
    if (reached(this._aloneFrames * frameS, HOLDER_S)) this.holder = speaker;
  }
}

/** Whether a time counted in frames has reached a limit. */
export function reached(elapsedS, limitS) {
  return elapsedS > limitS - SLACK_S;
}
