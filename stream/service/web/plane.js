// The path of both speakers' latent states in a plane that belongs to the model: a saved projection
// (stream/saved_embedding.py).

const TRAIL_S = 2.5;
const DOT = 1.5; // pixels
// Of the way to the newest state per frame, so that the path can be followed by eye.
const EASE = 0.3;

const ACTIVATIONS = { linear: (x) => x, relu: (x) => Math.max(x, 0), tanh: Math.tanh };

/**
 * What /plane.json holds, ready to project with: dense layers from a speaker's state to a place.
 */
export class Plane {
  constructor(words) {
    this.modelSha256 = words.weights_sha256;
    this.layer = words.layer; // whose states: "latent" or "latent_speaker"
    this.size = words.layers[0].weight.shape[1]; // of one speaker's state
    this.low = words.low;
    this.high = words.high;
    this.landmarks = Object.entries(words.landmarks);
    this.places = unpacked(words.places); // of states that it was fitted on: x, y, x, y, ...
    this._layers = words.layers.map(({ weight, bias, activation }) => ({
      weight: unpacked(weight),
      bias: unpacked(bias),
      activation: ACTIVATIONS[activation],
    }));
  }

  /** Place of one row of latents. */
  project(values, row) {
    const state = values.subarray(row * this.size, (row + 1) * this.size);
    return Array.from(this._layers.reduce(dense, state));
  }

  /** The word of the landmark that is nearest, in the measure of the picture. */
  nearest([x, y]) {
    const [wide, high] = [this.high[0] - this.low[0], this.high[1] - this.low[1]];
    let [best, least] = [null, Infinity];
    for (const [word, place] of this.landmarks) {
      const distance = Math.hypot((place[0] - x) / wide, (place[1] - y) / high);
      if (distance < least) [best, least] = [word, distance];
    }
    return best;
  }
}

function dense(state, { weight, bias, activation }) {
  return bias.map((sum, output) => {
    const row = output * state.length;
    for (let input = 0; input < state.length; input++) sum += weight[row + input] * state[input];
    return activation(sum);
  });
}

/** An array of the file, flat; little-endian, as every machine with a browser is. */
function unpacked({ float32 }) {
  return new Float32Array(Uint8Array.from(atob(float32), (letter) => letter.charCodeAt(0)).buffer);
}

/** Follows the newest states smoothly: one for each speaker. */
export class Follower {
  constructor() {
    this.place = null;
  }

  step([x, y]) {
    const [fromX, fromY] = this.place ?? [x, y];
    this.place = [fromX + EASE * (x - fromX), fromY + EASE * (y - fromY)];
    return this.place;
  }
}

export class PlaneChart {
  constructor(surface, history, theme) {
    this._surface = surface;
    this._history = history;
    this._theme = theme;
    this.plane = null;
    this.heard = [true, true];
    this.names = ["You", "Other"];
    this.still = false; // without a trail, for those who want less motion
  }

  /** @param {number} now seconds of sound */
  draw(now) {
    if (this.plane === null) return;
    const context = this._surface.begin();
    if (context === null) return;
    const margin = 26;
    const { low, high } = this.plane;
    const { width, height } = this._surface;
    const share = (value, axis) => (value - low[axis]) / (high[axis] - low[axis]);
    // What lies farther out is drawn at the edge.
    const within = (value, end) => Math.max(9, Math.min(end - 9, value));
    const x = (value) => within(margin + share(value, 0) * (width - 2 * margin), width);
    const y = (value) => (
      within(height - margin - share(value, 1) * (height - 2 * margin), height)
    );
    this._places(context, share, margin);
    this._landmarks(context, x, y);
    for (const speaker of [1, 0]) if (this.heard[speaker]) this._path(context, now, speaker, x, y);
    this._words(context);
  }

  /** Where the states lie that it was fitted on, faintly. */
  _places(context, share, margin) {
    const { places } = this.plane;
    const [wide, high] = [this._surface.width - 2 * margin, this._surface.height - 2 * margin];
    context.fillStyle = this._theme.faint;
    context.beginPath();
    for (let i = 0; i < places.length; i += 2) {
      const left = margin + share(places[i], 0) * wide;
      const top = margin + (1 - share(places[i + 1], 1)) * high;
      context.rect(left, top, DOT, DOT);
    }
    context.fill();
  }

  _landmarks(context, x, y) {
    const taken = this._taken = []; // places of words
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.font = this._theme.type(12);
    for (const [word, place] of this.plane.landmarks) {
      const [left, top] = [x(place[0]), y(place[1])];
      context.strokeStyle = this._theme.quiet;
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(left - 4, top);
      context.lineTo(left + 4, top);
      context.moveTo(left, top - 4);
      context.lineTo(left, top + 4);
      context.stroke();
      const half = context.measureText(word).width / 2;
      const centre = Math.max(half + 2, Math.min(this._surface.width - half - 2, left));
      const offsets = [15, -15, 30, -30];
      const offset = offsets.find((down) => this._isFree(centre, top + down, half)) ?? offsets[0];
      taken.push({ word, centre, top: top + offset, half });
    }
    context.textAlign = "left";
  }

  /** Over the paths, so that every word can be read. */
  _words(context) {
    context.textAlign = "center";
    context.font = this._theme.type(12);
    context.lineWidth = 3;
    context.lineJoin = "round";
    context.strokeStyle = this._theme.paper;
    context.fillStyle = this._theme.quiet;
    for (const { word, centre, top } of this._taken.slice(0, this.plane.landmarks.length)) {
      context.strokeText(word, centre, top);
      context.fillText(word, centre, top);
    }
    context.textAlign = "left";
  }

  _isFree(centre, top, half) {
    return this._taken.every((other) => (
      Math.abs(other.top - top) > 14 || Math.abs(other.centre - centre) > other.half + half + 6
    ));
  }

  _path(context, now, speaker, x, y) {
    const { place, frameRate, newest } = this._history;
    const last = Math.min(newest, Math.floor(now * frameRate));
    const at = (frame) => {
      const cell = this._history.cell(frame);
      if (!this._history.knows(frame)) return [NaN, NaN];
      return [place[2 * speaker][cell], place[2 * speaker + 1][cell]];
    };
    let head = null;
    for (let frame = last; frame >= 0 && head === null && frame > last - 10; frame--) {
      if (!Number.isNaN(at(frame)[0])) head = frame;
    }
    if (head === null) return;
    context.strokeStyle = this._theme.speaker[speaker];
    context.lineWidth = 2.5;
    context.lineCap = "round";
    for (let frame = head; !this.still && frame > head - TRAIL_S * frameRate; frame--) {
      const [from, to] = [at(frame - 1), at(frame)];
      if (Number.isNaN(from[0])) break;
      context.globalAlpha = 0.7 * (1 - (head - frame) / (TRAIL_S * frameRate)) ** 1.5;
      context.beginPath();
      context.moveTo(x(from[0]), y(from[1]));
      context.lineTo(x(to[0]), y(to[1]));
      context.stroke();
    }
    context.globalAlpha = 1;
    this._head(context, speaker, x(at(head)[0]), y(at(head)[1]));
  }

  /**
   * A disc for the user, a diamond for the other, with the name: nothing is told by colour alone.
   */
  _head(context, speaker, x, y) {
    context.beginPath();
    if (speaker === 0) {
      context.arc(x, y, 7, 0, 2 * Math.PI);
    } else {
      context.moveTo(x, y - 8.5);
      context.lineTo(x + 8.5, y);
      context.lineTo(x, y + 8.5);
      context.lineTo(x - 8.5, y);
      context.closePath();
    }
    context.fillStyle = this._theme.speaker[speaker];
    context.fill();
    context.lineWidth = 2;
    context.strokeStyle = this._theme.paper;
    context.stroke();
    context.font = this._theme.type(12, 650);
    context.textBaseline = "middle";
    const name = this.names[speaker];
    const width = context.measureText(name).width;
    const left = Math.max(2, Math.min(this._surface.width - width - 2, x - width / 2));
    context.lineWidth = 4;
    context.lineJoin = "round";
    const [centre, half] = [left + width / 2, width / 2];
    const down = [-18, 19, -34, 35].find((offset) => this._isFree(centre, y + offset, half)) ?? -18;
    this._taken.push({ centre, top: y + down, half });
    context.strokeText(name, left, y + down);
    context.fillStyle = this._theme.speakerText[speaker];
    context.fillText(name, left, y + down);
  }
}
