// The one drawer of planes: points, lines and words in two or three dimensions, on a canvas. It
// moves, zooms, turns (three dimensions), says what is under the pointer, and lets points be picked
// or lassoed.
//
// Layers: {kind: "points", places, colour, symbol, size, hollow, alpha, text, pick, name}
//         {kind: "line", places (null between lines), colour, width, dash, alpha, text, pick}
//         {kind: "words", places, words}    {kind: "cells", places, size: [width, height], colour}
// Of points and lines, `colour`, `size`, `hollow`, `alpha`, `text` and `pick` may be functions of
// the index.

class Plane {
  /** `onPick(pick, add)` of a click, `onLasso(picks, add)` of a lasso. */
  constructor(holder, { onPick, onLasso }) {
    Object.assign(this, { onPick, onLasso, panels: [], hits: [], marked: [], chosen: [],
      lasso: null });
    const bar = kit.element(holder, "div", { className: "controls" });
    const zoom = (by) => (this.zoomAt(by, this.wide / 2, this.high / 2), this.render());
    this.mode = kit.choice(bar, "drag", "Drag to", [["move", "move"], ["lasso", "select (lasso)"]],
      "move", () => {});
    kit.button(bar, "closer", "+", () => zoom(1.4), { title: "closer", ariaLabel: "closer" });
    kit.button(bar, "farther", "−", () => zoom(1 / 1.4),
      { title: "farther", ariaLabel: "farther" });
    kit.button(bar, "whole", "whole", () => (this.reset(), this.render()));
    this.box = kit.element(holder, "div", { className: "plane" });
    this.below = kit.element(this.box, "canvas",
      { id: "plane", role: "img", ariaLabel: "the plane; its words stand below" });
    this.above = kit.element(this.box, "canvas", { id: "marks" });
    this.tip = kit.element(this.box, "div", { className: "tip", hidden: true });
    this.legend = kit.element(holder, "div", { className: "controls", id: "legend" });
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
    this.limits = look.limits?.map((l) => l.map(this.look.scale.to)) ?? this.found();
    this.render();
  }

  found() {
    const { dims, scale } = this.look;
    const limits = Array.from({ length: dims }, () => [Infinity, -Infinity]);
    for (const { layers } of this.panels) for (const { places } of layers)
      for (const place of places) {
      if (place) limits.forEach((l, d) => ((l[0] = Math.min(l[0], scale.to(place[d]))),
        (l[1] = Math.max(l[1], scale.to(place[d])))));
    }
    return limits.map(([low, high]) =>
      (low <= high ? [low - 0.04 * (high - low), high + 0.04 * (high - low)] : [-1, 1]));
  }

  // ---- from places to pixels ----

  frame(panel) {
    const gap = 16;
    const wide = (this.wide - gap * (this.panels.length - 1)) / this.panels.length;
    const top = this.panels.some((p) => p.title) ? 24 : 4;
    const edge = this.look.ticks && this.look.dims === 2 ? 22 : 4;
    return { left: panel * (wide + gap), top, wide, high: this.high - top - edge };
  }

  /** Pixel [x, y, nearness] of a place in a panel. */
  pixel(place, panel = 0) {
    const { left, top, wide, high } = this.frame(panel);
    const { zoom, x, y, yaw, pitch } = this.eye;
    let [across, up, near] = [0, 0, 0];
    const centred = this.limits.map(([a, b], d) => this.look.scale.to(place[d]) - (a + b) / 2);
    if (this.look.dims === 3) {
      const [u, v, w] =
        centred.map((value, d) => value / Math.max((this.limits[d][1] - this.limits[d][0]) / 2,
        1e-9));
      const unit = Math.min(wide, high) / 2 / 1.5;
      const [sin, cos] = [Math.sin(yaw), Math.cos(yaw)];
      across = unit * (cos * u - sin * v);
      const away = sin * u + cos * v;
      up = unit * (Math.cos(pitch) * w + Math.sin(pitch) * away);
      near = Math.sin(pitch) * w - Math.cos(pitch) * away;
    } else {
      const unit = this.unit(panel);
      [across, up] = [unit * centred[0], unit * centred[1]];
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

  clear(canvas) {
    const ratio = window.devicePixelRatio || 1;
    [this.wide, this.high] = [this.box.clientWidth, this.box.clientHeight];
    [canvas.width, canvas.height] = [this.wide * ratio, this.high * ratio];
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "13px system-ui, sans-serif";
    pen.lineJoin = "round";
    return pen;
  }

  render() {
    const pen = this.clear(this.below);
    this.hits = [];
    this.panels.forEach(({ title, layers }, panel) => {
      const { left, top, wide, high } = this.frame(panel);
      this.axes(pen, panel);
      pen.save();
      pen.beginPath();
      pen.rect(left, top, wide, high);
      pen.clip();
      for (const layer of layers) this[layer.kind](pen, layer, panel);
      pen.restore();
      if (title) this.write(pen, title, left + wide / 2, 14, "center", wide);
    });
    this.mark();
  }

  points(pen, layer, panel) {
    const { places, symbol, pick, text } = layer;
    const pixels = places.map((place, i) => (place && !Number.isNaN(place[0])
      ? [...this.pixel(place, panel), i] : null)).filter(Boolean);
    if (this.look.dims === 3) pixels.sort((a, b) => a[2] - b[2]);
    for (const [x, y, , i] of pixels) {
      const ink = of(layer.colour, i);
      const shape = of(symbol, i);
      const r = of(layer.size ?? 3.5, i);
      pen.globalAlpha = of(layer.alpha ?? 0.8, i);
      outline(pen, shape, x, y, r);
      if (shape === "cross" || of(layer.hollow, i)) {
        pen.strokeStyle = ink;
        pen.lineWidth = Math.max(1.2, r / 3);
        pen.stroke();
      } else {
        pen.fillStyle = ink;
        pen.fill();
        if (layer.edge) (pen.strokeStyle = layer.edge), (pen.lineWidth = 1.5), pen.stroke();
      }
      if (text || pick) this.hits.push({ x, y, text, pick: pick ? of(pick, i) : undefined, i });
    }
    pen.globalAlpha = 1;
  }

  line(pen, layer, panel) {
    const { places, pick, text } = layer;
    pen.strokeStyle = layer.colour;
    pen.globalAlpha = layer.alpha ?? 1;
    pen.lineWidth = layer.width ?? 1;
    pen.setLineDash(layer.dash ?? []);
    pen.beginPath();
    let down = false;
    places.forEach((place, i) => {
      if (!place || Number.isNaN(place[0])) return void (down = false);
      const [x, y] = this.pixel(place, panel);
      down ? pen.lineTo(x, y) : pen.moveTo(x, y);
      down = true;
      if (text || pick) this.hits.push({ x, y, text, pick: pick ? of(pick, i) : undefined, i });
      return undefined;
    });
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }

  cells(pen, { places, size, colour }, panel) {
    const unit = this.unit(panel) * this.eye.zoom;
    places.forEach((place, i) => {
      const [x, y] = this.pixel(place, panel);
      pen.fillStyle = of(colour, i);
      pen.fillRect(x - (size[0] * unit) / 2, y - (size[1] * unit) / 2, size[0] * unit + 0.6,
        size[1] * unit + 0.6);
    });
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
    pen.textAlign = align;
    pen.lineWidth = 4;
    pen.strokeStyle = kit.ink("--paper");
    pen.strokeText(words, x, y, most);
    pen.fillStyle = kit.ink("--ink");
    pen.fillText(words, x, y, most);
  }

  axes(pen, panel) {
    const { left, top, wide, high } = this.frame(panel);
    const { dims, scale, ticks } = this.look;
    pen.strokeStyle = kit.ink("--faint");
    pen.fillStyle = kit.ink("--soft");
    pen.lineWidth = 1;
    if (dims === 2) pen.strokeRect(left + 0.5, top + 0.5, wide - 1, high - 1);
    const middle = this.limits.map(([a, b]) => scale.from((a + b) / 2));
    if (dims === 3) {
      const corner = this.limits.map(([a]) => scale.from(a));
      for (const d of [0, 1, 2]) {
        const end = corner.map((value, k) => (k === d ? scale.from(this.limits[d][1]) : value));
        const [[ax, ay], [bx, by]] = [this.pixel(corner, panel), this.pixel(end, panel)];
        pen.beginPath();
        pen.moveTo(ax, ay);
        pen.lineTo(bx, by);
        pen.stroke();
        pen.fillText("xyz"[d], bx + 4, by + 4);
      }
    } else if (ticks) {
      for (const d of [0, 1]) for (const value of this.ticks(d)) {
        const [x, y] = this.pixel(middle.map((m, k) => (k === d ? value : m)), panel);
        const words = `${value}`.replace("-", "−");
        pen.textAlign = d ? "left" : "center";
        if (d === 0 && x > left + 8 && x < left + wide - 8) pen.fillText(words, x, top + high
          + 15), pen.fillRect(x, top + high - 4, 1, 4);
        if (d === 1 && y > top + 8 && y < top + high - 8) pen.fillText(words, left + 8, y + 4),
          pen.fillRect(left, y, 4, 1);
      }
    }
  }

  /** Round true values along an axis, no closer than can be read. */
  ticks(d) {
    const { scale } = this.look;
    const apart = 60 / this.unit() / this.eye.zoom;
    const [low, high] = this.limits[d];
    const found = [];
    const power = 10 ** Math.floor(Math.log10(Math.max(apart, 1e-9)));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= apart);
    const plain = Array.from({ length: Math.min(200, Math.ceil((high - low) / step) + 1) },
      (_, i) => Number(((Math.ceil(low / step) + i) * step).toPrecision(6)));
    for (const value of scale === linear ? plain : NICE.flatMap((v) => (v ? [v, -v] : [0]))) {
      const at = scale.to(value);
      if (at >= low && at <= high
        && found.every((other) => Math.abs(scale.to(other) - at) >= apart * 0.99)) found.push(
        value);
    }
    return found;
  }

  // ---- what moves, drawn above the rest ----

  /** Rings for chosen places, and marks [{place, words, strong, trail, dash}]; null keeps what
   *  there is. */
  mark(marks = null, chosen = null) {
    if (marks) this.marked = marks;
    if (chosen) this.chosen = chosen;
    const pen = this.clear(this.above);
    const [ink, paper] = [kit.ink("--ink"), kit.ink("--paper")];
    this.panels.forEach((_, panel) => {
      const { left, top, wide, high } = this.frame(panel);
      pen.save();
      pen.beginPath();
      pen.rect(left, top, wide, high);
      pen.clip();
      pen.strokeStyle = ink;
      pen.lineWidth = 1.6;
      for (const place of this.chosen) {
        const [x, y] = this.pixel(place, panel);
        outline(pen, "circle", x, y, 6.5);
        pen.stroke();
      }
      for (const { trail, dash, strong } of this.marked) if (trail?.length)
        this.line(pen, { places: trail, colour: ink, width: strong ? 2 : 1, dash }, panel);
      for (const { place, words, strong } of this.marked) {
        const [x, y] = this.pixel(place, panel);
        outline(pen, "circle", x, y, strong ? 11 : 8);
        pen.fillStyle = paper;
        pen.fill();
        pen.strokeStyle = ink;
        pen.lineWidth = strong ? 3 : 1.5;
        pen.stroke();
        if (words) this.write(pen, words, x, y + 4.5, "center");
      }
      pen.restore();
    });
    if (!this.lasso) return;
    pen.beginPath();
    for (const [x, y] of this.lasso) pen.lineTo(x, y);
    pen.closePath();
    pen.strokeStyle = ink;
    pen.setLineDash([5, 4]);
    pen.stroke();
  }

  // ---- the pointer ----

  zoomAt(by, x, y) {
    const zoom = Math.max(0.3, Math.min(200, this.eye.zoom * by));
    const part = zoom / this.eye.zoom;
    const middle = [this.wide / 2, this.high / 2];
    this.eye.x = x - middle[0] - part * (x - middle[0] - this.eye.x);
    this.eye.y = y - middle[1] - part * (y - middle[1] - this.eye.y);
    this.eye.zoom = zoom;
  }

  nearest(x, y, able = () => true) {
    let [best, least] = [null, 144];
    for (const hit of this.hits) {
      const far = (hit.x - x) ** 2 + (hit.y - y) ** 2;
      if (far <= least && able(hit)) [best, least] = [hit, far];
    }
    return best;
  }

  listen() {
    const place = (event) => [event.offsetX, event.offsetY];
    let from = null;
    let moved = false;
    this.above.addEventListener("pointerdown", (event) => {
      from = place(event);
      moved = false;
      if (this.mode.value === "lasso") this.lasso = [from];
      this.above.setPointerCapture(event.pointerId);
    });
    this.above.addEventListener("pointermove", (event) => {
      const [x, y] = place(event);
      if (!from) return this.say(this.nearest(x, y, (hit) => hit.text && of(hit.text, hit.i)));
      const [dx, dy] = [x - from[0], y - from[1]];
      if (!moved && Math.hypot(dx, dy) < 4) return undefined;
      moved = true;
      this.say(null);
      if (this.lasso) return this.lasso.push([x, y]), this.mark();
      if (this.look.dims === 3 && !event.shiftKey) (this.eye.yaw += dx / 150),
        (this.eye.pitch = Math.max(-1.5, Math.min(1.5, this.eye.pitch + dy / 150)));
      else (this.eye.x += dx), (this.eye.y += dy);
      from = [x, y];
      return this.render();
    });
    const up = (event) => {
      if (!from) return;
      const [polygon, add] = [this.lasso, event.shiftKey];
      [from, this.lasso] = [null, null];
      if (event.type === "pointercancel") return void this.mark();
      if (polygon && moved) {
        this.mark();
        return void this.onLasso(
          [...new Set(this.hits.filter((hit) => hit.pick !== undefined && hit.pick !== null
          && inside(hit, polygon)).map((hit) => hit.pick))], add);
      }
      const hit = moved ? null : this.nearest(...place(event), ({ pick }) => pick !== undefined
        && pick !== null);
      if (hit) this.onPick(hit.pick, add);
    };
    for (const name of ["pointerup", "pointercancel"]) this.above.addEventListener(name, up);
    this.above.addEventListener("pointerleave", () => this.say(null));
    this.above.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomAt(Math.exp(-event.deltaY / 400), ...place(event));
      this.render();
    }, { passive: false });
  }

  say(hit) {
    this.tip.hidden = !hit;
    this.above.style.cursor = hit?.pick !== undefined && hit?.pick !== null ? "pointer" : "";
    if (!hit) return;
    this.tip.textContent = of(hit.text, hit.i);
    const right = hit.x > this.wide / 2;
    Object.assign(this.tip.style, { left: right ? "" : `${hit.x + 12}px`, right: right
      ? `${this.wide - hit.x + 12}px` : "", top: `${hit.y + 10}px` });
  }

  /** Say what the layers are; see drawLegend. */
  explain(entries, toggle = null) {
    drawLegend(this.legend, entries, toggle);
  }
}
