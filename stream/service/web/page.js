// The page: starts and stops a conversation, and hands what the network says to the pictures. One
// file in spite of its length, because all of it works on `page` and the same pictures.

import { showCaptions, showVerdict } from "./captions.js";
import { acceptDrops } from "./drop.js";
import { addLine } from "./event_list.js";
import { readFacts } from "./facts.js";
import { History, LevelMeter, Median } from "./history.js";
import { Judge } from "./judge.js";
import { Lane } from "./lane.js";
import { Follower, PlaneChart } from "./plane.js";
import { Place } from "./place.js";
import { Recording } from "./recording.js";
import { chooseServer } from "./server_choice.js";
import { ShiftChart } from "./shift.js";
import { openContext, openMicrophone, openRecording } from "./sources.js";
import { Surface, Theme } from "./surface.js";
import { TabClient } from "./tab_client.js";
import { dragInTime, Timeline } from "./timeline.js";
import { TurnstreamClient, TurnstreamError } from "./turnstream.js";
import {
  eventWords, MARKS, presetWords, problemWords, shortName, SPOKEN, warningWords,
} from "./words.js";

const $ = (id) => document.getElementById(id);
const WORDS_MS = 200; // between two changes of the captions: slow enough to read
const STILL_MS = 500; // between two pictures for those who want less motion
// The picture follows so far behind the newest prediction, so that it slides evenly.
const LAG_S = 0.04;
const STOP_PATIENCE_MS = 3000;
// While a recording waits; the server ends a session that says nothing for 60 s.
const KEEP_ALIVE_MS = 20_000;

const lessMotion = matchMedia("(prefers-reduced-motion: reduce)");
const theme = new Theme();
const history = new History();
const lanes = [0, 1].map((speaker) => (
  new Lane(new Surface($(`lane-${speaker}`)), speaker, history, theme)
));
const shiftChart = new ShiftChart(new Surface($("shift")), history, theme);
const planeChart = new PlaneChart(new Surface($("plane")), history, theme);
const judge = new Judge();
const place = new Place($("place"), placeChanged);
const timeline = new Timeline($, () => { if (!$("stop").hidden) $("stop").click(); });

const page = {
  session: null, // {client, source, latency, since, followers, button}; null while nothing is heard
  names: ["You", "The other"],
  heard: [true, false],
  presets: null,
  plane: null,
  servers: null, // others that sound may go to
  token: "",
  again: null, // starts what could not be started
  starts: 0, // so that a start overtaken by another gives up
  now: 0, // seconds of sound at the right edge of the pictures
};

// ---- a conversation ----

const STARTS = {
  example: { names: ["The caller", "The agent"], open: openExample },
  microphone: { names: ["You", "The other"], open: openMicrophone },
  talk: { names: ["You", "The page"], open: openMicrophone, talks: true },
};

async function openExample(context) {
  const title = "the example, a call to a bank (HarperValleyBank, CC BY 4.0)";
  return openRecording(context, await fetched("sample.flac"), title);
}

function start(button, { names, open, talks = false }) {
  page.again = () => start(button, { names, open, talks });
  return begin(button, names, open, talks);
}

async function begin(button, names, open, talks) {
  const number = ++page.starts;
  let [context, source, client] = [null, null, null];
  try {
    context = openContext(); // in the click, before anything is waited for
    await learned;
    if (number !== page.starts) throw new Overtaken();
    const server = place.isTab ? null : chosen();
    await stop();
    hideProblem();
    clearPictures(names, talks);
    button.setAttribute("aria-pressed", "true");
    say("Starting …");
    source = await open(context);
    if (number !== page.starts) throw new Overtaken();
    const { sampleRate, channels } = source;
    client = newClient(server, { sampleRate, channels, policy: preset() });
    if (place.isTab) say("Loading the network into this tab …");
    const followers = [new Follower(), new Follower()];
    const latency = new Median();
    const session = { client, source, latency, since: 0, followers, button, recording: null };
    listen(session);
    const told = await client.connect();
    if (number !== page.starts) throw new Overtaken();
    page.session = session;
    showConnection(told, source);
    session.recording = new Recording(source.sampleRate, source.channels, source.title);
    timeline.begin(session.recording, source);
    await source.start();
    $("stop").hidden = false;
    const hint = talks ? " Speak, and the page answers when you are done." : "";
    say(`Listening to ${source.title}.${hint}`);
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

/** @param {object | null} server from chooseServer; null: in this tab */
function newClient(server, settings) {
  if (server === null) return new TabClient(place.files, { ...settings, presets: page.presets });
  return new TurnstreamClient(server.url, { ...settings, token: server.isOwn ? page.token : "" });
}

/** Thrown in a start when another one came after it. */
class Overtaken extends Error {}

/**
 * Whether the pictures have been cleared for another session; the last messages of this one may
 * still come.
 */
function isOver(session) {
  return session.recording !== timeline.recording;
}

function listen(session) {
  const { client, source, followers } = session;
  let meter = null;
  client.on("begin", (message) => {
    history.frameRate = message.frame_rate_hz;
    meter = new LevelMeter(history, source.sampleRate, source.channels);
    page.heard = [true, source.channels === 2 || judge.talks];
    showPlane(message);
    if (planeChart.plane !== null) {
      client.configure({ latents: planeChart.plane.layer === "latent" ? "final" : "all" });
    }
  });
  client.on("frame", (frame) => {
    if (isOver(session)) return;
    session.recording.addMessage(frame);
    const levels = history.levelsAt(frame.frame);
    history.addFrame(judge.onFrame(frame, levels, thresholds(), timerDecides(), source.context));
    // Pushed before the connection came back: how long that took.
    const late = frame.latency_ms > performance.now() - session.since;
    if (frame.latency_ms !== null && !late) session.latency.add(frame.latency_ms);
  });
  client.on("latent", ({ frame, kind, values }) => {
    if (kind !== planeChart.plane?.layer || isOver(session)) return;
    followers.forEach((follower, speaker) => {
      const [x, y] = follower.step(planeChart.plane.project(values, speaker));
      history.addPlace(frame, speaker, x, y);
    });
  });
  client.on("event", (event) => {
    if (isOver(session)) return;
    history.addEvent(event);
    session.recording.addMessage(event);
    judge.onEvent(event, thresholds(), timerDecides(), source.context);
    showEvent(event);
  });
  client.on("warning", (warning) => {
    const text = warningWords(warning, page.names, source.duration_s !== null);
    if (text !== null) addNote(text);
  });
  client.on("lost", ({ resume_s }) => {
    say(`The connection was lost. Trying for ${resume_s} s to take it up again.`);
  });
  client.on("resumed", () => {
    Object.assign(session, { latency: new Median(), since: performance.now() });
    say(`Connected again. Listening to ${source.title}.`);
  });
  client.on("end", (error) => { if (error !== null) ended(session, error); });
  source.onblock = (block) => {
    meter.add(block);
    session.recording.addSound(block);
    client.pushAudio(block);
  };
  source.onremark = (remark) => say(
    remark === "muted"
      ? "The microphone is muted: the browser or the system gives silence."
      : `Listening to ${source.title}.`,
  );
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
  judge.end();
  timeline.end();
  button.setAttribute("aria-pressed", "false");
  if (document.activeElement === $("stop")) button.focus();
  $("stop").hidden = true;
}

async function fetched(path) {
  const response = await fetch(path).catch(() => null);
  if (!response?.ok) throw new TurnstreamError("unreachable", `no server gives ${path}`);
  return response.arrayBuffer();
}

const chosen = () => chooseServer(location, page.servers);

function preset() {
  return document.querySelector("input[name=preset]:checked").value;
}

function timer() {
  return Number(document.querySelector("input[name=timer]:checked").value);
}

function timerDecides() {
  return document.querySelector("input[name=decider]:checked").value === "timer";
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
  const wrong = refused && page.token !== "";
  const told = wrong ? { code: "wrong_token", message: error.message } : error;
  const ownCodes = ["bad_address", "forbidden_server", "insecure"];
  const isHere = place.isTab || ownCodes.includes(error.code);
  const [title, todo] = problemWords(told, isHere ? location.host : chosen().host);
  $("problem-title").textContent = title;
  $("problem-todo").textContent = todo;
  $("token-form").hidden = !refused;
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
  const where = place.isTab ? "In this tab" : `${chosen().host}, session ${session}`;
  const sound = `${channels} at ${rate} Hz from ${source.title}`;
  $("connection").textContent = `${where}, model ${model.name} ${model.version}; ${sound}.`;
}

function showPlane({ model, latent_sizes }) {
  const { plane } = page;
  const fits = plane !== null
    && plane.modelSha256 === model.sha256
    && plane.size === latent_sizes[plane.layer];
  planeChart.plane = fits ? plane : null;
  planeChart.heard = page.heard;
  planeChart.names = page.names.map(shortName);
  $("plane").hidden = $("plane-caption").hidden = !fits;
  $("plane-missing").hidden = fits;
  const version = `${model.name} ${model.version}`;
  $("plane-missing").textContent =
    `The plane that this picture needs is not known for this model (${version}).`;
  $("latent-size").textContent = latent_sizes[fits ? plane.layer : "latent"];
  $("plane-dots").hidden = !fits || plane.places.length === 0;
}

function clearPictures(names, talks) {
  page.names = names;
  page.now = 0;
  history.clear();
  timeline.begin(null, null);
  judge.begin(names, timer(), talks);
  $("decider").hidden = !talks;
  names.forEach((name, speaker) => { $(`name-${speaker}`).textContent = shortName(name); });
  $("events").replaceChildren();
  $("latency").textContent = "";
  $("spoken").textContent = "";
}

function addNote(text) {
  const time_s = history.latest?.time_s ?? 0;
  addLine($("events"), { text, sign: "*", kind: "note", time_s });
}

function showEvent(event) {
  const text = eventWords(event, page.names, thresholds()?.end_threshold ?? 0);
  const { type, speaker, time_s } = event;
  const kind = `${speaker === 0 ? "user" : "other"}${SPOKEN.has(type) ? "" : " passing"}`;
  addLine($("events"), { text, sign: MARKS[type][0], kind, time_s, type, speaker });
  if (SPOKEN.has(type)) $("spoken").textContent = text;
}

// ---- pictures ----

let drawnAt = 0;
let saidAt = 0;

function draw(at) {
  requestAnimationFrame(draw);
  const past_s = timeline.at_s;
  showVerdict(judge.at(past_s));
  timeline.show();
  if (at - saidAt >= WORDS_MS) {
    saidAt = at;
    const { inTurn } = judge;
    const { plane } = planeChart;
    showCaptions({ page, history, past_s, thresholds: thresholds(), inTurn, plane });
  }
  planeChart.still = lessMotion.matches;
  if (lessMotion.matches && at - drawnAt < STILL_MS) return;
  const newest = (history.newest + 1) / history.frameRate;
  page.now = past_s ?? slide(page.now, newest, (at - drawnAt) / 1000);
  drawnAt = at;
  for (const lane of lanes) lane.draw(page.now);
  shiftChart.draw(page.now);
  planeChart.draw(page.now);
}

/**
 * Time goes evenly, though predictions come in small heaps; what is far off is caught up with at
 * once.
 */
function slide(now, newest, elapsed) {
  if (lessMotion.matches || Math.abs(newest - now) > 0.5) return newest;
  if (page.session === null) return Math.min(newest, now + elapsed);
  return Math.min(newest, now + elapsed * Math.max(0, 1 + 4 * (newest - LAG_S - now)));
}

// ---- controls ----

$("example").onclick = () => start($("example"), STARTS.example);
$("microphone").onclick = () => start($("microphone"), STARTS.microphone);
$("talk").onclick = () => start($("talk"), STARTS.talk);
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
    judge.countAnew(timer());
    page.session?.client.configure({ policy: preset() });
  };
}
for (const radio of document.querySelectorAll("input[name=timer]")) {
  radio.onchange = () => judge.countAnew(timer());
}
for (const id of ["lane-0", "lane-1", "shift"]) {
  dragInTime($(id), timeline, () => lanes[0].perSecond);
}

/** The other place holds from the next start on. */
async function placeChanged() {
  hideProblem();
  showDestination();
  if (page.session === null) return;
  await stop();
  const where = place.isTab ? "in this tab" : "on the server";
  say(`Stopped. Start again: the network now runs ${where}.`);
}

function showDestination() {
  try { // before anything is heard
    const there = place.isTab
      ? "stays in this tab, where the network runs"
      : `goes to ${chosen().host}`;
    $("destination").textContent = `Your sound ${there}.`;
  } catch (error) {
    showProblem(error);
  }
}

function play(file) {
  const open = async (context) => openRecording(context, await file.arrayBuffer(), file.name);
  return start($("choose"), { names: ["Speaker 1", "Speaker 2"], open });
}

acceptDrops($("drop"), play);
judge.onnote = addNote;
setInterval(() => {
  if (page.session?.source.isPaused) page.session.client.keepAlive();
}, KEEP_ALIVE_MS);

/** Before this is done, no sound goes anywhere. */
async function learn() {
  const { place: offered, ...facts } = await readFacts();
  Object.assign(page, facts);
  place.offer(offered, new URLSearchParams(location.search).has("server"));
  showDestination();
  showPreset();
  planeChart.plane = page.plane;
}

const learned = learn();
await learned;
if (!isSecureContext) showProblem({ code: "insecure", message: "" });
requestAnimationFrame(draw);
