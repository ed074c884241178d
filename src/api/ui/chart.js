// Lines over time.

import { h } from "./dom.js";

const [WIDTH, HEIGHT] = [520, 140];
const [LEFT, BOTTOM, TOP] = [56, 18, 8];

/**
 * A chart of the last so many seconds. A line is `{ name, points: [[time, value]] }`, times in milliseconds;
 * `say` makes text of a value.
 */
export function chart(title, lines, { seconds, now, say }) {
  const top = ceiling(Math.max(...lines.flatMap((line) => line.points.map(([, value]) => value).filter(Number.isFinite)), 0));
  const x = (time) => WIDTH - ((now - time) / 1000 / seconds) * (WIDTH - LEFT);
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
  const grid = [0, 0.5, 1].map((share) =>
    h("g", {}, h("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: y(share * top), y2: y(share * top) }),
      h("text", { x: LEFT - 6, y: y(share * top) + 4, "text-anchor": "end" }, say(share * top))));
  const paths = lines.map((line, i) => h("path", { class: `line c${i}`, d: path(line.points, x, y) }));
  const latest = lines.map((line) => `${line.name} ${say(line.points.at(-1)?.[1] ?? NaN)}`);
  return h("figure", {},
    h("figcaption", {}, title),
    h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${latest.join(", ")}` },
      grid,
      h("text", { x: LEFT, y: HEIGHT - 2 }, `${seconds / 60} min ago`),
      h("text", { x: WIDTH, y: HEIGHT - 2, "text-anchor": "end" }, "now"),
      paths),
    h("ul", { class: "legend" }, lines.map((line, i) => h("li", {}, h("span", { class: `dot c${i}` }), latest[i]))));
}

/** A line with gaps where there is no value. */
function path(points, x, y) {
  let [steps, open] = ["", false];
  for (const [time, value] of points) {
    const place = `${x(time).toFixed(1)} ${y(value).toFixed(1)}`;
    // A line of no length is a dot: a value between gaps is seen, too.
    if (Number.isFinite(value)) steps += open ? `L${place}` : `M${place}h0`;
    open = Number.isFinite(value);
  }
  return steps;
}

/** The next of 1, 2, 5, 10, …: steps that are easy to read. */
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * power >= value) * power;
}
