// Paths: states around events, or of a whole conversation, as lines; grouped, compared, mistakes
// drawn. All is measured in true places.

const pathsView = contents.paths && (() => {
  const { paths } = contents;
  const list = [...paths.events].map((index) => events[index]);
  const rows = new Map([...paths.events].map((index, p) => [index, p]));
  const FIRST = ["shift", "hold", "gap", "pause", "overlap", "backchannel", "correct", "wrong",
    "speaker", "listener", "question", "statement"]; // their order
  const MOST_GROUPS = 8;
  const hasPrediction = list.some((e) => e.predicted);
  const splits = [...new Set(list.map((e) => e.split))];
  const splitName = (name) => name || "no split";
  const followable = dialogues.map((d, i) => i).filter((i) => dialogues[i].embedded);

  // ---- what paths can be grouped by: [words, of an event and a role] ----

  let clusters = new Map();
  const GROUPS = {
    none: ["nothing", () => "all"],
    kind: ["kind of event", (e) => e.kind],
    true: ["true class", (e) => e.true || "neither shift nor hold"],
    predicted: ["predicted class", (e) => e.predicted || "not predicted"],
    correct: ["correct or wrong", (e) => (e.correct === null ? "not predicted" : e.correct
      ? "correct" : "wrong")],
    outcome: ["true and predicted class",
      (e) => (e.predicted ? `${e.true} taken for ${e.predicted}` : "not predicted")],
    role: ["speaker or listener", (e, role) => ["speaker", "listener"][role]],
    channel: ["channel", (e, role) => `channel ${role ? 1 - e.speaker : e.speaker}`],
    ending: ["question or statement", (e) => e.ending || "unknown"],
    dialogue: ["dialogue", (e) => e.dialogue],
    split: ["split", (e) => splitName(e.split)],
    cluster: ["cluster that was kept", (e, role, key) => clusters.get(key) ?? "in no cluster"],
  };
  if (!hasPrediction) for (const name of ["predicted", "correct", "outcome"]) delete GROUPS[name];
  if (list.every((e) => !e.true)) delete GROUPS.true;
  if (list.every((e) => !e.ending)) delete GROUPS.ending;
  if (splits.length < 2) delete GROUPS.split;
  if (new Set(list.map((e) => e.dialogue)).size < 2) delete GROUPS.dialogue;
  for (const name of Object.keys(list[0]?.labels ?? {})) GROUPS[`label ${name}`] =
    [name, (e) => e.labels[name] || "unknown"]; // of the user's own
  const lacking = [["ending", "question against statement: no text is known"],
    ["split", "split: all dialogues are of the same"],
    ["dialogue", "dialogue: there is but one"],
      ["predicted", "predicted class: no prediction is read at these events"]]
      .filter(([name]) => !(name in GROUPS)).map(([, words]) => words);
  const keyOf = (p, role) => `e${paths.events[p]}:${role}`;
  const classOf = ([p, role]) => GROUPS[state.group][1](list[p], role, keyOf(p, role));

  const state = {
    view: paths.conversation ? "conversation" : "paths", log: false, whose: `${paths.whose}`,
      group: "true" in GROUPS ? "true" : "kind", split: "all",
    colour: "time", single: true, means: true, chosen: null, pair: null, apart: false,
    conversation: paths.conversation?.number ?? followable[0], channel: "both",
      from: paths.conversation?.start_s ?? 0, length: paths.conversation?.seconds ?? 10,
  };

  // ---- controls ----

  const controls = element(left, "div");
  const bar = element(controls, "div", { className: "controls" });
  const set = (name, as = (v) => v) => (value) => ((state[name] = as(value)), page.draw());
  const views = [["paths", "paths around events"], ["last", "last points alone"]];
  if (hasPrediction) views.push(["mistakes", "mistakes: true and predicted class"]);
  if (followable.length) views.push(["conversation", "a whole conversation"]);
  kit.choice(bar, "view-choice", "Show", views, state.view, set("view"));
  kit.choice(bar, "scale", "Scale", [["linear", "linear"], ["log", "sign(x) · log(1 + |x|)"]],
    "linear", set("log", (v) => v === "log"));
  const planeMenu = kit.choice(bar, "path-projection", "Projection",
    projectionOptions((p) => p.paths), 0, (v) => ((shared.projection = Number(v)), page.draw()));
  const whoseMenu = kit.choice(bar, "path-whose", "State of", [["0", "the speaker before it"],
    ["1", "the listener"], ["both", "both"]], state.whose, set("whose"));
  const ofEvents = element(controls, "div", { className: "controls" });
  const groupMenu = kit.choice(ofEvents, "group", "Group by", Object.entries(GROUPS)
    .map(([name, [words]]) => [name, words]), state.group,
    (v) => (shared.hidden.clear(), set("group")(v)));
  if (splits.length > 1) kit.choice(ofEvents, "split", "Split",
    [["all", "all together"], ["apart", "each apart"],
    ...splits.map((s, i) => [`${i}`, splitName(s)])], "all", set("split"));
  const colourMenu = kit.choice(ofEvents, "colour", "Colour of single paths",
    [["time", "time"], ["group", "group"]], state.colour, set("colour"));
  const single = kit.tick(ofEvents, "single", "single paths", true, set("single"));
  const means = kit.tick(ofEvents, "means", "means with spread", true, set("means"));
  const ofConversation = element(controls, "div", { className: "controls" });
  kit.choice(ofConversation, "conversation", "Dialogue",
    followable.map((i) => [i, dialogues[i].id]), state.conversation, set("conversation", Number));
  const lengths = [...new Set([2, 5, 10, 30, 60, state.length])].filter((s) => s < Infinity)
    .sort((a, b) => a - b);
  kit.choice(ofConversation, "length", "Stretch of",
    [...lengths.map((s) => [`${s}`, `${Number(s.toFixed(2))} s`]), ["all", "all of it"]],
    `${state.length}`, set("length", (v) => (v === "all" ? Infinity : Number(v))));
  kit.choice(ofConversation, "channel", "State of", [["both", "both speakers"], ["0", "channel 0"],
    ["1", "channel 1"]], "both", set("channel"));
  const fromSlider = kit.slide(ofConversation, "from", "from", [0, 1, 0.1], state.from,
    set("from"));
  const fromWords = element(ofConversation, "span", { id: "from-words" });
  const picking = element(controls, "div", { className: "controls", id: "picking" });
  const options = [["", "none"], ...list.map((e, p) => [`${p}`, `${e.dialogue} ${inWords(e)}`])];
  const eventMenu = kit.choice(picking, "path-event", "Event", options, "",
    (v) => choose(v === "" ? null : Number(v)));
  kit.button(picking, "previous", "◀", () => choose(beside(-1)), { ariaLabel: "previous event" });
  kit.button(picking, "next", "▶", () => choose(beside(1)), { ariaLabel: "next event" });
  const pairMenu = kit.choice(picking, "pair", "Compare with", options, "",
    set("pair", (v) => (v === "" ? null : Number(v))));
  const nearestButton = kit.button(picking, "nearest", "nearest of the other class",
    () => set("pair")(shown().paths.nearest[state.chosen]));
  const layoutMenu = kit.choice(picking, "layout", "drawn",
    [["over", "over each other"], ["apart", "side by side"]], "over",
    set("apart", (v) => v === "apart"));
  const words = element(controls, "p", { id: "words" });
  const chosenWords = element(controls, "p", { id: "chosen-words", ariaLive: "polite" });
  const below = element(kit.view, "div");
  element(below, "p", { className: "note" }, lacking.length
    ? `Cannot be grouped by ${lacking.join("; ")}.` : "");
  const tableHolder = element(below, "div", { className: "wide", id: "mistakes" });

  // ---- places ----

  /** Place of path `p`, role `role`, at step `t`; null outside of the dialogue. */
  function placeAt(p, role, t) {
    const { paths: { places, times_s: times }, dims } = shown();
    const at = ((p * times.length + t) * 2 + role) * dims;
    return Number.isNaN(places[at]) ? null : places.subarray(at, at + dims);
  }
  const times = () => shown().paths.times_s;
  const lastOf = (p) => shown().paths.last[p];
  const stepAt = (seconds) => times().reduce((best, t, i) => (t <= seconds + 1e-6 ? i : best), 0);
  const pathOf = (p, role) => range(times().length).map((t) => placeAt(p, role, t));
  const roles = () => (state.whose === "both" ? [0, 1] : [Number(state.whose)]);
  const withRoles = (some) => some.flatMap((p) => roles().map((role) => [p, role]));
  const inSplit = () => range(list.length).filter((p) => ["all", "apart"].includes(state.split)
    || list[p].split === splits[Number(state.split)]);
  const comparing = () => state.chosen !== null && state.pair !== null;

  /** What is drawn beside each other: [{title, members}]. */
  function facets() {
    if (comparing() && state.apart) return [state.chosen, state.pair]
      .map((p) => ({ title: inWords(list[p]), members: withRoles([p]) }));
    if (comparing()) return [{ title: "", members: withRoles([state.chosen, state.pair]) }];
    if (state.split === "apart")
      return splits.map((s) =>
      ({ title: splitName(s), members: withRoles(range(list.length)
      .filter((p) => list[p].split === s)) }));
    return [{ title: "", members: withRoles(inSplit()) }];
  }

  /** Members by group, with its look: [{entry, members}]; the same group looks the same in every
   *  facet. */
  function grouped(members) {
    const counts = new Map();
    for (const member of withRoles(inSplit()))
      counts.set(classOf(member), (counts.get(classOf(member)) ?? 0) + 1);
    const rank = (name) => (FIRST.indexOf(name) < 0 ? FIRST.length + UNTOLD.has(name)
      : FIRST.indexOf(name));
    let names = [...counts.keys()].sort((a, b) => rank(a) - rank(b));
    if (names.length > MOST_GROUPS) names = [...names.sort((a, b) => counts.get(b) - counts.get(a))
      .slice(0, MOST_GROUPS - 1), "the others"];
    const total = (name) => counts.get(name) ?? [...counts]
      .filter(([other]) => !names.includes(other)).reduce((sum, [, count]) => sum + count, 0);
    const found = styled(names, names.map(total)).map((entry) => ({ entry, members: [] }));
    for (const member of members) (found.find((g) => g.entry.id === classOf(member))
      ?? found.at(-1)).members.push(member);
    return found;
  }

  // ---- what is drawn and said ----

  const entries = new Map(); // of the legend
  const explain = (entry) => entries.set(entry.name, entry);
  const places = { placeAt, pathOf, lastOf, times, stepAt, roles, withRoles, inSplit };
  const layersOf = pathLayers({ paths, list, state, keyOf, explain, places });
  const { line, dots, timeDots } = layersOf;
  const wordsOf = pathWords({ paths, list, state, grouped, comparing, places });

  function conversationLayers() {
    const d = dialogues[state.conversation];
    const { tracks, every, dims } = shown();
    const whole = d.embedded / rate;
    fromSlider.max = Math.max(0, whole - state.length);
    state.from = Math.min(state.from, Number(fromSlider.max));
    fromSlider.value = state.from;
    const [first, last] = [Math.round(state.from * rate),
      Math.min(Math.round((state.from + state.length) * rate), d.embedded)];
    const steps = range(tracks[state.conversation].shape[0]).filter((i) => i * every >= first
      && i * every < last);
    const placed = (i, speaker) => placeIn(tracks[state.conversation], i * 2 + speaker, dims);
    const channels = state.channel === "both" ? [0, 1] : [Number(state.channel)];
    const layers = channels.flatMap((speaker) => {
      const speaks = (i) => Boolean(d.speaking[i * every * 2 + speaker]);
      explain({ name: `channel ${speaker}`, colour: palette[speaker], line: true,
        dash: DASHES[2 * speaker] });
      const found = [line(steps.map((i) => placed(i, speaker)), palette[speaker],
        { width: 1.5, dash: DASHES[2 * speaker], alpha: 0.45 })];
      for (const yes of [false, true]) {
        const some = steps.filter((i) => speaks(i) === yes);
        if (some.length)
          found.push(timeDots(some.map((i) => placed(i, speaker)),
          some.map((i) => timeOf(i * every)), yes ? [4, 4] : [2, 2], yes ? 0.9 : 0.6,
          (k) => `channel ${speaker}, ${kit.clock(timeOf(some[k] * every))}, `
          + `${yes ? "speaks" : "silent"}`,
          (k) => `f${state.conversation}:${some[k] * every}:${speaker}`));
      }
      for (const [kind, symbol] of [["shift", "diamond"], ["hold", "circle"]]) {
        const there = events.filter((e) => e.number === state.conversation && e.kind === kind
          && e.speaker === speaker)
          .map((e) => [e, Math.floor((Math.round(e.start_s * rate) - 1) / every)])
          .filter(([, i]) => i >= (steps[0] ?? 0) && i <= (steps.at(-1) ?? -1));
        if (!there.length) continue;
        explain({ name: `start of a silence: ${kind}`, colour: colours[kind], symbol });
        found.push(dots(there.map(([, i]) => placed(i, speaker)),
          { size: 7, symbol, colour: colours[kind], edge: kit.ink("--ink"), alpha: 1, text: (k) =>
          inWords(there[k][0]), pick: (k) => `e${events.indexOf(there[k][0])}:0` }));
      }
      return found;
    });
    explain({ name: "seconds of the dialogue", low: kit.clock(first / rate),
      high: kit.clock(last / rate) });
    entries.delete("seconds");
    fromWords.textContent = `${kit.clock(first / rate)} to ${kit.clock(last / rate)}`;
    words.textContent = `${d.id}, ${fromWords.textContent} of ${kit.clock(d.frames / rate)}: the `
      + `state of ${channels.map((channel) => `the speaker on channel ${channel}`).join(" and ")}. `
      + "Large dots: this speaker is speaking."
      + (every > 1 ? ` One frame in ${every} is drawn.` : "");
    return layers;
  }

  let drawnKeys = [];
  function draw(plane) {
    planeMenu.value = shared.projection;
    const conversation = state.view === "conversation";
    clusters = clustersByKey();
    entries.clear();
    for (const part of [ofEvents, picking, below, whoseMenu.parentElement]) part.hidden =
      conversation;
    ofConversation.hidden = !conversation;
    groupMenu.disabled = state.view === "mistakes";
    colourMenu.disabled = single.disabled = state.view !== "paths";
    means.disabled = !["paths", "last"].includes(state.view);
    syncPicking();
    let panels = [];
    if (conversation) panels = [{ layers: conversationLayers() }];
    else {
      const found = facets();
      panels = found.map(({ title, members }, f) => {
        const groups = grouped(members);
        const visible = groups.filter((g) => !g.entry.hidden && g.members.length);
        let layers = [];
        if (!comparing() && state.view === "mistakes") layers = layersOf.mistakeLayers(members);
        else if (!comparing()) {
          for (const { entry } of groups) explain({ ...entry, line: state.view === "paths" });
          layers = state.view === "last" ? layersOf.lastLayers(visible)
            : layersOf.groupLayers(visible, state.chosen !== null);
        }
        const here = comparing() && state.apart ? [[state.chosen, state.pair][f]]
          : [state.chosen, state.pair];
        here.forEach((p, i) => p !== null && members.some(([m]) => m === p)
          && layers.push(...layersOf.chosenLayers(p, comparing() && state.apart ? f : i)));
        return { title, layers };
      });
      words.textContent = wordsOf.groupWords(found);
    }
    drawnKeys = [...new Set(panels.flatMap((panel) => panel.layers)
      .flatMap(({ pick, places }) => (pick ? range(places.length).map(pick) : [])))];
    plane.draw(panels, { dims: shown().dims, scale: state.log ? logarithmic : linear, ticks: true,
      key: `paths ${shared.projection} ${conversation} ${state.log} ${panels.length}` });
    plane.explain([...entries.values()], toggle);
    drawTable();
    chosenWords.textContent = wordsOf.chosenWords();
    plane.box.dataset.drawn =
      `${state.view} ${shown().dims} ${state.log ? "log" : "linear"} ${state.group}`;
    return wordsOf.note(panels.flatMap((panel) => panel.layers).filter((layer) => layer.pick)
      .flatMap((layer) => layer.places.filter(Boolean)));
  }

  // ---- choosing and comparing ----

  function choose(p, heard = false) {
    Object.assign(state, { chosen: p, pair: null });
    page.draw();
    if (p !== null) goEvent(paths.events[p], heard);
  }

  function beside(by) {
    const able = inSplit();
    const at = able.indexOf(state.chosen);
    return able[at < 0 ? (by > 0 ? 0 : able.length - 1) : (at + by + able.length) % able.length]
      ?? null;
  }

  function syncPicking() {
    if (state.chosen !== null && !inSplit().includes(state.chosen))
      Object.assign(state, { chosen: null, pair: null });
    eventMenu.value = state.chosen ?? "";
    pairMenu.value = state.pair ?? "";
    pairMenu.disabled = state.chosen === null;
    nearestButton.disabled = state.chosen === null || shown().paths.nearest[state.chosen] < 0;
    layoutMenu.disabled = state.pair === null;
  }

  function drawTable() {
    tableHolder.replaceChildren();
    if (!hasPrediction || state.view === "conversation") return;
    const wrong = inSplit().filter((p) => list[p].correct === false)
      .sort((a, b) => Math.abs(list[b].p_shift - 0.5) - Math.abs(list[a].p_shift - 0.5));
    element(tableHolder, "h2", {},
      `Mistakes (${wrong.length} of ${inSplit().filter((p) => list[p].correct !== null).length})`);
    if (!wrong.length) return void element(tableHolder, "p", { className: "note" },
      "None of these predictions was wrong.");
    element(tableHolder, "p", { className: "note" },
      "The surest first. Distances are of full states, to the nearest path of the other class.");
    const made = element(tableHolder, "table");
    const columns = ["dialogue", "split", "at", "true", "predicted", "p(shift)", "after a",
      "distance", ""].filter((name) => (name !== "split" || splits.length > 1)
      && (name !== "after a" || "ending" in GROUPS));
    element(made, "tr", {}, ...columns.map((name) => element(null, "th", {}, name)));
    for (const p of wrong) {
      const e = list[p];
      const cells = { dialogue: e.dialogue, split: splitName(e.split), at: kit.clock(e.start_s),
        true: e.true, predicted: e.predicted, "p(shift)": said(e.p_shift), "after a": e.ending,
        distance: said(shown().paths.distance[p]) };
      const show = kit.button(null, "", "show",
        () => (choose(p), page.plane.box.scrollIntoView({ block: "center" })));
      element(made, "tr", {}, ...columns.map((name) => element(null, "td", {}, name ? cells[name]
        : show)));
    }
  }

  // ---- what the selection asks ----

  const parsed = (key) => key.slice(1).split(":").map(Number);
  function item(key) {
    if (key.startsWith("e")) return eventItem(key);
    if (!/^f\d/.test(key)) return null;
    const [number, frame, speaker] = parsed(key);
    const { situation, embedded } = dialogues[number];
    const labels = { dialogue: dialogues[number].id, situation: frame < embedded
      ? situations[situation[frame * 2 + speaker]] : "", speaker: `speaker ${speaker}` };
    return { key, words: `${dialogues[number].id} ${kit.clock(timeOf(frame))}, speaker ${speaker}`,
      moment: { number, frame, speaker, event: null }, labels };
  }
  function near(key) {
    const [index, role] = parsed(key);
    return key.startsWith("e") && rows.has(index)
      ? [...kit.row(shown().paths.near, rows.get(index))].filter((p) => p >= 0)
      .map((p) => keyOf(p, role)) : [];
  }
  function where(key) {
    const [index, role] = parsed(key);
    return key.startsWith("e") && rows.has(index) && state.view !== "conversation"
      ? placeAt(rows.get(index), role, lastOf(rows.get(index))) : null;
  }
  return {
    name: "paths", words: "Paths", controls, below, draw, item, near, where, keys: () => drawnKeys,
      able: (p) => Boolean(p.paths),
    pick: (key) => {
      const [index] = parsed(key);
      if (key.startsWith("e") && rows.has(index) && state.view !== "conversation")
        choose(rows.get(index), true);
      else go(item(key).moment, true);
    },
    start: () => (state.view === "conversation"
      ? go({ number: state.conversation, speaker: 0, frame: Math.round(state.from * rate) })
      : goEvent(paths.events[0])),
  };
})();
