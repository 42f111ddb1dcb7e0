// What turnstream says of a pause: thinking or done, how sure, and how long it took; then whether
// it was right.

import { inSentence, percent, verb } from "./words.js";

/** Follows the newest pause. `shown` is null before the first one. */
export class Verdict {
  constructor() {
    this.clear();
  }

  clear() {
    this.shown = null; // {speaker, start_s, silence_s, decision, outcome}
    this.speaking = [false, false];
  }

  /**
   * After a frame was scored.
   * @param {object[]} scored pauses whose outcome has become known, of PauseScore
   * @param {object | null} settings of the policy
   * @param {boolean[]} inTurn whether each speaker is in a turn
   */
  onFrame(frame, score, scored, settings, inTurn) {
    for (const pause of scored) if (this._shows(pause)) this.shown.outcome = pause;
    const speaking = [0, 1].map((speaker) => score.isSpeaking(speaker));
    if (speaking.some(Boolean)) {
      this.speaking = speaking;
      return;
    }
    const [pause] = [0, 1]
      .map((speaker) => ({ speaker, ...score.pauseOf(speaker) }))
      .filter(({ start_s }) => start_s !== undefined)
      .sort((a, b) => b.start_s - a.start_s);
    if (pause === undefined) return; // too short a silence so far: speech goes on
    this.speaking = [false, false];
    const { speaker, start_s } = pause;
    if (!this._shows(pause)) this.shown = { speaker, start_s, decision: null, outcome: null };
    const silence_s = (this.shown.silence_s = frame.time_s - start_s);
    const sure = 1 - frame.p_next[1 - speaker];
    const waits = settings !== null && silence_s > settings.end_silence_secs - 1e-6;
    if (this.shown.decision !== null || !waits) return;
    if (inTurn[speaker] && 1 - sure < settings.end_threshold) {
      this.shown.decision = { word: "thinking", sure, after_s: silence_s };
    }
  }

  /** After the score has the event. */
  onEvent({ type, speaker, time_s, probability }) {
    const { shown } = this;
    if (type !== "end_of_turn" || shown?.speaker !== speaker) return;
    if (this.speaking.some(Boolean)) return; // the other took the floor: no call
    shown.decision = { word: "done", sure: probability, after_s: time_s - shown.start_s };
  }

  _shows({ speaker, start_s }) {
    return this.shown?.speaker === speaker && this.shown.start_s === start_s;
  }
}

/**
 * The verdict in words: `state` is rest, speech, pause, thinking or done.
 * @param {number} endThreshold least probability at which the policy ends a turn by itself
 */
export function verdictWords({ shown, speaking }, names, endThreshold) {
  const talking = [0, 1].filter((speaker) => speaking[speaker]);
  const decision = shown?.decision ?? null;
  const who = talking.length === 2 ? "Both are speaking." : whoWords(talking, shown, names);
  const outcome = shown?.outcome ? outcomeWords(shown.outcome, names) : "";
  const base = { who, outcome, verdict: shown?.outcome?.verdict ?? "" };
  if (shown === null) {
    const state = talking.length ? "speech" : "rest";
    return { ...base, state, word: "…", facts: "The verdict comes in the first pause." };
  }
  const state = talking.length ? "speech" : (decision?.word ?? "pause");
  if (decision === null) {
    const tenths = Math.floor(10 * shown.silence_s + 1e-6);
    return { ...base, state, word: "Pause", facts: `${(tenths / 10).toFixed(1)} s of silence.` };
  }
  const waited = decision.word === "done" && decision.sure < endThreshold;
  return {
    ...base,
    state,
    word: decision.word === "done" ? "Done" : "Thinking",
    facts: waited
      ? `Only by the silence of ${decision.after_s.toFixed(1)} s (${percent(decision.sure)} sure).`
      : `${percent(decision.sure)} sure, after ${decision.after_s.toFixed(2)} s.`,
  };
}

function whoWords(talking, shown, names) {
  if (talking.length === 1) {
    const [name] = talking.map((speaker) => names[speaker]);
    return `${name} ${verb(name, "are", "is")} speaking.`;
  }
  if (shown === null) return "In every pause, turnstream says: thinking, or done.";
  return `${names[shown.speaker]} paused.`;
}

/** What happened in a pause, and whether the call was right. */
export function outcomeWords(pause, names) {
  const [name, other] = [names[pause.speaker], names[1 - pause.speaker]];
  const length = `${(pause.end_s - pause.start_s).toFixed(2)} s`;
  const wentOn = `${inSentence(name)} went on after ${length}`;
  const tookFloor = `${inSentence(other)} took the floor after ${length}`;
  switch (`${pause.outcome} ${pause.verdict}`) {
    case "hold right": return `Right: ${wentOn}.`;
    case "hold cut_off": return `Wrong, cut off: ${wentOn}.`;
    case "shift right": return `Right: ${tookFloor}.`;
    default: return pause.called_s === null
      ? `Too slow: ${inSentence(other)} spoke first, after ${length}.`
      : `Too slow: later than the timer. ${other} took the floor after ${length}.`;
  }
}
