// Units that track something: the best of each target and layer as a table, and all units of a
// layer as an image.

{
  const { rows, strengths, order, few } = kit.contents;
  const layers = Object.keys(strengths);

  kit.element(kit.view, "h2", {}, "Best units");
  const titles = ["target", "layer", "unit", "where chosen", "where not chosen", "level of chance",
    "above (by chance)", "range", "cases", ""];
  const rounded = (values) => values.map((value) => value.toFixed(2)).join(", ");
  const small = (value) => (value < 0.01 ? value.toPrecision(1) : value.toFixed(2));
  const cellsOf = (row) => {
    const cases = Math.min(...row.stretches);
    if (!row.known) return [row.target, row.layer, "", "", "", "", "", "", `${cases}`, "too rare"];
    const once = row.units[0] === row.units[1] ? 1 : 2;
    return [row.target, row.layer, row.units.slice(0, once).join(", "), rounded(row.chosen),
      rounded(row.other), rounded([row.graded ? row.level : 0.5 + row.level / 2]),
      `${row.above} (${row.aboveByChance.toFixed(1)})`,
      row.moves.slice(0, once).map(small).join(", "), `${row.stretches[0]}`,
      (row.heldOut > row.level ? "tracks" : "chance") + (row.stretches[0] < few ? ", few" : "")];
  };
  const table = kit.table(kit.view, titles, rows.map(cellsOf));
  rows.forEach((row, i) => (table.rows[i + 1].title = row.words));
  kit.element(kit.view, "p", { className: "note" },
    "Above: how many units exceed the level of chance in both halves, and how many do so when "
    + "searched by chance. Yes/no targets are scored by AUC (0.5 is chance), amounts by Spearman's "
    + "rank correlation (0 is chance). Two units, or two scores: one for each half. Range: how far "
    + "the activation moves, in nine tenths of the time; a score by ranks does not see whether "
    + "that is much.");

  kit.element(kit.view, "h2", {}, "All units");
  const state = { layer: layers[0] };
  new kit.Controls(kit.view, { state, act: draw }).choice("layer", "layer",
    layers.map((layer) => [layer]), "layer");
  const chart = kit.element(kit.view, "div", { className: "chart" });
  const names = rows.filter((row) => row.layer === layers[0]).map((row) => row.target);
  const shown = kit.range(names.length)
    .filter((k) => rows.some((row) => row.target === names[k] && row.known));

  function draw() {
    const places = Array.from(order[state.layer]);
    const halves = (k, unit) => [0, 1].map((half) => kit.row(strengths[state.layer],
      2 * k + half)[unit]);
    const trace = {
      type: "heatmap", zmin: -1, zmax: 1, xgap: 0.5, ygap: 2, y: shown.map((k) => names[k]),
      z: shown.map((k) => places.map((unit) => (halves(k, unit)[0] + halves(k, unit)[1]) / 2)),
      text: shown.map((k) => places.map((unit) => `unit ${unit}<br>${names[k]}<br>`
        + `${rounded(halves(k, unit))} in the halves`)), hoverinfo: "text",
      colorscale: [[0, "#b2182b"], [0.25, "#ef8a62"], [0.5, kit.ink("--faint")], [0.75, "#67a9cf"],
        [1, "#2166ac"]],
      colorbar: { title: { text: "strength", side: "right" }, tickvals: [-1, -0.5, 0, 0.5, 1],
        ticktext: ["-1 falls", "-0.5", "0", "0.5", "1 rises"] },
    };
    const layout = { height: 460, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
      font: { color: kit.ink("--ink"), family: "system-ui, sans-serif", size: 13 },
      margin: { l: 48, r: 12, t: 28, b: 42 }, yaxis: { autorange: "reversed", automargin: true },
      modebar: { bgcolor: "transparent" },
      xaxis: { title: { text: "units, those that track the same beside each other" },
        showticklabels: false } };
    // Nothing leaves the page: plotly's button that uploads a chart goes, too.
    Plotly.react(chart, [trace], layout, { responsive: true, displaylogo: false,
      plotlyServerURL: "",
      modeBarButtonsToRemove: ["toImage", "autoScale2d", "sendChartToCloud"] });
  }
  kit.dark.addEventListener("change", draw);
  draw();
}
