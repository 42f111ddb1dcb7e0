// What planes and strips are drawn with: symbols, dashes, scales and colours.

const SYMBOLS = ["circle", "diamond", "square", "triangle", "star", "pentagon"];
const DASHES = [[], [8, 4], [2, 3], [8, 3, 2, 3], [14, 5], [14, 4, 3, 4]];
const NICE = [0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
const of = (value, i) => (typeof value === "function" ? value(i) : value);
const linear = { to: (x) => x, from: (x) => x };
const logarithmic = {
  to: (x) => Math.sign(x) * Math.log1p(Math.abs(x)),
  from: (x) => Math.sign(x) * Math.expm1(Math.abs(x)),
};

/** Colours for 0 to 1, visible on light and on dark pages. */
function ramp(share) {
  const stops = [[74, 111, 208], [44, 159, 165], [168, 200, 44]];
  const at = 2 * Math.max(0, Math.min(1, share));
  const low = Math.min(1, Math.floor(at));
  const mixed = stops[low].map((v, k) => Math.round(v + (at - low) * (stops[low + 1][k] - v)));
  return `rgb(${mixed.join()})`;
}

function outline(pen, symbol, x, y, r) {
  pen.beginPath();
  if (symbol === "circle" || symbol === undefined) return pen.arc(x, y, r, 0, 7);
  const corners = { diamond: 4, square: 4, triangle: 3, pentagon: 5, star: 10 }[symbol];
  if (symbol === "cross") {
    for (const side of [-1, 1]) pen.moveTo(x - r, y - side * r), pen.lineTo(x + r, y + side * r);
    return undefined;
  }
  for (let i = 0; i < corners; i++) {
    const angle = (2 * Math.PI * (i + (symbol === "square" ? 0.5 : 0))) / corners - Math.PI / 2;
    const far = 1.25 * r * (symbol === "star" && i % 2 ? 0.45 : 1);
    pen.lineTo(x + far * Math.cos(angle), y + far * Math.sin(angle));
  }
  return pen.closePath();
}

/** Whether a point lies in a polygon. */
function inside({ x, y }, polygon) {
  let within = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [[ax, ay], [bx, by]] = [polygon[i], polygon[j]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
  }
  return within;
}
