// Counts how often the end of a turn was called right, beside a plain silence timer. The rules are
// those of stream/live/pause_score.py, which explains them; tests/stream/live/pause_scores.json
// holds both to them.

const VAD_ON = 0.5;
const VAD_OFF = 0.35;
const SHORTEST_PAUSE_S = 0.2;
const LONGEST_HOLD_S = 5;
const SHORTEST_SPEECH_S = 0.1; // of loud frames
const MIN_LEVEL_DBFS = -60;
const SPEECH_RANGE_DB = 25;
const LEVEL_S = 1; // time constant of a speaker's usual level
const FLOOR_S = 1; // speech that the other speaker needs to take the floor
const SLACK_S = 1e-6; // far below a frame, whose multiples are not exact in binary

const reached = (elapsed, limit) => elapsed > limit - SLACK_S;
const above = (value, limit) => !reached(limit, value);

/** Speech without breaks of 0.2 s, in seconds of sound. */
class Stretch {
  constructor(start_s, end_s) {
    Object.assign(this, { start_s, end_s, loud_s: 0 });
  }

  get isSpeech() {
    return reached(this.loud_s, SHORTEST_SPEECH_S);
  }

  isOver(now) {
    return reached(now - this.end_s, SHORTEST_PAUSE_S);
  }
}

/** Scores the pauses of one conversation, in constant memory. */
export class PauseScore {
  /**
   * @param {number} timer_s silence after which the timer calls the end of a turn
   * @param {number} now seconds of sound at which the count begins
   */
  constructor(timer_s, now = 0) {
    this.timer_s = timer_s;
    this.counts = { right: 0, cut_off: 0, too_slow: 0 };
    this.timer = { right: 0, cut_off: 0, too_slow: 0 };
    this.holds = 0;
    this.shifts = 0;
    this._now = now;
    const voice = () => ({ active: false, power: 0, heard_s: null, stretches: [], pauses: [] });
    this._voices = [voice(), voice()];
  }

  get pauses() {
    return this.holds + this.shifts;
  }

  /**
   * The pause of 0.2 s or more that a speaker is in: {start_s, called_at_s, timer_at_s} or null.
   */
  pauseOf(speaker) {
    const { active, pauses } = this._voices[speaker];
    const pause = pauses.at(-1);
    if (active || pause === undefined) return null;
    return reached(this._now - pause.start_s, SHORTEST_PAUSE_S) ? pause : null;
  }

  /** Whether a speaker speaks, loud enough. */
  isSpeaking(speaker) {
    const { active, stretches } = this._voices[speaker];
    return active && stretches.at(-1).isSpeech;
  }

  /** Only `end_of_turn` matters. */
  onEvent({ type, speaker, time_s }) {
    const pause = this._voices[speaker].pauses.at(-1);
    if (type === "end_of_turn" && pause !== undefined) pause.called_at_s ??= time_s;
  }

  /**
   * Add a frame that ends at `time_s`, before its events.
   * @param {number[] | null} levels of both channels in dB of full scale; null if not known
   * @returns the pauses whose outcome is now known
   */
  onFrame(time_s, vad, levels = null) {
    const start_s = this._now;
    this._now = time_s;
    for (const speaker of [0, 1]) {
      this._hear(this._voices[speaker], vad[speaker], levels?.[speaker] ?? null, start_s);
    }
    const scored = [0, 1].flatMap((speaker) => (
      this._find(speaker).map((found) => this._judge(speaker, found))
    ));
    const open_s = this._voices.flatMap(({ pauses }) => pauses.map((pause) => pause.start_s));
    const since_s = Math.min(time_s, ...open_s);
    for (const voice of this._voices) {
      voice.stretches = voice.stretches.filter((stretch) => (
        !stretch.isOver(time_s) || (stretch.isSpeech && stretch.end_s > since_s)
      ));
    }
    return scored;
  }

  _hear(voice, vad, level, start_s) {
    voice.active = vad >= (voice.active ? VAD_OFF : VAD_ON);
    const last = voice.stretches.at(-1);
    if (voice.active) {
      voice.heard_s = this._now;
      if (last === undefined || last.isOver(start_s)) {
        voice.stretches.push(new Stretch(start_s, this._now));
      } else if (voice.pauses.at(-1)?.start_s > last.start_s) {
        voice.pauses.pop(); // the break was too short for a pause
      }
      const stretch = voice.stretches.at(-1);
      stretch.end_s = this._now;
      const frame_s = this._now - start_s;
      if (level === null || isLoud(voice, level, frame_s)) stretch.loud_s += frame_s;
      return;
    }
    if (voice.heard_s === null) return;
    if (last !== undefined && last.isSpeech && last.end_s === start_s) {
      voice.pauses.push({ start_s, called_at_s: null, timer_at_s: null });
    }
    const open = voice.pauses.at(-1);
    if (open !== undefined && reached(this._now - voice.heard_s, this.timer_s)) {
      open.timer_at_s ??= this._now;
    }
  }

  /** Takes the pauses whose outcome is known. */
  _find(speaker) {
    const [own, other] = [this._voices[speaker], this._voices[1 - speaker]];
    const found = [];
    own.pauses = own.pauses.filter((pause) => {
      const resumed = own.stretches.find((s) => s.isSpeech && s.start_s > pause.start_s);
      const resumed_s = resumed?.start_s ?? Infinity;
      const before = other.stretches.filter((s) => s.start_s < resumed_s);
      const during = before.filter((s) => s.isSpeech && s.start_s > pause.start_s);
      const over = ({ start_s, end_s }) => start_s <= pause.start_s && pause.start_s < end_s;
      if (before.some((s) => s.isSpeech && over(s))) return false; // the other was speaking
      if (reached(during.reduce((sum, s) => sum + s.end_s - s.start_s, 0), FLOOR_S)) {
        found.push({ pause, outcome: "shift", end_s: during[0].start_s });
      } else if (resumed_s === Infinity || !before.every((s) => s.isOver(this._now))) {
        return true;
      } else if (during.length === 0 && !above(resumed_s - pause.start_s, LONGEST_HOLD_S)) {
        found.push({ pause, outcome: "hold", end_s: resumed_s });
      }
      return false;
    });
    return found;
  }

  _judge(speaker, { pause, outcome, end_s }) {
    const after = (at_s) => (at_s === null || above(at_s, end_s) ? null : at_s - pause.start_s);
    const [called_s, timer_s] = [after(pause.called_at_s), after(pause.timer_at_s)];
    const [verdict, timer] = [judge(outcome, called_s, timer_s), judge(outcome, timer_s, timer_s)];
    this.counts[verdict] += 1;
    this.timer[timer] += 1;
    if (outcome === "hold") this.holds += 1;
    else this.shifts += 1;
    return { speaker, start_s: pause.start_s, end_s, outcome, called_s, verdict, timer };
  }
}

/** Whether an active frame is loud; updates the speaker's usual power. */
function isLoud(voice, level, frame_s) {
  const usual = voice.power > 0 ? 10 * Math.log10(voice.power) : -Infinity;
  if (level < Math.max(MIN_LEVEL_DBFS, usual - SPEECH_RANGE_DB)) return false;
  const share = voice.power > 0 ? Math.min(1, frame_s / LEVEL_S) : 1;
  voice.power += share * (10 ** (level / 10) - voice.power);
  return true;
}

function judge(outcome, called_s, timer_s) {
  if (outcome === "hold") return called_s === null ? "right" : "cut_off";
  return called_s === null || (timer_s !== null && above(called_s, timer_s)) ? "too_slow" : "right";
}
