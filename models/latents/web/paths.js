// Paths: states around events, or of a whole conversation, as lines; grouped, compared, mistakes
// drawn. All is measured in true places.

const pathsView = contents.paths && (() => {
  const { paths } = contents;
  const list = [...paths.events].map((index) => events[index]);
  const rows = new Map([...paths.events].map((index, p) => [index, p]));
  const FIRST = ["shift", "hold", "gap", "pause", "overlap", "backchannel", "correct", "wrong",
    "speaker", "listener", "question", "statement"]; // their order
  const MOST_GROUPS = 8;
  const LEAST_SPREAD = 3; // paths, for an ellipse
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

  // ---- statistics, of true places ----

  function meanAt(members, t) {
    const there = members.map(([p, role]) => placeAt(p, role, t)).filter(Boolean);
    if (!there.length || there.length < members.length / 2) return null;
    return range(shown().dims).map((axis) => there.reduce((sum, place) => sum + place[axis],
      0) / there.length);
  }

  // ---- layers ----

  let entries = new Map();
  const explain = (entry) => entries.set(entry.name, entry);
  const line = (places, colour, more) => ({ kind: "line", places, colour, ...more });
  const dots = (places, more) => ({ kind: "points", places, ...more });
  const halo = (places, width) => line(places, kit.ink("--paper"), { width, alpha: 0.9 });
  const told = (p) => () => inWords(list[p]);

  /** Points that grow, and whose colour changes, with time. */
  function timeDots(places, at, [small, large], alpha, text, pick) {
    const [least, most] = at.reduce(([a, b], t) => [Math.min(a, t), Math.max(b, t)],
      [Infinity, -Infinity]);
    const share = (i) => (at[i] - least) / Math.max(most - least, 1e-6);
    explain({ name: "seconds", low: said(least), high: said(most) });
    return dots(places, { size: (i) => small + (large - small) * share(i), colour: (i) =>
      ramp(share(i)), alpha, text, pick });
  }

  function groupLayers(groups, faint) {
    const layers = [];
    const alone = Math.min(0.6, 14 / groups.reduce((sum, g) => sum + g.members.length, 0));
      // fainter, the more there are
    const byTime = state.colour === "time";
    if (state.single) {
      for (const { entry, members } of groups) for (const [p, role] of members) {
        layers.push(line(pathOf(p, role), byTime ? kit.ink("--soft") : entry.colour,
          { width: byTime ? 0.6 : 1.2, dash: byTime ? [] : entry.dash, alpha: faint ? alone / 2
          : byTime ? alone : Math.min(0.8, 2.5 * alone), text: told(p), pick: () =>
          keyOf(p, role) }));
      }
      if (byTime && !faint) {
        const all = groups.flatMap((g) => g.members).flatMap(([p, role]) => range(times().length)
          .map((t) => [p, t, placeAt(p, role, t), role])).filter(([, , place]) => place);
        layers.push(timeDots(all.map(([, , place]) => place), all.map(([, t]) => times()[t]),
          [1, 3], all.length > 3000 ? 0.55 : 0.8,
          (i) => `${inWords(list[all[i][0]])}\n${times()[all[i][1]].toFixed(2)} s`,
          (i) => keyOf(all[i][0], all[i][3])));
      }
    }
    if (!state.means || !groups.some((g) => g.members.length > 1)) return layers;
    for (const { entry, members } of groups) {
      const path = range(times().length).map((t) => meanAt(members, t));
      const [zero, decision] = [stepAt(0), stepAt(paths.judged_s)];
      const stops = [0, zero, decision].filter((t) => path[t]);
      layers.push(halo(path, 8),
        line(path, entry.colour, { width: 4.5, dash: entry.dash, text: (t) =>
        `mean of ${entry.id}, ${times()[t].toFixed(2)} s` }));
      layers.push(dots(stops.map((t) => path[t]),
        { colour: (i) => (stops[i] === decision ? entry.colour : kit.ink("--paper")),
        edge: entry.colour, symbol: entry.symbol, size: 6, alpha: 1, text: (i) =>
        `mean of ${entry.id}, ${times()[stops[i]].toFixed(2)} s` }));
      for (const t of stops.filter((step) => step > 0)) {
        const there = members.map(([p, role]) => placeAt(p, role, t)).filter(Boolean);
        if (there.length >= LEAST_SPREAD)
          layers.push(line(spread(there, shown().dims), entry.colour,
          { width: 1.5, dash: entry.dash }));
      }
    }
    return layers;
  }

  /** Last points; hollow where the neighbourhood does not survive a refit. */
  function lastLayers(groups) {
    const { stability } = shown().paths;
    return groups.flatMap(({ entry, members }) => {
      const points = members.map(([p, role]) => placeAt(p, role, lastOf(p)));
      const layer = dots(points, { colour: entry.colour, symbol: entry.symbol, size: 5,
        alpha: 0.85, hollow: (i) => stability[members[i][0] * 2
        + members[i][1]] < contents.unstable, text: (i) => inWords(list[members[i][0]]),
        pick: (i) => keyOf(...members[i]) });
      return state.means && points.length >= LEAST_SPREAD
        ? [layer, line(spread(points, shown().dims), entry.colour, { width: 2, dash: entry.dash })]
        : [layer];
    });
  }

  /** Wrong ones: the line as what came true, the marker as what was predicted; right ones faint. */
  function mistakeLayers(members) {
    const total = (able) => withRoles(inSplit()).filter(([p]) => able(list[p])).length;
    const right = members.filter(([p]) => list[p].correct);
    const layers = right.map(([p, role]) => line(pathOf(p, role), kit.ink("--soft"),
      { width: 0.6, alpha: Math.min(0.5, 14 / right.length), text: told(p), pick: () =>
      keyOf(p, role) }));
    explain({ name: `correct (${total((e) => e.correct)})`, colour: kit.ink("--soft"),
      line: true });
    for (const [i, name] of ["shift", "hold"].entries()) {
      const wrong = members.filter(([p]) => list[p].correct === false && list[p].true === name);
      if (!wrong.length) continue;
      const [other, many, of] = [name === "shift" ? "hold" : "shift", wrong.length > 10,
        total((e) => e.correct === false && e.true === name)];
      for (const [p, role] of wrong)
        layers.push(line(pathOf(p, role), colours[name],
        { width: many ? 1.3 : 2.2, dash: DASHES[i], alpha: many ? 0.5 : 0.8, text: told(p),
        pick: () => keyOf(p, role) }));
      layers.push(dots(wrong.map(([p, role]) => placeAt(p, role, lastOf(p))),
        { colour: colours[other], symbol: i ? "diamond" : "circle", size: 5.5, alpha: 1,
        edge: kit.ink("--paper"), text: (k) => inWords(list[wrong[k][0]]), pick: (k) =>
        keyOf(...wrong[k]) }));
      explain({ name: `line: true ${name} (${of})`, colour: colours[name], line: true,
        dash: DASHES[i] });
      explain({ name: `marker: predicted ${other} (${of})`, colour: colours[other], symbol: i
        ? "diamond" : "circle" });
    }
    return layers;
  }

  /** One event's path, bold, coloured by time, its start and its decision marked. */
  function chosenLayers(p, index) {
    const event = list[p];
    return roles().flatMap((role) => {
      const steps = range(times().length).filter((t) => placeAt(p, role, t));
      const path = steps.map((t) => placeAt(p, role, t));
      const colour = colours[event.true || event.kind] ?? palette[index];
      explain({ name: `${event.dialogue} `
        + `${inWords(event)}${state.whose === "both" ? `, ${["speaker", "listener"][role]}` : ""}`,
        colour, line: true, dash: DASHES[index] });
      const stops = [[stepAt(0), "start of the event", "circle"],
        [lastOf(p), "last point", event.predicted === "hold" ? "circle" : "diamond"]];
      if (event.end_s - event.start_s < paths.after_s)
        stops.push([stepAt(event.end_s - event.start_s), "end of the event", "square"]);
      const there = stops.filter(([t]) => placeAt(p, role, t));
      const at = there.map(([t]) => placeAt(p, role, t));
      const ink = event.predicted ? colours[event.predicted] : kit.ink("--ink");
      return [
        halo(path, 9), line(path, colour, { width: 3, dash: DASHES[index] }),
        timeDots(path, steps.map((t) => times()[t]), [2.5, 5], 1,
          (i) => `${times()[steps[i]].toFixed(2)} s`),
        dots(at, { size: 7, symbol: (i) => there[i][2], colour: (i) => (there[i][0] === lastOf(p)
          ? ink : kit.ink("--ink")), hollow: (i) => there[i][0] !== lastOf(p), alpha: 1 }),
        { kind: "words", places: at, words: there.map(([, words_]) => words_) },
      ];
    });
  }

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
    entries = new Map();
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
        if (!comparing() && state.view === "mistakes") layers = mistakeLayers(members);
        else if (!comparing()) {
          for (const { entry } of groups) explain({ ...entry, line: state.view === "paths" });
          layers = state.view === "last" ? lastLayers(visible)
            : groupLayers(visible, state.chosen !== null);
        }
        const here = comparing() && state.apart ? [[state.chosen, state.pair][f]]
          : [state.chosen, state.pair];
        here.forEach((p, i) => p !== null && members.some(([m]) => m === p)
          && layers.push(...chosenLayers(p, comparing() && state.apart ? f : i)));
        return { title, layers };
      });
      sayGroups(found);
    }
    drawnKeys = [...new Set(panels.flatMap((panel) => panel.layers)
      .flatMap(({ pick, places }) => (pick ? range(places.length).map(pick) : [])))];
    plane.draw(panels, { dims: shown().dims, scale: state.log ? logarithmic : linear, ticks: true,
      key: `paths ${shared.projection} ${conversation} ${state.log} ${panels.length}` });
    plane.explain([...entries.values()], toggle);
    drawTable();
    sayChosen();
    plane.box.dataset.drawn =
      `${state.view} ${shown().dims} ${state.log ? "log" : "linear"} ${state.group}`;
    return note(panels.flatMap((panel) => panel.layers).filter((layer) => layer.pick)
      .flatMap((layer) => layer.places.filter(Boolean)));
  }

  // ---- words ----

  function sayGroups(found) {
    const sentences = found.filter((f) => f.members.length).map(({ title, members }) => {
      const groups = grouped(members).filter((g) => g.members.length);
      const points = groups.flatMap((g, group) => g.members.map(([p, role]) => {
        const place = placeAt(p, role, lastOf(p));
        return place && { group, values: [...place],
          stratum: `${list[p].number} ${role ? 1 - list[p].speaker : list[p].speaker}` };
      })).filter(Boolean);
      const between = varianceBetween(points, shown().dims, groups.length);
      const share = between
        ? ` ${Math.round(100 * between.share)} % of the variance of the last points within `
        + `dialogue and speaker lies between `
        + `${between.groups === 2 ? "the two" : "these groups"}; by chance it would be about `
        + `${Math.max(1, Math.round(100 * between.chance))} %.` : "";
      const judged = members.filter(([p]) => list[p].correct !== null);
      const start = found.length > 1 && title ? `${title}: ` : "";
      if (state.view === "mistakes")
        return `${start}${counted(judged.filter(([p]) => !list[p].correct).length, "path")} of `
        + `${judged.length} with a wrong prediction.`;
      const counts = groups.map((g) => `${g.entry.id} ${g.members.length}`).join(", ");
      return `${start}${counts}.${share}`;
    });
    words.textContent = comparing() ? "" : sentences.join(" ");
  }

  function note(places) {
    const p = shown();
    const shape = p.dims === 2 ? "ellipses" : "bars";
    const sentences = [];
    if (state.view === "paths" && state.colour === "time" && state.single && !comparing())
      sentences.push("Dots become larger, and their colour changes, with time.");
    if (comparing() && state.view !== "conversation")
      sentences.push("Dots become larger, and their colour changes, with time; marked are the "
      + "start of the event, the last point, in the colour and shape of what was predicted, and "
      + "the end of an event that is over before the path.");
    if (state.view === "paths" && state.means && !comparing())
      sentences.push(`Thick: the mean of a group, hollow symbols at the beginning of the window `
      + `and at the start of the event, a filled one ${paths.judged_s} s into it; the ${shape} at `
      + `these two are one standard deviation.`);
    if (state.view === "last" && !comparing())
      sentences.push(`Each point is a path's state when the decision is read, ${paths.judged_s} s `
      + `into the event, or at its end if it is over before; `
      + `${state.means ? `the ${shape} are one standard deviation; ` : ""}hollow points lie where `
      + "fewer than half of the neighbours stay when the projection is fitted again"
      + `${p.figures.stability === undefined ? " (which was not measured for this one)" : ""}.`);
    if (state.view === "mistakes" && !comparing())
      sentences.push("Lines have the colour of what came true, markers, at the last points, that "
      + "of what was predicted; grey paths were predicted right.");
    sentences.push(scaleWords(places),
      `A state has ${p.width} values and the picture ${p.dims}, so paths that cross in it need `
      + `not meet.`, p.trust, p.about);
    return sentences.filter(Boolean).join(" ");
  }

  /** What the scale does here: how much of an axis the middle half of the states takes up. */
  function scaleWords(places) {
    const values = range(shown().dims).map((axis) => places.map((place) => place[axis])
      .sort((a, b) => a - b));
    const share = (some, to) => {
      const at = (q) => to(some[Math.floor(q * (some.length - 1))]);
      return (at(0.75) - at(0.25)) / (at(1) - at(0) || 1);
    };
    if (!places.length) return "";
    const percent = (to) => values.map((some) => `${Math.round(100 * share(some, to))} %`)
      .join(" and ");
    return `The middle half of what is drawn takes up ${percent((x) => x)} of the axes on the `
      + `linear scale, ${percent(logarithmic.to)} on that of sign(x) · log(1 + |x|), which opens `
      + `up what lies near zero${state.log ? "; axes are labelled with the true values" : ""}.`;
  }

  function sayChosen() {
    const { nearest, distance, typical } = shown().paths;
    if (state.view === "conversation" || state.chosen === null) {
      chosenWords.textContent = state.view === "conversation" ? ""
        : "Choose an event from the list, or click a path, to draw it bold, hear it and compare "
        + "it.";
      return;
    }
    const sentences = [describe(state.chosen)];
    if (nearest[state.chosen] >= 0)
      sentences.push(`Nearest of the other class: ${list[nearest[state.chosen]].dialogue} `
      + `${inWords(list[nearest[state.chosen]])}, ${said(distance[state.chosen])} away in the `
      + `full states of the speakers (any two paths: ${said(typical)}, the median).`);
    if (state.pair !== null) sentences.push(`Compared with ${describe(state.pair)}`);
    chosenWords.textContent = sentences.join(" ");
  }

  const describe = (p) =>
    `${list[p].dialogue}${list[p].split ? `, ${list[p].split}` : ""}: `
    + `${inWords(list[p])}.${list[p].predicted ? ` Predicted: ${list[p].predicted}.` : ""}`;

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
