// The list of what happened, the newest on top, so that it is always in the same place.

import { clock } from "./words.js";

const MAX_LINES = 200;

/** Adds a line; `type` and `speaker` are those of an event, and missing for a note. */
export function addLine(list, { text, sign, kind, time_s, type, speaker }) {
  const line = document.createElement("li");
  line.className = kind;
  if (type !== undefined) Object.assign(line.dataset, { type, speaker, time: time_s });
  const part = (name, textContent) => Object.assign(document.createElement(name), { textContent });
  const mark = Object.assign(part("span", sign), { className: "sign", ariaHidden: "true" });
  line.append(part("time", clock(time_s)), mark, part("span", text));
  list.prepend(line);
  while (list.childElementCount > MAX_LINES) list.lastElementChild.remove();
}
