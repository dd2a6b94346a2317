// Helpers for elements and texts. Values from the service are inserted as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const lastMarkup = new WeakMap(); // by element

function initialize(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function make(tag, attributes = {}, ...children) {
  return initialize(document.createElement(tag), attributes, children);
}

export function makeSvg(tag, attributes = {}, ...children) {
  return initialize(document.createElementNS(SVG, tag), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

// Replaces the content of an element if it differs; tables keep their scroll position and focus.
export function show(element, ...children) {
  const next = make("div", {}, ...children);
  if (next.innerHTML === lastMarkup.get(element)) return;
  lastMarkup.set(element, next.innerHTML);
  const previous = [...element.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box === document.activeElement]);
  element.replaceChildren(...next.childNodes);
  element.querySelectorAll(".scroll").forEach((box, index) => {
    const [left, focused] = previous[index] ?? [0, false];
    box.scrollLeft = left;
    if (focused) box.focus({ preventScroll: true });
  });
}

export function table(caption, headers, rows) {
  const cells = (tag, values) => values.map((value, index) => {
    const cellClass = headers[index].numeric ? "number" : null;
    return make(tag, { class: cellClass, scope: tag === "th" ? "col" : null }, value);
  });
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    make("table", {},
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...cells("th", headers.map((header) => header.name)))),
      make("tbody", {}, ...rows.map((row) => make("tr", { class: row.class }, ...cells("td", row.cells))))));
}

export function number(value, digits = 5) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e12)) return value.toExponential(2).replace("-", "−");
  const asInteger = Number.isInteger(value) || size >= 10 ** digits;
  const text = value.toLocaleString("en", asInteger ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: digits });
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
