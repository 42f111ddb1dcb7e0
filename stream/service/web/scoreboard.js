// The score so far, beside a plain silence timer on the same sound: a table, and words that say no
// more than the numbers do.

const FEW_PAUSES = 30; // with fewer, chance decides much
const VERDICTS = ["right", "cut_off", "too_slow"];

/** @param {(id: string, text: string) => void} setText */
export function showScore(score, setText) {
  for (const [row, counts] of [["ours", score.counts], ["timer", score.timer]]) {
    for (const verdict of VERDICTS) setText(`${row}-${verdict}`, counts[verdict]);
  }
  setText("timer-name", `Silence timer, ${score.timer_s} s`);
  setText("score-words", scoreWords(score));
}

/** How many pauses the score rests on, and of which kind. */
export function scoreWords({ pauses, holds, shifts }) {
  if (pauses === 0) return "No pause has been counted yet.";
  const counted = `${pauses} ${pauses === 1 ? "pause" : "pauses"}: in ${holds} the same speaker `
    + `went on, in ${shifts} the other took the floor.`;
  return pauses < FEW_PAUSES ? `Only ${counted} With so few, chance decides much.` : counted;
}
