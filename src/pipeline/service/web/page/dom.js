// Elements and texts. Whatever comes from the service becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";
const shown = new WeakMap(); // element -> its markup when last shown

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

export function at(id) {
  return document.getElementById(id);
}

// Replaces what an element shows, only where it differs; a table scrolled or focused stays so.
export function show(element, ...children) {
  const next = make("div", {}, ...children);
  if (next.innerHTML === shown.get(element)) return;
  shown.set(element, next.innerHTML);
  const before = [...element.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box === document.activeElement]);
  element.replaceChildren(...next.childNodes);
  element.querySelectorAll(".scroll").forEach((box, place) => {
    const [left, focused] = before[place] ?? [0, false];
    box.scrollLeft = left;
    if (focused) box.focus({ preventScroll: true });
  });
}

export function table(caption, heads, rows) {
  const cells = (tag, values) => values.map((value, place) => {
    const numeric = heads[place].numeric ? "number" : null;
    return make(tag, { class: numeric, scope: tag === "th" ? "col" : null }, value);
  });
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    make("table", {},
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...cells("th", heads.map((head) => head.name)))),
      make("tbody", {}, ...rows.map((row) => make("tr", { class: row.class }, ...cells("td", row.cells))))));
}

export function number(value, digits = 5) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e12)) return value.toExponential(2).replace("-", "−");
  const whole = Number.isInteger(value) || size >= 10 ** digits;
  const text = value.toLocaleString("en", whole ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: digits });
  return text.replace("-", "−");
}

export function signed(value, digits = 4) {
  return (value > 0 ? "+" : "") + number(value, digits);
}

export function percent(share, digits = 1) {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(digits)} %`;
}

export function shortened(text, length) {
  return text.length <= length ? text : `${text.slice(0, Math.ceil(length / 2) - 1)}…${text.slice(-Math.floor(length / 2))}`;
}
