// What all pages of latents share: their contents, unpacked, colours, and how charts look. Loaded
// before the page's own script.

const kit = (() => {
  const KINDS = { f4: Float32Array, i4: Int32Array, u1: Uint8Array };

  /** {"$array": kind, shape, base64} to a typed array with a `shape`; everything else as it is. */
  function unpack(value) {
    if (Array.isArray(value)) return value.map(unpack);
    if (value === null || typeof value !== "object") return value;
    if (!("$array" in value)) return Object.fromEntries(Object.entries(value)
      .map(([name, item]) => [name, unpack(item)]));
    const bytes = Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0));
    const array = new KINDS[value.$array](bytes.buffer);
    array.shape = value.shape;
    return array;
  }

  const contents = unpack(JSON.parse(document.getElementById("contents").textContent));
  const view = document.getElementById("view");

  /** Row `index` of an array of shape (N, ...). */
  function row(array, index) {
    const size = array.length / array.shape[0];
    return array.subarray(index * size, (index + 1) * size);
  }

  /** Column `index` of an array of shape (N, K). */
  function column(array, index) {
    const [count, width] = array.shape;
    const values = new array.constructor(count);
    for (let i = 0; i < count; i++) values[i] = array[i * width + index];
    return values;
  }

  /** An element with attributes and children, put at the end of `parent`. */
  function element(parent, name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) key in made ? (made[key] = value)
      : made.setAttribute(key, value);
    made.append(...children);
    parent?.append(made);
    return made;
  }

  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** A plotly layout in the page's colours. */
  function layout(more = {}) {
    const axis = { gridcolor: ink("--faint"), zerolinecolor: ink("--faint"),
      linecolor: ink("--faint"), automargin: true };
    const scene = Object.fromEntries(["xaxis", "yaxis", "zaxis"]
      .map((name) => [name, { gridcolor: ink("--faint"), color: ink("--soft") }]));
    const base = {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink("--ink"), family: "system-ui, sans-serif", size: 13 },
      margin: { l: 48, r: 12, t: 28, b: 42 },
      legend: { orientation: "h", y: -0.12 },
      hovermode: "closest",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: ink("--soft"), activecolor: ink("--ink") },
      scene,
    };
    for (const name of Object.keys(more)) if (/^[xy]axis/.test(name)) more[name] =
      { ...axis, ...more[name] };
    return { xaxis: axis, yaxis: axis, ...base, ...more };
  }

  // Nothing leaves the page: plotly's button that uploads a chart goes, too.
  const config = { responsive: true, displaylogo: false, plotlyServerURL: "",
    modeBarButtonsToRemove: ["toImage", "autoScale2d", "sendChartToCloud"] };

  const palette = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31",
    "#7b61a8", "#5f9e2f", "#888888"];
  const range = (count) => Array.from({ length: count }, (_, i) => i);
  const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
  const clock = (seconds) =>
    `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(2).padStart(5, "0")}`;
  const known = (value) => value !== null && value !== undefined && value !== ""
    && !Number.isNaN(value);

  // ---- controls ----

  const labelled = (parent, words, control) => (element(parent, "label", {}, words, control),
    control);

  /** A menu of [value, words] or [value, words, heading]. */
  function choice(parent, id, words, options, value, act) {
    const made = labelled(parent, words, element(null, "select", { id }));
    fill(made, options, value);
    made.addEventListener("change", () => act(made.value));
    return made;
  }

  /** Other options for a menu. */
  function fill(menu, options, value) {
    menu.replaceChildren();
    const headings = {};
    for (const [name, words, heading] of options) {
      const at = heading ? (headings[heading] ??= element(menu, "optgroup", { label: heading }))
        : menu;
      element(at, "option", { value: name }, words);
    }
    menu.value = value;
  }

  function tick(parent, id, words, value, act) {
    const made = element(null, "input", { id, type: "checkbox", checked: value });
    element(parent, "label", {}, made, words);
    made.addEventListener("change", () => act(made.checked));
    return made;
  }

  function slide(parent, id, words, [min, max, step], value, act) {
    const made = element(null, "input", { id, type: "range", min, max, step, ariaLabel: words });
    labelled(parent, words, made).value = value;
    made.addEventListener("input", () => act(Number(made.value)));
    return made;
  }

  const button = (parent, id, words, act, more = {}) => element(parent, "button",
    { id, type: "button", onclick: act, ...more }, words);

  /** Offer a text as a file. */
  function save(name, text) {
    const href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    element(null, "a", { href, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(href), 10000);
  }

  return {
    contents, view, unpack, row, column, element, ink, layout, config, palette, range, counted,
      clock,
    known, labelled, choice, fill, tick, slide, button, save,
    colours: contents.colours ?? {},
  };
})();
