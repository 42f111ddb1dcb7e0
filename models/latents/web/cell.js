// A conversation coloured by one unit's activation, with its sound: a lane for each speaker, and
// the probability of a shift.

{
  const { units, values, waveform, speaking, pShift, frameRate, start, sound } = kit.contents;
  const frames = pShift.length, seconds = frames / frameRate;
  const RED = "178,24,43", BLUE = "33,102,172",
    SPEAKERS = { light: ["#0072b2", "#d55e00"], dark: ["#56b4e9", "#e69f00"] };
  const LANE = 120, GAP = 22, SHIFT = 70, AXIS = 24, LEFT = 112, OVERVIEW = 44;

  const controls = kit.element(kit.view, "div", { className: "controls" });
  const play = kit.element(controls, "button", { type: "button", textContent: "Play", id: "play" });
  const chosen = kit.element(null, "select", { id: "unit" },
    ...units.map((unit, index) => kit.element(null, "option", { value: index },
      unit.tracks ? `${unit.name}: ${unit.tracks}` : unit.name)));
  kit.element(controls, "label", {}, "unit", chosen);
  chosen.style.maxWidth = "min(46rem, 100%)";
  const width = kit.element(null, "select", { id: "width" },
    ...[5, 10, 20, 60].map((s) => kit.element(null, "option", { value: s, selected: s === 20 },
    `${s} s`)));
  kit.element(controls, "label", {}, "shown", width);
  const scale = kit.element(null, "select", { id: "scale" },
    kit.element(null, "option", { value: "" }, "-1 to 1"),
    kit.element(null, "option", { value: "own" }, "its own range"));
  kit.element(controls, "label", {}, "colours", scale);
  const told = kit.element(controls, "output", { id: "told" });
  const legend = kit.element(kit.view, "canvas", { id: "legend" });
  const overview = kit.element(kit.view, "canvas",
    { id: "overview", title: "the whole stretch; click to go there" });
  const lanes = kit.element(kit.view, "canvas", { id: "lanes", tabIndex: 0,
    title: "click: go there; space: play or pause; arrows: one second" });
  const keys = "Click to go there. Space plays and pauses, arrows go by a second. Left channel: "
    + "speaker 0, right channel: speaker 1.";
  kit.element(kit.view, "p", { className: "note" }, keys);
  const audio = new Audio(sound);
  let from = 0, pointed = null;

  const unit = () => Number(chosen.value);
  const span = () => Math.min(Number(width.value), seconds);
  const raw = (frame, speaker) => values[(unit() * frames + frame) * 2 + speaker];
  let low = -1, high = 1;
  /** As it is drawn, from -1 to 1. */
  const value = (frame, speaker) => {
    const share = (raw(frame, speaker) - low) / (high - low);
    return Math.max(-1, Math.min(1, 2 * share - 1));
  };

  /** The range that is drawn from red to blue: -1 to 1, or nine tenths of the activations. */
  function findRange() {
    [low, high] = [-1, 1];
    if (!scale.value) return;
    const sorted = values.slice(unit() * frames * 2, (unit() + 1) * frames * 2).sort();
    [low, high] = [0.05, 0.95].map((share) => sorted[Math.floor(share * (sorted.length - 1))]);
    if (high - low < 1e-6) [low, high] = [low - 1e-6, high + 1e-6];
  }
  const colour = (activation) =>
    `rgba(${activation < 0 ? RED : BLUE},${Math.min(1, Math.abs(activation)) * 0.78})`;
  const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;

  /** A canvas as wide as the page and `height` high, cleared, in CSS pixels. */
  function clear(canvas, height, wide = kit.view.clientWidth) {
    const scale = devicePixelRatio || 1;
    Object.assign(canvas, { width: wide * scale, height: height * scale });
    Object.assign(canvas.style, { width: `${wide}px`, height: `${height}px`, display: "block",
      marginBottom: "0.6em" });
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    return [pen, wide];
  }

  const named = (level) => (level > 0 ? "+" : "")
    + (scale.value ? level.toFixed(high - low < 0.1 ? 4 : 2) : level.toFixed(0));

  function drawLegend() {
    const [pen] = clear(legend, 34, 380);
    for (let x = 0; x < 200; x++) {
      pen.fillStyle = colour(x / 100 - 1);
      pen.fillRect(LEFT + x, 2, 1, 14);
    }
    pen.strokeStyle = kit.ink("--soft");
    pen.strokeRect(LEFT, 2, 200, 14);
    pen.fillStyle = kit.ink("--ink");
    pen.textAlign = "center";
    [low, (low + high) / 2, high].forEach((level, place) =>
      pen.fillText(named(level), LEFT + 100 * place, 26));
    pen.textAlign = "left";
    pen.fillText("activation", 0, 9);
  }

  function drawOverview() {
    const [pen, wide] = clear(overview, OVERVIEW);
    const half = OVERVIEW / 2, scale = (wide - LEFT) / frames;
    for (let x = 0; x < wide - LEFT; x++) {
      const frame = Math.min(frames - 1, Math.floor(x / scale));
      for (const speaker of [0, 1]) {
        pen.fillStyle = colour(value(frame, speaker));
        pen.fillRect(LEFT + x, speaker * half, 1, half - 1);
      }
    }
    pen.fillStyle = kit.ink("--soft");
    pen.fillText("whole", 0, half);
    pen.strokeStyle = kit.ink("--ink");
    pen.lineWidth = 2;
    pen.strokeRect(LEFT + from * frameRate * scale, 1, span() * frameRate * scale, OVERVIEW - 2);
    const at = LEFT + audio.currentTime * frameRate * scale;
    pen.beginPath();
    pen.moveTo(at, 0);
    pen.lineTo(at, OVERVIEW);
    pen.stroke();
  }

  function drawLanes() {
    const height = 2 * LANE + GAP + SHIFT + 14 + AXIS;
    const [pen, wide] = clear(lanes, height);
    const first = Math.floor(from * frameRate),
      last = Math.min(frames, Math.ceil((from + span()) * frameRate));
    const step = (wide - LEFT) / (span() * frameRate);
    const at = (frame) => LEFT + (frame - from * frameRate) * step;
    const frameAt = (x) => Math.min(frames - 1, Math.floor(from * frameRate + (x - LEFT) / step));
    const theme = SPEAKERS[dark() ? "dark" : "light"];
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, wide - LEFT, height);
    pen.clip();
    for (const speaker of [0, 1]) {
      const top = speaker * (LANE + GAP), middle = top + LANE / 2;
      for (let x = LEFT; x < wide; x++) {
        pen.fillStyle = colour(value(frameAt(x), speaker));
        pen.fillRect(x, top, 1, LANE);
      }
      pen.fillStyle = dark() ? "rgba(255,255,255,.5)" : "rgba(0,0,0,.45)";
      for (let frame = first; frame < last; frame++) {
        const reach = waveform[speaker * frames + frame] * LANE / 2;
        pen.fillRect(at(frame), middle - reach, Math.max(1, step - 0.3), 2 * reach + 0.5);
      }
      line(pen, kit.ink("--ink"), 1.4, first, last, at,
        (frame) => middle - value(frame, speaker) * LANE / 2);
      pen.fillStyle = theme[speaker];
      for (let x = LEFT; x < wide; x++)
        if (speaking[2 * frameAt(x) + speaker]) pen.fillRect(x, LANE + 4 + speaker * 8, 1, 6);
    }
    const bottom = 2 * LANE + GAP + 10 + SHIFT;
    pen.strokeStyle = kit.ink("--faint");
    [0, 0.5, 1].forEach((level) => pen.strokeRect(LEFT, bottom - level * SHIFT, wide, 0));
    line(pen, dark() ? "#2fc79a" : "#009e73", 1.8, first, last, at,
      (frame) => (Number.isNaN(pShift[frame]) ? null : bottom - pShift[frame] * SHIFT));
    pen.fillStyle = kit.ink("--soft");
    pen.textAlign = "center";
    const every = span() > 30 ? 5 : span() > 12 ? 2 : 1;
    const end = start + from + span();
    for (let s = Math.ceil((start + from) / every) * every; s <= end; s += every) {
      const x = at((s - start) * frameRate);
      pen.fillRect(x, bottom, 1, 4);
      pen.fillText(`${s} s`, Math.max(LEFT + 10, Math.min(x, wide - 16)), bottom + 14);
    }
    pen.strokeStyle = kit.ink("--ink");
    pen.lineWidth = 2;
    pen.strokeRect(at(audio.currentTime * frameRate), 0, 0, bottom);
    pen.restore();
    pen.textAlign = "left";
    pen.fillStyle = kit.ink("--ink");
    [0, 1].forEach((speaker) => pen.fillText(`speaker ${speaker}`, 0,
      speaker * (LANE + GAP) + LANE / 2));
    pen.fillText("speaking", 0, LANE + GAP / 2);
    pen.fillText("p(shift)", 0, bottom - SHIFT / 2);
    pen.fillStyle = kit.ink("--soft");
    pen.textAlign = "right";
    [0, 1].forEach((speaker) => [high, low].forEach((level, end) =>
      pen.fillText(named(level), LEFT - 5, speaker * (LANE + GAP) + 7 + end * (LANE - 14))));
    ["1", "0"].forEach((text, end) => pen.fillText(text, LEFT - 5,
      bottom - SHIFT + 5 + end * (SHIFT - 8)));
  }

  function line(pen, ink, thick, first, last, at, height) {
    pen.strokeStyle = ink;
    pen.lineWidth = thick;
    pen.beginPath();
    let down = false;
    for (let frame = first; frame < last; frame++) {
      const y = height(frame);
      if (y === null) { down = false; continue; }
      down ? pen.lineTo(at(frame + 0.5), y) : pen.moveTo(at(frame + 0.5), y);
      down = true;
    }
    pen.stroke();
  }

  function draw() {
    const now = audio.currentTime;
    if (now < from || now > from + span())
      from = Math.min(Math.max(0, now - span() * 0.05), seconds - span());
    from = Math.max(0, Math.min(from, seconds - span()));
    drawOverview();
    drawLanes();
    const frame = Math.min(frames - 1, Math.floor((pointed ?? now) * frameRate));
    const figures = [0, 1].map((speaker) =>
      `speaker ${speaker}: ${raw(frame, speaker).toFixed(3)}`).join(", ");
    const shift = Number.isNaN(pShift[frame]) ? "" : `, p(shift) ${pShift[frame].toFixed(2)}`;
    const clock = kit.clock(start + frame / frameRate);
    told.textContent = `${clock}  ${units[unit()].shown}, ${figures}${shift}`;
  }

  function run() {
    draw();
    if (!audio.paused) requestAnimationFrame(run);
  }

  function go(to) {
    audio.currentTime = Math.max(0, Math.min(to, seconds - 0.01));
    draw();
  }

  const toggle = () => (audio.paused ? audio.play() : audio.pause());
  const second = (event, begin, length) => begin
    + Math.max(0, (event.offsetX - LEFT) / (event.target.clientWidth - LEFT)) * length;
  play.addEventListener("click", toggle);
  audio.addEventListener("play", () => { play.textContent = "Pause"; run(); });
  audio.addEventListener("pause", () => { play.textContent = "Play"; draw(); });
  audio.addEventListener("seeked", draw);
  lanes.addEventListener("click", (event) => go(second(event, from, span())));
  lanes.addEventListener("mousemove", (event) => {
    pointed = Math.min(seconds, second(event, from, span()));
    if (audio.paused) draw();
  });
  lanes.addEventListener("mouseleave", () => { pointed = null; draw(); });
  overview.addEventListener("click", (event) => go(second(event, 0, seconds)));
  const change = () => { findRange(); drawLegend(); draw(); };
  chosen.addEventListener("change", change);
  scale.addEventListener("change", change);
  width.addEventListener("change", draw);
  document.addEventListener("keydown", (event) => {
    if (["SELECT", "BUTTON", "INPUT"].includes(event.target.tagName)) return;
    const act = { " ": toggle, ArrowRight: () => go(audio.currentTime + 1),
      ArrowLeft: () => go(audio.currentTime - 1) }[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change",
    () => { drawLegend(); draw(); });
  drawLegend();
  draw();
}
