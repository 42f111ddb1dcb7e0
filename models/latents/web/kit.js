// What all pages of latents share: their contents, unpacked, controls, tables, pens, strips of time
// and keys. Loaded before the page's own script.

const kit = (() => {
  const KINDS = { f4: Float32Array, i4: Int32Array, u1: Uint8Array };

  // {"$array": kind, shape, base64} becomes a typed array with a `shape`.
  const contents = JSON.parse(document.getElementById("contents").textContent, (_, value) => {
    if (!value?.$array) return value;
    const bytes = Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0));
    return Object.assign(new KINDS[value.$array](bytes.buffer), { shape: value.shape });
  });
  const view = document.getElementById("view");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const palette = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31",
    "#7b61a8", "#5f9e2f", "#888888"];
  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const speakerInks = () => (dark.matches ? ["#56b4e9", "#e69f00"] : ["#0072b2", "#d55e00"]);
  const range = (count) => Array.from({ length: count }, (_, i) => i);
  const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
  const clock = (seconds) =>
    `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(2).padStart(5, "0")}`;
  const known = (value) => value !== null && value !== undefined && value !== ""
    && !Number.isNaN(value);

  /** Row `index` of an array, along its last axis. */
  function row(array, index) {
    const size = array.shape.at(-1);
    return array.subarray(index * size, (index + 1) * size);
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

  /** A table of text or elements. */
  function table(parent, titles, rows) {
    const line = (name, cells) => element(null, "tr", {},
      ...cells.map((cell) => element(null, name, {}, cell)));
    return element(element(parent, "div", { className: "wide" }), "table", {},
      ...(titles.length ? [line("th", titles)] : []), ...rows.map((cells) => line("td", cells)));
  }

  /** Other options for a menu: [value, words, heading]; without words the value is said. */
  function fill(menu, options, value) {
    menu.replaceChildren();
    menu.values = options.map(([option]) => option);
    const headings = {};
    for (const [name, words = `${name}`, heading] of options) {
      const at = heading ? (headings[heading] ??= element(menu, "optgroup", { label: heading }))
        : menu;
      element(at, "option", { value: name }, words);
    }
    menu.value = value;
  }

  /** A line of controls. Each is `to` set the value of `state` of this name, after which `act` is
   *  called, or is a function of its value. */
  class Controls {
    constructor(parent, { state = {}, act = () => undefined, ...attributes } = {}) {
      Object.assign(this, { state, act });
      this.bar = element(parent, "div", { className: "controls", ...attributes });
    }

    add(words, control, event, valueOf, to) {
      element(this.bar, "label", {}, words, control);
      control.addEventListener(event, () => {
        if (typeof to === "function") return to(valueOf());
        this.state[to] = valueOf();
        return this.act();
      });
      return control;
    }

    choice(id, words, options, to) {
      const menu = element(null, "select", { id });
      fill(menu, options, this.state[to] ?? null);
      return this.add(words, menu, "change", () => menu.values[menu.selectedIndex], to);
    }

    slide(id, words, [min, max, step], to) {
      const slider = element(null, "input",
        { id, type: "range", min, max, step, ariaLabel: words, value: this.state[to] });
      return this.add(words, slider, "input", () => Number(slider.value), to);
    }

    button(id, words, act, more = {}) {
      return element(this.bar, "button",
        { id, type: "button", onclick: act, ariaLabel: more.title, ...more }, words);
    }
  }

  /** Act on keys, except where a control takes them: `actions()` has a function of how far to go,
   *  1, or 10 with Shift, by the name of its key. */
  function onKeys(actions) {
    document.addEventListener("keydown", (pressed) => {
      const { tagName } = pressed.target;
      if (["SELECT", "INPUT", "TEXTAREA"].includes(tagName)
        || (tagName === "BUTTON" && pressed.key === " ")) return;
      const act = actions()[pressed.key];
      if (!act) return;
      act(pressed.shiftKey ? 10 : 1);
      pressed.preventDefault();
    });
  }

  /** The pen of a canvas, which is cleared, in CSS pixels. */
  function penOf(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const [wide, high] = [canvas.clientWidth, canvas.clientHeight];
    [canvas.width, canvas.height] = [wide * ratio, high * ratio];
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "12px system-ui, sans-serif";
    return pen;
  }

  /** Draw a line through [x, y]; null is a gap. */
  function stroke(pen, points, colour, width = 1, dash = []) {
    Object.assign(pen, { strokeStyle: colour, lineWidth: width });
    pen.setLineDash(dash);
    pen.beginPath();
    points.forEach((point, i) => point && (points[i - 1] ? pen.lineTo(point[0], point[1])
      : pen.moveTo(point[0], point[1])));
    pen.stroke();
    pen.setLineDash([]);
  }

  /** A canvas with time from left to right: `draw(pen)` draws its span, [begin, end] in seconds; a
   *  click goes to its time. */
  class Strip {
    constructor(parent, id, high, words, go, left = 34) {
      this.canvas = element(parent, "canvas", { id, className: "strip", style: `height: ${high}px`,
        role: "img", ariaLabel: words, title: "click: go there" });
      Object.assign(this, { high, left });
      this.canvas.addEventListener("click", (event) => this.span
        && go(this.timeAt(event.offsetX)));
      new ResizeObserver(() => this.show()).observe(this.canvas);
    }

    set(span, draw) {
      Object.assign(this, { span, draw });
      this.show();
    }

    at(seconds) {
      const [begin, end] = this.span;
      return this.left + ((seconds - begin) / (end - begin || 1)) * (this.wide - this.left);
    }

    timeAt(x) {
      const [begin, end] = this.span;
      return begin + Math.max(0, (x - this.left) / (this.wide - this.left)) * (end - begin);
    }

    /** Draw again, with a cursor at `now`. */
    show(now = this.now) {
      this.now = now;
      this.wide = this.canvas.clientWidth;
      const pen = penOf(this.canvas);
      if (!this.span) return;
      this.draw(pen);
      if (!(now >= this.span[0] && now <= this.span[1])) return;
      pen.fillStyle = ink("--ink");
      pen.fillRect(this.at(now) - 1, 0, 2, this.high - 18);
    }

    /** Two lanes of sound, `lane` high, bars between them where each speaks, and curves from 0 to 1
     *  below: reach(frame, speaker) is 0 to 1, curves are [value(frame), colour, width, dash]. */
    sound(pen, frames, rate, { lane, bottom, reach, speaks, curves, waves = speakerInks() }) {
      const wide = this.at(1 / rate) - this.at(0);
      const up = (value) => bottom - 8 - value * (bottom - 2 * lane - 22);
      for (const speaker of [0, 1]) for (const frame of frames) {
        const tall = reach(frame, speaker) * (lane / 2 - 2);
        const x = this.at(frame / rate);
        pen.fillStyle = waves[speaker];
        pen.fillRect(x, lane * (speaker + 0.5) - tall, wide, 2 * tall + 0.5);
        pen.fillStyle = speakerInks()[speaker];
        if (speaks(frame, speaker)) pen.fillRect(x, lane - 7 + speaker * 8, wide + 0.5, 6);
      }
      pen.fillStyle = ink("--soft");
      for (const [words, y] of [[0, lane / 2], [1, lane * 1.5],
        ...[0, 0.5, 1].map((level) => [level, up(level)])]) pen.fillText(words, 8, y + 4);
      for (const level of [0, 0.5, 1])
        stroke(pen, [[this.left, up(level)], [this.wide, up(level)]], ink("--faint"));
      for (const [value, ...look] of curves) stroke(pen, frames.map((frame) =>
        (known(value(frame)) ? [this.at((frame + 1) / rate), up(value(frame))] : null)), ...look);
      this.seconds(pen, bottom);
    }

    /** The axis, below `high`. */
    seconds(pen, high) {
      const [begin, end] = this.span;
      const every = [0.25, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800]
        .find((s) => (s / (end - begin)) * (this.wide - this.left) > 55) ?? 3600;
      pen.fillStyle = ink("--soft");
      pen.textAlign = "center";
      for (let s = Math.ceil(begin / every) * every; s <= end; s += every) {
        pen.fillRect(this.at(s), high, 1, 4);
        pen.fillText(every < 60 ? `${s} s` : `${s / 60} min`, Math.min(this.at(s), this.wide - 16),
          high + 15);
      }
    }
  }

  return {
    contents, view, dark, palette, ink, speakerInks, range, counted, clock, known, row, element,
    table, fill, Controls, onKeys, penOf, stroke, Strip, colours: contents.colours ?? {},
  };
})();
