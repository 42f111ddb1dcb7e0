// A canvas that is as sharp as the screen, and the page's colours for it.

export class Surface {
  constructor(canvas, onresize = () => {}) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.width = this.height = 0;
    this._onresize = onresize;
    new ResizeObserver(() => this._fit()).observe(canvas);
    this._fit();
  }

  _fit() {
    const { clientWidth, clientHeight } = this.canvas;
    this.width = clientWidth;
    this.height = clientHeight;
    this._onresize();
  }

  /** An empty picture, in CSS pixels; null while the canvas is not shown. */
  begin() {
    if (this.width === 0 || this.height === 0) return null;
    // Asked every time, for it changes with zoom and screen.
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, this.width, this.height);
    return this.context;
  }
}

/** The colours of style.css, read again when the system changes between light and dark. */
export class Theme {
  constructor() {
    const read = () => {
      const style = getComputedStyle(document.documentElement);
      const value = (name) => style.getPropertyValue(name).trim();
      this.speaker = [value("--user"), value("--other")];
      this.speakerText = [value("--user-text"), value("--other-text")];
      this.text = value("--text");
      this.quiet = value("--quiet");
      this.faint = value("--faint");
      this.line = value("--line");
      this.paper = value("--panel");
      this.font = getComputedStyle(document.body).fontFamily;
    };
    read();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", read);
  }

  type(size, weight = 400) {
    return `${weight} ${size}px ${this.font}`;
  }
}

/**
 * How seconds of sound lie on a picture, whose right edge is now. On a narrow screen there are
 * fewer.
 */
export function timeScale(width) {
  const nowX = width - 6; // room for half of the dot at the head of the curve
  return { nowX, perSecond: nowX / Math.max(5, Math.min(13, nowX / 56)) };
}
