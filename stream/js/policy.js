// Turns predictions into turn events. The docstring of stream/policy.py has the rules; this is the
// same state machine, and the tests give both the same probabilities.

import { reached } from "./floor.js";

const BRIDGE_S = 0.2; // a shorter gap does not end a backchannel
const PIECES_S = 0.5; // pieces of speech within the other's turn count together across less
const LEVEL_S = 1; // time constant of a speaker's usual level
const LEVEL_FALL_DB = 10; // a second, of speech that is too quiet to start a turn

/** One speaker's state; times in seconds of audio. */
class Turn {
  constructor() {
    this.inTurn = false;
    this.speechStartS = null; // start of the present speech; null without any
    this.lastSpeechS = 0; // end of the last frame of speech
    this.eager = false; // eager_end_of_turn was sent in this silence
    this.overlapping = false; // this speech overlaps the other's turn and is not a turn yet
    this.backchannel = false; // this speech was judged to be a backchannel
    this.loudS = 0; // how much of this speech was loud enough to start a turn
    this.earlierS = 0; // loud speech of the pieces just before this one, outside a turn
    this.power = 0; // usual power of this speaker's turns; 0 before the first turn
    this.ended = 0; // number of turns that have ended
  }

  /** Whether a frame of speech is loud enough to start a turn. Updates the usual power. */
  isLoud(levelDbfs, frameS, settings) {
    if (levelDbfs < settings.min_level_dbfs) return false;
    if (this.inTurn) {
      const power = 10 ** (levelDbfs / 10);
      const change = (power - this.power) * Math.min(1, frameS / LEVEL_S);
      this.power += this.power ? change : power;
      return true;
    }
    const usual = 10 * Math.log10(this.power);
    if (this.power === 0 || levelDbfs >= usual - settings.speech_range_db) return true;
    this.power *= 10 ** ((-LEVEL_FALL_DB * frameS) / 10);
    return false;
  }
}

/** The state machine of one conversation. */
export class TurnPolicy {
  /** @param {object} settings from policySettings; may be replaced at any time */
  constructor(settings) {
    this.settings = settings;
    this._turns = [new Turn(), new Turn()];
    this._timeS = 0;
    this._pNext = [0.5, 0.5];
  }

  /** Process the next prediction; returns the events that it causes, in order. */
  update(prediction) {
    const events = [];
    this._timeS = prediction.timeS;
    this._pNext = prediction.pNext;
    for (const speaker of [0, 1]) {
      if (prediction.active[speaker]) this._speaking(speaker, prediction, events);
      else this._silent(speaker, prediction, events);
    }
    return events;
  }

  /** End a speaker's turn now; returns its end_of_turn, or nothing outside a turn. */
  endTurn(speaker) {
    const events = [];
    const turn = this._turns[speaker];
    if (turn.inTurn) {
      this._end(speaker, this._timeS, this._pNext[1 - speaker], "forced", events);
      turn.speechStartS = null; // speech so far belongs to the turn that has ended
    }
    return events;
  }

  _speaking(speaker, prediction, events) {
    const { settings } = this;
    const [turn, other] = [this._turns[speaker], this._turns[1 - speaker]];
    const now = prediction.timeS;
    const frameS = now / (prediction.frame + 1);
    if (turn.speechStartS === null) {
      if (reached(now - frameS - turn.lastSpeechS, PIECES_S)) turn.earlierS = 0;
      turn.speechStartS = now - frameS;
      turn.loudS = 0;
      turn.overlapping = !turn.inTurn && other.inTurn && prediction.active[1 - speaker];
    }
    turn.lastSpeechS = now;
    if (turn.isLoud(prediction.levelDbfs[speaker], frameS, settings)) turn.loudS += frameS;
    if (turn.inTurn) {
      if (turn.eager) {
        turn.eager = false;
        this._add("turn_resumed", speaker, now, prediction.vad[speaker], events);
      }
      return;
    }
    if (!reached(turn.loudS, settings.start_secs)) return;
    const spokenS = turn.earlierS + turn.loudS;
    const isTooLong = turn.backchannel && reached(spokenS, settings.backchannel_max_secs);
    if (!other.inTurn || isTooLong) {
      this._takeFloor(speaker, prediction, events);
    } else if (turn.backchannel || turn.overlapping) {
      if (reached(spokenS, settings.overlap_secs)) this._judge(speaker, prediction, events);
    } else if (prediction.active[1 - speaker]) {
      turn.overlapping = true; // the other began or continued to speak within start_secs
    } else {
      this._judge(speaker, prediction, events);
    }
  }

  _silent(speaker, prediction, events) {
    const { settings } = this;
    const [turn, other] = [this._turns[speaker], this._turns[1 - speaker]];
    const now = prediction.timeS;
    const silenceS = now - turn.lastSpeechS;
    if (turn.speechStartS !== null) {
      const counts = reached(turn.loudS, settings.start_secs);
      if (turn.overlapping && !turn.backchannel && counts) {
        this._callBackchannel(speaker, prediction, events); // it ended before it was judged
      }
      if (!turn.backchannel || reached(silenceS, BRIDGE_S)) {
        if (!turn.inTurn && counts) turn.earlierS += turn.loudS;
        turn.speechStartS = null;
        turn.overlapping = turn.backchannel = false;
      }
    }
    if (!turn.inTurn) return;
    const pEnd = prediction.pNext[1 - speaker];
    const otherGoesOn = other.inTurn && prediction.active[1 - speaker];
    const longEnough = reached(silenceS, settings.end_silence_secs);
    if (longEnough && pEnd >= settings.end_threshold) {
      this._end(speaker, now, pEnd, "model", events);
    } else if (longEnough && otherGoesOn) {
      this._end(speaker, now, pEnd, "other_spoke", events);
    } else if (reached(silenceS, settings.timeout_secs)) {
      this._end(speaker, now, pEnd, "timeout", events);
    } else if (
      !turn.eager
      && reached(silenceS, settings.eager_silence_secs)
      && pEnd >= settings.eager_threshold
    ) {
      turn.eager = true;
      this._add("eager_end_of_turn", speaker, now, pEnd, events);
    }
  }

  /** Decide whether speech within the other's turn is a backchannel or takes the floor. */
  _judge(speaker, prediction, events) {
    if (prediction.pBackchannel[speaker] < this.settings.backchannel_threshold) {
      this._takeFloor(speaker, prediction, events);
    } else if (!this._turns[speaker].backchannel) {
      this._callBackchannel(speaker, prediction, events);
    }
  }

  _callBackchannel(speaker, prediction, events) {
    this._turns[speaker].backchannel = true;
    const probability = prediction.pBackchannel[speaker];
    this._add("backchannel", speaker, prediction.timeS, probability, events);
  }

  /** Start a turn. The other's turn ends if it is silent, else it is interrupted. */
  _takeFloor(speaker, prediction, events) {
    const turn = this._turns[speaker];
    const now = prediction.timeS;
    if (this._turns[1 - speaker].inTurn) {
      if (prediction.active[1 - speaker]) {
        this._add("interruption", speaker, now, 1 - prediction.pBackchannel[speaker], events);
      } else {
        this._end(1 - speaker, now, prediction.pNext[speaker], "other_spoke", events);
      }
    }
    turn.inTurn = true;
    turn.eager = turn.overlapping = turn.backchannel = false;
    turn.earlierS = 0;
    this._add("start_of_turn", speaker, now, prediction.vad[speaker], events);
  }

  _end(speaker, now, probability, trigger, events) {
    const turn = this._turns[speaker];
    turn.inTurn = turn.eager = false;
    this._add("end_of_turn", speaker, now, probability, events, trigger);
    turn.ended += 1;
  }

  _add(type, speaker, timeS, probability, events, trigger = null) {
    const turnIndex = this._turns[speaker].ended;
    events.push({ type, speaker, timeS, probability, turnIndex, trigger });
  }
}
