// What the service answered: the prediction, and of a classification the probability of each label.

import { make, number, percent, shortened } from "./dom.js";

const MANY_LABELS = 10;

function bar(share) {
  const filled = make("span", { class: "filled" });
  filled.style.inlineSize = `${100 * share}%`;
  return make("span", { class: "bar", "aria-hidden": "true" }, filled);
}

function probabilities(answer) {
  const sorted = Object.entries(answer.probabilities).sort(([, one], [, other]) => other - one);
  const [shown, others] = [sorted.slice(0, MANY_LABELS), sorted.slice(MANY_LABELS)];
  const rows = shown.map(([label, share]) => [shortened(label, 40), label, share]);
  if (others.length) {
    rows.push([`${others.length} other labels`, null, others.reduce((sum, [, share]) => sum + share, 0)]);
  }
  return make("dl", { class: "probabilities" }, ...rows.flatMap(([text, title, share]) => [
    make("dt", { title }, text),
    make("dd", {}, bar(share), make("span", {}, percent(share))),
  ]));
}

export function answerOf(answer, productionVersion) {
  const classified = "probabilities" in answer;
  const by = answer.model_version === productionVersion ? "" : ", the challenger";
  return [
    make("p", { class: "prediction" },
      make("output", { id: "prediction", title: String(answer.prediction) },
        classified ? answer.label : number(answer.prediction, 6)),
      classified ? make("span", { class: "quiet" }, ` ${answer.confidence.toFixed(1)} % confidence`) : null),
    classified ? probabilities(answer) : null,
    make("p", { class: "quiet" }, `Prediction `, make("code", { id: "prediction-id" }, answer.prediction_id),
      ` by version ${answer.model_version}${by}`),
  ];
}
