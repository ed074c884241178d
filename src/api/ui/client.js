// Requests to this server, below the page's own path, so that a proxy's prefix does no harm.

const KEY = "quiver-api-key";

/** What the server answered instead of what was asked for. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.error ?? `The server answered ${status}.`);
    this.status = status;
    this.code = body?.code;
    this.field = body?.details?.field;
  }
}

export const key = () => sessionStorage.getItem(KEY) ?? "";

export function setKey(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

async function send(path, options = {}) {
  const headers = { ...options.headers };
  if (key()) headers.authorization = `Bearer ${key()}`;
  let response;
  try {
    response = await fetch(`../${path}`, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached.");
  }
  if (response.ok) return response;
  let body;
  try {
    body = await response.json();
  } catch {
    // What stands between us and the server may answer in any form.
  }
  throw new Refused(response.status, body);
}

export const text = async (path) => (await send(path)).text();

export const get = async (path, signal) => (await send(path, { signal })).json();

export async function post(path, body, signal) {
  const headers = { "content-type": "application/json" };
  return (await send(path, { method: "POST", headers, body: JSON.stringify(body), signal })).json();
}

/** The path of a namespace, or of something in it. */
export const of = (name, rest = "") => `namespaces/${encodeURIComponent(name)}${rest}`;
