// Points: frames of single speakers, or both speakers at one time before or in a mutual silence,
// coloured by what is known of them.

const pointsView = contents.points && (() => {
  const { points, contrasts, when_s: whens } = contents;
  const state = { show: "situation", when: whens.indexOf(0), whose: 0 };
  const frames = range(points.number.length);
  const keys = frames.map((i) => frameKey(points.number[i], points.frame[i], points.speaker[i]));
  const rows = new Map(keys.map((key, i) => [key, i]));

  const labels = frames.map((i) => ({
    situation: situations[points.situation[i]],
    dialogue: dialogues[points.number[i]].id,
    split: dialogues[points.number[i]].split || "no split",
    speaker: `speaker ${points.speaker[i]}`,
    "p(this speaker is next)": points.p_next[i],
    "p(shift): who did not speak last is next": points.p_shift[i],
    "p(this speaker speaks now)": points.vad[i],
    "time in the dialogue, minutes": points.time_s[i] / 60,
    ...Object.fromEntries(Object.entries(contents.labels).map(([name, { classes, values }]) =>
      [name, classes ? classes[values[i]] : values[i]])), // of the user's own
  }));

  const controls = element(left, "div");
  const act = () => page.draw();
  regroups(new kit.Controls(controls, { state, act }).choice("show", "Show", [
    ...[...Object.keys(labels[0] ?? {}), CLUSTER]
      .map((name) => [name, name, "frames of single speakers, by"]),
    ...contrasts.map((c, i) => [`contrast ${i}`, c.name, "mutual silences, by"])
      .filter((_, i) => !contrasts[i].lacking)], "show"));
  const reading = new kit.Controls(controls, { state, act, id: "reading" });
  const whenSlider = reading.slide("when", "Read", [0, whens.length - 1, 1], "when");
  const whenWords = element(reading.bar, "span", { id: "when-words" });
  const whoseMenu = reading.choice("whose", "the state of",
    contents.whose.map((words, i) => [i, words]), "whose");
  const apartWords = element(controls, "p", { id: "apart-words" });
  const apartStrip = new kit.Strip(controls, "apart", 190,
    "how far apart the classes are in this picture, by time", (seconds) => {
      const far = whens.map((when) => Math.abs(when - seconds));
      whenSlider.value = state.when = far.indexOf(Math.min(...far));
      page.draw();
    });

  const contrast = () => (state.show.startsWith("contrast ")
    ? Number(state.show.split(" ")[1]) : null);

  // What is drawn: {key, place, stability, value to be coloured by}.
  const framesBy = (name) => frames.map((i) => ({ key: keys[i],
    value: name === CLUSTER ? clusterOf(keys[i]) : labels[i][name],
    place: kit.row(shown().points, i), stability: shown().stability[i] }));
  const eventsOf = ({ classes, events: members, first, by_role: both }) => [...members]
    .flatMap((index, i) => (both ? [0, 1] : [state.whose]).map((role) => {
      const at = (index * whens.length + state.when) * 2 + role;
      return { key: `e${index}:${role}`, value: classes[both ? role : 1 - first[i]],
        place: kit.row(shown().events, at), stability: shown().event_stability[at] };
    })).filter(({ place }) => !Number.isNaN(place[0])); // which cannot be read at this time

  function draw(plane) {
    const { dims, points: places, landmarks } = shown();
    const chosen = contrasts[contrast()];
    const list = chosen ? eventsOf(chosen) : framesBy(state.show);
    const looks = looksOf(state.show, list.map((point) => point.value),
      chosen?.classes ?? situations);
    const soft = kit.ink("--soft");
    const hollow = (i) => list[i].stability < contents.unstable; // NaN: not measured
    const layers = [{ kind: "points", places: list.map((point) => point.place), ...looks, hollow,
      size: chosen ? 4.5 : 2.8, pick: (i) => list[i].key },
    { kind: "words", places: Object.values(landmarks), words: Object.keys(landmarks) }];
    if (chosen) layers.unshift({ kind: "points", colour: soft, size: 1.5, alpha: 0.22,
      places: frames.map((i) => kit.row(places, i)) });
    plane.draw([{ layers }], { dims, key: `points ${shared.projection}`,
      limits: limitsOf(frames.map((i) => kit.row(places, i)), dims, 0.002) });
    plane.explain([...looks.entries, ...(chosen
      ? [{ name: `frames, for comparison (${frames.length})`, colour: soft }] : [])], toggle);
    sayApart();
    const drawn = range(list.length).filter((i) => !looks.hidden(i));
    return `Hollow: ${drawn.filter(hollow).length} of ${counted(drawn.length, "point")}. `
      + `${hollowWords()} ${shown().trust} ${shown().about}`;
  }

  /** How far apart two classes are: in words at the time that is chosen, and as AUC by a line and
   *  by the neighbours against the time, from figures of (R, W, 8). */
  function sayApart() {
    const chosen = contrasts[contrast()];
    reading.bar.hidden = apartWords.hidden = apartStrip.canvas.hidden = !chosen;
    if (!chosen) return;
    whoseMenu.parentElement.hidden = chosen.by_role;
    whenWords.textContent = `${whens[state.when]} s after the start of silences that last so long`;
    const row = chosen.by_role ? 0 : state.whose;
    const { said: words, figures } = shown().apart[contrast()];
    apartWords.textContent = `${words[row][state.when]} This is said of the picture: the full `
      + "state may hold more. Correct is what the network itself told right 0.25 s into the "
      + "silence, so its states there must tell.";
    const found = whens.map((when, w) => ({ when, at: kit.row(figures, row * whens.length + w) }))
      .filter(({ at }) => !Number.isNaN(at[2]));
    apartStrip.canvas.hidden = !found.length;
    const lowest = Math.min(0.4, ...found.flatMap(({ at }) => [at[2], at[5]])) - 0.05;
    const y = (value) => 24 + (128 * (1.02 - value)) / (1.02 - lowest);
    apartStrip.set([whens[0] - 0.05, whens.at(-1) + 0.05], (pen) => {
      const x = (when) => apartStrip.at(when);
      pen.fillStyle = kit.ink("--soft");
      for (const value of [0.5, 0.75, 1]) {
        kit.stroke(pen, [[x(whens[0]), y(value)], [x(whens.at(-1)), y(value)]], kit.ink("--faint"));
        pen.fillText(`${value}`, 4, y(value) + 4);
      }
      pen.fillText("AUC in this picture, by s after the silence begins", 4, 13);
      [[2, "● by a line", "#0072b2", [], "circle"], [5, "◆ by the neighbours", "#d55e00", [2, 3],
        "diamond"]].forEach(([k, name, colour, dash, shape], i) => {
        kit.stroke(pen, found.map(({ when, at }) => [x(when), y(at[k])]), colour, 1, dash);
        for (const { when, at } of found) {
          kit.stroke(pen, [[x(when), y(at[k + 1])], [x(when), y(at[k + 2])]], colour);
          symbol(pen, shape, x(when), y(at[k]), 3.5, colour);
        }
        pen.fillText(name, apartStrip.wide - 210 + 80 * i, 13);
      });
      apartStrip.seconds(pen, 168);
    });
    apartStrip.show(whens[state.when]);
  }

  const item = (key) => (rows.has(key) ? frameItem(key, labels[rows.get(key)])
    : eventItem(key, contents.event_frames[partsOf(key)[0] * whens.length + state.when]));

  function near(key) {
    const { points: ofPoints, events: ofEvents } = contents.neighbours[shown().layer];
    const there = (list) => [...list].filter((i) => i >= 0);
    if (rows.has(key)) return there(kit.row(ofPoints, rows.get(key))).map((i) => keys[i]);
    const [event, role] = partsOf(key);
    return there(kit.row(ofEvents, (event * whens.length + state.when) * 2 + role))
      .map((i) => `e${i}:${role}`);
  }

  return {
    name: "points", words: "Points", controls, draw, item, near,
    start: () => {
      const first = events.findIndex((e) => ["shift", "hold"].includes(e.kind)
        && e.start_s * rate < dialogues[e.number].embedded);
      first >= 0 ? goEvent(first) : go(item(keys[0]).moment);
    },
  };
})();
