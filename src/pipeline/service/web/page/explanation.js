// Renders SHAP values as a bar chart: how much each feature raised or lowered the base value.

import { make, makeSvg, number, shortened, signed, table } from "./dom.js";

const MAX_BARS = 12;
const [ROW, BAR, NARROW] = [26, 16, 520]; // pixels

// Returns the values with the largest effect, and the sum of the others.
function largest(shapValues) {
  const sorted = Object.entries(shapValues).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
  const others = sorted.slice(MAX_BARS);
  if (others.length < 2) return sorted;
  return [...sorted.slice(0, MAX_BARS), [`${others.length} other features`, others.reduce((sum, [, value]) => sum + value, 0)]];
}

function chart(bars, row, width, description) {
  const narrow = width < NARROW; // puts the name of a feature above its bar
  const [names, values] = [narrow ? 0 : Math.min(260, width * 0.38), 76];
  const [height, maximum] = [narrow ? ROW + 14 : ROW, Math.max(...bars.map(([, value]) => Math.abs(value)), 1e-300)];
  const below = Math.max(0, -Math.min(...bars.map(([, value]) => value), 0)) / maximum;
  const above = Math.max(...bars.map(([, value]) => value), 0) / maximum;
  // Leave space for the numbers at the ends of the bars, on each side that has bars.
  const available = width - names - values * ((below > 0) + (above > 0)) - 4;
  const unit = available / (below + above || 1);
  const zero = names + (below > 0 ? values : 0) + below * unit + 2;
  const marks = bars.flatMap(([name, value], index) => {
    const top = index * height + (narrow ? 18 : (ROW - BAR) / 2), length = (Math.abs(value) / maximum) * unit;
    const text = name in row && row[name] !== null ? `${name} = ${number(row[name])}` : name;
    const side = value < 0 ? "negative" : "positive";
    return [
      makeSvg("text", narrow ? { x: 0, y: index * height + 13 } : { x: names - 8, y: top + 12, "text-anchor": "end" },
        shortened(text, narrow ? Math.floor(width / 8) : Math.floor(names / 7.4)), makeSvg("title", {}, text)),
      makeSvg("line", { class: "axis", x1: zero, x2: zero, y1: narrow ? top - 1 : top - 5, y2: narrow ? top + BAR + 1 : top + BAR + 5 }),
      makeSvg("rect", { class: side, x: value < 0 ? zero - length : zero, y: top, width: Math.max(length, 0.5), height: BAR },
        makeSvg("title", {}, `${text}: ${signed(value)}`)),
      makeSvg("text", { class: "value", x: zero + (value < 0 ? -length - 5 : length + 5), y: top + 12,
        "text-anchor": value < 0 ? "end" : "start" }, signed(value)),
    ];
  });
  const total = bars.length * height + 4;
  return makeSvg("svg", { viewBox: `0 0 ${width} ${total}`, width, height: total, role: "img", "aria-label": description },
    ...marks);
}

function meaning(explanation, label, sum) {
  if (explanation.unit === "") return ", the prediction";
  if (explanation.unit === "log") return ", the logarithm of the prediction";
  if (explanation.unit === "probability") return `, the probability of ${label}`;
  if (typeof explanation.base_value === "number") {
    return ` log-odds of ${label}, a probability of ${(100 / (1 + Math.exp(-sum))).toFixed(1)} %`;
  }
  return `, the score of ${label} (the softmax of all scores gives the probabilities)`;
}

function parts(explanation, label) {
  const hasOneOutput = typeof explanation.base_value === "number";
  const base = hasOneOutput ? explanation.base_value : explanation.base_value[label];
  const shapValues = hasOneOutput ? explanation.shap_values : explanation.shap_values[label];
  return { base, shapValues, sum: Object.values(shapValues).reduce((sum, value) => sum + value, base) };
}

function render(explanation, row, label, width) {
  const { base, shapValues, sum } = parts(explanation, label);
  const bars = largest(shapValues);
  const all = Object.entries(shapValues).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
  return [
    make("p", { id: "explanation-sum", "data-sum": sum },
      `Base value ${number(base)}, sum of SHAP values ${signed(sum - base, 5)}, total `, make("b", {}, number(sum, 6)),
      `${meaning(explanation, label, sum)}.`),
    chart(bars, row, width, `SHAP values: ${bars.map(([name, value]) => `${name} ${signed(value)}`).join(", ")}`),
    make("details", {}, make("summary", {}, `All ${all.length} values`),
      table("SHAP values", [{ name: "feature" }, { name: "value", numeric: true }],
        all.map(([name, value]) => ({ cells: [name, signed(value, 6)] })))),
  ];
}

// Shows an explanation in `box`, and redraws it when the width of the box changes.
export function showExplanation(box, explanation, row) {
  const classes = typeof explanation.base_value === "number" ? [] : Object.keys(explanation.base_value);
  const body = make("div", {});
  const select = make("select", { id: "explained-label" },
    ...classes.map((label) => make("option", { value: label, selected: label === explanation.label }, label)));
  const redraw = () =>
    body.replaceChildren(...render(explanation, row, classes.length ? select.value : explanation.label, body.clientWidth));
  select.addEventListener("change", redraw);
  box.replaceChildren(
    make("h3", {}, "Explanation: effect of each feature"),
    classes.length ? make("p", {}, make("label", { for: "explained-label" }, "Explained class "), select) : "",
    body);
  let width = 0;
  new ResizeObserver(() => {
    if (body.isConnected && body.clientWidth !== width) {
      width = body.clientWidth;
      redraw();
    }
  }).observe(body);
}
