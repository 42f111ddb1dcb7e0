// Select: chosen points as a list to hear, with their labels, their neighbours in the state space,
// and named clusters.
// A point has a key that all views share: f{dialogue}:{frame}:{speaker}, e{event}:{role}, or
// id:{id} of a file's.

const MOST_LISTED = 200;
const MOST_NEAR = 30;
const MOST_ASKED = 500; // selected points whose neighbours are looked for
const selection = { keys: new Set(), clusters: [] };
const selecting = element(right, "section", { id: "selection" });
const itemOf = (key) => page.views.map((view) => view.item(key)).find(Boolean) ?? null;

function select(keys, add = false) {
  if (!add) selection.keys.clear();
  for (const key of keys) add && keys.length === 1 && selection.keys.has(key)
    ? selection.keys.delete(key) : selection.keys.add(key);
  saySelection();
  page.selected();
}

/** How often the chosen points, beside all of the view, have each value of each label. */
function shares(items, all) {
  const count = (list, name) => {
    const counts = new Map();
    for (const { labels } of list) if (known(labels[name]))
      counts.set(labels[name], (counts.get(labels[name]) ?? 0) + 1);
    return counts;
  };
  const found = [];
  for (const name of Object.keys(items[0]?.labels ?? {})) {
    const [here, everywhere] = [count(items, name), count(all, name)];
    const [sum, whole] = [here, everywhere].map((counts) => [...counts.values()]
      .reduce((a, b) => a + b, 0));
    if (!sum) continue;
    if (typeof [...here.keys()][0] === "number" && everywhere.size > 12) {
      const mean = (counts, total) => [...counts].reduce((a, [value, n]) => a + value * n,
        0) / total;
      found.push(`${name}: mean ${mean(here, sum).toPrecision(3)} (all: `
        + `${mean(everywhere, whole).toPrecision(3)})`);
      continue;
    }
    const most = [...here].sort((a, b) => b[1] - a[1]).slice(0, 4);
    const part = (n, total) => `${Math.round((100 * n) / total)} %`;
    const told = ([value, n]) =>
      `${value} ${part(n, sum)} (all: ${part(everywhere.get(value) ?? 0, whole)})`;
    found.push(`${name}: ${most.map(told).join(", ")}`);
  }
  return found;
}

/** Points that lie near the chosen ones among the full states: [key, of how many], and which share
 *  of all neighbours is chosen itself. */
function neighboursOf(keys) {
  const counts = new Map();
  let [own, all] = [0, 0];
  for (const key of keys) for (const near of page.view.near(key)) {
    all += 1;
    if (selection.keys.has(near)) own += 1;
    else counts.set(near, (counts.get(near) ?? 0) + 1);
  }
  return { near: [...counts].sort((a, b) => b[1] - a[1]), share: all ? own / all : NaN };
}

function table(parent, keys, last) {
  const made = element(element(parent, "div", { className: "wide" }), "table");
  for (const [place, key] of keys.entries()) {
    const item = itemOf(key);
    if (!item) continue;
    const act = element(null, "td");
    if (item.moment) kit.button(act, "", soundOf(item.moment) ? "hear" : "go there",
      () => page.pick(key, true), { ariaLabel: `hear ${item.words}` });
    element(made, "tr", {}, act, element(null, "td", {}, item.words),
      element(null, "td", {}, last(place, item)));
  }
}

function saySelection() {
  selecting.replaceChildren();
  const keys = [...selection.keys];
  element(selecting, "h2", {}, `Selected: ${counted(keys.length, "point")}`);
  const bar = element(selecting, "div", { className: "controls" });
  const name = kit.labelled(bar, "name",
    element(null, "input", { id: "cluster-name", size: 12,
    value: `cluster ${selection.clusters.length + 1}` }));
  kit.button(bar, "keep", "keep as a cluster", () => keep(name.value.trim(), keys),
    { disabled: !keys.length });
  kit.button(bar, "clear", "select none", () => select([]), { disabled: !keys.length });
  kit.button(bar, "export", "save as CSV", () => kit.save("clusters.csv", clustersAsCsv()),
    { disabled: !keys.length && !selection.clusters.length });
  for (const [index, cluster] of selection.clusters.entries()) {
    const line = element(selecting, "div", { className: "controls" });
    element(line, "span", { style: `color: ${palette[index % palette.length]}` },
      `● ${cluster.name} (${cluster.keys.length})`);
    kit.button(line, "", "select", () => select(cluster.keys),
      { ariaLabel: `select ${cluster.name}` });
    kit.button(line, "", "remove", () => (selection.clusters.splice(index, 1), saySelection(),
      page.draw()), { ariaLabel: `remove ${cluster.name}` });
  }
  if (!keys.length) {
    element(selecting, "p", { className: "note" },
      "Drag with “select (lasso)” around points, or click them with Shift. What is selected "
      + "stays so in every view of this page.");
    return;
  }
  const items = keys.map(itemOf).filter(Boolean);
  const told = shares(items, page.view.keys().map((key) => page.view.item(key)));
  if (told.length) element(selecting, "p", { id: "shares" }, `${told.join("; ")}.`);
  const here = keys.filter((key) => page.view.item(key));
  const asked = here.slice(0, MOST_ASKED);
  const { near, share } = neighboursOf(asked);
  if (known(share)) {
    const chance = here.length / page.view.keys().length;
    element(selecting, "p", { id: "near-words" },
      `In the full states, ${Math.round(100 * share)} % of the nearest neighbours of `
      + `${asked.length < here.length ? `the first ${MOST_ASKED}` : "the"} selected points `
      + `are selected, too (by chance ${Math.round(100 * chance)} %). `
      + `${counted(near.length, "other point")} lie near them:`);
    kit.button(element(selecting, "div", { className: "controls" }), "add-near",
      "select these, too", () => select([...keys, ...near.map(([key]) => key)]),
      { disabled: !near.length });
    table(element(selecting, "div", { id: "near", className: "scroll" }), near.slice(0, MOST_NEAR)
      .map(([key]) => key), (place) => `near ${near[place][1]} of them`);
  }
  element(selecting, "p", { className: "note" }, keys.length > MOST_LISTED
    ? `The first ${MOST_LISTED} of ${keys.length}:` : "All of them:");
  table(element(selecting, "div", { id: "chosen", className: "scroll" }),
    keys.slice(0, MOST_LISTED), (_, item) => Object.entries(item.labels)
    .filter(([, value]) => known(value))
    .map(([label, value]) =>
    `${label} ${typeof value === "number" ? Number(value.toPrecision(4)) : value}`).join(", "));
}

function keep(name, keys) {
  const cluster = { name: name || `cluster ${selection.clusters.length + 1}`, keys };
  const same = selection.clusters.findIndex((other) => other.name === cluster.name);
  if (same < 0) selection.clusters.push(cluster);
  else selection.clusters[same] = cluster;
  saySelection();
  page.draw();
}

/** The cluster of every point that is in one. */
const clustersByKey = () =>
  new Map(selection.clusters.flatMap(({ name, keys }) => keys.map((key) => [key, name])));

/** A row for each point of each cluster, or of what is selected; moments as `turnstream latents
 *  label` joins them. */
function clustersAsCsv() {
  const clusters = selection.clusters.length ? selection.clusters
    : [{ name: "selected", keys: [...selection.keys] }];
  const rows = clusters.flatMap(({ name, keys }) => keys.map((key) => [name, itemOf(key)])
    .filter(([, item]) => item));
  const quoted = (value) => (/[",\n]/.test(`${value}`) ? `"${`${value}`.replaceAll('"', '""')}"`
    : `${value ?? ""}`);
  const moments = rows.every(([, item]) => item.moment);
  const cells = moments
    ? rows.map(([name, { moment, words }]) => [dialogues[moment.number].id, moment.speaker,
      ((moment.frame + 0.5) / rate).toFixed(3), name, words])
    : rows.map(([name, item]) => [item.words, name, ...Object.values(item.labels)]);
  const header = moments ? ["dialogue", "speaker", "time_s", "cluster", "what"]
    : ["id", "cluster", ...Object.keys(rows[0]?.[1].labels ?? {})];
  return `${[header, ...cells].map((row) => row.map(quoted).join(",")).join("\n")}\n`;
}
