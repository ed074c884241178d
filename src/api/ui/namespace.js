// A namespace: what it holds, how far folds and indexes are.

import { get, of } from "./client.js";
import { bytes, count, fact, h, progress } from "./dom.js";

export async function overview({ root, name, signal, every }) {
  const body = h("div");
  root.append(body);
  await every(async () => {
    const [space, { indexes }] = await Promise.all([get(of(name), signal), get(of(name, "/indexes"), signal)]);
    if (!signal.aborted) body.replaceChildren(facts(space), folded(space), table(indexes));
  }, signal);
}

function facts(space) {
  return h("dl", { class: "facts" },
    fact("Rows", count(space.count)),
    fact("Dimension", space.dimension === null ? "not fixed" : count(space.dimension), space.distance),
    fact("In the store", bytes(space.storage_bytes)),
    fact("Last write", when(space.updated_at), `created ${when(space.created_at)}`));
}

const when = (text) => new Date(text).toLocaleString();

function folded({ log, segments, tail }) {
  const waiting = log.head_seq - segments.folded_seq;
  const share = log.head_seq === 0 ? 1 : segments.folded_seq / log.head_seq;
  return h("section", {},
    h("h2", {}, "Log and segments"),
    progress("Entries of the log that are folded into segments", share),
    h("p", {}, waiting === 0 ? "Every entry of the log is folded." :
      `${count(waiting)} of ${count(log.head_seq)} entries of the log wait to be folded (${bytes(log.bytes)}).`),
    h("p", {}, `${count(segments.count)} ${segments.count === 1 ? "segment" : "segments"} with ${count(segments.rows)} rows (${bytes(segments.bytes)}); `
      + `${count(tail.rows)} rows in memory (${bytes(tail.bytes)}).`));
}

function table(indexes) {
  const head = [["Index"], ["State"], ["Progress"], ["Indexed rows", "number"], ["Other rows", "number"], ["Size", "number"]];
  const row = (index) => h("tr", {},
    h("th", { scope: "row" }, index.type),
    h("td", {}, index.status),
    h("td", {}, progress(`Progress of ${index.type}`, index.progress), ` ${Math.floor(index.progress * 100)} %`),
    h("td", { class: "number" }, count(index.indexed_rows)),
    h("td", { class: "number" }, count(index.exact_rows)),
    h("td", { class: "number" }, bytes(index.size_bytes)));
  return h("section", {},
    h("h2", {}, "Indexes"),
    indexes.length === 0 ? h("p", {}, "None: every row is looked at.") :
      h("div", { class: "scroll" }, h("table", {},
        h("thead", {}, h("tr", {}, head.map(([text, kind]) => h("th", { scope: "col", class: kind }, text)))),
        h("tbody", {}, indexes.map(row)))));
}
