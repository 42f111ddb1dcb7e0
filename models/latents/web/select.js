// Select: chosen points as a list to hear, with their labels, their neighbours in the state space,
// and named clusters. A point has a key that all views share: f{dialogue}:{frame}:{speaker},
// e{event}:{role}, or id:{id} of a file's.

const MOST_LISTED = 200;
const MOST_NEAR = 30;
const MOST_ASKED = 500; // selected points whose neighbours are looked for
const selection = { keys: new Set(), clusters: [], names: new Map() };
const selecting = element(right, "section", { id: "selection" });
const itemOf = (key) => [page.view, ...page.views].map((view) => view.item(key)).find(Boolean);

/** What is known of a point, as lines. */
const labelsOf = ({ labels }) => Object.entries(labels).filter(([, value]) => known(value))
  .map(([name, value]) => `${name} ${typeof value === "number" ? Number(value.toPrecision(4))
    : value}`);
const textOf = (key) => [itemOf(key).words, ...labelsOf(itemOf(key))].join("\n");

function select(keys, add = false) {
  const remove = add && keys.length === 1 && selection.keys.has(keys[0]);
  if (!add) selection.keys.clear();
  for (const key of keys) remove ? selection.keys.delete(key) : selection.keys.add(key);
  saySelection();
  page.draw();
}

/** How often the chosen points, beside all of the view, have each value of each label. */
function shares(items, all) {
  const percent = (n, total) => `${Math.round((100 * n) / total)} %`;
  return Object.keys(items[0]?.labels ?? {}).flatMap((name) => {
    const [here, everywhere] = [items, all].map((list) => list.map(({ labels }) => labels[name])
      .filter(known));
    if (!here.length) return [];
    if (typeof here[0] === "number"
      && (new Set(everywhere).size > 12 || !everywhere.every(Number.isInteger))) {
      const [mean, meanOfAll] = [here, everywhere]
        .map((values) => (sumOf(values) / values.length).toPrecision(3));
      return [`${name}: mean ${mean} (all: ${meanOfAll})`];
    }
    const counts = [...Map.groupBy(here, (value) => value)]
      .map(([value, { length }]) => [value, length]).sort((a, b) => b[1] - a[1]);
    const told = counts.slice(0, 4).map(([value, count]) => {
      const ofAll = everywhere.filter((other) => other === value).length;
      return `${value} ${percent(count, here.length)} (all: ${percent(ofAll, everywhere.length)})`;
    });
    return [`${name}: ${told.join(", ")}`];
  });
}

/** Points that lie near the chosen ones among the full states: [key, of how many], and which share
 *  of all neighbours is chosen itself. */
function neighboursOf(keys) {
  const near = keys.flatMap((key) => page.view.near(key));
  const others = Map.groupBy(near.filter((key) => !selection.keys.has(key)), (key) => key);
  return { near: [...others].map(([key, { length }]) => [key, length]).sort((a, b) => b[1] - a[1]),
    share: 1 - sumOf([...others.values()].map(({ length }) => length)) / near.length };
}

function listPoints(id, keys, last) {
  const holder = element(selecting, "div", { id, className: "scroll" });
  const rows = keys.map((key, place) => {
    const item = itemOf(key);
    const words = item.moment && soundOf(item.moment) ? "hear" : "go there";
    const act = item.moment ? new kit.Controls(null).button("", words,
      () => go(item.moment, true), { title: `${words} ${item.words}` }) : "";
    return [act, item.words, last(item, place)];
  });
  kit.table(holder, [], rows);
}

function saySelection() {
  selecting.replaceChildren();
  const keys = [...selection.keys].filter(itemOf);
  const note = (words, id = "") => element(selecting, "p", { id, className: "note" }, words);
  element(selecting, "h2", {}, `Selected: ${counted(keys.length, "point")}`);
  const bar = new kit.Controls(selecting);
  const next = `cluster ${selection.clusters.length + 1}`;
  const name = element(null, "input", { id: "cluster-name", size: 12, value: next });
  element(bar.bar, "label", {}, "name", name);
  bar.button("keep", "keep as a cluster", () => keep(name.value.trim() || next, keys),
    { disabled: !keys.length });
  bar.button("clear", "select none", () => select([]), { disabled: !keys.length });
  bar.button("export", "save as CSV", saveClusters,
    { disabled: !keys.length && !selection.clusters.length });
  for (const [index, cluster] of selection.clusters.entries()) {
    const line = new kit.Controls(selecting);
    element(line.bar, "span", { style: `color: ${palette[index % palette.length]}` },
      `● ${cluster.name} (${cluster.keys.length})`);
    line.button("", "select", () => select(cluster.keys), { title: `select ${cluster.name}` });
    line.button("", "remove", () => setClusters(selection.clusters.toSpliced(index, 1)),
      { title: `remove ${cluster.name}` });
  }
  if (!keys.length) return note("Drag with “select (lasso)” around points, or click them with "
    + "Shift. What is selected stays so in every view of this page.");
  const told = shares(keys.map(itemOf), page.keys().map((key) => page.view.item(key)));
  if (told.length) element(selecting, "p", { id: "shares" }, `${told.join("; ")}.`);
  const here = keys.filter((key) => page.view.item(key));
  const { near, share } = neighboursOf(here.slice(0, MOST_ASKED));
  if (known(share)) {
    element(selecting, "p", { id: "near-words" },
      `In the full states, ${Math.round(100 * share)} % of the nearest neighbours of the `
      + `selected points (of ${MOST_ASKED} at most) are selected, too (by chance `
      + `${Math.round((100 * here.length) / page.keys().length)} %). `
      + `${counted(near.length, "other point")} lie near them:`);
    new kit.Controls(selecting).button("add-near", "select these, too",
      () => select([...keys, ...near.map(([key]) => key)]), { disabled: !near.length });
    listPoints("near", near.slice(0, MOST_NEAR).map(([key]) => key),
      (_, place) => `near ${near[place][1]} of them`);
  }
  note(`All of them, or the first ${MOST_LISTED}:`);
  return listPoints("chosen", keys.slice(0, MOST_LISTED), (item) => labelsOf(item).join(", "));
}

function setClusters(clusters) {
  selection.clusters = clusters;
  selection.names = new Map(clusters.flatMap(({ name, keys }) => keys.map((key) => [key, name])));
  saySelection();
  page.draw();
}

/** Name points; the same name again replaces those that had it. */
function keep(name, keys) {
  setClusters([...selection.clusters.filter((other) => other.name !== name), { name, keys }]);
}

const clusterOf = (key) => selection.names.get(key) ?? "in no cluster";

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

function saveClusters() {
  const href = URL.createObjectURL(new Blob([clustersAsCsv()], { type: "text/csv" }));
  element(null, "a", { href, download: "clusters.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10000);
}
