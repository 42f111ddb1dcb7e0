// One speaker's lane: how loud they are, where the model hears speech, whose floor it is, and what
// happened.

import { timeScale } from "./surface.js";
import { MARKS } from "./words.js";

const BAR = 4; // pixels from bar to bar
const SOUND_HEIGHT = 50;
const FLOOR_Y = SOUND_HEIGHT + 5;
const WORD_ROWS = 2;
const WORD_HEIGHT = 19;
const WORD_GAP = 6;
const INDENT = 4;

export class Lane {
  constructor(surface, speaker, history, theme) {
    this._surface = surface;
    this._speaker = speaker;
    this._history = history;
    this._theme = theme;
    // Of words in pixels: to measure them for every picture would take too long.
    this._widths = new Map();
  }

  get perSecond() {
    return timeScale(this._surface.width).perSecond;
  }

  /** @param {number} now seconds of sound at the right edge */
  draw(now) {
    const context = this._surface.begin();
    if (context === null) return;
    const { width } = this._surface;
    const { nowX, perSecond } = timeScale(width);
    context.fillStyle = this._theme.faint;
    context.fillRect(0, SOUND_HEIGHT / 2 - 0.5, nowX, 1);
    this._sound(context, now, perSecond, nowX);
    this._floor(context, now, perSecond, nowX);
    this._events(context, now, perSecond, nowX);
  }

  /** Bars at fixed times, so that the picture slides and does not shimmer. */
  _sound(context, now, perSecond, nowX) {
    const { vad, level, frameRate } = this._history;
    const framesPerBar = Math.max(1, Math.round((BAR / perSecond) * frameRate));
    const step = (framesPerBar / frameRate) * perSecond;
    const first = Math.floor(((now - nowX / perSecond) * frameRate) / framesPerBar);
    const last = Math.floor((now * frameRate) / framesPerBar);
    const centre = SOUND_HEIGHT / 2;
    for (let bar = Math.max(0, first); bar <= last; bar++) {
      let [speech, loud, known] = [0, 0, 0];
      for (let frame = bar * framesPerBar; frame < (bar + 1) * framesPerBar; frame++) {
        const cell = this._history.cell(frame);
        if (!this._history.knows(frame) || Number.isNaN(vad[this._speaker][cell])) continue;
        speech += vad[this._speaker][cell];
        loud = Math.max(loud, level[this._speaker][cell] || 0);
        known += 1;
      }
      if (known === 0) continue;
      const x = nowX - (now - (bar * framesPerBar) / frameRate) * perSecond;
      const half = Math.max(0.75, loud * (centre - 1));
      const spoken = speech / known >= 0.5;
      context.fillStyle = spoken ? this._theme.speaker[this._speaker] : this._theme.faint;
      context.globalAlpha = spoken ? 0.45 + 0.55 * (speech / known) : 1;
      context.beginPath();
      context.roundRect(x, centre - half, Math.max(1, step - 1.6), 2 * half, 1);
      context.fill();
    }
    context.globalAlpha = 1;
  }

  /** A line under the sound while the floor is this speaker's. */
  _floor(context, now, perSecond, nowX) {
    const { holder, frameRate, newest } = this._history;
    const first = Math.max(0, Math.floor((now - nowX / perSecond) * frameRate));
    context.fillStyle = this._theme.speaker[this._speaker];
    let start = null;
    const last = Math.min(newest, Math.floor(now * frameRate));
    for (let frame = first; frame <= last + 1; frame++) {
      const known = frame <= last && this._history.knows(frame);
      const holds = known && holder[this._history.cell(frame)] === this._speaker;
      if (holds && start === null) start = frame;
      if (!holds && start !== null) {
        const x = nowX - (now - start / frameRate) * perSecond;
        const width = Math.min(((frame - start) / frameRate) * perSecond, nowX - x);
        context.fillRect(x, FLOOR_Y, width, 2.5);
        start = null;
      }
    }
  }

  /**
   * Words before their mark under the floor, in a second row where the first is taken; where both
   * are, only the mark.
   */
  _events(context, now, perSecond, nowX) {
    const words = this._placed(context, perSecond).map((word) => (
      { ...word, x: nowX - (now - word.time) * perSecond }
    ));
    const visible = words.filter(({ x, width }) => x > 0 && x - width < nowX);
    context.fillStyle = this._theme.speaker[this._speaker];
    for (const { x, row } of visible) {
      context.fillRect(x - 1.5, FLOOR_Y - 3, 1.5, 8.5);
      context.globalAlpha = 0.4;
      if (row > -1) context.fillRect(x - 1.5, FLOOR_Y + 5, 1.5, row * WORD_HEIGHT + 15);
      context.globalAlpha = 1;
    }
    for (const { x, row, sign, signWidth, word, width } of visible) {
      if (row === -1) continue;
      const [left, y] = [x - width + WORD_GAP, FLOOR_Y + 14 + row * WORD_HEIGHT];
      context.fillStyle = this._theme.speakerText[this._speaker];
      context.font = this._theme.type(12, 600);
      context.fillText(sign, left, y);
      context.fillStyle = this._theme.text;
      context.font = this._theme.type(12);
      context.fillText(word, left + signWidth + 4, y);
    }
  }

  /**
   * Every event with its row, -1 where there is no room. Reckoned from the first one on, so that no
   * row changes as the picture slides.
   */
  _placed(context, perSecond) {
    context.textBaseline = "middle";
    const ends = new Array(WORD_ROWS).fill(-Infinity); // seconds of sound
    const own = this._history.events.filter(({ speaker }) => speaker === this._speaker);
    return own.map(({ type, time_s: time }, index) => {
      const [sign, word] = MARKS[type];
      const signWidth = this._width(context, sign, 600);
      const width = WORD_GAP + signWidth + 4 + this._width(context, word, 400) + INDENT;
      // “done?” gives way to “ends”.
      const settled = type === "eager_end_of_turn" && own[index + 1]?.type === "end_of_turn";
      const row = settled ? -1 : ends.findIndex((end) => end <= time - width / perSecond);
      if (row !== -1) ends[row] = time;
      return { time, row, sign, signWidth, word, width };
    });
  }

  _width(context, text, weight) {
    const known = this._widths.get(text);
    if (known !== undefined) return known;
    context.font = this._theme.type(12, weight);
    const { width } = context.measureText(text);
    this._widths.set(text, width);
    return width;
  }
}
