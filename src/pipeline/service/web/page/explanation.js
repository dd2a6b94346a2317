// SHAP values as a bar chart: what each feature added to the base value, or took from it.

import { draw, make, number, shortened, signed, table } from "./dom.js";

const SHOWN = 12;
const [ROW, BAR, NARROW] = [26, 16, 520];

// Returns the values with the largest effect, and the sum of all others.
function largest(shapValues) {
  const sorted = Object.entries(shapValues).sort(([, one], [, other]) => Math.abs(other) - Math.abs(one));
  const others = sorted.slice(SHOWN);
  if (others.length < 2) return sorted;
  return [...sorted.slice(0, SHOWN), [`all ${others.length} others`, others.reduce((sum, [, value]) => sum + value, 0)]];
}

function chart(bars, row, width, description) {
  const narrow = width < NARROW; // then a feature's name stands above its bar
  const [names, values] = [narrow ? 0 : Math.min(260, width * 0.38), 76];
  const [height, most] = [narrow ? ROW + 14 : ROW, Math.max(...bars.map(([, value]) => Math.abs(value)), 1e-300)];
  const below = Math.max(0, -Math.min(...bars.map(([, value]) => value), 0)) / most;
  const above = Math.max(...bars.map(([, value]) => value), 0) / most;
  // Room for the numbers at the ends of the bars, on the sides where there are any.
  const room = width - names - values * ((below > 0) + (above > 0)) - 4;
  const unit = room / (below + above || 1);
  const zero = names + (below > 0 ? values : 0) + below * unit + 2;
  const drawn = bars.flatMap(([name, value], place) => {
    const top = place * height + (narrow ? 18 : (ROW - BAR) / 2), length = (Math.abs(value) / most) * unit;
    const text = name in row && row[name] !== null ? `${name} = ${number(row[name])}` : name;
    const side = value < 0 ? "negative" : "positive";
    return [
      draw("text", narrow ? { x: 0, y: place * height + 13 } : { x: names - 8, y: top + 12, "text-anchor": "end" },
        shortened(text, narrow ? Math.floor(width / 8) : Math.floor(names / 7.4)), draw("title", {}, text)),
      draw("line", { class: "axis", x1: zero, x2: zero, y1: narrow ? top - 1 : top - 5, y2: narrow ? top + BAR + 1 : top + BAR + 5 }),
      draw("rect", { class: side, x: value < 0 ? zero - length : zero, y: top, width: Math.max(length, 0.5), height: BAR },
        draw("title", {}, `${text}: ${signed(value)}`)),
      draw("text", { class: "value", x: zero + (value < 0 ? -length - 5 : length + 5), y: top + 12,
        "text-anchor": value < 0 ? "end" : "start" }, signed(value)),
    ];
  });
  const total = bars.length * height + 4;
  return draw("svg", { viewBox: `0 0 ${width} ${total}`, width, height: total, role: "img", "aria-label": description },
    ...drawn);
}

function meaning(explained, label, sum) {
  if (explained.unit === "") return " = the prediction";
  if (explained.unit === "probability") return ` = the probability of ${label}`;
  if (typeof explained.base_value === "number") {
    return ` log-odds of ${label}, a probability of ${(100 / (1 + Math.exp(-sum))).toFixed(1)} %`;
  }
  return ` = the score of ${label} (the probabilities are the softmax of all labels' scores)`;
}

function parts(explained, label) {
  const one = typeof explained.base_value === "number";
  const base = one ? explained.base_value : explained.base_value[label];
  const shapValues = one ? explained.shap_values : explained.shap_values[label];
  return { base, shapValues, sum: Object.values(shapValues).reduce((sum, value) => sum + value, base) };
}

function drawn(explained, row, label, width) {
  const { base, shapValues, sum } = parts(explained, label);
  const bars = largest(shapValues);
  const all = Object.entries(shapValues).sort(([, one], [, other]) => Math.abs(other) - Math.abs(one));
  return [
    make("p", { id: "explanation-sum", "data-sum": sum },
      `Base value ${number(base)}, features ${signed(sum - base, 5)}, together `, make("b", {}, number(sum, 6)),
      `${meaning(explained, label, sum)}.`),
    chart(bars, row, width, `SHAP values: ${bars.map(([name, value]) => `${name} ${signed(value)}`).join(", ")}`),
    make("details", {}, make("summary", {}, `All ${all.length} values`),
      table("SHAP values", [{ name: "feature" }, { name: "value", numeric: true }],
        all.map(([name, value]) => ({ cells: [name, signed(value, 6)] })))),
  ];
}

// Shows an explanation in `box`, drawn again where the box gets another width.
export function showExplanation(box, explained, row) {
  const labels = typeof explained.base_value === "number" ? [] : Object.keys(explained.base_value);
  const body = make("div", {});
  const select = make("select", { id: "explained-label" },
    ...labels.map((label) => make("option", { value: label, selected: label === explained.label }, label)));
  const redraw = () =>
    body.replaceChildren(...drawn(explained, row, labels.length ? select.value : explained.label, body.clientWidth));
  select.addEventListener("change", redraw);
  box.replaceChildren(
    make("h3", {}, "Why: what each feature added or took"),
    labels.length ? make("p", {}, make("label", { for: "explained-label" }, "Explained label "), select) : "",
    body);
  let width = 0;
  new ResizeObserver(() => {
    if (body.isConnected && body.clientWidth !== width) {
      width = body.clientWidth;
      redraw();
    }
  }).observe(body);
}
