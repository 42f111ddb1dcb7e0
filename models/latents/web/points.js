// Points: frames of single speakers, or both speakers at one time before or in a mutual silence,
// coloured by what is known of them.

const pointsView = contents.points && (() => {
  const { points, contrasts, when_s: whens } = contents;
  const state = { show: "situation", density: false, when: whens.indexOf(0), whose: 0 };
  const count = points.number.length;
  const keyOf = (i) => `f${points.number[i]}:${points.frame[i]}:${points.speaker[i]}`;
  const frameKeys = range(count).map(keyOf);
  const places = new Map(frameKeys.map((key, i) => [key, i]));
  const splits = [...new Set(dialogues.map((d) => d.split))];

  // ---- what points can be coloured by ----

  const VALUES = {
    p_next: ["p(this speaker is next)", points.p_next],
    p_shift: ["p(shift): who did not speak last is next", points.p_shift],
    vad: ["p(this speaker speaks now)", points.vad],
    minutes: ["time in the dialogue, minutes", Float32Array.from(points.time_s, (t) => t / 60)],
  };
  const CLASSES = {
    situation: ["situation", (i) => situations[points.situation[i]]],
    dialogue: ["dialogue", (i) => dialogues[points.number[i]].id],
    split: ["split", (i) => dialogues[points.number[i]].split || "no split"],
    speaker: ["speaker", (i) => `speaker ${points.speaker[i]}`],
  };
  if (splits.length < 2) delete CLASSES.split;
  for (const [name, { classes, values }] of Object.entries(contents.labels)) { // of the user's own
    if (classes) CLASSES[`label ${name}`] = [name, (i) => classes[values[i]]];
    else VALUES[`label ${name}`] = [name, values];
  }
  let clusters = new Map();
  CLASSES.cluster = ["cluster that was kept", (i) => clusters.get(frameKeys[i]) ?? "in no cluster"];

  // ---- controls ----

  const controls = element(left, "div");
  const bar = element(controls, "div", { className: "controls" });
  const projectionMenu = kit.choice(bar, "projection", "Projection",
    projectionOptions((p) => p.points), 0, (v) => ((shared.projection = Number(v)), page.draw()));
  kit.choice(bar, "show", "Show", [
    ...[...Object.entries(CLASSES), ...Object.entries(VALUES)]
      .map(([name, [words]]) => [name, words, "frames of single speakers, by"]),
    ...contrasts.map((c, i) => [`contrast ${i}`, c.name, "mutual silences, by"])
      .filter((_, i) => !contrasts[i].lacking),
  ], state.show, (v) => ((state.show = v), shared.hidden.clear(), page.draw()));
  kit.choice(bar, "draw", "as", ["scatter", "density"].map((v) => [v, v]), "scatter",
    (v) => ((state.density = v === "density"), page.draw()));
  const reading = element(controls, "div", { className: "controls", id: "reading" });
  const whenSlider = kit.slide(reading, "when", "Read", [0, whens.length - 1, 1], state.when,
    (v) => ((state.when = v), page.draw()));
  const whenWords = element(reading, "span", { id: "when-words" });
  const whoseMenu = kit.choice(reading, "whose", "the state of",
    contents.whose.map((words, i) => [i, words]), 0, (v) => ((state.whose = Number(v)),
    page.draw()));
  const apartWords = element(controls, "p", { id: "apart-words" });
  const apartChart = element(controls, "canvas", { id: "apart", className: "strip",
    style: "height: 190px", role: "img", ariaLabel: "how far apart the classes are, by time",
    title: "click: read at this time" });
  apartChart.addEventListener("click", (event) => {
    const at = whens[0] + ((event.offsetX - 44) / (apartChart.clientWidth - 60)) * (
      whens.at(-1) - whens[0]);
    state.when = whens.reduce((best, when, i) => (Math.abs(when - at) < Math.abs(whens[best] - at)
      ? i : best), 0);
    whenSlider.value = state.when;
    page.draw();
  });

  // ---- points and events ----

  const contrast = () => (state.show.startsWith("contrast ") ? Number(state.show.slice(9)) : null);

  const framePoint = (i) => ({
    key: frameKeys[i], place: placeIn(shown().points, i, shown().dims),
      hollow: shown().stability[i] < contents.unstable, // false of NaN, which was not measured
    text: () => `${dialogues[points.number[i]].id} ${kit.clock(timeOf(points.frame[i]))}, speaker `
      + `${points.speaker[i]}\n${situations[points.situation[i]]}\np(next) `
      + `${said(points.p_next[i])}, p(shift) ${said(points.p_shift[i])}`,
  });

  /** An event, read at the time that is chosen; null where it cannot be read then. */
  function eventPoint(index, role) {
    const at = (index * whens.length + state.when) * 2 + role;
    const place = placeIn(shown().events, at, shown().dims);
    if (Number.isNaN(place[0])) return null;
    return { key: `e${index}:${role}`, place,
      hollow: shown().event_stability[at] < contents.unstable, text: () =>
      `${events[index].dialogue}\n${inWords(events[index])}` };
  }

  /** Points by class: [[name, points]]. */
  function groups() {
    const chosen = contrast();
    if (chosen !== null) {
      const { classes, events: members, first, by_role: both } = contrasts[chosen];
      const lists = [[], []];
      members.forEach((index, i) => {
        if (both) [0, 1].forEach((role) => lists[role].push(eventPoint(index, role)));
        else lists[first[i] ? 0 : 1].push(eventPoint(index, state.whose));
      });
      return classes.map((name, i) => [name, lists[i].filter(Boolean)]);
    }
    const classOf = CLASSES[state.show][1];
    const members = new Map();
    for (let i = 0; i < count; i++) {
      const name = classOf(i);
      if (!members.has(name)) members.set(name, []);
      members.get(name).push(i);
    }
    let names = state.show === "situation" ? situations.filter((name) => members.has(name))
      : [...members.keys()];
    if (names.length > MOST_CLASSES) {
      const own = state.show === "dialogue" && now.moment ? dialogues[now.moment.number].id : null;
      names = own ? [own] : names.sort((a, b) => members.get(b).length - members.get(a).length)
        .slice(0, MOST_CLASSES - 1);
      members.set("the others", [...members].filter(([name]) => !names.includes(name))
        .flatMap(([, list]) => list));
      names.push("the others");
    }
    return names.map((name) => [name, (members.get(name) ?? []).map(framePoint)]);
  }

  /** Corners of what is drawn: nearly all of the sampled frames, and a margin. */
  function limits() {
    const { points: all, dims } = shown();
    return range(dims).map((axis) => {
      const values = kit.column(all, axis).filter((v) => !Number.isNaN(v)).sort();
      const [low, high] = [values[Math.floor(0.002 * values.length)] ?? -1,
        values[Math.ceil(0.998 * (values.length - 1))] ?? 1];
      return [low - 0.06 * (high - low), high + 0.06 * (high - low)];
    });
  }

  let drawn = [];
  function draw(plane) {
    const { dims, landmarks } = shown();
    projectionMenu.value = shared.projection;
    clusters = clustersByKey();
    const layers = [];
    const density = state.density && dims === 2;
    const size = contrast() === null ? 2.8 : 4.5;
    let entries = [];
    drawn = [];
    const scatter = (list, more) => layers.push({ kind: "points", places: list.map((p) => p.place),
      size, hollow: (i) => list[i].hollow, text: (i) => list[i].text(), pick: (i) => list[i].key,
      ...more });
    if (contrast() !== null)
      layers.push({ kind: "points", places: range(count)
      .map((i) => placeIn(shown().points, i, dims)), colour: kit.ink("--soft"), size: 1.5,
      alpha: 0.22 });
    if (state.show in VALUES) {
      const [words, values] = VALUES[state.show];
      const list = range(count).filter((i) => !Number.isNaN(values[i]));
      drawn = list.map(framePoint);
      const sorted = list.map((i) => values[i]).sort((a, b) => a - b);
      const [low, high] = [sorted[0] ?? 0, sorted.at(-1) ?? 1];
      const colour = (value) => ramp((value - low) / (high - low || 1));
      if (density) layers.push(meanCells(drawn.map((p) => p.place), list.map((i) => values[i]),
        colour));
      else scatter(drawn, { colour: (k) => colour(values[list[k]]) });
      entries = [{ name: `${density ? "mean " : ""}${words}`, low: said(low), high: said(high) }];
    } else {
      const found = groups().filter(([, list]) => list.length);
      entries = styled(found.map(([name]) => name), found.map(([, list]) => list.length));
      found.forEach(([, list], k) => {
        const { colour, symbol, dash, hidden } = entries[k];
        if (hidden) return;
        drawn.push(...list);
        if (density && list.length >= LEAST_DENSITY) {
          layers.push({ kind: "line", places: contours(list.map((p) => p.place), limits()), colour,
            width: 2 });
          Object.assign(entries[k], { line: true, dash: dash && [] });
        } else scatter(list, { colour, symbol });
      });
      if (contrast() !== null)
        entries.push({ name: `frames, for comparison (${count})`, colour: kit.ink("--soft") });
    }
    const marked = Object.entries(landmarks);
    layers.push({ kind: "words", places: marked.map(([, place]) => place),
      words: marked.map(([name]) => name) });
    plane.draw([{ layers }], { dims, limits: limits(), key: `points ${shared.projection}` });
    plane.explain(entries, toggle);
    return sayPlane(density);
  }

  /** Means of values in the cells of a grid. */
  function meanCells(places, values, colour) {
    const [[left, right], [bottom, top]] = limits();
    const size = [(right - left) / 50, (top - bottom) / 50];
    const cells = new Map();
    places.forEach(([x, y], i) => {
      const cell = [Math.floor((x - left) / size[0]), Math.floor((y - bottom) / size[1])];
      const [sum, n] = cells.get(`${cell}`) ?? [0, 0];
      cells.set(`${cell}`, [sum + values[i], n + 1, cell]);
    });
    const list = [...cells.values()];
    return { kind: "cells", size, places: list.map(([, , [i, j]]) => [left + (i + 0.5) * size[0],
      bottom + (j + 0.5) * size[1]]), colour: (k) => colour(list[k][0] / list[k][1]) };
  }

  function sayPlane(density) {
    const p = shown();
    const chosen = contrast();
    const hollow = drawn.filter((point) => point.hollow).length;
    const words = [];
    if (state.density && p.dims === 3)
      words.push("Density is drawn in two dimensions only, so these are the points.");
    if (density) words.push(state.show in VALUES ? "Each cell has the mean of its frames."
      : `Lines hold a quarter, a half and three quarters of a class (of fewer than `
      + `${LEAST_DENSITY}, the points are drawn).`);
    const measured = (chosen === null ? p.stability : p.event_stability)
      .some((v) => !Number.isNaN(v));
    if (!measured)
      words.push("How stable its neighbourhoods are was not measured for this projection.");
    else if (!density) words.push(
      `${hollow} of ${counted(drawn.length, "point")} ${hollow === 1 ? "is" : "are"} hollow: `
      + `there, fewer than half of the neighbours stay neighbours when the projection is fitted `
      + `again, so what lies side by side should not be believed.`);
    words.push(p.trust, p.about);
    reading.hidden = chosen === null;
    whoseMenu.parentElement.hidden = chosen !== null && contrasts[chosen].by_role;
    const when = whens[state.when];
    whenWords.textContent = when === 0 ? "when the silence begins"
      : `${Math.abs(when)} s `
      + `${when < 0 ? "before the silence" : "into the silence, of those that last so long"}`;
    const row = chosen === null || contrasts[chosen].by_role ? 0 : state.whose;
    const judged = chosen !== null && contrasts[chosen].classes.includes("correct")
      ? " Correct means that the network itself was right 0.25 s into the silence, so its states "
      + "there must tell." : "";
    apartWords.textContent = chosen === null ? ""
      : `${p.apart[chosen].said[row][state.when]}${judged} This is said of the picture: the full `
      + `state may hold more.`;
    const figures = p.apart[chosen]?.figures;
    const told = figures
      && whens.some((_, w) => !Number.isNaN(figures[(row * whens.length + w) * 8 + 2]));
    apartChart.hidden = !told;
    if (told) drawApart(figures, row);
    return words.filter(Boolean).join(" ");
  }

  /** AUC against the time of reading: (R, W, 8) of counts, then value, low and high by a line and
   *  by the neighbours. */
  function drawApart(figures, row) {
    const at = (k) => whens.map((_, w) => figures[(row * whens.length + w) * 8 + k]);
    const ratio = window.devicePixelRatio || 1;
    const [wide, high] = [apartChart.clientWidth, 190];
    [apartChart.width, apartChart.height] = [wide * ratio, high * ratio];
    const pen = apartChart.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "12px system-ui, sans-serif";
    const lowest = Math.min(0.4, ...[...at(2), ...at(5)].filter((v) => !Number.isNaN(v))) - 0.05;
    const x = (when) => 44 + ((when - whens[0]) / (whens.at(-1) - whens[0])) * (wide - 60);
    const y = (value) => 24 + ((1.02 - value) / (1.02 - lowest)) * (high - 62);
    pen.fillStyle = kit.ink("--soft");
    pen.strokeStyle = kit.ink("--faint");
    for (const value of [0.5, 0.75, 1]) pen.strokeRect(44, y(value), wide - 60, 0),
      pen.fillText(`${value}`, 12, y(value) + 4);
    pen.textAlign = "center";
    whens.forEach((when, i) => i % 2 === 1 && pen.fillText(`${when}`, x(when), high - 22));
    pen.fillText("s after the silence begins; AUC in this picture", wide / 2, high - 6);
    pen.strokeStyle = kit.ink("--ink");
    pen.strokeRect(x(whens[state.when]), 20, 0, high - 58);
    [[2, "by a line", "#0072b2", [], "circle"], [5, "by the neighbours", "#d55e00", [2, 3],
      "diamond"]].forEach(([k, name, colour, dash, symbol], place) => {
      const [value, low, high] = [at(k), at(k + 1), at(k + 2)];
      pen.strokeStyle = pen.fillStyle = colour;
      pen.setLineDash(dash);
      pen.beginPath();
      whens.forEach((when, i) => !Number.isNaN(value[i]) && pen.lineTo(x(when), y(value[i])));
      pen.stroke();
      pen.setLineDash([]);
      whens.forEach((when, i) => {
        if (Number.isNaN(value[i])) return;
        if (!Number.isNaN(low[i])) pen.strokeRect(x(when), y(high[i]), 0, y(low[i]) - y(high[i]));
        outline(pen, symbol, x(when), y(value[i]), 3.5);
        pen.fill();
      });
      pen.fillText(`${symbol === "circle" ? "●" : "◆"} ${name}`, wide - 190 + 110 * place, 13);
    });
  }

  // ---- what the selection asks ----

  const keyNames = () => drawn.map((point) => point.key);
  function item(key) {
    if (places.has(key)) {
      const i = places.get(key);
      const moment = { number: points.number[i], frame: points.frame[i],
        speaker: points.speaker[i], event: null };
      const labels =
        Object.fromEntries([...Object.entries(CLASSES).filter(([name]) => name !== "cluster")
        .map(([, [words, classOf]]) => [words, classOf(i)]), ...Object.values(VALUES)
        .map(([words, values]) => [words, values[i]])]);
      return { key,
        words: `${dialogues[moment.number].id} ${kit.clock(timeOf(moment.frame))}, speaker `
        + `${moment.speaker}`, moment, labels };
    }
    return eventItem(key, contents.event_frames[Number(key.slice(1).split(":")[0]) * whens.length
      + state.when]);
  }

  function near(key) {
    const { points: ofPoints, events: ofEvents } = contents.neighbours[shown().layer];
    if (places.has(key)) return [...kit.row(ofPoints, places.get(key))].filter((i) => i >= 0)
      .map((i) => frameKeys[i]);
    const [event, role] = key.slice(1).split(":").map(Number);
    const width = ofEvents.shape.at(-1);
    return [...placeIn(ofEvents, (event * whens.length + state.when) * 2 + role, width)]
      .filter((i) => i >= 0).map((i) => `e${i}:${role}`);
  }

  function where(key) {
    if (places.has(key) && contrast() === null) return placeIn(shown().points, places.get(key),
      shown().dims);
    return key.startsWith("e") && contrast() !== null ? eventPoint(...key.slice(1).split(":")
      .map(Number))?.place ?? null : null;
  }

  return {
    name: "points", words: "Points", controls, draw, item, near, where, keys: keyNames,
    able: (p) => Boolean(p.points),
    moved: () => state.show === "dialogue" && dialogues.length > MOST_CLASSES && page.draw(),
    start: () => {
      const first = events.findIndex((e) => (e.kind === "shift" || e.kind === "hold")
        && e.start_s * rate < dialogues[e.number].embedded);
      if (first >= 0) goEvent(first);
      else if (count) go(item(frameKeys[0]).moment);
    },
  };
})();

/** An event's speaker (role 0) or the other one, as a point that can be chosen. */
function eventItem(key, frame = null) {
  if (!/^e\d+:[01]$/.test(key)) return null;
  const [index, role] = key.slice(1).split(":").map(Number);
  const event = events[index];
  const moment = { number: event.number, frame: known(frame) && frame >= 0 ? frame
    : Math.max(0, Math.round(event.start_s * rate) - 1), speaker: role ? 1 - event.speaker
    : event.speaker, event: index };
  const labels = { kind: event.kind, "was predicted": event.correct === null ? "" : event.correct
    ? "correct" : "wrong", "p(shift)": event.p_shift, "words end as": event.ending,
    dialogue: event.dialogue, role: role ? "listener" : "speaker", ...event.labels };
  return { key, words: `${event.dialogue} ${inWords(event)}${role ? ", the other speaker" : ""}`,
    moment, labels };
}
