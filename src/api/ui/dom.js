// Elements without markup: text stays text, whatever it holds.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "g", "path", "line", "text", "rect", "title"]);

/** An element with attributes (functions are listeners) and children (elements, or text). */
export function h(tag, attributes = {}, ...children) {
  const element = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null));
  return element;
}

/** A field of a form with its label, and what is to be known about it. */
export function field(label, input, hint) {
  const id = input.id;
  const described = hint ? h("small", { id: `${id}-hint` }, hint) : null;
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: "field" }, h("label", { for: id }, label), input, described);
}

/** How far something is, from 0 to 1. */
export function progress(label, share) {
  return h("progress", { max: 1, value: share, "aria-label": label });
}

/** A name and what it is worth. */
export function fact(name, value, more) {
  return h("div", { class: "fact" }, h("dt", {}, name), h("dd", {}, value, more ? h("small", {}, more) : null));
}

const whole = new Intl.NumberFormat("en");

export const count = (number) => whole.format(number);

/** Bytes in units of 1024. */
export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (number >= 1024 && unit < units.length - 1) [number, unit] = [number / 1024, unit + 1];
  return `${unit === 0 || number >= 100 ? Math.round(number) : number.toFixed(1)} ${units[unit]}`;
}

/** Three digits that say something. */
export function short(number) {
  if (!Number.isFinite(number)) return "–";
  if (number === 0) return "0";
  const size = Math.abs(number);
  if (size >= 100) return count(Math.round(number));
  return String(Number(number.toPrecision(size < 1 ? 2 : 3)));
}

/** Seconds as a person says them. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  return seconds < 1 ? `${short(seconds * 1000)} ms` : `${short(seconds)} s`;
}
