// Renders the monitoring data, refreshed every two seconds: latency over time, rules, and drift of each column.

import { byId, make, makeSvg, number, percent, show, table } from "./dom.js";

const SPAN = 5 * 60 * 1000; // milliseconds
const MAX_COLUMNS = 20;
const points = [];

function line(name, x, y) {
  const known = points.filter((point) => typeof point[name] === "number");
  const path = known.map((point) => `${x(point.time).toFixed(1)},${y(point[name]).toFixed(1)}`).join(" ");
  const [last] = known.slice(-1);
  return [makeSvg("polyline", { class: name, points: path }),
    last ? makeSvg("circle", { class: name, cx: x(last.time), cy: y(last[name]), r: 3 }) : null];
}

// Returns the smallest round number of at least `value`, for the top of an axis.
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= value);
}

function latency() {
  const [width, height, left, bottom] = [Math.max(byId("live").clientWidth - 40, 240), 130, 44, 18];
  const highest = Math.max(...points.flatMap((point) => [point.p50 ?? 0, point.p99 ?? 0]));
  if (!(highest > 0)) return null;
  const top = roundUp(highest);
  const latest = points[points.length - 1];
  const x = (time) => width - 6 - (latest.time - time) * ((width - left - 6) / SPAN);
  const y = (value) => 6 + (1 - value / top) * (height - bottom - 6);
  const ticks = [0, top / 2, top].flatMap((value) => [
    makeSvg("line", { class: "grid", x1: left, x2: width - 6, y1: y(value), y2: y(value) }),
    makeSvg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, number(value, 3))]);
  return make("figure", {},
    make("figcaption", {}, "Latency of recent requests in ms: ",
      make("span", { class: "p50" }, `median ${number(latest.p50, 3)}`), ", ",
      make("span", { class: "p99" }, `99th percentile ${number(latest.p99, 3)}`)),
    makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", class: "line",
      "aria-label": `Latency over the last five minutes; current median ${number(latest.p50, 3)} ms, 99th percentile ${number(latest.p99, 3)} ms` },
      ...ticks, makeSvg("text", { x: left, y: height - 3 }, "5 minutes ago"),
      makeSvg("text", { x: width - 6, y: height - 3, "text-anchor": "end" }, "now"),
      ...line("p99", x, y), ...line("p50", x, y)));
}

function mark(alarm) {
  return make("span", { class: alarm ? "alarm" : "fine" }, alarm ? "alarm" : "ok");
}

// Formats a number with a fixed number of decimals, to align in a table column.
function fixed(value, digits) {
  if (typeof value !== "number") return "–";
  return value !== 0 && value < 10 ** -digits ? `< ${(10 ** -digits).toFixed(digits)}` : value.toFixed(digits);
}

function facts(report, health, requests) {
  const { window = {}, recent = {} } = report;
  const { recording = {}, tracking = {} } = health;
  const total = Object.values(requests).reduce((sum, count) => sum + count, 0);
  const shares = Object.entries(recent.classes ?? {}).sort(([, a], [, b]) => b - a).slice(0, 5);
  return [
    ["Requests", `${number(total)}, refused: ${number(requests[4] ?? 0)}, failed: ${number(requests[5] ?? 0)}`],
    ["Recent predictions", `${number(window.rows ?? 0)} of ${number(window.size)}`],
    ["Mean latency", recent.inference_ms && `${number(recent.inference_ms.mean, 3)} ms`],
    ["Mean confidence", typeof recent.confidence_mean === "number" ? `${recent.confidence_mean.toFixed(1)} %` : null],
    ["Low-confidence predictions", typeof recent.low_confidence_ratio === "number" ? percent(recent.low_confidence_ratio) : null],
    ["Predicted classes", shares.map(([label, share]) => `${label} ${percent(share, 0)}`).join(", ")],
    ["Predicted values", typeof recent.value?.mean === "number" ? `mean ${number(recent.value.mean)}, ${number(recent.value.min)} to ${number(recent.value.max)}` : null],
    ["Recorded", "written_rows" in recording ? `predictions: ${number(recording.written_rows)}, waiting: ${number(recording.queued_rows)}, dropped: ${number(recording.dropped_rows)}` : null],
    ["Recording error", recording.last_error],
    ["MLflow tracking", tracking.state && (tracking.error ? `${tracking.state}: ${tracking.error}` : tracking.state)],
    ["Dropped metric points", tracking.dropped_points ? number(tracking.dropped_points) : null],
  ].filter(([, value]) => value);
}

function rules(report) {
  if (!report.rules?.length) return null;
  return table("Rules", [{ name: "rule" }, { name: "value", numeric: true }, { name: "limit", numeric: true }, { name: "state" }],
    report.rules.map((rule) => ({
      class: rule.alarm ? "alarmed" : null,
      cells: [rule.name.replaceAll("_", " "), number(rule.value, 4), number(rule.limit, 4), mark(rule.alarm)],
    })));
}

function columns(report) {
  const all = [...(report.columns ?? [])];
  for (const output of ["prediction", "confidence"]) if (report[output]) all.push({ ...report[output], column: `the ${output}` });
  if (!all.length) return null;
  const sorted = all.sort((a, b) => b.alarm - a.alarm || (b.psi ?? 0) - (a.psi ?? 0));
  const headers = [{ name: "column" }, { name: "state" }, { name: "PSI", numeric: true }, { name: "p-value", numeric: true },
    { name: "missing", numeric: true }, { name: "in training", numeric: true }];
  const rows = sorted.slice(0, MAX_COLUMNS).map((column) => ({
    class: column.alarm ? "alarmed" : null,
    cells: [column.column, mark(column.alarm), fixed(column.psi, 3), fixed(column.p_value, 4),
      percent(column.missing_share), percent(column.reference_missing_share)],
  }));
  const hidden = sorted.length - rows.length;
  return make("div", {}, table("Recent rows compared with the training data", headers, rows),
    make("p", { class: "quiet" }, hidden > 0 ? `${number(hidden)} more columns are in GET /drift. ` : "",
      `An alarm requires a PSI above ${number(report.psi_limit)} and a p-value below ${number(report.alpha)} divided by the number of tests. The share of missing values is tested in the same way.`));
}

export function showLive(report, health, requests) {
  const { p50, p99 } = report.recent?.inference_ms ?? {};
  points.push({ time: Date.now(), p50, p99 });
  while (points[0].time < Date.now() - SPAN) points.shift();
  const { rows = 0, min_rows: minimum = 0 } = report.window ?? {};
  const [kind, state] = report.detected ? ["alarm", `Alarm: ${report.alarms.join("\n")}`]
    : rows < minimum ? ["quiet", `Not checked yet: ${number(rows)} of the required ${number(minimum)} predictions.`]
      : ["fine", "No alarm: all values are within their limits."];
  show(byId("live-state"),
    make("p", { id: "drift", class: `${kind} block`, role: "status" }, state),
    make("dl", { class: "facts" }, ...facts(report, health, requests).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])));
  show(byId("latency"), latency() ?? make("p", { class: "quiet" }, "No predictions yet: the latency is shown after the first one."));
  show(byId("rules"), rules(report));
  show(byId("columns"), columns(report), report.note && make("p", { class: "quiet" }, report.note));
  const challenger = report.challenger;
  show(byId("challenger"), challenger ? make("p", { class: challenger.detected ? "alarm block" : "quiet" },
    `Challenger, version ${challenger.model_version}: ${number(challenger.window?.rows ?? 0)} predictions, `,
    challenger.detected ? `alarm: ${challenger.alarms.join("; ")}` : "no alarm") : null);
}
