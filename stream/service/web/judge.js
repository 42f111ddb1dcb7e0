// Judges the pauses of a conversation as they come, remembers what was said of each, and in
// “Talk to it” answers when it is time.

import { Reply } from "./reply.js";
import { PauseScore } from "./score.js";
import { Verdict, verdictWords } from "./verdict.js";

const MAX_LOG = 8192; // changes of the words, of which a pause has about ten
const FORGOTTEN_AT_ONCE = 1024;
// An answer is the other's speech once it has lasted so long: who goes on before was cut off.
const REPLY_COUNTS_S = 1;

export class Judge {
  constructor() {
    this.reply = new Reply();
    this.onnote = () => {}; // (words about the answer)
    this.begin(["You", "The other"], 0.7, false);
  }

  /** @param {boolean} talks whether the page answers: it is the other speaker then */
  begin(names, timer_s, talks) {
    this.reply.stop();
    Object.assign(this, { names, talks });
    this.inTurn = [false, false]; // as the events say
    this._verdict = new Verdict();
    this._now = 0;
    this._log = [];
    this.countAnew(timer_s);
  }

  /** Count from here on: what was counted belongs to other settings. */
  countAnew(timer_s) {
    this._score = new PauseScore(timer_s, this._now);
    this._remember(0, true);
  }

  /**
   * Before the frame's events.
   * @param {number[] | null} levels of both channels in dB of full scale
   * @param {object | null} settings of the policy
   * @param {boolean} timerDecides when to answer
   * @param {AudioContext} context for the answer
   * @returns the frame as the pictures show it, with the page's own speech
   */
  onFrame(frame, levels, settings, timerDecides, context) {
    this._now = frame.time_s;
    const { reply, talks } = this;
    const counted = talks ? [frame.vad[0], Number(reply.spoken_s >= REPLY_COUNTS_S)] : frame.vad;
    const loudness = levels && [levels[0], talks ? 0 : levels[1]];
    const scored = this._score.onFrame(frame.time_s, counted, loudness);
    this._verdict.onFrame(frame, this._score, scored, settings, this.inTurn);
    this._remember(settings?.end_threshold ?? 0, scored.length > 0);
    if (!talks) return frame;
    if (timerDecides && this._score.pauseOf(0)?.timer_at_s === frame.time_s) reply.start(context);
    if (reply.isSpeaking && this._score.isSpeaking(0)) {
      reply.stop();
      this.onnote("You cut in, and the page fell silent.");
    }
    return { ...frame, vad: [frame.vad[0], Number(reply.isSpeaking)] };
  }

  onEvent(event, settings, timerDecides, context) {
    if (event.type === "start_of_turn") this.inTurn[event.speaker] = true;
    if (event.type === "end_of_turn") this.inTurn[event.speaker] = false;
    this._score.onEvent(event);
    this._verdict.onEvent(event);
    this._remember(settings?.end_threshold ?? 0, false);
    const done = event.type === "end_of_turn" && event.speaker === 0;
    if (this.talks && done && !timerDecides) this.reply.start(context);
  }

  /** What was said at a time, and the score then: {words, score}; null: now. */
  at(time_s) {
    const found = time_s === null ? -1 : this._log.findLastIndex((entry) => entry.time_s <= time_s);
    return this._log.at(Math.max(found, time_s === null ? -1 : 0));
  }

  /** Nothing is heard any more. */
  end() {
    this.reply.stop();
  }

  _remember(endThreshold, always) {
    const words = verdictWords(this._verdict, this.names, endThreshold);
    const last = this._log.at(-1)?.words;
    if (!always && Object.keys(words).every((part) => words[part] === last?.[part])) return;
    const { counts, timer, timer_s, pauses, holds, shifts } = this._score;
    const score = { counts: { ...counts }, timer: { ...timer }, timer_s, pauses, holds, shifts };
    this._log.push({ time_s: this._now, words, score });
    if (this._log.length > MAX_LOG) this._log.splice(0, FORGOTTEN_AT_ONCE);
  }
}
