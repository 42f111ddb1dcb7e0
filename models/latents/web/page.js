// The page of points, paths and stages: one plane, one selection, one moment, and the views that
// draw there.

const page = (() => {
  const views = [pointsView, pathsView, stagesView].filter(Boolean);
  const tabs = element(null, "nav", { className: "controls", id: "views", ariaLabel: "views" });
  kit.view.prepend(tabs);
  const drawing = element(left, "div");
  const words = element(left, "p", { className: "note", id: "plane-words" });
  const plane = new Plane(drawing, { onPick: (key, add) => pick(key, !add, add),
    onLasso: (keys, add) => select(keys, add) });
  const found = { views, plane, view: views.find((view) => view.name === contents.opens)
    ?? views[0], draw, show, mark, moved, selected, pick };
  const buttons = views.map((view) => kit.button(tabs, `view-${view.name}`, view.words,
    () => show(view)));

  /** Show another view. */
  function show(view) {
    found.view = view;
    if (!view.own && !view.able(shown())) shared.projection = projections.findIndex(view.able);
    shared.hidden.clear();
    for (const other of views) for (const part of [other.controls, other.below]) if (part)
      part.hidden = other !== view;
    views.forEach((other, i) => buttons[i].setAttribute("aria-pressed", String(other === view)));
    tabs.hidden = views.length < 2;
    draw();
    saySelection();
  }

  function draw() {
    words.textContent = found.view.draw(plane);
    selected(false);
    mark(now.playing ? now.playing.frame : now.moment?.frame);
  }

  /** Where the two speakers are in a frame, with a trail. */
  function mark(frame) {
    if (found.view.own || !now.moment || frame === undefined) return plane.mark([]);
    const { number, speaker } = now.moment;
    const marks = [0, 1].flatMap((whose) => {
      const place = placeOf(number, frame, whose);
      const trail = range(Math.round(TRAIL_S * rate))
        .map((back) => placeOf(number, frame - back, whose)).filter(Boolean);
      return place ? [{ place, words: `${whose}`, strong: whose === speaker, trail, dash: whose
        ? [4, 3] : [] }] : [];
    });
    return plane.mark(marks);
  }

  /** Rings around what is selected: where the view draws it, or where its moment lies. */
  function selected(again = true) {
    if (found.view.own) return again ? draw() : plane.mark(null, []);
    const places = [...selection.keys].map((key) => {
      const moment = itemOf(key)?.moment;
      return found.view.where(key)
        ?? (moment ? placeOf(moment.number, moment.frame, moment.speaker) : null);
    });
    return plane.mark(null, places.filter(Boolean));
  }

  function moved(dialogue) {
    if (dialogue) found.view.moved?.();
  }

  /** Go to a point, and hear it; with Shift, select it. */
  function pick(key, heard, add = false) {
    if (add) return select([key], true);
    if (found.view.pick) return found.view.pick(key, add);
    return go(itemOf(key).moment, heard);
  }

  setTimeout(() => {
    show(found.view);
    found.view.start();
  });
  document.addEventListener("keydown", (pressed) => {
    const { tagName } = pressed.target;
    if (["SELECT", "INPUT", "TEXTAREA"].includes(tagName)
      || (tagName === "BUTTON" && pressed.key === " ")) return;
    const by = pressed.shiftKey ? 10 : 1;
    const act = { ArrowLeft: () => step(-by), ArrowRight: () => step(by), " ": () =>
      (now.playing ? stop() : play(false)), ...(found.view.key ?? {}) }[pressed.key];
    if (!act) return;
    act();
    pressed.preventDefault();
  });
  dark.addEventListener("change", () => {
    draw();
    if (!now.moment) return;
    drawDialogue();
    go(now.moment);
  });
  return found;
})();
