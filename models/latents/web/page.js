// The page of points, paths and stages: one plane, one selection, one moment, and the views that
// draw there.

const page = (() => {
  const views = [pointsView, pathsView, stagesView].filter(Boolean);
  const tabs = new kit.Controls(null, { id: "views", role: "navigation", ariaLabel: "views",
    state: shared, act: draw });
  kit.view.prepend(tabs.bar);
  const drawing = element(left, "div");
  const words = element(left, "p", { className: "note", id: "plane-words" });
  const plane = new Plane(drawing, { textOf, onLasso: select,
    onPick: (key, add) => (add ? select([key], true) : pick(key)) });
  const found = { views, plane, view: views.find((view) => view.name === contents.opens)
    ?? views[0], draw, show, mark, pick, keys };
  const buttons = views.map((view) => tabs.button(`view-${view.name}`, view.words,
    () => show(view)));
  const projectionMenu = tabs.choice("projection", "Projection",
    projections.map((projection, i) => [i, projection.name]), "projection");

  /** Show another view. */
  function show(view) {
    found.view = view;
    shared.hidden.clear();
    views.forEach((other, i) => {
      other.controls.hidden = other !== view;
      buttons[i].hidden = views.length < 2;
      buttons[i].setAttribute("aria-pressed", String(other === view));
    });
    projectionMenu.parentElement.hidden = Boolean(view.own);
    draw();
    saySelection();
  }

  function draw() {
    words.textContent = found.view.draw(plane);
    plane.mark(null, found.view.own ? [] : rings());
    mark(now.playing ? now.playing.frame : now.moment?.frame);
  }

  /** Where what is selected is drawn, or else where its moment lies. */
  function rings() {
    const drawn = new Map(plane.hits.map((hit) => [hit.pick, hit.place]));
    return [...selection.keys].map((key) => drawn.get(key) ?? placeOf(itemOf(key)?.moment))
      .filter(Boolean);
  }

  /** Where the two speakers are in a frame, with a trail. */
  function mark(frame) {
    if (found.view.own || !now.moment || frame === undefined) return plane.mark([]);
    const { number, speaker } = now.moment;
    const trails = [0, 1].map((whose) => range(Math.round(TRAIL_S * rate))
      .map((back) => placeOf({ number, frame: frame - back, speaker: whose })));
    return plane.mark(trails.map((trail, whose) => ({ place: trail[0], words: `${whose}`,
      strong: whose === speaker, trail, dash: whose ? [4, 3] : [] })).filter((m) => m.place));
  }

  /** Of all points that are drawn. */
  function keys() {
    return [...new Set(plane.hits.map((hit) => hit.pick))].filter(Boolean);
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
