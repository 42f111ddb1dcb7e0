// What is drawn of paths around events: single ones, means, last points, mistakes and chosen ones.

/** The layers of paths (plane.js says what a layer is).
 *  `places`: functions of paths.js that say where paths lie and which are shown. `explain` takes
 *  what the legend says of a layer. */
function pathLayers({ paths, list, state, keyOf, explain, places }) {
  const { placeAt, pathOf, lastOf, times, stepAt, roles, withRoles, inSplit } = places;
  const LEAST_SPREAD = 3; // paths, for an ellipse

  function meanAt(members, t) {
    const there = members.map(([p, role]) => placeAt(p, role, t)).filter(Boolean);
    if (!there.length || there.length < members.length / 2) return null;
    return range(shown().dims).map((axis) => there.reduce((sum, place) => sum + place[axis],
      0) / there.length);
  }

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

  return { line, dots, timeDots, groupLayers, lastLayers, mistakeLayers, chosenLayers };
}
