// Which view is shown, the list of namespaces, the key, and what the metrics said over time.

import { chart } from "./chart.js";
import { Refused, get, key, setKey, text } from "./client.js";
import { count, duration, h, short } from "./dom.js";
import { buckets, parse, quantile, since, totals } from "./metrics.js";
import { mapView } from "./map.js";
import { overview } from "./namespace.js";
import { searchView } from "./search.js";

/** How often figures are looked at, and for how long they are kept. */
const [EVERY, KEPT] = [2000, 300];

const at = (id) => document.getElementById(id);
const main = at("main");

// ---- What happened

/** Tells everybody what happened, in words. */
function tell(message, isError = false) {
  const status = at("status");
  status.textContent = message;
  status.classList.toggle("error", isError);
}

/** Tells of an error, and asks for a key where one is needed. */
function fail(error) {
  if (error.name === "AbortError") return;
  tell(error.message, true);
  if (error instanceof Refused && error.status === 401) askForKey();
}

// ---- Views

const VIEWS = { "": overview, search: searchView, map: mapView };
const TITLES = { "": "Overview", search: "Search", map: "Map" };

let leave = new AbortController();

/** Shows what the address names: `#/`, or `#/ns/NAME`, `#/ns/NAME/search?like=ID`, `#/ns/NAME/map`. */
function route() {
  leave.abort();
  leave = new AbortController();
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const [, kind, encoded, part = ""] = path.split("/");
  const root = h("div");
  main.replaceChildren(root);
  tell("");
  const given = new URLSearchParams(query);
  if (kind === "ns" && VIEWS[part]) {
    const name = decodeURIComponent(encoded);
    document.title = `${name} – Quiver`;
    root.append(h("h1", {}, name), tabs(encoded, part));
    run((signal) => VIEWS[part]({ root, name, given, signal, every, tell, run }));
  } else {
    document.title = "Quiver";
    root.append(h("h1", {}, "Server"));
    serverView(root);
  }
  markCurrent();
}

function tabs(encoded, current) {
  const tab = (part) => h("a", {
    href: `#/ns/${encoded}${part && `/${part}`}`,
    "aria-current": part === current ? "page" : null,
  }, TITLES[part]);
  return h("nav", { class: "tabs", "aria-label": "Views" }, Object.keys(VIEWS).map(tab));
}

/** Runs something of the view that is shown; what goes wrong is told if it is still shown. */
async function run(what) {
  const { signal } = leave;
  try {
    await what(signal);
  } catch (error) {
    if (!signal.aborted) fail(error);
  }
}

/** Does something now and again and again while the view is shown and the tab is in front. */
async function every(what, signal) {
  while (!signal.aborted) {
    if (!document.hidden) {
      try {
        await what();
      } catch (error) {
        if (signal.aborted) return;
        fail(error);
        if (error instanceof Refused && error.status < 500) return;
      }
    }
    await new Promise((done) => setTimeout(done, EVERY));
  }
}

// ---- The server over time

const seen = [];
let onLook = () => {};

async function look() {
  const samples = parse(await text("metrics"));
  const counted = (labels) => labels.route !== "/metrics";
  seen.push({
    time: Date.now(),
    operations: totals(samples, "quiver_store_requests_total", "operation"),
    outcomes: totals(samples, "quiver_store_requests_total", "outcome"),
    store: buckets(samples, "quiver_store_attempt_seconds"),
    statuses: totals(samples.filter(({ labels }) => counted(labels)), "quiver_http_requests_total", "status"),
    http: buckets(samples, "quiver_http_request_duration_seconds", counted),
  });
  while (seen.length > 1 && seen[0].time < Date.now() - KEPT * 1000) seen.shift();
  onLook();
}

/** A value for each step between two looks. */
const steps = (value) => seen.slice(1).map((now, i) => [now.time, value(seen[i], now, (now.time - seen[i].time) / 1000)]);

function rates(of, groups) {
  const names = [...new Set(seen.flatMap((look) => [...look[of].keys()]))].sort();
  return names.map((name) => ({
    name: groups?.[name] ?? name,
    points: steps((before, now, seconds) => (new Map(since(before[of], now[of])).get(name) ?? 0) / seconds),
  }));
}

function latencies(of) {
  const line = (name, share) => ({ name, points: steps((before, now) => quantile(since(before[of], now[of]), share)) });
  return [line("median", 0.5), line("p99", 0.99)];
}

function serverView(root) {
  const charts = h("div", { class: "charts" }, h("p", { class: "quiet" }, "Looking…"));
  root.append(charts);
  onLook = () => {
    if (!charts.isConnected || seen.length < 2) return;
    const [now, rate] = [Date.now(), (value) => `${short(value)}/s`];
    const draw = (title, lines, say) => chart(title, lines, { seconds: KEPT, now, say });
    const errors = [...seen.at(-1).outcomes].filter(([outcome]) => !["ok", "not_found", "conflict"].includes(outcome));
    charts.replaceChildren(
      draw("Requests to the store", rates("operations"), rate),
      draw("Latency of the store", latencies("store"), duration),
      draw("Requests to this server, by status", rates("statuses"), rate),
      draw("Latency of this server", latencies("http"), duration),
      h("p", { class: "quiet" }, errors.length === 0 ? "The store refused nothing since the server started."
        : `Since the server started the store answered: ${errors.map(([outcome, times]) => `${outcome} ${count(times)}×`).join(", ")}.`));
  };
  onLook();
}

// ---- Namespaces

const list = { names: [], cursor: null };

async function listNamespaces(more = false) {
  const query = new URLSearchParams({ prefix: at("prefix").value, limit: 100 });
  if (more && list.cursor) query.set("cursor", list.cursor);
  const page = await get(`namespaces?${query}`);
  list.names = more ? [...list.names, ...page.namespaces] : page.namespaces;
  list.cursor = page.next_cursor;
  const item = (name) => {
    const rows = h("span", { class: "quiet" });
    const link = h("a", { href: `#/ns/${encodeURIComponent(name)}`, "data-name": name }, h("span", {}, name), rows);
    get(`namespaces/${encodeURIComponent(name)}`).then((found) => { rows.textContent = count(found.count); }, () => {});
    return h("li", {}, link);
  };
  const items = list.names.map(item);
  at("namespaces").replaceChildren(...(items.length ? items : [h("li", { class: "quiet" }, "None")]));
  at("more").hidden = !list.cursor;
  markCurrent();
}

function markCurrent() {
  const [, kind, encoded] = location.hash.split("?")[0].split("/");
  for (const link of document.querySelectorAll("#namespaces a")) {
    const is = kind === "ns" && link.dataset.name === decodeURIComponent(encoded);
    if (is) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

// ---- The key

function askForKey() {
  const dialog = at("key-dialog");
  if (dialog.open) return;
  at("key").value = key();
  dialog.showModal();
}

at("key-dialog").addEventListener("close", () => {
  if (at("key-dialog").returnValue === "use") {
    setKey(at("key").value.trim());
    start();
  }
  at("key").value = "";
});
at("key-button").addEventListener("click", askForKey);

// ---- Beginning

let running = new AbortController();

function start() {
  running.abort();
  running = new AbortController();
  get("capabilities").then(({ server_version, backend }) => {
    at("server").textContent = `${server_version} on ${backend}`;
  }, fail);
  every(look, running.signal);
  listNamespaces().catch(fail);
  route();
}

let typing;
at("prefix").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => listNamespaces().catch(fail), 200);
});
at("more").addEventListener("click", () => listNamespaces(true).catch(fail));
addEventListener("hashchange", () => {
  route();
  main.focus();
});
addEventListener("keydown", (event) => {
  const writes = event.target.closest("input, textarea, select, dialog");
  if (event.key === "/" && !writes && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    at("prefix").focus();
  }
});
start();
