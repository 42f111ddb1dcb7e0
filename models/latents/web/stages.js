// Stages: the same points at every stage of training, or in several networks, or in CSV files that
// are dropped here, moving from one to the next; chosen points are followed, two stages are shown
// side by side.

const stagesView = contents.stages && (() => {
  const STAGE_MS = 1400; // from one stage to the next at speed 1
  const TICK_MS = 25;
  const MOST_FOLLOWED = 100; // points whose ways are drawn
  let data = contents.stages;
  const state = { at: 0, playing: 0, speed: 1, label: "", compare: false, left: 0, right: 0,
    dims: 2 };
  let keys = [];
  let rows = new Map();
  let limits = [];

  // ---- controls ----

  const controls = element(left, "div");
  const dropping = element(controls, "label", { className: "drop" },
    "Drop CSV files here, or choose them: one file a stage, or one file with a column stage, "
    + "epoch, step or batch. ");
  const chooser = element(dropping, "input", { type: "file", id: "files", multiple: true,
    accept: ".csv,text/csv" });
  const dropWords = element(controls, "p", { id: "drop-words", role: "status" });
  const body = element(controls, "div");
  const act = () => page.draw();
  const bar = new kit.Controls(body, { state, act: () => (halt(), act()) });
  const back = bar.button("stage-back", "◀", () => step(-1), { title: "one stage back (left)" });
  const playStages = bar.button("stage-play", "Play", () => (state.playing ? halt() : run()),
    { title: "play or pause (space)" });
  const forth = bar.button("stage-forth", "▶", () => step(1), { title: "one stage on (right)" });
  const slider = bar.slide("stage", "stage", [0, 1, "any"], "at");
  const stageName = element(bar.bar, "output", { id: "stage-name", style: "min-width: 8em" });
  bar.choice("speed", "speed", [[0.5], [1], [2], [4]], (v) => (state.speed = v)).value = 1;
  const compare = bar.choice("compare", "show", [[false, "one stage"],
    [true, "two stages side by side"]], "compare");
  const second = new kit.Controls(body, { state, act });
  const labelMenu = regroups(second.choice("stage-colour", "colour", [], "label"));
  const dimsMenu = second.choice("stage-dims", "dimensions", [[2], [3]],
    (dims) => ((state.dims = dims), place(), act()));
  const find = element(null, "input", { id: "find", type: "search", size: 14,
    placeholder: "text of a point" });
  element(second.bar, "label", {}, "find", find);
  find.addEventListener("change", () => find.value && select(keys.filter((key) =>
    textOf(key).toLowerCase().includes(find.value.toLowerCase()))));
  const sides = ["left", "right"].map((side) => second.choice(side, side, [], side));

  // ---- data ----

  const keyOf = (id, i) => (data.moments ? frameKey(data.moments.number[i], data.moments.frame[i],
    data.moments.speaker[i]) : `id:${id}`);

  /** Take the data of a page or of files. */
  function take(found) {
    halt();
    data = found;
    keys = data.ids.map(keyOf);
    rows = new Map(keys.map((key, i) => [key, i]));
    const names = Object.keys(data.labels);
    const tells = (name) => { // few classes apart
      const { size } = new Set(data.labels[name]);
      return size > 1 && size <= MOST_CLASSES;
    };
    Object.assign(state, { at: 0, compare: false, left: 0, right: data.names.length - 1,
      label: names.find(tells) ?? names[0] ?? "" });
    slider.max = data.names.length - 1;
    compare.value = false;
    kit.fill(labelMenu, [...names, CLUSTER].map((name) => [name]).concat([["", "nothing"]]),
      state.label);
    for (const menu of sides) kit.fill(menu, data.names.map((name, i) => [i, name]),
      state[menu.id]);
    dimsMenu.parentElement.hidden = !data.states || data.placed;
    place();
  }

  /** Places of files' points: their own x and y, or principal components of all files together. */
  function place() {
    if (data.placed) Object.assign(data, { places: data.states,
      words: "The places are the columns x and y of the files: whether they are of one consistent "
        + "frame only who made the files knows." });
    else if (data.states) {
      const { places, shares, every } = principal(data.states,
        Math.min(state.dims, data.states[0].shape[1]));
      const percent = shares.map((share) => `${Math.round(100 * share)} %`).join(", ");
      Object.assign(data, { places, words: `The places are the first ${shares.length} principal `
        + `components of all files together, fitted on one row in ${every} (${percent} of the `
        + `variance of ${data.states[0].shape[1]} columns): what moves here moved in the states. `
        + "They show what varies most, not every neighbourhood; `turnstream latents animate` fits "
        + "t-SNE and UMAP of such files that hold still, and says how still." });
    }
    if (data.places.length) state.dims = dimsMenu.value = data.places[0].shape[1];
    limits = limitsOf(data.places.flatMap((all) => keys.map((_, i) => kit.row(all, i))),
      state.dims);
  }

  async function receive(files) {
    if (!files.length) return;
    try {
      const size = [...files].reduce((sum, file) => sum + file.size, 0);
      if (size > MOST_BYTES) refuse("", `files of at most ${MOST_BYTES / 1e6} MB together`,
        `${Math.round(size / 1e6)} MB`);
      const found = readStages(await Promise.all([...files]
        .map(async (file) => ({ name: file.name, text: await file.text() }))));
      take({ ...found, marks: ["marked right", "marked wrong"] });
      selection.keys.clear();
      setClusters([]);
      dropWords.textContent = `${counted(keys.length, "point")} that all `
        + `${counted(data.names.length, "stage")} have.`;
    } catch (error) {
      dropWords.textContent = `${error.message}.`;
    }
  }
  chooser.addEventListener("change", () => {
    receive([...chooser.files]);
    chooser.value = ""; // so that a file that was mended can be chosen again
  });
  for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => {
    event.preventDefault();
    if (name === "dragover" || !event.dataTransfer.files.length) return;
    page.show(stagesView);
    receive(event.dataTransfer.files);
  });

  // ---- drawing ----

  const last = () => data.names.length - 1;
  const stageShown = () => Math.round(state.compare ? state.right : state.at);

  /** Where a point is at a moment between two stages. */
  function placeAt(i, at) {
    const low = Math.floor(at);
    const [a, b] = [low, Math.min(last(), low + 1)].map((stage) => kit.row(data.places[stage], i));
    const eased = (at - low) ** 2 * (3 - 2 * (at - low));
    return Array.from(a, (value, d) => value + eased * (b[d] - value));
  }

  /** What is known of a point at a stage: "" or one of the two marks. */
  const markOf = (i, stage) => data.marks[data.wrong?.[stage * keys.length + i]] ?? "";

  /** One stage, or what lies between two. */
  function panel(at, looks) {
    const stage = Math.round(at);
    const followed = [...selection.keys].filter((key) => rows.has(key)).map((key) => rows.get(key));
    const chosen = new Set(followed);
    const ways = followed.slice(0, MOST_FOLLOWED).flatMap((i) =>
      [...range(Math.floor(at + 1e-6) + 1).map((e) => placeAt(i, e)), placeAt(i, at), null]);
    return { title: data.names[stage], layers: [
      { kind: "points", ...looks, places: keys.map((_, i) => placeAt(i, at)),
        size: (i) => (chosen.has(i) ? 5 : 3),
        symbol: (i) => (markOf(i, stage) === data.marks[1] ? "cross" : looks.symbol(i)),
        alpha: (i) => (!chosen.size || chosen.has(i) ? 0.85 : 0.25),
        text: (i) => [data.ids[i], ...labelsOf(item(keys[i], stage))].join("\n"),
        pick: (i) => keys[i] },
      { kind: "line", places: ways, colour: kit.ink("--ink"), width: 1.5 }] };
  }

  function draw(plane) {
    body.hidden = !keys.length;
    const looks = looksOf(state.label, state.label === CLUSTER ? keys.map(clusterOf)
      : data.labels[state.label] ?? keys.map(() => "all"), [], 0.02);
    slider.value = state.at;
    stageName.value = data.names[Math.round(state.at)] ?? "";
    for (const menu of sides) menu.parentElement.hidden = !state.compare;
    for (const control of [back, playStages, forth, slider])
      control.disabled = state.compare || last() < 1;
    compare.disabled = last() < 1;
    const shownAt = !keys.length ? [] : state.compare ? [state.left, state.right] : [state.at];
    plane.draw(shownAt.map((at) => panel(at, looks)), { dims: state.dims, limits,
      key: `stages ${data.names} ${state.dims} ${state.compare}` });
    plane.explain([...looks.entries, ...(data.wrong
      ? [{ name: `${data.marks[1]} at that stage`, symbol: "cross" }] : [])], toggle);
    return data.words ?? "";
  }

  // ---- time ----

  function halt() {
    clearInterval(state.playing);
    state.playing = 0;
    playStages.textContent = "Play";
  }

  function run() {
    if (state.at >= last()) state.at = 0;
    playStages.textContent = "Pause";
    state.playing = setInterval(() => {
      state.at = Math.min(last(), state.at + (TICK_MS * state.speed) / STAGE_MS);
      if (state.at >= last()) halt();
      page.draw();
    }, TICK_MS);
  }

  function step(by) {
    halt();
    state.at = Math.max(0, Math.min(last(), by > 0 ? Math.floor(state.at + 1e-6) + 1
      : Math.ceil(state.at - 1e-6) - 1));
    act();
  }

  // ---- what the selection asks ----

  function item(key, stage = stageShown()) {
    if (!rows.has(key)) return null;
    const i = rows.get(key);
    const labels = Object.fromEntries(Object.entries(data.labels)
      .map(([name, values]) => [name, values[i]]));
    if (data.wrong) labels["at this stage"] = markOf(i, stage);
    return { key, labels, words: data.ids[i], moment: data.moments ? frameItem(key).moment : null };
  }

  function near(key) {
    if (!rows.has(key)) return [];
    const [i, stage] = [rows.get(key), stageShown()];
    const found = data.states ? nearestOf(data.states[stage], i)
      : [...kit.row(data.near, stage * keys.length + i)];
    return found.map((other) => keys[other]);
  }

  take(data);
  return {
    name: "stages", words: "Stages", controls, draw, item, near, state, own: true,
    follows: () => true,
    key: { " ": () => playStages.click(), ArrowRight: () => step(1), ArrowLeft: () => step(-1) },
    places: () => range(keys.length).map((i) => placeAt(i, state.at)),
  };
})();
