// Renders the model card: the model being served, its metrics, and the ids and hashes that identify it.

import { make, number, table } from "./dom.js";

const SECONDARY_METRICS = /^(fold_|training_|onnx_)/;

// Returns an id or hash that the style sheet truncates; it shows in full on focus and as a tooltip, and copies in full.
function identifier(text) {
  const code = make("code", { class: "exact", title: text, tabindex: 0 }, text);
  if (!navigator.clipboard) return code;
  const copy = make("button", { type: "button", class: "small", "aria-label": `Copy ${text}` }, "Copy");
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  return make("span", { class: "copied" }, code, copy);
}

function time(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return text;
  return make("time", { datetime: text, title: text }, date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }));
}

function metrics(caption, entries) {
  return table(caption, [{ name: "metric" }, { name: "value", numeric: true }],
    entries.map(([name, value]) => ({ cells: [name, make("span", { title: String(value) }, number(value))] })));
}

export function renderCard(card) {
  const engines = Object.entries(card.engine ?? {}).map(([rows, engine]) => `${rows.replaceAll("_", " ")}: ${engine}`);
  const facts = [
    ["Name", card.name], ["Version", card.version], ["Stage", card.stage], ["Loaded from", card.source],
    ["Family", card.family], ["Task", card.task], ["Classes", card.labels?.join(", ")],
    ["Threshold", card.threshold && number(card.threshold)],
    ["Trained", card.trained_at && time(card.trained_at)], ["Engine", engines.join("; ")],
    ["Features", card.features && number(card.features.length)],
    ["Run", card.run_id && identifier(card.run_id)], ["Logged model", card.model_id && identifier(card.model_id)],
    ["Git commit", card.git_commit && identifier(card.git_commit)],
    ...Object.entries(card.hashes ?? {}).map(([name, hash]) => [`SHA-256 of ${name.replace(/_?sha256$/, "").replaceAll("_", " ")}`, hash && identifier(hash)]),
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  const all = Object.entries(card.metrics ?? {});
  const more = all.filter(([name]) => SECONDARY_METRICS.test(name));
  return [
    make("dl", { class: "facts" }, ...facts.flatMap(([name, value]) =>
      [make("dt", {}, name), make("dd", {}, value instanceof Node ? value : String(value))])),
    metrics("Test and cross-validation metrics", all.filter(([name]) => !SECONDARY_METRICS.test(name))),
    more.length ? make("details", {}, make("summary", {}, `${more.length} more metrics`), metrics("More metrics", more)) : null,
    card.features?.length ? make("details", {}, make("summary", {}, `${number(card.features.length)} features`),
      make("ul", { class: "names" }, ...card.features.map((name) => make("li", {}, name)))) : null,
  ];
}
