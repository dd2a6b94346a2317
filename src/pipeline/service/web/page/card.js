// The model card: which model answers, how good it was in its test, and what names it exactly.

import { make, number, table } from "./dom.js";

const DETAILS = /^(fold_|training_|onnx_)/; // metrics for a second look

// A long text, cut off by the style sheet: selected and copied it is whole, pointed at or focused it is shown.
function exact(text) {
  const whole = make("code", { class: "exact", title: text, tabindex: 0 }, text);
  if (!navigator.clipboard) return whole;
  const copy = make("button", { type: "button", class: "small", "aria-label": `Copy ${text}` }, "Copy");
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  return make("span", { class: "copied" }, whole, copy);
}

function time(text) {
  const when = new Date(text);
  if (Number.isNaN(when.getTime())) return text;
  return make("time", { datetime: text, title: text }, when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }));
}

function metrics(caption, entries) {
  return table(caption, [{ name: "metric" }, { name: "value", numeric: true }],
    entries.map(([name, value]) => ({ cells: [name, make("span", { title: String(value) }, number(value))] })));
}

export function cardOf(card) {
  const engines = Object.entries(card.engine ?? {}).map(([rows, engine]) => `${rows.replaceAll("_", " ")}: ${engine}`);
  const facts = [
    ["Name", card.name], ["Version", card.version], ["Stage", card.stage], ["Loaded from", card.source],
    ["Family", card.family], ["Task", card.task], ["Labels", card.labels?.join(", ")],
    ["Trained", card.trained_at && time(card.trained_at)], ["Engine", engines.join("; ")],
    ["Features", card.features && number(card.features.length)],
    ["Run", card.run_id && exact(card.run_id)], ["Logged model", card.model_id && exact(card.model_id)],
    ["Git commit", card.git_commit && exact(card.git_commit)],
    ...Object.entries(card.hashes ?? {}).map(([name, hash]) => [`SHA-256 of ${name.replace(/_?sha256$/, "").replaceAll("_", " ")}`, hash && exact(hash)]),
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  const all = Object.entries(card.metrics ?? {});
  const more = all.filter(([name]) => DETAILS.test(name));
  return [
    make("dl", { class: "facts" }, ...facts.flatMap(([name, value]) =>
      [make("dt", {}, name), make("dd", {}, value instanceof Node ? value : String(value))])),
    metrics("Metrics of its test and cross-validation", all.filter(([name]) => !DETAILS.test(name))),
    more.length ? make("details", {}, make("summary", {}, `${more.length} more metrics`), metrics("More metrics", more)) : null,
    card.features?.length ? make("details", {}, make("summary", {}, `${number(card.features.length)} features`),
      make("ul", { class: "names" }, ...card.features.map((name) => make("li", {}, name)))) : null,
  ];
}
