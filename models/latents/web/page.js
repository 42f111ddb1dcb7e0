// The page of points, paths and stages: one plane, one selection, one moment, and the views that
// draw there.

const page = (() => {
  const views = [pointsView, pathsView, stagesView].filter(Boolean);
  const tabs = new kit.Controls(null, { id: "views", role: "navigation", ariaLabel: "views",
    state: shared, act: draw });
  kit.view.prepend(tabs.bar);
  const drawing = element(left, "div");
  const words = element(left, "p", { className: "note", id: "plane-words" });
  const plane = new Plane(drawing, { onPick: (key, add) => (add ? select([key], true) : pick(key)),
    onLasso: select });
  const found = { views, plane, view: views.find((view) => view.name === contents.opens)
    ?? views[0], draw, show, mark, pick };
  const buttons = views.map((view) => tabs.button(`view-${view.name}`, view.words,
    () => show(view)));
  const projectionMenu = tabs.choice("projection", "Projection",
    projections.map((projection, i) => [i, projection.name]), "projection");

  /** Show another view. */
  function show(view) {
    found.view = view;
    shared.hidden.clear();
    views.forEach((other, i) => {
      for (const part of [other.controls, other.below]) if (part) part.hidden = other !== view;
      buttons[i].hidden = views.length < 2;
      buttons[i].setAttribute("aria-pressed", String(other === view));
    });
    projectionMenu.parentElement.hidden = Boolean(view.own);
    draw();
    saySelection();
  }

  function draw() {
    words.textContent = found.view.draw(plane);
    plane.mark(null, found.view.own ? [] : [...selection.keys].map(ringOf).filter(Boolean));
    mark(now.playing ? now.playing.frame : now.moment?.frame);
  }

  /** Where the two speakers are in a frame, with a trail. */
  function mark(frame) {
    if (found.view.own || !now.moment || frame === undefined) return plane.mark([]);
    const { number, speaker } = now.moment;
    return plane.mark([0, 1].flatMap((whose) => {
      const place = placeOf(number, frame, whose);
      const trail = range(Math.round(TRAIL_S * rate))
        .map((back) => placeOf(number, frame - back, whose)).filter(Boolean);
      return place ? [{ place, words: `${whose}`, strong: whose === speaker, trail,
        dash: whose ? [4, 3] : [] }] : [];
    }));
  }

  /** Where a selected point has its ring: where the view draws it, or where its moment lies. */
  function ringOf(key) {
    const moment = itemOf(key)?.moment;
    return found.view.where(key)
      ?? (moment ? placeOf(moment.number, moment.frame, moment.speaker) : null);
  }

  /** Go to a point, hear it, and select it if the view follows what is selected. */
  function pick(key) {
    if (found.view.follows?.(key)) select([key]);
    const { moment } = found.view.item(key);
    if (moment) go(moment, true);
  }

  setTimeout(() => {
    show(found.view);
    found.view.start?.();
  });
  kit.onKeys(() => ({ ArrowLeft: (by) => step(-by), ArrowRight: (by) => step(by),
    " ": () => (now.playing ? stop() : play(false)), ...found.view.key }));
  kit.dark.addEventListener("change", () => {
    draw();
    if (!now.moment) return;
    drawDialogue();
    go(now.moment);
  });
  return found;
})();
