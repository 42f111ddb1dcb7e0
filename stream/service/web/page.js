// The page: starts and stops a conversation, and hands what the server says to the pictures.

import { History, LevelMeter, Median } from "./history.js";
import { Lane } from "./lane.js";
import { Follower, Plane, PlaneChart } from "./plane.js";
import { ShiftChart } from "./shift.js";
import { openContext, openMicrophone, openRecording } from "./sources.js";
import { Surface, Theme } from "./surface.js";
import { TurnstreamClient, TurnstreamError } from "./turnstream.js";
import { activityWords, clock, eventWords, MARKS, percent, planeWords, presetWords, problemWords, restWords, shiftWords, shortName, SPOKEN, warningWords } from "./words.js";

const $ = (id) => document.getElementById(id);
const WORDS_MS = 200; // between two changes of the captions: slow enough to read
const STILL_MS = 500; // between two pictures for those who want less motion
const LAG_S = 0.04; // the picture follows so far behind the newest prediction, so that it slides evenly
const MAX_LINES = 200; // in the list of events
const STOP_PATIENCE_MS = 3000;

const lessMotion = matchMedia("(prefers-reduced-motion: reduce)");
const theme = new Theme();
const history = new History();
const lanes = [0, 1].map((speaker) => new Lane(new Surface($(`lane-${speaker}`)), speaker, history, theme));
const shiftChart = new ShiftChart(new Surface($("shift")), history, theme);
const planeChart = new PlaneChart(new Surface($("plane")), history, theme);

const page = {
  session: null, // {client, source, latency, since, followers, button}; null while nothing is heard
  names: ["You", "The other"],
  heard: [true, false],
  presets: null,
  plane: null,
  token: "",
  again: null, // starts what could not be started
  starts: 0, // so that a start overtaken by another gives up
  inTurn: [false, false], // as the events say
  now: 0, // seconds of sound at the right edge of the pictures
};

// ---- a conversation ----

const STARTS = {
  example: { names: ["The caller", "The agent"], open: async (context) => openRecording(context, await fetched("sample.flac"), "the example, a call to a bank") },
  microphone: { names: ["You", "The other"], open: openMicrophone },
};

function start(button, { names, open }) {
  page.again = () => start(button, { names, open });
  return begin(button, names, open);
}

async function begin(button, names, open) {
  const number = ++page.starts;
  let [context, source, client] = [null, null, null];
  try {
    const url = serverUrl();
    context = openContext();
    await stop();
    hideProblem();
    clearPictures(names);
    button.setAttribute("aria-pressed", "true");
    say("Starting …");
    source = await open(context);
    if (number !== page.starts) throw new Overtaken();
    client = new TurnstreamClient(url, { sampleRate: source.sampleRate, channels: source.channels, policy: preset(), token: page.token });
    const session = { client, source, latency: new Median(), since: 0, followers: [new Follower(), new Follower()], button };
    listen(session);
    const told = await client.connect();
    if (number !== page.starts) throw new Overtaken();
    page.session = session;
    showConnection(told, source);
    await source.start();
    $("stop").hidden = false;
    say(`Listening to ${source.title}.`);
  } catch (error) {
    if (source !== null) source.close();
    else context?.close();
    client?.abort();
    if (error instanceof Overtaken) return;
    release(button);
    page.session = null;
    showProblem(error);
  }
}

/** Thrown in a start when another one came after it. */
class Overtaken extends Error {}

function listen(session) {
  const { client, source, followers } = session;
  let meter = null;
  client.on("begin", (message) => {
    history.frameRate = message.frame_rate_hz;
    meter = new LevelMeter(history, source.sampleRate, source.channels);
    page.heard = [true, source.channels === 2];
    showPlane(message);
    if (planeChart.plane !== null) client.configure({ latents: planeChart.plane.layer === "latent" ? "final" : "all" });
  });
  client.on("frame", (frame) => {
    history.addFrame(frame);
    const late = frame.latency_ms > performance.now() - session.since; // pushed before the connection came back: how long that took
    if (frame.latency_ms !== null && !late) session.latency.add(frame.latency_ms);
  });
  client.on("latent", ({ frame, kind, values }) => {
    if (kind !== planeChart.plane?.layer) return;
    followers.forEach((follower, speaker) => history.addPlace(frame, speaker, ...follower.step(planeChart.plane.project(values, speaker))));
  });
  client.on("event", (event) => {
    history.addEvent(event);
    if (event.type === "start_of_turn") page.inTurn[event.speaker] = true;
    if (event.type === "end_of_turn") page.inTurn[event.speaker] = false;
    showEvent(event);
  });
  client.on("warning", ({ code, message }) => {
    if (code === "narrow_band" && source.duration_s !== null) return; // the browser brought a telephone recording to its own rate, and the user declared none
    addLine({ text: warningWords(message, page.names), sign: "*", kind: "note", time_s: history.latest?.time_s ?? 0 });
  });
  client.on("lost", ({ resume_s }) => say(`The connection was lost. Trying for ${resume_s} s to take it up again.`));
  client.on("resumed", () => {
    Object.assign(session, { latency: new Median(), since: performance.now() });
    say(`Connected again. Listening to ${source.title}.`);
  });
  client.on("end", (error) => { if (error !== null) ended(session, error); });
  source.onblock = (block) => {
    meter.add(block);
    client.pushAudio(block);
  };
  source.onremark = (remark) => say(remark === "muted" ? "The microphone is muted: the browser or the system gives silence." : `Listening to ${source.title}.`);
  source.onend = async (reason) => {
    if (page.session !== session) return;
    await stop();
    if (reason === "unplugged") showProblem({ code: "unplugged", message: "" });
    else say("The recording has ended.");
  };
}

/** The server or the network ended it. */
function ended(session, error) {
  session.source.close();
  if (page.session !== session) return;
  page.session = null;
  release(session.button);
  showProblem(error);
}

/** End the conversation, let what is still due come, and let go of the device. */
async function stop() {
  const { session } = page;
  if (session === null) return;
  page.session = null;
  session.source.close();
  release(session.button);
  say("Stopped.");
  const patience = setTimeout(() => session.client.abort(), STOP_PATIENCE_MS);
  try {
    await session.client.close();
  } catch {
    say("Stopped; the connection was already gone.");
  } finally {
    clearTimeout(patience);
  }
}

function release(button) {
  button.setAttribute("aria-pressed", "false");
  if (document.activeElement === $("stop")) button.focus();
  $("stop").hidden = true;
}

async function fetched(path) {
  const response = await fetch(path).catch(() => null);
  if (!response?.ok) throw new TurnstreamError("unreachable", `no server gives ${path}`);
  return response.arrayBuffer();
}

function serverUrl() {
  const asked = new URLSearchParams(location.search).get("server");
  const address = asked ?? `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;
  if (!URL.canParse(address) || !/^wss?:\/\/./.test(address)) throw new TurnstreamError("bad_address", address);
  return address;
}

function serverHost() {
  return new URL(serverUrl()).host;
}

function preset() {
  return document.querySelector("input[name=preset]:checked").value;
}

function thresholds() {
  return page.presets?.[preset()] ?? null;
}

// ---- words ----

function say(text) {
  $("status").textContent = text;
}

function showProblem(error) {
  const refused = error.code === "http_401";
  const told = refused && page.token !== "" ? { code: "wrong_token", message: error.message } : error;
  const [title, todo] = problemWords(told, ["bad_address", "insecure"].includes(error.code) ? "" : serverHost());
  $("problem-title").textContent = title;
  $("problem-todo").textContent = todo;
  $("token-form").hidden = !refused && error.code !== "unreachable_or_refused";
  $("problem").hidden = false;
  say("Not listening.");
  if (refused) {
    $("token").focus();
    $("token").select();
  }
}

function hideProblem() {
  $("problem").hidden = true;
}

function showPreset() {
  const settings = thresholds();
  shiftChart.threshold = settings?.end_threshold ?? null;
  $("preset-words").textContent = settings === null ? "" : presetWords(settings);
}

function showConnection({ session, model, settings }, source) {
  const channels = settings.channels === 1 ? "1 channel" : "2 channels";
  const rate = settings.sample_rate.toLocaleString("en");
  $("connection").textContent = `${serverHost()}, session ${session}, model ${model.name} ${model.version}; ${channels} at ${rate} Hz from ${source.title}.`;
}

function showPlane({ model, latent_sizes }) {
  const fits = page.plane !== null && page.plane.modelSha256 === model.sha256 && page.plane.size === latent_sizes[page.plane.layer];
  planeChart.plane = fits ? page.plane : null;
  planeChart.heard = page.heard;
  planeChart.names = page.names.map(shortName);
  $("plane").hidden = $("plane-caption").hidden = !fits;
  $("plane-missing").hidden = fits;
  $("plane-missing").textContent = `The plane that this picture needs is not known for the model of this server (${model.name} ${model.version}).`;
  $("latent-size").textContent = latent_sizes[fits ? page.plane.layer : "latent"];
  $("plane-dots").hidden = !fits || page.plane.places.length === 0;
}

function clearPictures(names) {
  page.names = names;
  page.now = 0;
  page.inTurn = [false, false];
  history.clear();
  names.forEach((name, speaker) => { $(`name-${speaker}`).textContent = shortName(name); });
  $("events").replaceChildren();
  $("latency").textContent = "";
  $("spoken").textContent = "";
}

function showEvent(event) {
  const text = eventWords(event, page.names, thresholds()?.end_threshold ?? 0);
  const kind = `${event.speaker === 0 ? "user" : "other"}${SPOKEN.has(event.type) ? "" : " passing"}`;
  addLine({ text, sign: MARKS[event.type][0], kind, time_s: event.time_s, type: event.type, speaker: event.speaker });
  if (SPOKEN.has(event.type)) $("spoken").textContent = text;
}

/** The newest on top, so that what has just happened is always in the same place. */
function addLine({ text, sign, kind, time_s, type, speaker }) {
  const line = document.createElement("li");
  line.className = kind;
  if (type !== undefined) Object.assign(line.dataset, { type, speaker, time: time_s });
  const [time, mark, words] = [document.createElement("time"), document.createElement("span"), document.createElement("span")];
  time.textContent = clock(time_s);
  mark.className = "sign";
  mark.ariaHidden = "true";
  mark.textContent = sign;
  words.textContent = text;
  line.append(time, mark, words);
  const list = $("events");
  list.prepend(line);
  while (list.childElementCount > MAX_LINES) list.lastElementChild.remove();
}

/** What the pictures show right now, or that nothing is listened to. */
function showCaptions() {
  const { session } = page;
  const frame = session === null ? null : history.latest;
  const speaking = frame === null ? [false, false] : frame.vad.map((share) => share >= 0.5);
  for (const speaker of [0, 1]) {
    const heard = page.heard[speaker];
    $(`state-${speaker}`).textContent = history.latest !== null && !heard ? "not heard" : frame === null ? "" : speaking[speaker] ? `speaking, ${percent(frame.vad[speaker])}` : "silent";
    $(`floor-${speaker}`).hidden = frame?.holder !== speaker;
  }
  if (frame === null) {
    const { activity, floor, chance, plane } = restWords(history.latest !== null);
    const captions = { "activity-caption": activity, "shift-floor": floor, "shift-chance": chance, "shift-outlook": "", "plane-caption": plane };
    for (const [id, words] of Object.entries(captions)) $(id).textContent = words;
    return;
  }
  $("activity-caption").textContent = activityWords(speaking, page.names, page.heard);
  const { floor, chance, outlook } = shiftWords(frame, page.names, thresholds(), speaking[frame.holder] ?? false, page.inTurn[frame.holder] ?? false);
  $("shift-floor").textContent = floor;
  $("shift-chance").textContent = chance;
  $("shift-outlook").textContent = outlook;
  const { followers, latency } = session;
  const nearest = followers.map(({ place }, speaker) => (page.heard[speaker] && place !== null && planeChart.plane !== null ? planeChart.plane.nearest(place) : null));
  $("plane-caption").textContent = planeWords(nearest, page.names, followers.some(({ place }) => place !== null));
  const median = latency.value;
  if (median !== null) $("latency").textContent = `Each answer comes ${median < 10 ? median.toFixed(1) : Math.round(median)} ms after its sound was sent (median).`;
}

// ---- pictures ----

let drawnAt = 0;
let saidAt = 0;

function draw(at) {
  requestAnimationFrame(draw);
  if (at - saidAt >= WORDS_MS) {
    saidAt = at;
    showCaptions();
  }
  planeChart.still = lessMotion.matches;
  if (lessMotion.matches && at - drawnAt < STILL_MS) return;
  const newest = (history.newest + 1) / history.frameRate;
  page.now = slide(page.now, newest, (at - drawnAt) / 1000);
  drawnAt = at;
  for (const lane of lanes) lane.draw(page.now);
  shiftChart.draw(page.now);
  planeChart.draw(page.now);
}

/** Time goes evenly, though predictions come in small heaps; what is far off is caught up with at once. */
function slide(now, newest, elapsed) {
  if (lessMotion.matches || Math.abs(newest - now) > 0.5) return newest;
  if (page.session === null) return Math.min(newest, now + elapsed);
  return Math.min(newest, now + elapsed * Math.max(0, 1 + 4 * (newest - LAG_S - now)));
}

// ---- controls ----

$("example").onclick = () => start($("example"), STARTS.example);
$("microphone").onclick = () => start($("microphone"), STARTS.microphone);
$("choose").onclick = () => $("file").click();
$("file").onchange = () => {
  const [file] = $("file").files;
  if (file) play(file);
  $("file").value = "";
};
$("stop").onclick = () => {
  page.starts += 1;
  stop();
};
$("token-form").onsubmit = (event) => {
  event.preventDefault();
  page.token = $("token").value.trim();
  page.again?.();
};
for (const radio of document.querySelectorAll("input[name=preset]")) {
  radio.onchange = () => {
    showPreset();
    page.session?.client.configure({ policy: preset() });
  };
}

function play(file) {
  return start($("choose"), { names: ["Speaker 1", "Speaker 2"], open: async (context) => openRecording(context, await file.arrayBuffer(), file.name) });
}

let dragged = 0; // entered and not left
const holdsFile = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragenter", (event) => {
  if (!holdsFile(event)) return;
  dragged += 1;
  $("drop").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!holdsFile(event)) return;
  dragged -= 1;
  $("drop").hidden = dragged > 0;
});
addEventListener("dragover", (event) => { if (holdsFile(event)) event.preventDefault(); });
addEventListener("drop", (event) => {
  if (!holdsFile(event)) return;
  event.preventDefault();
  dragged = 0;
  $("drop").hidden = true;
  const [file] = event.dataTransfer.files;
  if (file) play(file);
});

async function known(path, read) {
  try {
    const response = await fetch(path);
    return response.ok ? read(await response.json()) : null;
  } catch {
    return null;
  }
}

[page.presets, page.plane] = await Promise.all([known("v1/presets", (presets) => presets), known("plane.json", (words) => new Plane(words))]);
showPreset();
planeChart.plane = page.plane;
if (!isSecureContext) showProblem({ code: "insecure", message: "" });
requestAnimationFrame(draw);
