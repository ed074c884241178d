// A form for searches, and what they find.

import { Refused, get, of, post } from "./client.js";
import { count, duration, field, h, short } from "./dom.js";

export async function searchView({ root, name, given, signal, tell, run }) {
  const { indexes } = await get(of(name, "/indexes"), signal);
  const hasText = indexes.some((index) => index.type === "fulltext");
  const words = h("input", { id: "words", type: "search", disabled: !hasText, autocomplete: "off" });
  const like = h("input", { id: "like", value: given.get("like") ?? "", autocomplete: "off", spellcheck: "false" });
  const vector = h("textarea", { id: "vector", rows: 2, spellcheck: "false", placeholder: "[0.1, …]" });
  const filter = h("textarea", { id: "filter", rows: 2, spellcheck: "false", placeholder: '{"year": {"$gte": 2000}}' });
  const top = h("input", { id: "top", type: "number", min: 1, max: 1000, value: 10, required: true });
  const exact = h("input", { id: "exact", type: "checkbox" });
  const found = h("section", { "aria-label": "Found" });
  const form = h("form", { class: "search" },
    field("Words", words, hasText ? "found by the index fulltext; with a vector, both count" : "needs an index of type fulltext"),
    field("Near the row", like, "its id"),
    field("Near the vector", vector, "as JSON"),
    field("Filter", filter, "on metadata, as JSON"),
    field("Results", top),
    h("div", { class: "field check" }, exact, h("label", { for: "exact" }, "Exact")),
    h("button", { type: "submit", class: "main" }, "Search"));
  const inputs = { words, like, vector, filter, top, exact };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(async () => {
      for (const input of Object.values(inputs)) input.setCustomValidity("");
      tell("Searching…");
      try {
        const { hits, took, how } = await search(name, inputs, signal);
        show(found, name, hits);
        tell(`${count(hits.length)} ${hits.length === 1 ? "result" : "results"} by ${how} in ${took}.`);
      } catch (error) {
        const input = inputs[error.input ?? { vector: "vector", top_k: "top", query: "words", text: "words" }[error.field]
          ?? (error.field?.startsWith("filter") ? "filter" : "")];
        if (!input || signal.aborted) throw error;
        tell(error.message, true);
        input.setCustomValidity(error.message);
        input.reportValidity();
        input.addEventListener("input", () => input.setCustomValidity(""), { once: true });
      }
    });
  });
  root.append(form, found);
  if (like.value) form.requestSubmit();
  else (hasText ? words : like).focus();
}

/** What is wrong with an input of the form. */
function wrong(input, message) {
  return Object.assign(new Error(message), { input });
}

function json(input, name) {
  const text = input.value.trim();
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw wrong(name, error.message);
  }
}

async function search(name, inputs, signal) {
  const filter = json(inputs.filter, "filter");
  const [words, like] = [inputs.words.value.trim(), inputs.like.value];
  let vector = json(inputs.vector, "vector");
  if (like && vector) throw wrong("like", "Give the id of a row or a vector, not both.");
  if (like) vector = await valuesOf(name, like, signal);
  if (!vector && !words) throw wrong("like", "Say what to search for: words, the id of a row, or a vector.");
  const shared = { top_k: Number(inputs.top.value), filter, include_metadata: true };
  const began = performance.now();
  const [how, route, body] = words && vector ? ["words and vector", "/hybrid", { text: words, vector, highlight: true }]
    : words ? ["words", "/fulltext/search", { query: words, highlight: true }]
    : ["vector", "/query", { vector, exact: inputs.exact.checked }];
  const answer = await post(of(name, route), { ...shared, ...body }, signal);
  const took = answer.search_time_ms === undefined ? performance.now() - began : answer.search_time_ms;
  return { hits: answer.results, took: duration(took / 1000), how };
}

async function valuesOf(name, id, signal) {
  let row;
  try {
    row = await get(of(name, `/vectors/${encodeURIComponent(id)}`), signal);
  } catch (error) {
    if (error instanceof Refused && error.status === 404) throw wrong("like", error.message);
    throw error;
  }
  if (!row.values) throw wrong("like", "This row has no vector to search near.");
  return row.values;
}

function show(root, name, hits) {
  root.replaceChildren(h("ol", { class: "hits" }, hits.map((hit) => h("li", {},
    h("h3", {}, h("a", { href: `#/ns/${encodeURIComponent(name)}/search?like=${encodeURIComponent(hit.id)}`, title: "Search near this row" }, hit.id),
      h("span", { class: "quiet" }, `score ${short(hit.score)}`)),
    (hit.highlights ?? []).map((fragment) => h("p", { class: "fragment" }, marked(fragment))),
    metadata(hit.metadata)))));
}

/** A fragment of text as the server marks it: escaped for HTML but for `<em>`. */
function marked(fragment) {
  const signs = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&#x27;": "'", "&amp;": "&" };
  const plain = (text) => text.replace(/&(?:lt|gt|quot|#39|#x27|amp);/g, (sign) => signs[sign]);
  return fragment.split(/(<em>.*?<\/em>)/s).map((part) =>
    part.startsWith("<em>") ? h("mark", {}, plain(part.slice(4, -5))) : plain(part));
}

/** Metadata as a list of fields. */
export function metadata(object) {
  if (!object) return h("p", { class: "quiet" }, "No metadata");
  const value = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  return h("dl", { class: "metadata" },
    Object.entries(object).map(([name, found]) => [h("dt", {}, name), h("dd", {}, value(found))]));
}
