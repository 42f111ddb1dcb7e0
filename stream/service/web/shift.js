// The chance that the floor passes to the other speaker, in the colour of the one to whom it would
// pass, and the policy's threshold.

import { timeScale } from "./surface.js";
import { percent } from "./words.js";

const TOP = 8;
const INDENT = 2;
const AXIS = 20; // for the clock under the picture

export class ShiftChart {
  constructor(surface, history, theme) {
    this._surface = surface;
    this._history = history;
    this._theme = theme;
    this.threshold = null;
  }

  /** @param {number} now seconds of sound at the right edge */
  draw(now) {
    const context = this._surface.begin();
    if (context === null) return;
    const { width, height } = this._surface;
    const { nowX, perSecond } = timeScale(width);
    const y = (share) => height - AXIS - share * (height - AXIS - TOP);
    this._trace(context, now, perSecond, nowX, y);
    this._grid(context, now, perSecond, nowX, y);
    if (this.threshold !== null) this._line(context, nowX, y);
  }

  _grid(context, now, perSecond, nowX, y) {
    context.fillStyle = this._theme.line;
    for (const share of [0, 0.5, 1]) context.fillRect(0, Math.round(y(share)), nowX, 1);
    context.fillStyle = this._theme.quiet;
    context.font = this._theme.type(11);
    context.textBaseline = "top";
    context.textAlign = "center";
    for (let second = 2 * Math.ceil((now - nowX / perSecond) / 2); second <= now; second += 2) {
      const x = nowX - (now - second) * perSecond;
      if (second >= 0 && x > 14 && x < nowX - 14) {
        const time = `${Math.floor(second / 60)}:${String(second % 60).padStart(2, "0")}`;
        context.fillText(time, x, y(0) + 6);
      }
    }
    context.textAlign = "left";
    this._label(context, "100 %", y(1) + 9);
    this._label(context, "0 %", y(0) - 9);
  }

  /** At the left edge, readable on the curve. */
  _label(context, text, y) {
    context.textBaseline = "middle";
    context.lineWidth = 4;
    context.lineJoin = "round";
    context.strokeStyle = this._theme.paper;
    context.strokeText(text, INDENT, y);
    context.fillText(text, INDENT, y);
  }

  _trace(context, now, perSecond, nowX, y) {
    const { shift, holder, frameRate } = this._history;
    const newest = Math.min(this._history.newest, Math.floor(now * frameRate));
    context.save();
    context.beginPath();
    context.rect(0, 0, nowX, this._surface.height);
    context.clip();
    const first = Math.max(0, Math.floor((now - nowX / perSecond) * frameRate) - 1);
    const place = (frame) => nowX - (now - (frame + 1) / frameRate) * perSecond;
    for (let frame = first; frame <= newest; ) {
      const who = this._history.knows(frame) ? holder[this._history.cell(frame)] : NaN;
      let end = frame + 1;
      while (end <= newest && holder[this._history.cell(end)] === who) end += 1;
      if (!Number.isNaN(who)) {
        this._stretch(context, frame, end, place, y, shift, this._theme.speaker[1 - who]);
      }
      frame = end;
    }
    context.restore();
    const cell = this._history.cell(Math.max(0, newest));
    if (newest >= 0 && !Number.isNaN(holder[cell])) {
      this._head(context, Math.min(nowX, place(newest)), y(shift[cell]), 1 - holder[cell]);
    }
  }

  _stretch(context, start, end, place, y, shift, colour) {
    const path = new Path2D();
    for (let frame = start; frame < end; frame++) {
      path.lineTo(place(frame), y(shift[this._history.cell(frame)]));
    }
    const area = new Path2D(path);
    area.lineTo(place(end - 1), y(0));
    area.lineTo(place(start), y(0));
    context.fillStyle = context.strokeStyle = colour;
    context.globalAlpha = 0.16;
    context.fill(area);
    context.globalAlpha = 1;
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.stroke(path);
  }

  _head(context, x, y, speaker) {
    context.beginPath();
    context.arc(x, y, 4.5, 0, 2 * Math.PI);
    context.fillStyle = this._theme.speaker[speaker];
    context.fill();
    context.lineWidth = 2;
    context.strokeStyle = this._theme.paper;
    context.stroke();
  }

  _line(context, nowX, y) {
    const level = Math.round(y(this.threshold)) + 0.5;
    context.strokeStyle = this._theme.text;
    context.lineWidth = 1.25;
    context.setLineDash([5, 4]);
    context.beginPath();
    context.moveTo(0, level);
    context.lineTo(nowX, level);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = this._theme.text;
    context.font = this._theme.type(12, 650);
    this._label(context, `threshold ${percent(this.threshold)}`, level - 10);
  }
}
