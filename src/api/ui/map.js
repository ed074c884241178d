// A namespace's vectors on a plane, coloured by a metadata field.

import { get, of, post } from "./client.js";
import { count, field, h, short } from "./dom.js";
import { plane } from "./projection.js";
import { metadata } from "./search.js";

/** Numbers that a browser gets and works on without effort. */
const MAX_VALUES = 2_000_000;
/** Ten colours that can be told apart, on dark and on light. */
const COLOURS = ["#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#8a8a8a"];
const SIZE = 640;

export async function mapView({ root, name, signal, tell, run }) {
  const rows = h("select", { id: "rows" }, [500, 1000, 2000, 5000].map((n) => h("option", { selected: n === 2000 }, n)));
  const filter = h("input", { id: "filter", spellcheck: "false", autocomplete: "off", placeholder: '{"year": {"$gte": 2000}}' });
  const colour = h("select", { id: "colour", disabled: true });
  const form = h("form", { class: "search row" }, field("Rows", rows), field("Filter", filter), field("Colour by", colour),
    h("button", { type: "submit", class: "main" }, "Draw"));
  const canvas = h("canvas", { width: SIZE, height: SIZE, tabindex: 0, role: "application", "aria-describedby": "map-help" });
  const legend = h("ul", { class: "legend", "aria-label": "Colours" });
  const chosen = h("section", { class: "chosen", "aria-live": "polite" });
  const help = h("p", { id: "map-help", class: "quiet" },
    "Arrow keys go from row to row, Enter searches near one, + and − zoom, 0 shows everything. The wheel zooms, too, and the mouse moves the map.");
  root.append(form, h("div", { class: "map" }, h("div", {}, canvas, help), h("aside", {}, legend, chosen)));
  const drawing = new Drawing(canvas, (row) => {
    if (row) chosen.replaceChildren(h("h3", {}, h("a", { href: near(name, row) }, row.id)), metadata(row.metadata));
    else chosen.replaceChildren();
  }, (row) => { location.hash = near(name, row); });
  const paint = () => {
    const colours = colouring(drawing.rows, colour.value);
    drawing.paint(colours.of);
    legend.replaceChildren(...colours.legend.map(([text, shade]) => {
      const dot = h("span", { class: "dot" });
      dot.style.backgroundColor = shade;
      return h("li", {}, dot, text);
    }));
  };
  colour.addEventListener("change", paint);
  const draw = () => run(async () => {
    filter.setCustomValidity("");
    let wanted;
    try {
      wanted = filter.value.trim() ? JSON.parse(filter.value) : undefined;
    } catch (error) {
      filter.setCustomValidity(error.message);
      filter.reportValidity();
      return;
    }
    tell("Reading rows…");
    const { dimension } = await get(of(name), signal);
    const limit = Math.max(2, Math.min(Number(rows.value), Math.floor(MAX_VALUES / (dimension ?? 1))));
    const sample = await post(of(name, "/sample"), { limit, filter: wanted, consistency: "eventual" }, signal);
    tell(`Projecting ${count(sample.returned_count)} rows…`);
    const placed = sample.vectors.filter((row) => row.values);
    const { points, share } = await plane(placed.map((row) => row.values), pause);
    if (signal.aborted) return;
    drawing.set(placed, points);
    const fields = candidates(placed);
    colour.replaceChildren(...fields.map((path) => h("option", { selected: path === colour.value }, path)));
    colour.disabled = fields.length === 0;
    paint();
    canvas.setAttribute("aria-label", `Map of ${count(placed.length)} rows`);
    tell(`${count(placed.length)} of ${count(sample.total_count)} rows, drawn by chance. The plane holds ${short(share * 100)} % of their differences.`);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    draw();
  });
  await draw();
}

const near = (name, row) => `#/ns/${encodeURIComponent(name)}/search?like=${encodeURIComponent(row.id)}`;
const pause = () => new Promise((done) => setTimeout(done));

// ---- Colours

/** The value at a path of metadata that a colour can stand for; the first of an array. */
function valueAt(row, path) {
  let value = row.metadata;
  for (const step of path.split(".")) value = value?.[step];
  if (Array.isArray(value)) [value] = value;
  return value === null || typeof value === "object" ? undefined : value;
}

/** Paths of fields to colour by, those first whose values say most: several, but few. */
function candidates(rows) {
  const values = new Map();
  const visit = (object, prefix, depth) => {
    for (const [name, value] of Object.entries(object ?? {})) {
      const path = prefix + name;
      if (value && typeof value === "object" && !Array.isArray(value)) {
        if (depth < 3) visit(value, `${path}.`, depth + 1);
      } else {
        if (!values.has(path)) values.set(path, new Set());
        values.get(path).add(Array.isArray(value) ? value[0] : value);
      }
    }
  };
  for (const row of rows) visit(row.metadata, "", 1);
  const rank = (distinct) => (distinct.size < 2 ? 3 : distinct.size <= 12 ? 0 : [...distinct].every((value) => typeof value === "number") ? 1 : 2);
  return [...values].sort(([, a], [, b]) => rank(a) - rank(b) || a.size - b.size).map(([path]) => path);
}

/** The colour of each row by a field, and what the colours say. */
function colouring(rows, path) {
  const values = rows.map((row) => (path ? valueAt(row, path) : undefined));
  const numbers = values.filter((value) => typeof value === "number");
  const times = new Map();
  for (const value of values) times.set(value, (times.get(value) ?? 0) + 1);
  if (numbers.length > 0 && new Set(numbers).size >= COLOURS.length) return shades(values, numbers);
  const common = [...times].filter(([value]) => value !== undefined).sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
  const named = new Map(common.slice(0, COLOURS.length - 1).map(([value], i) => [value, COLOURS[i]]));
  const others = COLOURS.at(-1);
  const left = rows.length - [...named.keys()].reduce((sum, value) => sum + times.get(value), 0);
  const legend = [...named].map(([value, shade]) => [`${value} (${count(times.get(value))})`, shade]);
  if (left > 0 && path) legend.push([`others (${count(left)})`, others]);
  return { of: (row) => named.get(values[row]) ?? others, legend };
}

/** From blue over red to yellow, by rank, so that a few extremes do not leave the rest in one colour. */
function shades(values, numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const rank = (value) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < value) low = middle + 1;
      else high = middle;
    }
    return low / Math.max(1, sorted.length - 1);
  };
  const shade = (share) => `hsl(${(230 + 190 * share) % 360} 75% 52%)`;
  const legend = [0, 0.25, 0.5, 0.75, 1].map((share) => [short(sorted[Math.round(share * (sorted.length - 1))]), shade(share)]);
  return { of: (row) => (typeof values[row] === "number" ? shade(rank(values[row])) : COLOURS.at(-1)), legend };
}

// ---- The drawing

class Drawing {
  constructor(canvas, onChoose, onOpen) {
    Object.assign(this, { canvas, onChoose, onOpen, rows: [], points: [], colour: () => COLOURS[0], chosen: null });
    const scale = window.devicePixelRatio || 1;
    canvas.width = canvas.height = SIZE * scale;
    this.context = canvas.getContext("2d");
    this.context.scale(scale, scale);
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("dblclick", () => this.chosen !== null && onOpen(this.rows[this.chosen]));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, this.at(event));
    }, { passive: false });
  }

  set(rows, points) {
    Object.assign(this, { rows, points, chosen: null });
    this.onChoose(null);
    this.whole();
  }

  /** Shows everything, with a margin. */
  whole() {
    const reach = Math.max(1e-9, ...this.points.flat().map(Math.abs));
    this.view = { x: 0, y: 0, scale: (SIZE / 2 - 16) / reach };
    this.draw();
  }

  paint(colour) {
    this.colour = colour;
    this.draw();
  }

  place([x, y]) {
    return [SIZE / 2 + (x - this.view.x) * this.view.scale, SIZE / 2 - (y - this.view.y) * this.view.scale];
  }

  draw() {
    const { context } = this;
    context.clearRect(0, 0, SIZE, SIZE);
    const radius = this.points.length > 1500 ? 2 : 3;
    this.points.forEach((point, row) => this.disc(point, radius, this.colour(row)));
    if (this.chosen === null) return;
    const point = this.points[this.chosen];
    this.disc(point, 6, this.colour(this.chosen));
    context.lineWidth = 2;
    context.strokeStyle = getComputedStyle(this.canvas).color;
    context.stroke();
  }

  disc(point, radius, colour) {
    const { context } = this;
    context.beginPath();
    context.arc(...this.place(point), radius, 0, 2 * Math.PI);
    context.fillStyle = colour;
    context.fill();
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * SIZE, ((event.clientY - box.top) / box.height) * SIZE];
  }

  move(event) {
    if (event.buttons & 1) {
      const step = SIZE / this.canvas.getBoundingClientRect().width / this.view.scale;
      this.view.x -= event.movementX * step;
      this.view.y += event.movementY * step;
      this.draw();
      return;
    }
    const [x, y] = this.at(event);
    const nearest = this.best((dx, dy) => (Math.hypot(dx, dy) < 12 ? Math.hypot(dx, dy) : Infinity), x, y);
    if (nearest !== null && nearest !== this.chosen) this.choose(nearest);
  }

  choose(row) {
    this.chosen = row;
    this.onChoose(this.rows[row]);
    this.draw();
  }

  /** The row whose place, seen from here, costs least; none if all cost too much. */
  best(cost, x, y, without = null) {
    let [row, least] = [null, Infinity];
    this.points.forEach((point, i) => {
      const [px, py] = this.place(point);
      const of = i === without ? Infinity : cost(px - x, py - y);
      if (of < least) [row, least] = [i, of];
    });
    return row;
  }

  key(event) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (way && this.points.length) this.step(way);
    else if (event.key === "Enter" && this.chosen !== null) this.onOpen(this.rows[this.chosen]);
    else if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 1.4 : 1 / 1.4, [SIZE / 2, SIZE / 2]);
    else if (event.key === "0") this.whole();
    else return;
    event.preventDefault();
  }

  /** To the next row in a direction; the first step goes to the row in the middle. */
  step([wayX, wayY]) {
    const [x, y] = this.chosen === null ? [SIZE / 2, SIZE / 2] : this.place(this.points[this.chosen]);
    const ahead = (dx, dy) => {
      const [along, aside] = [dx * wayX + dy * wayY, Math.abs(dx * wayY - dy * wayX)];
      return along > 0 ? along + 2 * aside : Infinity;
    };
    const next = this.best(this.chosen === null ? Math.hypot : ahead, x, y, this.chosen);
    if (next !== null) this.choose(next);
  }

  /** Nearer or further, with the same point under the mouse. */
  zoom(times, [x, y]) {
    const { view } = this;
    if (!view) return;
    view.x += (x - SIZE / 2) / view.scale * (1 - 1 / times);
    view.y -= (y - SIZE / 2) / view.scale * (1 - 1 / times);
    view.scale *= times;
    this.draw();
  }
}
