// Paths: states around events, or of a whole conversation, as lines; grouped, compared, mistakes
// drawn. All is measured in true places.

const pathsView = contents.paths && (() => {
  const { paths } = contents;
  const list = [...paths.events].map((index) => events[index]);
  const rows = new Map([...paths.events].map((index, p) => [index, p]));
  const FIRST = ["shift", "hold", "gap", "pause", "overlap", "backchannel", "correct", "wrong",
    "speaker", "listener", "question", "statement"]; // their order
  const hasPrediction = list.some((e) => e.predicted);
  const splits = [...new Set(list.map((e) => e.split))];
  const splitName = (name) => name || "no split";
  const followable = Object.keys(dialogues).filter((i) => dialogues[i].embedded).map(Number);
  const keyOf = (p, role) => `e${paths.events[p]}:${role}`;

  // Paths are grouped by labels that differ.
  const labels = list.map((_, p) => [0, 1].map((role) => eventItem(keyOf(p, role)).labels));
  const names = Object.keys(labels[0][0]).filter((name) => name !== "p(shift)");
  const differs = (name) => new Set(labels.flat().map((found) => found[name])).size > 1;
  const groups = ["nothing", ...names.filter(differs), CLUSTER];
  const lacking = names.filter((name) => !differs(name)).join(", ");

  const { conversation } = paths;
  const state = { view: conversation ? "conversation" : "paths", log: false,
    whose: [paths.whose], split: "all",
    group: ["true class", "kind", "nothing"].find((name) => groups.includes(name)),
    parts: "time means", channel: [0, 1],
    from: conversation?.start_s ?? 0, length: conversation?.seconds ?? 10 };
  function classOf([p, role]) {
    const group = state.view === "mistakes" ? OUTCOME : state.group;
    if (group === CLUSTER) return clusterOf(keyOf(p, role));
    return group === "nothing" ? "all" : labels[p][role][group] || "unknown";
  }

  const controls = element(left, "div");
  const act = () => page.draw();
  const bar = new kit.Controls(controls, { state, act });
  bar.choice("view-choice", "Show", [["paths", "paths around events"],
    ["last", "last points alone"],
    ...(hasPrediction ? [["mistakes", "mistakes: true and predicted class"]] : []),
    ...(followable.length ? [["conversation", "a whole conversation"]] : [])], "view");
  bar.choice("scale", "Scale", [[false, "linear"], [true, "sign(x) · log(1 + |x|)"]], "log");
  const ofEvents = new kit.Controls(controls, { state, act });
  ofEvents.choice("path-whose", "State of", [[[0], "the speaker before it"], [[1], "the listener"],
    [[0, 1], "both"]], "whose");
  const groupMenu = regroups(ofEvents.choice("group", "Group by", groups.map((name) => [name]),
    "group"));
  ofEvents.choice("split", "Split", [["all", "all together"], ["apart", "each apart"],
    ...splits.map((split) => [`of ${split}`, splitName(split)])], "split");
  const partsMenu = ofEvents.choice("parts", "Draw", [["time means", "paths by time, and means"],
    ["group means", "paths by group, and means"], ["time", "paths by time"],
    ["group", "paths by group"], ["means", "means with spread"]], "parts");
  const ofConversation = new kit.Controls(controls, { state, act });
  ofConversation.choice("length", "Stretch of", [...new Set([2, 5, 10, 30, 60, state.length,
    Infinity])].sort((a, b) => a - b)
    .map((s) => [s, s < Infinity ? `${Number(s.toFixed(2))} s` : "all of it"]), "length");
  ofConversation.choice("channel", "State of", [[[0, 1], "both speakers"], [[0], "channel 0"],
    [[1], "channel 1"]], "channel");
  const fromSlider = ofConversation.slide("from", "from", [0, 1, 0.1], "from");
  const picking = new kit.Controls(controls, { state, act, id: "picking" });
  const show = (p, add = false) => {
    if (p === null) return;
    select([keyOf(p, state.whose[0])], add);
    goEvent(paths.events[p]);
  };
  const options = [[null, "none"], ...list.map((e, p) => [p, `${e.dialogue} ${inWords(e)}`])];
  picking.choice("path-event", "Event", options, (p) => show(p));
  picking.choice("pair", "Compare with", options, (p) => show(p, true));
  const nearestButton = picking.button("nearest", "nearest of the other class", () => {
    const near = chosen().map(([p, role]) => [shown().paths.nearest[p], role]);
    select([...selection.keys, ...near.filter(([p]) => p >= 0).map((other) => keyOf(...other))]);
  });
  const mistakesButton = picking.button("mistakes", "", () =>
    select(mistakes().map((p) => keyOf(p, state.whose[0]))), { hidden: !hasPrediction });
  const words = element(controls, "p", { id: "words" });

  const times = () => Array.from(shown().paths.times_s);
  const lastOf = (p) => shown().paths.last[p];
  const stepAt = (seconds) => times().findLastIndex((time) => time <= seconds + 1e-6);
  const pathOf = (p, role) => range(times().length).map((t) => placeAt(p, role, t));
  const inSplit = (split = state.split) => range(list.length)
    .filter((p) => ["all", "apart"].includes(split) || split === `of ${list[p].split}`);
  const withRoles = (some) => some.flatMap((p) => state.whose.map((role) => [p, role]));
  /** Selected paths, which are drawn bold. */
  const chosen = () => [...selection.keys].filter((key) => rowOf(key) !== undefined)
    .slice(0, DASHES.length).map((key) => [rowOf(key), partsOf(key)[1]]);

  /** Place of path `p`, role `role`, at step `t`; null outside of the dialogue. */
  function placeAt(p, role, t) {
    const { places, times_s: { length } } = shown().paths;
    const place = kit.row(places, (p * length + t) * 2 + role);
    return Number.isNaN(place[0]) ? null : place;
  }

  /** Wrong predictions, the surest first. */
  const mistakes = () => inSplit().filter((p) => list[p].correct === false)
    .sort((a, b) => Math.abs(list[b].p_shift - 0.5) - Math.abs(list[a].p_shift - 0.5));

  /** What is drawn beside each other: [{title, members}]. */
  function facets() {
    if (state.split !== "apart") return [{ title: "", members: withRoles(inSplit()) }];
    return splits.map((split) => ({ title: splitName(split),
      members: withRoles(inSplit(`of ${split}`)) }));
  }

  /** Members by group, with its look: [{entry, members}]; the same group looks the same in every
   *  facet. */
  function grouped(members) {
    const { entries, entryOf } = classesOf(withRoles(inSplit()).map(classOf), FIRST);
    const found = Map.groupBy(members, (member) => entryOf(classOf(member)));
    return entries.map((entry) => ({ entry, members: found.get(entry) ?? [] }));
  }

  const entries = new Map(); // of the legend
  const on = { paths, list, state, keyOf, grouped, placeAt, pathOf, lastOf, times, stepAt };
  const layersOf = pathLayers(on, (entry) => entries.set(entry.name, entry));
  const wordsOf = pathWords(on);

  /** Of the dialogue that is listened to, or else of the first one that can be. */
  function conversationPanels() {
    const number = [now.moment?.number, ...followable].find((i) => dialogues[i]?.embedded);
    const { embedded, id, frames } = dialogues[number];
    fromSlider.max = Math.max(0, embedded / rate - state.length);
    state.from = Math.min(state.from, Number(fromSlider.max));
    fromSlider.value = state.from;
    const [first, last] = [state.from, state.from + state.length]
      .map((seconds) => Math.min(Math.round(seconds * rate), embedded));
    words.textContent = `${id}, ${kit.clock(first / rate)} to ${kit.clock(last / rate)} of `
      + `${kit.clock(frames / rate)}; one frame in ${shown().every} is drawn.`;
    return [{ layers: layersOf.conversationLayers(number, first, last) }];
  }

  function eventPanels() {
    const found = facets();
    words.textContent = `${found.map(wordsOf.facetWords).join(" ")} The same of all events, or `
      + `unknown, and so no groups: ${lacking || "nothing"}.`;
    nearestButton.disabled = !chosen().length;
    mistakesButton.textContent = `select the mistakes (${mistakes().length} of `
      + `${inSplit().filter((p) => known(list[p].correct)).length})`;
    return found.map(({ title, members }) => {
      const all = grouped(members);
      const groups = all.filter(({ entry }) => !entry.hidden);
      if (state.view !== "mistakes") for (const { entry } of all)
        entries.set(entry.name, { ...entry, line: state.view === "paths" });
      const layers = { mistakes: () => layersOf.mistakeLayers(members),
        last: () => layersOf.lastLayers(groups),
        paths: () => layersOf.groupLayers(groups, chosen().length > 0) }[state.view]();
      const bold = chosen().filter(([p]) => members.some(([member]) => member === p));
      return { title, layers: [...layers, ...bold.flatMap(layersOf.chosenLayers)] };
    });
  }

  function draw(plane) {
    const whole = state.view === "conversation";
    ofEvents.bar.hidden = picking.bar.hidden = whole;
    ofConversation.bar.hidden = !whole;
    groupMenu.disabled = partsMenu.disabled = state.view === "mistakes";
    entries.clear();
    const panels = whole ? conversationPanels() : eventPanels();
    const picked = panels.flatMap(({ layers }) => layers).filter((layer) => layer.pick);
    plane.draw(panels, { dims: shown().dims, scale: state.log ? logarithmic : linear,
      ticks: true, key: `paths ${shared.projection} ${whole} ${state.log} ${panels.length}` });
    plane.explain([...entries.values()], toggle);
    return wordsOf.note(picked.flatMap(({ places }) => places));
  }

  function item(key) {
    const event = eventItem(key);
    if (event && rows.has(event.moment.event)) {
      const { distance, typical } = shown().paths;
      event.labels[`distance to the other class (of any two ${said(typical)})`] =
        distance[rowOf(key)];
    }
    if (!/^f\d/.test(key)) return event;
    const [number, frame, speaker] = partsOf(key);
    const { id, situation, embedded } = dialogues[number];
    return frameItem(key, { dialogue: id, speaker: `speaker ${speaker}`,
      situation: frame < embedded ? situations[situation[frame * 2 + speaker]] : "" });
  }

  /** The path of an event's key, if it is drawn as one. */
  const rowOf = (key) => (key.startsWith("e") ? rows.get(partsOf(key)[0]) : undefined);

  function near(key) {
    const p = rowOf(key);
    return p === undefined ? [] : [...kit.row(shown().paths.near, p)].filter((other) => other >= 0)
      .map((other) => keyOf(other, partsOf(key)[1]));
  }

  const follows = (key) => state.view !== "conversation" && rowOf(key) !== undefined;

  return {
    name: "paths", words: "Paths", controls, state, draw, item, near, follows,
    start: () => (state.view === "conversation"
      ? go({ number: conversation.number, speaker: 0, frame: Math.round(state.from * rate) })
      : goEvent(paths.events[0])),
  };
})();
