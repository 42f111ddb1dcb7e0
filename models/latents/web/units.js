// Units that track something: the best of each target and layer as a table, and all units of a
// layer as an image.

{
  const { rows, strengths, order, few } = kit.contents;
  const layers = Object.keys(strengths);
  const score = (row, value) => (row.graded ? value : 0.5 + value / 2).toFixed(2);
  const heading = (text) => kit.element(kit.view, "h2", {}, text);

  heading("Best units");
  const table = kit.element(kit.element(kit.view, "div", { style: "overflow-x: auto" }), "table");
  const titles = ["target", "layer", "unit", "where chosen", "where not chosen", "level of chance",
    "above (by chance)", "range", "cases", ""];
  kit.element(kit.element(table, "thead"), "tr", {},
    ...titles.map((title) => kit.element(null, "th", {}, title)));
  const body = kit.element(table, "tbody");
  for (const row of rows) {
    const cells = [row.target, row.layer];
    if (row.known) {
      const same = row.units[0] === row.units[1];
      cells.push(same ? `${row.units[0]}` : row.units.join(", "),
        row.chosen.map((value) => value.toFixed(2)).join(", "));
      cells.push(row.other.map((value) => value.toFixed(2)).join(", "), score(row, row.level),
        `${row.above} (${row.aboveByChance.toFixed(1)})`);
      const plain = (value) => (value < 0.01 ? value.toPrecision(1) : value.toFixed(2));
      cells.push(row.moves.filter((_, half) => !half || !same).map(plain).join(", "));
      const tracks = row.heldOut > row.level ? "tracks" : "chance";
      cells.push(`${row.stretches[0]}`, `${tracks}${row.stretches[0] < few ? ", few" : ""}`);
    } else cells.push("", "", "", "", "", "", `${Math.min(...row.stretches)}`, "too rare");
    kit.element(body, "tr", { title: row.words },
      ...cells.map((cell) => kit.element(null, "td", {}, cell)));
  }
  kit.element(kit.view, "p", { className: "note" },
    "Above: how many units exceed the level of chance in both halves, and how many do so when "
    + "searched by chance. Yes/no targets are scored by AUC (0.5 is chance), amounts by Spearman's "
    + "rank correlation (0 is chance). Two units, or two scores: one for each half. Range: how far "
    + "the activation moves, in nine tenths of the time; a score by ranks does not see whether "
    + "that is much.");

  heading("All units");
  const controls = kit.element(kit.view, "div", { className: "controls" });
  const chosen = kit.element(null, "select", {},
    ...layers.map((layer) => kit.element(null, "option", { value: layer }, layer)));
  kit.element(controls, "label", {}, "layer", chosen);
  const chart = kit.element(kit.view, "div", { className: "chart" });
  const names = rows.filter((row) => row.layer === layers[0]).map((row) => row.target);
  const known = names.map((name) => rows.some((row) => row.target === name && row.known));

  function draw() {
    const values = strengths[chosen.value], [, , width] = values.shape;
    const places = Array.from(order[chosen.value]);
    const shown = names.flatMap((name, k) => (known[k] ? [k] : []));
    const z = shown.map((k) => places.map((unit) =>
      (values[2 * k * width + unit] + values[(2 * k + 1) * width + unit]) / 2));
    const text = shown.map((k) => places.map((unit) =>
      `unit ${unit}<br>${names[k]}<br>${values[2 * k * width + unit].toFixed(2)} in one half, `
      + `${values[(2 * k + 1) * width + unit].toFixed(2)} in the other`));
    const trace = {
      type: "heatmap", z, text, hoverinfo: "text", y: shown.map((k) => names[k]), zmin: -1,
        zmax: 1, xgap: 0.5, ygap: 2,
      colorscale: [[0, "#b2182b"], [0.25, "#ef8a62"], [0.5, kit.ink("--faint")], [0.75, "#67a9cf"],
        [1, "#2166ac"]],
      colorbar: { title: { text: "strength", side: "right" }, tickvals: [-1, -0.5, 0, 0.5, 1],
        ticktext: ["-1 falls", "-0.5", "0", "0.5", "1 rises"] },
    };
    const axes = { xaxis: { title: { text: "units, those that track the same beside each other" },
      showticklabels: false }, yaxis: { autorange: "reversed" } };
    Plotly.react(chart, [trace], kit.layout({ ...axes, height: 460 }), kit.config);
  }
  chosen.addEventListener("change", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}
