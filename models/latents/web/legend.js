// What the colours, symbols and dashes of a plane mean.

/** Say what the layers are: [{name, colour, symbol, line, dash, low, high, hidden}]. Entries with
 *  an id can be hidden by `toggle`, if there is one. */
function drawLegend(holder, entries, toggle) {
  holder.replaceChildren();
  for (const { id, name, colour = "#888", symbol: shape = "circle", line, dash, low, high, hidden }
    of entries) {
    const canBeHidden = toggle && id !== undefined;
    const made = element(holder, canBeHidden ? "button" : "span", { className: "entry" });
    if (canBeHidden) {
      Object.assign(made, { type: "button", title: "show or hide", onclick: () => toggle(id) });
      made.setAttribute("aria-pressed", String(!hidden));
    }
    const key = element(null, "canvas", { style: "width: 30px; height: 14px", ariaHidden: "true" });
    made.append(...(low === undefined ? [key, name] : [`${name}: ${low} `, key, ` ${high}`]));
    const pen = kit.penOf(key);
    if (low !== undefined) range(30).forEach((x) =>
      kit.stroke(pen, [[x + 0.5, 2], [x + 0.5, 12]], ramp(x / 29), 1.5));
    else if (line) kit.stroke(pen, [[0, 7], [30, 7]], colour, 3, dash);
    else symbol(pen, shape, 15, 7, 5, colour);
  }
}
