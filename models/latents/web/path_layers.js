// What is drawn of paths: groups of them, mistakes and chosen ones around events, and those of a
// whole conversation.

/** The layers of paths (plane.js says what a layer is). `on` has what paths.js shows, and where it
 *  lies; `explain` takes what the legend says of a layer. */
function pathLayers(on, explain) {
  const { paths, list, state, keyOf, placeAt, pathOf, lastOf, times, stepAt } = on;
  const LEAST_SPREAD = 3; // paths, for an ellipse

  const line = (places, colour, more) => ({ kind: "line", places, colour, ...more });
  const dots = (places, more) => ({ kind: "points", places, ...more });
  const halo = (places, width) => line(places, kit.ink("--paper"), { width, alpha: 0.9 });
  const single = ([p, role], colour, look) => line(pathOf(p, role), colour,
    { pick: () => keyOf(p, role), ...look });
  const lastDots = (members, look) => dots(members.map(([p, role]) => placeAt(p, role, lastOf(p))),
    { pick: (i) => keyOf(...members[i]), ...look });
  const outline = (places, colour, look) => (places.length < LEAST_SPREAD ? []
    : [line(spread(places, shown().dims), colour, look)]);
  const fainter = (members) => Math.min(0.5, 14 / members.length); // the more there are

  function meanAt(members, t) {
    const there = members.map(([p, role]) => placeAt(p, role, t)).filter(Boolean);
    if (!there.length || there.length < members.length / 2) return null;
    return range(shown().dims).map((axis) => sumOf(there.map((place) => place[axis]))
      / there.length);
  }

  /** Points whose colour, and `size` from 0 to 1, changes with time. */
  function timeDots(places, at, size, more) {
    const { entries, colour, share } = scaleOf("seconds", at);
    explain(entries[0]);
    return dots(places, { colour, alpha: 0.8, size: (i) => size(share(i), i), ...more });
  }

  function singleLayers(groups, faint) {
    const members = groups.flatMap((group) => group.members);
    const byTime = state.parts.startsWith("time");
    const alpha = fainter(members) * (faint ? 0.5 : byTime ? 1 : 2);
    const layers = groups.flatMap(({ entry, members: some }) => some.map((member) =>
      single(member, byTime ? kit.ink("--soft") : entry.colour,
        byTime ? { width: 0.6, alpha } : { width: 1.2, alpha, dash: entry.dash })));
    if (!byTime || faint) return layers;
    const all = members.flatMap(([p, role]) => times().map((time, t) =>
      [placeAt(p, role, t), time, p, role])).filter(([place]) => place);
    return [...layers, timeDots(all.map(([place]) => place), all.map(([, time]) => time),
      (share) => 1 + 2 * share, {
        text: (i) => `${inWords(list[all[i][2]])}\n${said(all[i][1])} s`,
        pick: (i) => keyOf(all[i][2], all[i][3]) })];
  }

  /** The mean path of a group, and how its paths spread at the start and at the decision. */
  function meanLayers({ entry, members }) {
    const { colour, dash } = entry;
    const path = times().map((_, t) => meanAt(members, t));
    const decision = stepAt(paths.judged_s);
    const stops = [0, stepAt(0), decision].filter((t) => path[t]);
    const text = (t) => `mean of ${entry.id}, ${said(times()[t])} s`;
    return [halo(path, 8), line(path, colour, { width: 4.5, dash, text }),
      dots(stops.map((t) => path[t]), { colour: (i) => (stops[i] === decision ? colour
        : kit.ink("--paper")), edge: colour, symbol: entry.symbol, size: 6, alpha: 1,
        text: (i) => text(stops[i]) }),
      ...stops.filter((t) => t > 0).flatMap((t) => outline(members.map(([p, role]) =>
        placeAt(p, role, t)).filter(Boolean), colour, { width: 1.5, dash }))];
  }

  function groupLayers(groups, faint) {
    const several = groups.some(({ members }) => members.length > 1);
    return [...(state.parts === "means" ? [] : singleLayers(groups, faint)),
      ...(state.parts.includes("means") && several ? groups.flatMap(meanLayers) : [])];
  }

  /** Last points; hollow where the neighbourhood does not survive a refit. */
  function lastLayers(groups) {
    const { stability } = shown().paths;
    return groups.flatMap(({ entry: { colour, symbol: shape, dash }, members }) => {
      const layer = lastDots(members, { colour, symbol: shape, size: 5, alpha: 0.85,
        hollow: (i) => kit.row(stability, members[i][0])[members[i][1]] < contents.unstable });
      const there = layer.places.filter(Boolean);
      const means = state.parts.includes("means");
      return [layer, ...(means ? outline(there, colour, { width: 2, dash }) : [])];
    });
  }

  /** Wrong ones: the line as what came true, the marker as what was predicted; right ones faint. */
  function mistakeLayers(members) {
    const soft = kit.ink("--soft");
    const right = members.filter(([p]) => list[p].correct);
    explain({ name: "correct", colour: soft, line: true });
    return [...right.map((member) => single(member, soft, { width: 0.6, alpha: fainter(right) })),
      ...[["shift", "hold", "circle"], ["hold", "shift", "diamond"]].flatMap(
        ([name, other, shape], i) => {
          const wrong = members.filter(([p]) => list[p].correct === false && list[p].true === name);
          if (!wrong.length) return [];
          const look = { width: 1.6, dash: DASHES[i], alpha: 0.6 };
          explain({ name: `line: true ${name}`, colour: colours[name], line: true, ...look });
          explain({ name: `marker: predicted ${other}`, colour: colours[other],
            symbol: shape });
          return [...wrong.map((member) => single(member, colours[name], look)),
            lastDots(wrong, { colour: colours[other], symbol: shape, size: 5.5, alpha: 1,
              edge: kit.ink("--paper") })];
        })];
  }

  /** One event's path, bold, coloured by time, its start and its decision marked. */
  function chosenLayers([p, role], index) {
    const event = list[p];
    const steps = range(times().length).filter((t) => placeAt(p, role, t));
    const path = steps.map((t) => placeAt(p, role, t));
    const colour = colours[event.true || event.kind] ?? palette[index];
    explain({ name: `${event.dialogue} ${inWords(event)}, ${["speaker", "listener"][role]}`,
      colour, line: true, dash: DASHES[index] });
    const shape = event.predicted === "hold" ? "circle" : "diamond";
    const length = event.end_s - event.start_s;
    const stops = [[stepAt(0), "start of the event", "circle"], [lastOf(p), "last point", shape],
      ...(length < paths.after_s ? [[stepAt(length), "end of the event", "square"]] : [])]
      .filter(([t]) => placeAt(p, role, t));
    const at = stops.map(([t]) => placeAt(p, role, t));
    const isLast = (i) => stops[i][0] === lastOf(p);
    return [halo(path, 9), line(path, colour, { width: 3, dash: DASHES[index] }),
      timeDots(path, steps.map((t) => times()[t]), (share) => 2.5 * (1 + share),
        { alpha: 1, text: (i) => `${said(times()[steps[i]])} s` }),
      dots(at, { size: 7, alpha: 1, symbol: (i) => stops[i][2], hollow: (i) => !isLast(i),
        colour: (i) => (isLast(i) && colours[event.predicted]) || kit.ink("--ink") }),
      { kind: "words", places: at, words: stops.map(([, name]) => name) }];
  }

  /** The states of a stretch of a dialogue, frames first to last. */
  function conversationLayers(number, first, last) {
    const { speaking } = dialogues[number];
    const { tracks, every } = shown();
    const steps = range(Math.ceil(last / every)).filter((i) => i * every >= first);
    return state.channel.flatMap((speaker) => {
      const placed = (i) => kit.row(tracks[number], i * 2 + speaker);
      const look = { line: true, width: 1.5, dash: DASHES[2 * speaker], alpha: 0.45 };
      explain({ name: `channel ${speaker}`, colour: palette[speaker], ...look });
      const speaks = (i) => speaking[i * every * 2 + speaker] === 1;
      const found = [line(steps.map(placed), palette[speaker], look),
        timeDots(steps.map(placed), steps.map((i) => timeOf(i * every)),
          (_, k) => (speaks(steps[k]) ? 4 : 2),
          { pick: (k) => frameKey(number, steps[k] * every, speaker) })];
      for (const [kind, shape] of [["shift", "diamond"], ["hold", "circle"]]) {
        const there = events.filter((e) => e.number === number && e.kind === kind
          && e.speaker === speaker && startOf(e) >= first && startOf(e) < last);
        if (!there.length) continue;
        explain({ name: `start of a silence: ${kind}`, colour: colours[kind], symbol: shape });
        found.push(dots(there.map((e) => placed(Math.floor(startOf(e) / every))), { size: 7,
          symbol: shape, colour: colours[kind], edge: kit.ink("--ink"), alpha: 1,
          pick: (k) => `e${events.indexOf(there[k])}:0` }));
      }
      return found;
    });
  }

  return { groupLayers, lastLayers, mistakeLayers, chosenLayers, conversationLayers };
}
