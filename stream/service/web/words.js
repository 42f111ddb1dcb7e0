// Everything the page says, in words for someone who has never heard of turn-taking. The terminal
// view says the same (terminal_words.py).

/** A sign for each event and the short word that stands beside it in the picture. */
export const MARKS = {
  start_of_turn: ["▸", "begins"],
  eager_end_of_turn: ["?", "done?"],
  turn_resumed: ["…", "resumes"],
  end_of_turn: ["■", "ends"],
  backchannel: ["○", "“mhm”"],
  interruption: ["!", "cuts in"],
};

/** Worth saying aloud to those who cannot see the picture. */
export const SPOKEN = new Set(["start_of_turn", "end_of_turn", "backchannel", "interruption"]);

export function percent(share) {
  return `${Math.round(100 * share)}\u00a0%`;
}

export function clock(seconds) {
  const tenths = Math.round(10 * seconds);
  const whole = Math.floor(tenths / 10);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}.${tenths % 10}`;
}

export function eventWords(event, names, endThreshold) {
  const [name, other] = [names[event.speaker], names[1 - event.speaker]];
  const their = name === "You" ? "your" : "their";
  const chance = percent(event.probability);
  switch (event.type) {
    case "start_of_turn": return `${name} started ${name === "You" ? "your" : "a"} turn.`;
    case "eager_end_of_turn": return `${name} paused, perhaps finished (${chance}).`;
    case "turn_resumed": return `${name} only paused, still ${their} turn.`;
    case "end_of_turn":
      return event.probability >= endThreshold
        ? `${name} finished ${their} turn (${chance}).`
        : `${name} fell silent, ${their} turn is over.`;
    case "backchannel": return `A short “mhm” from ${inSentence(name)}, not a turn.`;
    case "interruption": return `${name} interrupted ${inSentence(other)} (${chance}).`;
    default: return event.type;
  }
}

/** Who speaks now. `heard` tells which of the two is heard at all. */
export function activityWords(speaking, names, heard) {
  const talking = [0, 1].filter((speaker) => heard[speaker] && speaking[speaker]);
  if (talking.length === 2) return "Both are speaking.";
  const silent = heard[1] ? "" : " Only one channel is heard, so the other stays silent.";
  if (talking.length === 0) {
    return heard[1]
      ? "Nobody is speaking."
      : `${names[0]} ${verb(names[0], "are", "is")} silent.${silent}`;
  }
  const [speaker] = talking;
  const rest = heard[1]
    ? ` ${names[1 - speaker]} ${verb(names[1 - speaker], "are", "is")} silent.`
    : silent;
  return `${names[speaker]} ${verb(names[speaker], "are", "is")} speaking.${rest}`;
}

/**
 * Who has the floor, and what may happen to it. `speaking` and `inTurn` are of the holder: speaks
 * now, and the turn is not over yet.
 */
export function shiftWords(frame, names, preset, speaking, inTurn) {
  if (frame.holder === null) {
    return {
      floor: "Nobody has the floor yet.",
      chance: "It goes to whoever speaks first.",
      outlook: "",
    };
  }
  const [name, other] = [names[frame.holder], inSentence(names[1 - frame.holder])];
  const above = preset !== null && frame.p_shift >= preset.end_threshold;
  let outlook = "";
  if (!speaking && !inTurn) {
    outlook = "The turn is over; whoever speaks next begins one.";
  } else if (preset !== null) {
    if (above) {
      outlook = speaking
        ? `A pause of ${seconds(preset.end_silence_secs)} now would end the turn.`
        : "Above the line: this silence ends the turn.";
    } else {
      outlook = speaking
        ? "Below the line: a pause now would be waited out."
        : "Below the line: a pause, not yet an end.";
    }
  }
  return {
    floor: `${name} ${verb(name, "have", "has")} the floor.`,
    chance: `Chance that it passes to ${other}: ${percent(frame.p_shift)}.`,
    outlook,
  };
}

/**
 * While nothing is listened to: before the first sound, or when it is over and the pictures show
 * how it ended.
 */
export function restWords(over) {
  return over
    ? {
      activity: "Nothing is heard any more.",
      floor: "The conversation is over.",
      chance: "",
      plane: "Where each speaker was at the end.",
    }
    : {
      activity: "Nothing is heard yet.",
      floor: "Nobody has the floor yet.",
      chance: "It goes to whoever speaks first.",
      plane: planeWords([null, null], []),
    };
}

/**
 * Which landmark each dot is nearest to. `shown`: whether there are dots, if only in a plane
 * without landmarks.
 */
export function planeWords(nearest, names, shown = false) {
  const parts = nearest.flatMap((word, speaker) => {
    if (word === null) return [];
    const name = names[speaker];
    return [`${inSentence(name)} ${verb(name, "are", "is")} near “${word}”`];
  });
  if (parts.length === 0 && shown) return "What the model holds of each speaker moves the dots.";
  return parts.length
    ? `${capital(parts.join(", "))}.`
    : "A dot for each speaker appears as soon as there is sound.";
}

export function presetWords(preset) {
  const [silence, timeout] = [seconds(preset.end_silence_secs), seconds(preset.timeout_secs)];
  return `A pause of ${silence} ends the turn if the chance of a shift is `
    + `${percent(preset.end_threshold)} or more. A silence of ${timeout} always does.`;
}

/**
 * A warning of the server, with the speaker's name for the channel's number; null if it does not
 * concern the user. The sample rate is the browser's, which has resampled the sound: the user has
 * declared none.
 */
export function warningWords({ code, message }, names, isFile) {
  const [, channel = 0] = /channel (\d):/.exec(message) ?? [];
  const name = names[channel];
  switch (code) {
    case "narrow_band":
      return isFile
        ? null
        : `${name}: nothing above 4 kHz is heard, as on a telephone line or with some wireless `
          + "headsets.";
    case "silent":
      return isFile
        ? `${name}: complete silence for 5 s in this recording.`
        : `${name}: complete silence for 5 s; is the microphone muted?`;
    case "wrong_rate": {
      const cause = isFile ? "; perhaps the file declares a wrong sample rate" : "";
      return `${name}: speech sounds twice too fast${cause}.`;
    }
    default:
      return names.reduce(
        (text, speaker, number) => text.replaceAll(`channel ${number}:`, `${speaker}:`),
        message,
      );
  }
}

/** What went wrong, and what to do. */
export function problemWords(error, where) {
  const said = error.message;
  switch (error.code) {
    case "insecure": return [
      "This page works only over https, or when the server runs on this computer (127.0.0.1).",
      "Browsers allow live sound nowhere else. Start the server with --tls-cert and --tls-key, "
        + "and open this page with https.",
    ];
    case "denied": return [
      "The microphone was not allowed.",
      "Allow it by the sign beside the address, then press the button again. The example needs no "
        + "microphone.",
    ];
    case "tab_failed": return [
      "The network could not be loaded into this tab.",
      `${capital(said)}.`,
    ];
    case "tab_slow": return [
      "This device is too slow for the network in this tab.",
      "Let the network run on a server, or use another device.",
    ];
    case "missing": return [
      "No microphone was found.",
      "Plug one in and press the button again, or open a recording.",
    ];
    case "busy": return [
      "The microphone cannot be used.",
      "Perhaps another program holds it; close that and try again.",
    ];
    case "unplugged": return ["The microphone was unplugged.", "Plug it in and start again."];
    case "unsupported": return [
      "This browser is too old for live sound.",
      "Any current version of Chrome, Edge, Firefox or Safari works.",
    ];
    case "undecodable": return [
      "This file could not be read as sound.",
      "WAV, MP3, FLAC, Ogg and M4A usually work; what your browser can play can be opened.",
    ];
    case "bad_address": return [
      `“${said}” is no address of a server.`,
      "After ?server= comes one such as ws://127.0.0.1:8765.",
    ];
    case "forbidden_server": return [
      `This page may not send sound to ${said}.`,
      "Whoever runs the server of this page can allow it: "
        + `turnstream serve --page-server ${said}`,
    ];
    case "unreachable": return [
      `No server answers at ${where}.`,
      "Start it with “turnstream serve” and try again, or check the address.",
    ];
    case "unreachable_or_refused": return [
      `No server answers at ${where}, or it refuses.`,
      `Check that it runs and accepts pages from ${location.origin}. If it wants an access token, `
        + "open its own page: this page sends no token to another server.",
    ];
    case "http_401": return [
      "This server wants an access token.",
      "Enter it below; whoever runs the server can tell you.",
    ];
    case "wrong_token": return ["This token is not valid.", "Check it, and enter it again."];
    case "http_403": return [
      `This server does not accept pages from ${location.origin}.`,
      "Whoever runs it can allow this address.",
    ];
    case "http_503":
    case "at_capacity": return [
      "The server is full.",
      `It takes no more conversations just now; try again in a moment. (${said})`,
    ];
    case "idle": return [
      "The server ended the session, because no sound came for a while.",
      "Start again when you like.",
    ];
    case "slow_reader": return [
      "The server ended the session, because this device could not keep up.",
      "Close other pages and start again.",
    ];
    case "shutdown": return ["The server is being stopped.", "Try again once it runs."];
    case "gone": return [
      "The conversation broke off.",
      "The server was restarted or gave the session up. Start again.",
    ];
    case "lost": return [
      "The conversation broke off.",
      `${capital(said)}. Start again when the network is back.`,
    ];
    default: return ["The server ended the session.", `${capital(said)}.`];
  }
}

/** For a place where there is room for a word only. */
export function shortName(name) {
  return capital(name.replace(/^The /, ""));
}

export function inSentence(name) {
  return name === "You" ? "you" : name.replace(/^The /, "the ");
}

export function verb(name, ofYou, ofOthers) {
  return name === "You" ? ofYou : ofOthers;
}

function seconds(value) {
  return `${Number(value.toFixed(2))} s`;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/\.$/, "");
}
