// Requests to the service, with the API key if one is set.

const KEY = "api-key";

export class RequestError extends Error {
  constructor(status, detail) {
    super(detail[0]?.msg ?? `The service responded with status ${status}`);
    this.status = status;
    this.detail = detail;
  }
}

export class ServiceUnreachable extends Error {}

export function setKey(key) {
  sessionStorage.setItem(KEY, key);
}

export function hasKey() {
  return sessionStorage.getItem(KEY) !== null;
}

async function request(path, options = {}) {
  const headers = { ...options.headers };
  if (hasKey()) headers["X-API-Key"] = sessionStorage.getItem(KEY);
  let response, text;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
    text = await response.text();
  } catch {
    throw new ServiceUnreachable("The service does not respond");
  }
  return { status: response.status, ok: response.ok, text };
}

function parseDetail(text) {
  try {
    const { detail } = JSON.parse(text);
    if (Array.isArray(detail)) return detail;
    return detail ? [{ loc: [], msg: String(detail) }] : [];
  } catch {
    return [];
  }
}

async function json(path, options) {
  const response = await request(path, options);
  if (!response.ok) throw new RequestError(response.status, parseDetail(response.text));
  return JSON.parse(response.text);
}

export async function health() {
  return JSON.parse((await request("health")).text); // also with status 503, where it gives the reason
}

export const openapi = () => json("openapi.json");
export const model = () => json("model");
export const drift = () => json("drift");

// Returns the number of prediction requests by the first digit of their status: {"2": 120, "4": 3}.
export async function requests() {
  const counts = {};
  for (const line of (await request("metrics")).text.split("\n")) {
    const match = /^prediction_requests_total\{.*endpoint="\/predict".*status="(\d).*\} (\S+)$/.exec(line);
    if (match) counts[match[1]] = (counts[match[1]] ?? 0) + Number(match[2]);
  }
  return counts;
}

// While a challenger is served, requests with the same key get predictions of the same version.
const post = (path, row, key) =>
  json(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Request-Key": key },
    body: JSON.stringify(row),
  });

export const predict = (row, key) => post("predict", row, key);
export const explain = (row, key) => post("explain", row, key);
