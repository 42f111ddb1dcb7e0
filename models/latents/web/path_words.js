// What is said below paths: of groups, of the picture, and of the event that is chosen.

/** `places`: functions of paths.js that say where paths lie; `grouped` and `comparing` are its. */
function pathWords({ paths, list, state, grouped, comparing, places }) {
  const { placeAt, lastOf } = places;

  /** How many paths of each group are shown, and how far apart the groups are. */
  function groupWords(found) {
    if (comparing()) return "";
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
    return sentences.join(" ");
  }

  /** How the picture of `places` is read. */
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

  /** The event that is chosen, and the nearest of the other class. */
  function chosenWords() {
    const { nearest, distance, typical } = shown().paths;
    if (state.view === "conversation") return "";
    if (state.chosen === null)
      return "Choose an event from the list, or click a path, to draw it bold, hear it and compare "
        + "it.";
    const sentences = [describe(state.chosen)];
    if (nearest[state.chosen] >= 0)
      sentences.push(`Nearest of the other class: ${list[nearest[state.chosen]].dialogue} `
      + `${inWords(list[nearest[state.chosen]])}, ${said(distance[state.chosen])} away in the `
      + `full states of the speakers (any two paths: ${said(typical)}, the median).`);
    if (state.pair !== null) sentences.push(`Compared with ${describe(state.pair)}`);
    return sentences.join(" ");
  }

  const describe = (p) =>
    `${list[p].dialogue}${list[p].split ? `, ${list[p].split}` : ""}: `
    + `${inWords(list[p])}.${list[p].predicted ? ` Predicted: ${list[p].predicted}.` : ""}`;

  return { groupWords, note, chosenWords };
}
