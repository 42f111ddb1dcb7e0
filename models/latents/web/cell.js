// A conversation coloured by one unit's activation, with its sound: a lane for each speaker, and
// the probability of a shift.

{
  const { units, values, waveform, speaking, pShift, frameRate, start, sound } = kit.contents;
  const count = pShift.length, seconds = count / frameRate, begin = Math.round(start * frameRate);
  const RED = "178,24,43", BLUE = "33,102,172", OPAQUE = 0.78;
  const LANE = 120, OVERVIEW = 44, BOTTOM = 340;
  const audio = new Audio(sound);
  const state = { unit: 0, span: 20, range: "", from: 0, pointed: null };

  const bar = new kit.Controls(kit.view, { state, act: draw });
  const playButton = bar.button("play", "Play", toggle);
  bar.choice("unit", "unit", units.map(({ name, tracks }, index) =>
    [index, tracks ? `${name}: ${tracks}` : name]), "unit");
  bar.choice("width", "shown", [5, 10, 20, 60].map((s) => [s, `${s} s`]), "span");
  bar.choice("scale", "colours", [["", "-1 to 1"], ["own", "its own range"]], "range");
  const told = kit.element(bar.bar, "output", { id: "told" });
  const legend = kit.element(kit.view, "p", { id: "legend", className: "note" });
  const overview = new kit.Strip(kit.view, "overview", OVERVIEW, "the whole stretch", goTo);
  const lanes = new kit.Strip(kit.view, "lanes", BOTTOM + 20, "activations and sound", goTo);
  kit.element(kit.view, "p", { className: "note" }, "Click to go there. Space plays and pauses, "
    + "arrows go by a second. Left channel: speaker 0, right channel: speaker 1.");

  const span = () => Math.min(state.span, seconds);
  const inView = (now) => now >= state.from && now <= state.from + span();
  const frameOf = (time) => Math.min(count - 1, Math.floor((time - start) * frameRate));
  const raw = (frame, speaker) => values[(state.unit * count + frame) * 2 + speaker];
  const colour = (activation) =>
    `rgba(${activation < 0 ? RED : BLUE},${Math.min(1, Math.abs(activation)) * OPAQUE})`;

  /** The range that is drawn from red to blue: -1 to 1, or nine tenths of the activations. */
  function limits() {
    if (!state.range) return [-1, 1];
    const sorted = values.slice(state.unit * count * 2, (state.unit + 1) * count * 2).sort();
    const [low, high] = [0.05, 0.95].map((q) => sorted[Math.floor(q * (sorted.length - 1))]);
    return high - low < 1e-6 ? [low - 1e-6, high + 1e-6] : [low, high];
  }

  function draw() {
    const [low, high] = limits();
    const digits = !state.range ? 0 : high - low < 0.1 ? 4 : 2;
    const named = (level) => (level > 0 ? "+" : "") + level.toFixed(digits);
    legend.replaceChildren(`activation ${named(low)} `, kit.element(null, "span", { style:
      `display: inline-block; width: 200px; height: 14px; background: linear-gradient(to right,
      rgba(${RED},${OPAQUE}), transparent, rgba(${BLUE},${OPAQUE}))` }),
      ` ${named(high)}; the page's colour is ${named((low + high) / 2)}`);
    if (!inView(audio.currentTime)) state.from = audio.currentTime - span() * 0.05;
    state.from = Math.max(0, Math.min(state.from, seconds - span()));
    /** An activation as it is drawn, from -1 to 1. */
    const value = (frame, speaker) =>
      Math.max(-1, Math.min(1, (2 * (raw(frame, speaker) - low)) / (high - low) - 1));
    const colourLane = (pen, strip, speaker, high) => {
      for (let x = strip.left; x < strip.wide; x++) {
        pen.fillStyle = colour(value(frameOf(strip.timeAt(x)), speaker));
        pen.fillRect(x, speaker * high, 1, high - 1);
      }
    };
    const first = start + state.from;
    overview.set([start, start + seconds], (pen) => {
      for (const speaker of [0, 1]) colourLane(pen, overview, speaker, OVERVIEW / 2);
      Object.assign(pen, { strokeStyle: kit.ink("--ink"), lineWidth: 2 });
      pen.strokeRect(overview.at(first), 1, overview.at(first + span()) - overview.at(first),
        OVERVIEW - 2);
    });
    lanes.set([first, first + span()], (pen) => {
      const shown = kit.range(Math.floor(span() * frameRate)).map((i) =>
        Math.min(begin + count - 1, Math.ceil(first * frameRate) + i));
      for (const speaker of [0, 1]) {
        colourLane(pen, lanes, speaker, LANE);
        kit.stroke(pen, shown.map((frame) => [lanes.at((frame + 0.5) / frameRate),
          LANE * (speaker + 0.5 - value(frame - begin, speaker) / 2)]), kit.ink("--ink"), 1.4);
      }
      const wave = kit.dark.matches ? "rgba(255,255,255,.5)" : "rgba(0,0,0,.45)";
      lanes.sound(pen, shown, frameRate, { lane: LANE, bottom: BOTTOM, waves: [wave, wave],
        reach: (frame, speaker) => waveform[speaker * count + frame - begin],
        speaks: (frame, speaker) => speaking[2 * (frame - begin) + speaker],
        curves: [[(frame) => pShift[frame - begin], "#009e73", 1.8]] });
    });
    show();
  }

  /** Show the time that is heard, and what is known of it or of where the pointer is. */
  function show() {
    const time = start + audio.currentTime;
    for (const strip of [overview, lanes]) strip.show(time);
    const frame = frameOf(state.pointed ?? time);
    const shift = Number.isNaN(pShift[frame]) ? "" : `, p(shift) ${pShift[frame].toFixed(2)}`;
    told.textContent = `${kit.clock(start + frame / frameRate)}  ${units[state.unit].shown}, `
      + `speaker 0: ${raw(frame, 0).toFixed(3)}, speaker 1: ${raw(frame, 1).toFixed(3)}${shift}`;
  }

  const follow = () => (inView(audio.currentTime) ? show() : draw());

  function run() {
    follow();
    if (!audio.paused) requestAnimationFrame(run);
  }

  function goTo(time) {
    audio.currentTime = Math.max(0, Math.min(time - start, seconds - 0.01));
    follow();
  }

  function toggle() {
    audio.paused ? audio.play() : audio.pause();
  }

  audio.addEventListener("play", () => ((playButton.textContent = "Pause"), run()));
  audio.addEventListener("pause", () => ((playButton.textContent = "Play"), follow()));
  audio.addEventListener("seeked", follow);
  lanes.canvas.addEventListener("mousemove", (event) =>
    ((state.pointed = lanes.timeAt(event.offsetX)), show()));
  lanes.canvas.addEventListener("mouseleave", () => ((state.pointed = null), show()));
  const step = (by) => goTo(start + audio.currentTime + by);
  kit.onKeys(() => ({ " ": toggle, ArrowRight: () => step(1), ArrowLeft: () => step(-1) }));
  kit.dark.addEventListener("change", draw);
  draw();
}
