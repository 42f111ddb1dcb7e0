// The one drawer of planes: points, lines and words in two or three dimensions, on a canvas. It
// moves, zooms, turns (three dimensions), says what is under the pointer, and lets points be picked
// or lassoed.
//
// Layers: {kind: "points", places, colour, symbol, size, hollow, hidden, alpha, edge, text, pick}
//         {kind: "line", places (null between lines), colour, width, dash, alpha, text, pick}
//         {kind: "words", places, words}
// Of points, all that says how they look, and of points and lines `text` and `pick`, may be
// functions of the index.

const NICE = [0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
const GAP = 16; // between panels

class Plane {
  /** `textOf(pick)` is said of what has no text of its own, `onPick(pick, add)` of a click,
   *  `onLasso(picks, add)` of a lasso. */
  constructor(holder, { textOf, onPick, onLasso }) {
    Object.assign(this, { textOf, onPick, onLasso, panels: [], hits: [], marked: [], chosen: [],
      lasso: null, state: { drag: "move" } });
    const bar = new kit.Controls(holder, { state: this.state });
    bar.choice("drag", "Drag to", [["move"], ["lasso", "select (lasso)"]], "drag");
    for (const [id, words, by] of [["closer", "+", 1.4], ["farther", "−", 1 / 1.4]])
      bar.button(id, words, () => this.zoomAt(by), { title: id });
    bar.button("whole", "whole", () => (this.reset(), this.render()));
    this.box = element(holder, "div", { className: "plane" });
    this.below = element(this.box, "canvas",
      { id: "plane", role: "img", ariaLabel: "the plane; its words stand below" });
    this.above = element(this.box, "canvas", { id: "marks" });
    this.tip = element(this.box, "div", { className: "tip", hidden: true });
    this.legend = element(holder, "div", { className: "controls", id: "legend" });
    this.reset();
    this.listen();
    new ResizeObserver(() => this.look && this.render()).observe(this.box);
  }

  reset() {
    this.eye = { zoom: 1, x: 0, y: 0, yaw: -0.75, pitch: 0.4 };
  }

  /** Draw panels [{title, layers}] beside each other.
   *  `look`: dims, scale, ticks, limits of all places ([low, high] per dimension), and a `key`
   *  that keeps the eye where it is. */
  draw(panels, look) {
    if (look.key !== this.look?.key) this.reset();
    this.panels = panels;
    this.look = { scale: linear, ...look };
    const { dims, scale } = this.look;
    const places = () => panels.flatMap(({ layers }) => layers.flatMap((layer) => layer.places));
    this.limits = (look.limits ?? limitsOf(places(), dims)).map((ends) => {
      const [low, high] = ends.map(scale.to);
      return [low - 0.05 * (high - low), high + 0.05 * (high - low)];
    });
    this.render();
  }

  // ---- from places to pixels ----

  frame(panel) {
    const wide = (this.wide - GAP * (this.panels.length - 1)) / this.panels.length;
    const top = this.panels.some((p) => p.title) ? 24 : 4;
    const edge = this.look.ticks && this.look.dims === 2 ? 22 : 4;
    return { left: panel * (wide + GAP), top, wide, high: this.high - top - edge };
  }

  /** Pixel [x, y, nearness] of a place in a panel. */
  pixel(place, panel = 0) {
    const { left, top, wide, high } = this.frame(panel);
    const { zoom, x, y, yaw, pitch } = this.eye;
    const centred = this.limits.map(([a, b], d) => this.look.scale.to(place[d]) - (a + b) / 2);
    let [across, up, near] = [...centred.map((value) => value * this.unit(panel)), 0];
    if (this.look.dims === 3) {
      const [u, v, w] = centred.map((value, d) =>
        value / Math.max((this.limits[d][1] - this.limits[d][0]) / 2, 1e-9));
      const unit = Math.min(wide, high) / 3;
      const away = Math.sin(yaw) * u + Math.cos(yaw) * v;
      across = unit * (Math.cos(yaw) * u - Math.sin(yaw) * v);
      up = unit * (Math.cos(pitch) * w + Math.sin(pitch) * away);
      near = Math.sin(pitch) * w - Math.cos(pitch) * away;
    }
    return [left + wide / 2 + x + zoom * across, top + high / 2 + y - zoom * up, near];
  }

  /** Pixels of one unit of a plane, alike in both directions. */
  unit(panel = 0) {
    const { wide, high } = this.frame(panel);
    const [across, up] = this.limits.map(([a, b]) => Math.max(b - a, 1e-9));
    return Math.min(wide / across, high / up);
  }

  // ---- drawing ----

  penOf(canvas) {
    [this.wide, this.high] = [this.box.clientWidth, this.box.clientHeight];
    return Object.assign(kit.penOf(canvas), { font: "13px system-ui, sans-serif",
      lineJoin: "round" });
  }

  /** Draw in every panel, and nothing beyond it. */
  inPanels(pen, draw) {
    this.panels.forEach(({ layers }, panel) => {
      const { left, top, wide, high } = this.frame(panel);
      pen.save();
      pen.beginPath();
      pen.rect(left, top, wide, high);
      pen.clip();
      draw(panel, layers);
      pen.restore();
    });
  }

  render() {
    const pen = this.penOf(this.below);
    this.hits = [];
    this.panels.forEach(({ title }, panel) => {
      const { left, wide } = this.frame(panel);
      this.axes(pen, panel);
      if (title) this.write(pen, title, left + wide / 2, 14, "center", wide);
    });
    this.inPanels(pen, (panel, layers) => {
      for (const layer of layers) this[layer.kind](pen, layer, panel);
    });
    this.mark();
  }

  pixelsOf(places, panel) {
    return places.map((place, i) => (place && !Number.isNaN(place[0])
      ? [...this.pixel(place, panel), i] : null));
  }

  hit([x, y, , i], { places, text, pick }) {
    if (text || pick) this.hits.push({ x, y, i, text, place: places[i], pick: pick && pick(i) });
  }

  points(pen, layer, panel) {
    const { colour, symbol: shape = "circle", size = 3.5, hollow, alpha = 0.8, edge } = layer;
    const pixels = this.pixelsOf(layer.places, panel)
      .filter((pixel, i) => pixel && !of(layer.hidden, i));
    if (this.look.dims === 3) pixels.sort((a, b) => a[2] - b[2]);
    for (const pixel of pixels) {
      const [x, y, , i] = pixel;
      pen.globalAlpha = of(alpha, i);
      symbol(pen, of(shape, i), x, y, of(size, i), of(colour, i), of(hollow, i));
      if (edge) symbol(pen, of(shape, i), x, y, of(size, i), edge, true);
      this.hit(pixel, layer);
    }
    pen.globalAlpha = 1;
  }

  line(pen, layer, panel) {
    const pixels = this.pixelsOf(layer.places, panel);
    pen.globalAlpha = layer.alpha ?? 1;
    kit.stroke(pen, pixels, layer.colour, layer.width, layer.dash);
    pen.globalAlpha = 1;
    for (const pixel of pixels) if (pixel) this.hit(pixel, layer);
  }

  /** Words at places; those that others are in the way of go below them. */
  words(pen, { places, words }, panel) {
    const taken = [];
    places.forEach((place, i) => {
      let [x, y] = this.pixel(place, panel);
      while (taken.some(([a, b]) => Math.abs(a - x) < 100 && Math.abs(b - y) < 16)) y += 17;
      taken.push([x, y]);
      this.write(pen, words[i], x, y, "center");
    });
  }

  write(pen, words, x, y, align = "left", most = undefined) {
    Object.assign(pen, { textAlign: align, lineWidth: 4, strokeStyle: kit.ink("--paper"),
      fillStyle: kit.ink("--ink") });
    pen.strokeText(words, x, y, most);
    pen.fillText(words, x, y, most);
  }

  axes(pen, panel) {
    const { left, top, wide, high } = this.frame(panel);
    const { dims, scale, ticks } = this.look;
    Object.assign(pen, { strokeStyle: kit.ink("--faint"), fillStyle: kit.ink("--soft"),
      lineWidth: 1 });
    const along = (d, value, others) => this.pixel(others.map((o, k) => (k === d ? value : o)),
      panel);
    if (dims === 3) {
      const [corner, ends] = [0, 1].map((end) => this.limits.map((l) => scale.from(l[end])));
      for (const d of [0, 1, 2]) {
        const end = along(d, ends[d], corner);
        kit.stroke(pen, [this.pixel(corner, panel), end], kit.ink("--faint"));
        pen.fillText("xyz"[d], end[0] + 4, end[1] + 4);
      }
      return;
    }
    pen.strokeRect(left + 0.5, top + 0.5, wide - 1, high - 1);
    const middle = this.limits.map(([a, b]) => scale.from((a + b) / 2));
    for (const d of ticks ? [0, 1] : []) for (const value of this.ticks(d)) {
      const [x, y] = along(d, value, middle);
      if (d ? y < top + 8 || y > top + high - 8 : x < left + 8 || x > left + wide - 8) continue;
      pen.textAlign = d ? "left" : "center";
      pen.fillText(`${value}`.replace("-", "−"), ...(d ? [left + 8, y + 4] : [x, top + high + 15]));
      pen.fillRect(...(d ? [left, y, 4, 1] : [x, top + high - 4, 1, 4]));
    }
  }

  /** Round true values along an axis, no closer than can be read. */
  ticks(d) {
    const { scale } = this.look;
    const apart = 60 / this.unit() / this.eye.zoom;
    const [low, high] = this.limits[d];
    const power = 10 ** Math.floor(Math.log10(apart));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= apart);
    const values = scale === linear ? range(Math.ceil((high - low) / step) + 1)
      .map((i) => Number(((Math.ceil(low / step) + i) * step).toPrecision(6)))
      : NICE.flatMap((v) => (v ? [v, -v] : [0]));
    const found = [];
    for (const value of values) {
      const at = scale.to(value);
      if (at >= low && at <= high
        && found.every((other) => Math.abs(scale.to(other) - at) >= apart * 0.99))
        found.push(value);
    }
    return found;
  }

  // ---- what moves, drawn above the rest ----

  /** Rings for chosen places, and marks [{place, words, strong, trail, dash}]; null keeps what
   *  there is. */
  mark(marks = null, chosen = null) {
    if (marks) this.marked = marks;
    if (chosen) this.chosen = chosen;
    const pen = this.penOf(this.above);
    const ink = kit.ink("--ink");
    this.inPanels(pen, (panel) => {
      for (const place of this.chosen)
        symbol(pen, "circle", ...this.pixel(place, panel).slice(0, 2), 6.5, ink, true);
      for (const { trail, dash, strong } of this.marked)
        this.line(pen, { places: trail, colour: ink, width: strong ? 2 : 1, dash }, panel);
      for (const { place, words, strong } of this.marked) {
        const [x, y] = this.pixel(place, panel);
        const r = strong ? 11 : 8;
        symbol(pen, "circle", x, y, r, kit.ink("--paper"));
        symbol(pen, "circle", x, y, r, ink, true);
        this.write(pen, words, x, y + 4.5, "center");
      }
    });
    if (this.lasso) kit.stroke(pen, [...this.lasso, this.lasso[0]], ink, 1, [5, 4]);
  }

  /** Say what the layers are; see drawLegend. */
  explain(entries, toggle = null) {
    drawLegend(this.legend, entries, toggle);
  }

  // ---- the pointer ----

  zoomAt(by, x = this.wide / 2, y = this.high / 2) {
    const zoom = Math.max(0.3, Math.min(200, this.eye.zoom * by));
    const part = zoom / this.eye.zoom;
    const [dx, dy] = [x - this.wide / 2, y - this.high / 2];
    Object.assign(this.eye, { zoom, x: dx - part * (dx - this.eye.x),
      y: dy - part * (dy - this.eye.y) });
    this.render();
  }

  /** Turn or move what is seen. */
  turn(dx, dy, move) {
    if (this.look.dims === 3 && !move) {
      this.eye.yaw += dx / 150;
      this.eye.pitch = Math.max(-1.5, Math.min(1.5, this.eye.pitch + dy / 150));
    } else {
      this.eye.x += dx;
      this.eye.y += dy;
    }
    this.render();
  }

  nearest([x, y], able = () => true) {
    let [best, least] = [null, 144];
    for (const hit of this.hits) {
      const far = (hit.x - x) ** 2 + (hit.y - y) ** 2;
      if (far <= least && able(hit)) [best, least] = [hit, far];
    }
    return best;
  }

  listen() {
    const on = (names, act) => names.forEach((name) => this.above.addEventListener(name,
      (event) => act(event, [event.offsetX, event.offsetY]), { passive: false }));
    let from = null; // where the button was pressed
    let moved = false;
    on(["pointerdown"], (event, at) => {
      [from, moved] = [at, false];
      if (this.state.drag === "lasso") this.lasso = [at];
      this.above.setPointerCapture(event.pointerId);
    });
    on(["pointermove"], (event, at) => {
      if (!from) return this.say(this.nearest(at));
      const [dx, dy] = [at[0] - from[0], at[1] - from[1]];
      if (!moved && Math.hypot(dx, dy) < 4) return undefined;
      moved = true;
      this.say(null);
      if (this.lasso) return this.lasso.push(at), this.mark();
      from = at;
      return this.turn(dx, dy, event.shiftKey);
    });
    on(["pointerup", "pointercancel"], (event, at) => {
      if (!from) return;
      const [polygon, add] = [this.lasso, event.shiftKey];
      [from, this.lasso] = [null, null];
      this.mark();
      if (event.type === "pointercancel") return;
      if (!moved) {
        const hit = this.nearest(at, ({ pick }) => pick);
        if (hit) this.onPick(hit.pick, add);
      } else if (polygon) {
        const caught = this.hits.filter((hit) => hit.pick && inside(hit, polygon));
        this.onLasso([...new Set(caught.map((hit) => hit.pick))], add);
      }
    });
    on(["pointerleave"], () => this.say(null));
    on(["wheel"], (event, at) => {
      event.preventDefault();
      this.zoomAt(Math.exp(-event.deltaY / 400), ...at);
    });
  }

  say(hit) {
    this.tip.hidden = !hit;
    this.above.style.cursor = hit?.pick ? "pointer" : "";
    if (!hit) return;
    this.tip.textContent = hit.text ? of(hit.text, hit.i) : this.textOf(hit.pick);
    const right = hit.x > this.wide / 2;
    Object.assign(this.tip.style, { left: right ? "" : `${hit.x + 12}px`,
      right: right ? `${this.wide - hit.x + 12}px` : "", top: `${hit.y + 10}px` });
  }
}
