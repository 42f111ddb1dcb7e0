// Stages: the same points at every stage of training, or in several networks, or in CSV files that
// are dropped here, moving from one
// to the next; chosen points are followed, two stages are shown side by side.

const stagesView = contents.stages && (() => {
  const STAGE_MS = 1400; // from one stage to the next at speed 1
  const MOST_FOLLOWED = 100; // points whose ways are drawn
  let data = contents.stages;
  const state = { at: 0, playing: false, speed: 1, label: "", compare: false, left: 0, right: 0,
    dims: data.dims ?? 2 };
  let places = new Map();

  // ---- controls ----

  const controls = element(left, "div");
  const dropping = element(controls, "label", { className: "drop", id: "drop" },
    "Drop CSV files here, or choose them: one file a stage, or one file with a column stage, "
    + "epoch, step or batch. ");
  const chooser = element(dropping, "input", { type: "file", id: "files", multiple: true,
    accept: ".csv,text/csv" });
  const dropWords = element(controls, "p", { id: "drop-words", role: "status" });
  const body = element(controls, "div");
  const bar = element(body, "div", { className: "controls" });
  const back = kit.button(bar, "stage-back", "◀", () => step(-1),
    { title: "one stage back (left arrow)", ariaLabel: "one stage back" });
  const playStages = kit.button(bar, "stage-play", "Play", () => (state.playing ? halt() : run()),
    { title: "play or pause (space)" });
  const forth = kit.button(bar, "stage-forth", "▶", () => step(1),
    { title: "one stage on (right arrow)", ariaLabel: "one stage on" });
  const slider = kit.slide(bar, "stage", "stage", [0, 1, "any"], 0, (v) => (halt(), (state.at = v),
    page.draw()));
  const stageName = element(bar, "output", { id: "stage-name", style: "min-width: 8em" });
  kit.choice(bar, "speed", "speed", ["0.5", "1", "2", "4"].map((v) => [v, v]), "1",
    (v) => (state.speed = Number(v)));
  const second = element(body, "div", { className: "controls" });
  const labelMenu = kit.choice(second, "stage-colour", "colour", [], "",
    (v) => ((state.label = v), shared.hidden.clear(), page.draw()));
  const dimsMenu = kit.choice(second, "stage-dims", "dimensions", [["2", "2"], ["3", "3"]],
    `${state.dims}`, (v) => ((state.dims = Number(v)), place(), page.draw()));
  const find = kit.labelled(second, "find",
    element(null, "input", { id: "find", type: "search", size: 14,
    placeholder: "text of a point" }));
  const compare = kit.tick(second, "compare", "two stages side by side", false,
    (v) => (halt(), (state.compare = v), page.draw()));
  const sides = ["left", "right"]
    .map((side) => kit.choice(second, side, side, [], "", (v) => ((state[side] = Number(v)),
    page.draw())));
  find.addEventListener("change", () => find.value
    && select(range(data.ids.length).filter((i) => itemWords(i).toLowerCase()
    .includes(find.value.toLowerCase())).map(keyOf)));

  // ---- data ----

  const keyOf = (i) =>
    (data.moments
    ? `f${data.moments.number[i]}:${data.moments.frame[i]}:${data.moments.speaker[i]}`
    : `id:${data.ids[i]}`);

  /** The first label that tells few classes apart, or the first one. */
  function telling() {
    const names = Object.keys(data.labels);
    return names.find((name) => { const { size } = new Set(data.labels[name]); return size > 1
      && size <= MOST_CLASSES; }) ?? names[0] ?? "";
  }

  function take(found) {
    halt();
    data = found;
    places = new Map(data.ids.map((_, i) => [keyOf(i), i]));
    Object.assign(state, { at: 0, compare: false, left: 0, right: data.names.length - 1,
      label: telling() });
    slider.max = data.names.length - 1;
    compare.checked = false;
    kit.fill(labelMenu, [...Object.keys(data.labels).map((name) => [name, name]), ["", "nothing"],
      [" cluster", "cluster that was kept"]], state.label);
    sides.forEach((menu, k) => kit.fill(menu, data.names.map((name, i) => [i, name]), k
      ? state.right : 0));
    dimsMenu.parentElement.hidden = !data.states || data.placed;
    place();
  }

  /** Places of files' points: their own x and y, or principal components of all files together. */
  function place() {
    if (!data.states) return void (state.dims = data.places[0]?.shape[1] ?? 2);
    if (data.placed) {
      state.dims = data.states[0].shape[1];
      Object.assign(data,
        { places: data.states,
        words: "The places are the columns x and y of the files: whether they are of one "
        + "consistent frame only who made the files knows." });
      return undefined;
    }
    state.dims = Math.min(state.dims, data.states[0].shape[1]);
    const found = principal(data.states, state.dims);
    const shares = found.shares.map((share) => `${Math.round(100 * share)} %`).join(", ");
    data.places = found.places;
    data.words = `The places are the first ${state.dims} principal components of all files `
      + `together, fitted in this page${found.every > 1 ? ` on one row in ${found.every}` : ""} `
      + `(${shares} of the variance of ${data.states[0].shape[1]} `
      + `columns): one frame for every stage, so what moves here moved in the states. Principal `
      + `components show what varies most, not every neighbourhood; \`turnstream latents `
      + `animate\` fits t-SNE and UMAP of such files that hold still, and says how still.`;
    return undefined;
  }

  async function receive(files) {
    try {
      const size = [...files].reduce((sum, file) => sum + file.size, 0);
      if (!files.length) return;
      if (size > MOST_BYTES)
        refuse(`expected files of at most ${MOST_BYTES / 1e6} MB together, got `
        + `${Math.round(size / 1e6)} MB`);
      const found =
        readStages(await Promise.all([...files]
        .map(async (file) => ({ name: file.name, text: await file.text() }))));
      select([]);
      selection.clusters.length = 0;
      take({ ...found, marks: ["marked right", "marked wrong"] });
      dropWords.textContent =
        `${counted(data.ids.length, "point")} that `
        + `${data.names.length === 1 ? "the file has" : `all ${data.names.length} stages have`}.`;
      saySelection();
      page.draw();
    } catch (error) {
      dropWords.textContent = `${error.message}.`;
    }
  }
  chooser.addEventListener("change", () => {
    receive([...chooser.files]);
    chooser.value = ""; // so that a file that was mended can be chosen again
  });
  for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) =>
    event.preventDefault());
  document.addEventListener("drop", (event) => event.dataTransfer.files.length
    && (page.show(stagesView), receive(event.dataTransfer.files)));

  // ---- drawing ----

  /** Classes of the points by the label that is chosen: [names, of a point], or numbers to colour
   *  by. */
  function classify() {
    const clusters = clustersByKey();
    const values = state.label === " cluster" ? data.ids.map((_, i) => clusters.get(keyOf(i))
      ?? "in no cluster") : state.label ? Array.from(data.labels[state.label])
      : data.ids.map(() => "all");
    if (typeof values[0] === "number" && new Set(values).size > MOST_CLASSES) {
      const known_ = values.filter((v) => !Number.isNaN(v)).sort((a, b) => a - b);
      const [low, high] = [known_[Math.floor(0.02 * known_.length)],
        known_[Math.ceil(0.98 * (known_.length - 1))]];
      return { entries: [{ name: state.label, low: `${Number(low.toPrecision(3))}`,
        high: `${Number(high.toPrecision(3))}` }], colour: (i) => (Number.isNaN(values[i])
        ? "#888888" : ramp((values[i] - low) / (high - low || 1))), hidden: () => false };
    }
    const named = values.map((v) => (v === "" || Number.isNaN(v) ? "none" : `${v}`));
    const counts = new Map();
    for (const name of named) counts.set(name, (counts.get(name) ?? 0) + 1);
    let names = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
    if (names.length > MOST_CLASSES) {
      names = names.slice(0, MOST_CLASSES - 1);
      counts.set("the others", named.filter((name) => !names.includes(name)).length);
      names.push("the others");
    }
    const entries = styled(names, names.map((name) => counts.get(name)))
      .map((entry) => ({ ...entry, symbol: "circle" }));
    const of = named.map((name) => (names.includes(name) ? names.indexOf(name) : names.length - 1));
    return { entries, colour: (i) => entries[of[i]].colour, hidden: (i) => entries[of[i]].hidden };
  }

  const stageAt = (at) => Math.min(data.names.length - 1, Math.round(at));

  /** Where a point is at a moment between two stages. */
  function placeAt(i, at) {
    const low = Math.min(data.names.length - 1, Math.floor(at));
    const [a, b] = [low, Math.min(data.names.length - 1, low + 1)].map((e) => data.places[e]);
    const eased = (at - low) ** 2 * (3 - 2 * (at - low));
    return range(state.dims).map((d) => a[i * state.dims + d]
      + eased * (b[i * state.dims + d] - a[i * state.dims + d]));
  }

  const mistaken = (i, stage) => Boolean(data.wrong) && data.wrong[stage * data.ids.length
    + i] === 1;
  const markOf = (i, stage) =>
    (!data.wrong || Number.isNaN(data.wrong[stage * data.ids.length + i]) ? ""
    : data.marks[Number(mistaken(i, stage))]);
  const itemWords = (i) => [data.ids[i], ...Object.entries(data.labels)
    .filter(([, values]) => known(values[i])).map(([name, values]) => `${name}: ${values[i]}`)]
    .join("\n");

  function draw(plane) {
    body.hidden = !data.names.length;
    if (!data.names.length) {
      plane.draw([{ layers: [] }], { dims: 2, key: "no stages" });
      plane.explain([]);
      return "";
    }
    const { entries, colour, hidden } = classify();
    const followed = [...selection.keys].filter((key) => places.has(key))
      .map((key) => places.get(key));
    const chosen = new Set(followed);
    const panel = (at) => {
      const stage = stageAt(at);
      const visible = range(data.ids.length).filter((i) => !hidden(i));
      const ways = followed.slice(0, MOST_FOLLOWED)
        .flatMap((i) => [...range(Math.floor(at + 1e-6) + 1).map((e) => placeAt(i, e)),
        placeAt(i, at), null]);
      return { title: data.names[stage], layers: [
        { kind: "points", places: visible.map((i) => placeAt(i, at)), colour: (k) =>
          colour(visible[k]), size: (k) => (chosen.has(visible[k]) ? 5 : 3), symbol: (k) =>
          (mistaken(visible[k], stage) ? "cross" : "circle"),
          alpha: (k) => (!chosen.size || chosen.has(visible[k]) ? 0.85 : 0.25), text: (k) =>
            `${itemWords(visible[k])}\n${markOf(visible[k], stage)}`, pick: (k) =>
            keyOf(visible[k]) },
        { kind: "line", places: ways, colour: kit.ink("--ink"), width: 1.5 }] };
    };
    slider.value = state.at;
    stageName.value = data.names[stageAt(state.at)];
    for (const menu of sides) menu.parentElement.hidden = !state.compare;
    for (const control of [back, playStages, forth, slider]) control.disabled = state.compare
      || data.names.length < 2;
    compare.disabled = data.names.length < 2;
    plane.draw(state.compare ? [panel(state.left), panel(state.right)] : [panel(state.at)],
      { dims: state.dims, limits: limits(),
      key: `stages ${data.names} ${state.dims} ${state.compare}` });
    plane.explain(data.wrong
      ? [...entries, { name: `${data.marks[1]} at that stage`, symbol: "cross" }] : entries,
      toggle);
    return data.words ?? "";
  }

  function limits() {
    return range(state.dims).map((d) => {
      let [low, high] = [Infinity, -Infinity];
      for (const all of data.places) for (let i = d; i < all.length; i += state.dims)
        (low = Math.min(low, all[i])), (high = Math.max(high, all[i]));
      return [low - 0.05 * (high - low), high + 0.05 * (high - low)];
    });
  }

  // ---- time ----

  let before = 0;
  function soon(work) {
    // with the next picture; a browser that shows none, hidden or busy, goes on without
    let begun = false;
    const once = () => {
      if (begun) return;
      begun = true;
      work(performance.now());
    };
    requestAnimationFrame(once);
    setTimeout(once, 250);
  }

  function tick(time) {
    if (!state.playing) return;
    state.at = Math.min(data.names.length - 1, state.at
      + (Math.min(100, time - before) * state.speed) / STAGE_MS);
    before = time;
    if (state.at >= data.names.length - 1) halt();
    else soon(tick);
    page.draw();
  }

  function halt() {
    state.playing = false;
    playStages.textContent = "Play";
  }

  function run() {
    if (state.at >= data.names.length - 1) state.at = 0;
    state.playing = true;
    playStages.textContent = "Pause";
    before = performance.now();
    soon(tick);
  }

  function step(by) {
    halt();
    state.at = Math.max(0, Math.min(data.names.length - 1, by > 0 ? Math.floor(state.at + 1e-6) + 1
      : Math.ceil(state.at - 1e-6) - 1));
    page.draw();
  }

  // ---- what the selection asks ----

  function item(key) {
    if (!places.has(key)) return null;
    const i = places.get(key);
    const stage = stageAt(state.compare ? state.right : state.at);
    const moment = data.moments ? { number: data.moments.number[i], frame: data.moments.frame[i],
      speaker: data.moments.speaker[i], event: null } : null;
    return { key, words: data.ids[i], moment,
      labels: { ...Object.fromEntries(Object.entries(data.labels)
      .map(([name, values]) => [name, values[i]])),
      ...(data.wrong ? { "at this stage": markOf(i, stage) } : {}) } };
  }
  function near(key) {
    const stage = stageAt(state.compare ? state.right : state.at);
    if (!places.has(key)) return [];
    const i = places.get(key);
    if (data.states) return nearestOf(data.states[stage], i).map(keyOf);
    const width = data.near.shape[2];
    return [...placeIn(data.near, stage * data.ids.length + i, width)].map(keyOf);
  }

  take(data);
  return {
    name: "stages", words: "Stages", controls, draw, item, near, state, keys: () =>
      data.ids.map((_, i) => keyOf(i)), able: () => true, own: true,
    where: () => null,
    pick: (key, add) => (select([key], true), !add && item(key).moment
      && go(item(key).moment, true)),
    start: () => undefined,
    key: { " ": () => playStages.click(), ArrowRight: () => step(1), ArrowLeft: () => step(-1) },
    places: () => range(data.ids.length).map((i) => placeAt(i, state.at)),
  };
})();
