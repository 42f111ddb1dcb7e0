// What the colours, symbols and dashes of a plane mean.

/** Say what the layers are: [{name, colour, symbol, hollow, line, dash, low, high, hidden}].
 *  Entries with an id can be hidden by `toggle`, if there is one. */
function drawLegend(holder, entries, toggle) {
  holder.replaceChildren();
  for (const entry of entries) {
    const key = kit.element(null, "canvas",
      { width: 60, height: 28, style: "width: 30px; height: 14px", ariaHidden: "true" });
    const pen = key.getContext("2d");
    pen.scale(2, 2);
    pen.fillStyle = pen.strokeStyle = entry.colour ?? "#888";
    if (entry.low !== undefined) kit.range(30)
      .forEach((x) => ((pen.fillStyle = ramp(x / 29)), pen.fillRect(x, 2, 1, 10)));
    else if (entry.line) (pen.lineWidth = 3), pen.setLineDash(entry.dash ?? []), pen.beginPath(),
      pen.moveTo(0, 7), pen.lineTo(30, 7), pen.stroke();
    else (pen.lineWidth = 1.6), outline(pen, entry.symbol, 15, 7, 5), entry.symbol === "cross"
      ? pen.stroke() : pen.fill();
    const words = entry.low === undefined ? [key, entry.name] : [`${entry.name}: ${entry.low} `,
      key, ` ${entry.high}`];
    const made = kit.element(holder, toggle && entry.id !== undefined ? "button" : "span",
      { className: "entry" }, ...words);
    if (made.tagName !== "BUTTON") continue;
    Object.assign(made, { type: "button", title: "show or hide", onclick: () =>
      toggle(entry.id) });
    made.setAttribute("aria-pressed", String(!entry.hidden));
  }
}
