// What is said below paths: of groups, and of the picture.

/** `on` has what paths.js shows, and where it lies. */
function pathWords({ paths, list, state, grouped, placeAt, lastOf }) {
  const SELECTED = `Selected paths, ${DASHES.length} at most, are bold: marked are the start of `
    + "the event, the last point, in the colour and shape of what was predicted, and the end.";
  const NOTES = {
    conversation: "Large dots: this speaker is speaking.",
    paths: "Dots become larger, and their colour changes, with time. Thick: the mean of a group, "
      + "hollow symbols at the beginning of the window and at the start of the event, a filled one "
      + `${paths.judged_s} s into it; ellipses there are one standard deviation. ${SELECTED}`,
    last: `Each point is the state when the decision is read, ${paths.judged_s} s into the event, `
      + `or at its end if it is over before; ellipses are one standard deviation. ${SELECTED}`,
    mistakes: "Lines have the colour of what came true, markers, at the last points, that of what "
      + `was predicted; grey paths were predicted right. ${SELECTED}`,
  };

  /** How many paths of each group are shown, and how far apart the groups are. */
  function facetWords({ title, members }) {
    const groups = grouped(members).filter((group) => group.members.length);
    const points = groups.flatMap((group) => group.members.map(([p, role]) => ({ group,
      values: placeAt(p, role, lastOf(p)),
      stratum: `${list[p].number} ${role ? 1 - list[p].speaker : list[p].speaker}` })));
    const between = varianceBetween(points.filter(({ values }) => values), shown().dims);
    return `${title && `${title}: `}`
      + `${groups.map((g) => `${g.entry.id} ${g.members.length}`).join(", ")}.`
      + (groups.length < 2 || !between ? "" : ` ${Math.round(100 * between.share)} % of the `
      + "variance of the last points within dialogue and speaker lies between these groups; by "
      + `chance it would be about ${Math.max(1, Math.round(100 * between.chance))} %.`);
  }

  /** How the picture of `places` is read. */
  const note = (places) => `${NOTES[state.view]} ${state.view === "last" ? hollowWords() : ""} `
    + `${scaleWords(places)} A state has ${shown().width} values and the picture ${shown().dims}, `
    + `so paths that cross in it need not meet. ${shown().trust} ${shown().about}`;

  /** What the scale does here: how much of an axis the middle half of the states takes up. */
  function scaleWords(places) {
    const [whole, half] = [0, 0.25].map((cut) => limitsOf(places, shown().dims, cut));
    const taken = ({ to }) => half.map(([low, high], d) => Math.round((100 * (to(high) - to(low)))
      / (to(whole[d][1]) - to(whole[d][0]) || 1))).map((share) => `${share} %`).join(" and ");
    return `The middle half of what is drawn takes up ${taken(linear)} of the axes on the linear `
      + `scale, ${taken(logarithmic)} on that of sign(x) · log(1 + |x|), which opens up what lies `
      + "near zero; axes are labelled with the true values.";
  }

  return { facetWords, note };
}
