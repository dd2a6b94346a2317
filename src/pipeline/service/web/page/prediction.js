// Renders a prediction and, for classification, the probability of each class.

import { make, number, percent, shortened } from "./dom.js";

const MAX_CLASSES = 10;

function bar(share) {
  const filled = make("span", { class: "filled" });
  filled.style.inlineSize = `${100 * share}%`;
  return make("span", { class: "bar", "aria-hidden": "true" }, filled);
}

function probabilities(prediction) {
  const sorted = Object.entries(prediction.probabilities).sort(([, a], [, b]) => b - a);
  const [listed, others] = [sorted.slice(0, MAX_CLASSES), sorted.slice(MAX_CLASSES)];
  const rows = listed.map(([label, share]) => [shortened(label, 40), label, share]);
  if (others.length) {
    rows.push([`${others.length} other classes`, null, others.reduce((sum, [, share]) => sum + share, 0)]);
  }
  return make("dl", { class: "probabilities" }, ...rows.flatMap(([text, title, share]) => [
    make("dt", { title }, text),
    make("dd", {}, bar(share), make("span", {}, percent(share))),
  ]));
}

export function renderPrediction(prediction, productionVersion) {
  const isClassification = "probabilities" in prediction;
  const arm = prediction.model_version === productionVersion ? "" : " (challenger)";
  return [
    make("p", { class: "prediction" },
      make("output", { id: "prediction", title: String(prediction.prediction) },
        isClassification ? prediction.label : number(prediction.prediction, 6)),
      isClassification ? make("span", { class: "quiet" }, ` ${prediction.confidence.toFixed(1)} % confidence`) : null),
    isClassification ? probabilities(prediction) : null,
    make("p", { class: "quiet" }, `Prediction `, make("code", { id: "prediction-id" }, prediction.prediction_id),
      ` by version ${prediction.model_version}${arm}`),
  ];
}
