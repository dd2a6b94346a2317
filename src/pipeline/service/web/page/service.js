// Requests to the service, with the API key where one is wanted.

const KEY = "api-key";

export class Refused extends Error {
  constructor(status, detail) {
    super(detail[0]?.msg ?? `the service answered with status ${status}`);
    this.status = status;
    this.detail = detail;
  }
}

export class Unreachable extends Error {}

export function useKey(key) {
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
    throw new Unreachable("The service does not answer.");
  }
  return { status: response.status, ok: response.ok, text };
}

function detailOf(text) {
  try {
    const { detail } = JSON.parse(text);
    if (Array.isArray(detail)) return detail;
    return detail ? [{ loc: [], msg: String(detail) }] : [];
  } catch {
    return [];
  }
}

async function json(path, options) {
  const answer = await request(path, options);
  if (!answer.ok) throw new Refused(answer.status, detailOf(answer.text));
  return JSON.parse(answer.text);
}

export async function health() {
  return JSON.parse((await request("health")).text); // with status 503 too it says why
}

export const openapi = () => json("openapi.json");
export const model = () => json("model");
export const drift = () => json("drift");

// Answered requests for predictions by the first digit of their status: {"2": 120, "4": 3}.
export async function requests() {
  const counts = {};
  for (const line of (await request("metrics")).text.split("\n")) {
    const found = /^prediction_requests_total\{.*endpoint="\/predict".*status="(\d).*\} (\S+)$/.exec(line);
    if (found) counts[found[1]] = (counts[found[1]] ?? 0) + Number(found[2]);
  }
  return counts;
}

// Requests of the same key are answered by the same version, where a challenger is tried.
const post = (path, row, key) =>
  json(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Request-Key": key },
    body: JSON.stringify(row),
  });

export const predict = (row, key) => post("predict", row, key);
export const explain = (row, key) => post("explain", row, key);
