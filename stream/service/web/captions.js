// Puts into words what the pictures show: at the newest sound, or where the timeline stands.

import { showScore } from "./scoreboard.js";
import { activityWords, percent, planeWords, restWords, shiftWords } from "./words.js";

const $ = (id) => document.getElementById(id);

/** @param {object} said what Judge.at gives */
export function showVerdict({ words: { state, verdict, ...words }, score }) {
  Object.assign($("verdict").dataset, { state, verdict });
  for (const [part, text] of Object.entries(words)) setText(`verdict-${part}`, text);
  showScore(score, setText);
}

/**
 * @param {object} page session, names and heard
 * @param {number | null} past_s where the timeline stands; null: at the newest sound
 * @param {object | null} thresholds of the policy
 * @param {boolean[]} inTurn whether each speaker is in a turn now
 * @param {object | null} plane of the model
 */
export function showCaptions({ page, history, past_s, thresholds, inTurn, plane }) {
  const { session, names, heard } = page;
  const isPast = past_s !== null;
  const now = session === null ? null : history.latest;
  const frame = isPast ? history.frameAt(past_s) : now;
  const speaking = frame === null ? [false, false] : frame.vad.map((share) => share >= 0.5);
  for (const speaker of [0, 1]) {
    const deaf = history.latest !== null && !heard[speaker];
    const state = speaking[speaker] ? `speaking, ${percent(frame.vad[speaker])}` : "silent";
    setText(`state-${speaker}`, deaf ? "not heard" : frame === null ? "" : state);
    $(`floor-${speaker}`).hidden = frame?.holder !== speaker;
  }
  if (frame === null) {
    const { activity, floor, chance, plane: places } = restWords(history.latest !== null);
    setText("activity-caption", activity);
    showShift(floor, chance, "");
    setText("plane-caption", places);
    return;
  }
  setText("activity-caption", activityWords(speaking, names, heard));
  const { holder } = frame;
  const { floor, chance, outlook } = shiftWords(
    frame, names, thresholds, speaking[holder] ?? false, inTurn[holder] ?? false,
  );
  showShift(floor, chance, isPast ? "" : outlook);
  const places = [0, 1].map((speaker) => (
    isPast ? history.placeAt(past_s, speaker) : session.followers[speaker].place
  ));
  const nearest = places.map((place, speaker) => (
    heard[speaker] && place !== null && plane !== null ? plane.nearest(place) : null
  ));
  setText("plane-caption", planeWords(nearest, names, places.some((place) => place !== null)));
  const median = session?.latency.value ?? null;
  if (median === null) return;
  const ms = median < 10 ? median.toFixed(1) : Math.round(median);
  setText("latency", `Each answer comes ${ms} ms after its sound (median).`);
}

function showShift(floor, chance, outlook) {
  setText("shift-floor", floor);
  setText("shift-chance", chance);
  setText("shift-outlook", outlook);
}

/** Leaves alone what has not changed, so that a reader can select it. */
function setText(id, text) {
  if ($(id).textContent !== String(text)) $(id).textContent = text;
}
