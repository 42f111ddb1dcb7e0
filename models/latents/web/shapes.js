// What planes and strips are drawn with: symbols, dashes, scales and colours.

const SYMBOLS = ["circle", "diamond", "square", "triangle", "star", "pentagon"];
const DASHES = [[], [8, 4], [2, 3], [8, 3, 2, 3], [14, 5], [14, 4, 3, 4]];
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

/** Draw a symbol, filled, or hollow as a cross always is. */
function symbol(pen, name, x, y, r, colour, hollow = false) {
  Object.assign(pen, { fillStyle: colour, strokeStyle: colour, lineWidth: Math.max(1.2, r / 3) });
  pen.beginPath();
  if (name === "cross") for (const side of [-1, 1]) {
    pen.moveTo(x - r, y - side * r);
    pen.lineTo(x + r, y + side * r);
  }
  const corners = { diamond: 4, square: 4, triangle: 3, pentagon: 5, star: 10 }[name] ?? 0;
  for (let i = 0; i < corners; i++) {
    const angle = (2 * Math.PI * (i + (name === "square" ? 0.5 : 0))) / corners - Math.PI / 2;
    const far = 1.25 * r * (name === "star" && i % 2 ? 0.45 : 1);
    pen.lineTo(x + far * Math.cos(angle), y + far * Math.sin(angle));
  }
  if (corners) pen.closePath();
  if (name === "circle") pen.arc(x, y, r, 0, 7);
  hollow || name === "cross" ? pen.stroke() : pen.fill();
}

/** Whether a point lies in a polygon. */
function inside({ x, y }, polygon) {
  const crossed = polygon.filter(([ax, ay], i) => {
    const [bx, by] = polygon.at(i - 1);
    return ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax;
  });
  return crossed.length % 2 === 1;
}

/** [low, high] of places in each dimension, less a share of them at both ends. */
function limitsOf(places, dims, cut = 0) {
  const there = places.filter((place) => place && !Number.isNaN(place[0]));
  return range(dims).map((axis) => {
    const values = Float64Array.from(there, (place) => place[axis]).sort();
    const last = values.length - 1;
    return last < 0 ? [-1, 1]
      : [values[Math.floor(cut * last)], values[Math.ceil((1 - cut) * last)]];
  });
}
