// A form for one row, built from the row schema in the service's OpenAPI document.

import { byId, make } from "./dom.js";

const SEARCH_THRESHOLD = 24; // columns; a form with more gets a search field
const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

// Returns the schema of one row: the first object schema with properties in the JSON body of /predict.
export function rowSchema(document) {
  const resolve = (schema) => {
    while (schema?.$ref) schema = schema.$ref.slice(2).split("/").reduce(
      (node, key) => node?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], document);
    return schema ?? {};
  };
  const queue = [document.paths?.["/predict"]?.post?.requestBody?.content?.["application/json"]?.schema];
  while (queue.length) {
    const schema = resolve(queue.shift());
    if (schema.properties) return schema;
    queue.push(...(schema.anyOf ?? schema.oneOf ?? []));
  }
  throw new Error("The service's OpenAPI document does not describe a row");
}

function kindOf(property) {
  const types = [property, ...(property.anyOf ?? property.oneOf ?? [])].flatMap((schema) => schema.type ?? []);
  return types.includes("boolean") ? "boolean" : types.includes("string") ? "text" : "number";
}

function input(id, kind, property) {
  const attributes = { id, "aria-describedby": `${id}-error`, autocomplete: "off" };
  if (kind === "boolean") {
    const options = [["", "missing"], ["true", "true"], ["false", "false"]];
    return [make("select", attributes, ...options.map(([value, text]) => make("option", { value }, text)))];
  }
  if (kind === "number") return [make("input", { ...attributes, type: "text", inputmode: "decimal" })];
  const categories = property.examples ?? [];
  return [
    make("input", { ...attributes, type: "text", list: `${id}-known`, spellcheck: "false" }),
    make("datalist", { id: `${id}-known` }, ...categories.map((value) => make("option", { value: String(value) }))),
  ];
}

export class RowForm {
  constructor(schema) {
    this.example = schema.examples?.[0] ?? schema.example ?? {};
    this.fields = Object.entries(schema.properties).map(([column, property], index) => {
      const [id, kind] = [`column-${index}`, kindOf(property)];
      const elements = input(id, kind, property);
      const error = make("p", { id: `${id}-error`, class: "error" });
      const label = make("label", { for: id, title: property.description ?? null }, column,
        make("span", { class: "quiet" }, ` ${kind}`));
      return { column, kind, input: elements[0], error, box: make("div", { class: "field" }, label, ...elements, error) };
    });
    byId("fields").replaceChildren(...this.fields.map((field) => field.box));
    byId("find").hidden = this.fields.length <= SEARCH_THRESHOLD;
    byId("fields").classList.toggle("many", this.fields.length > SEARCH_THRESHOLD);
    this.fill(this.example);
  }

  fill(row) {
    for (const { column, input } of this.fields) input.value = row[column] ?? "";
    this.showErrors([]);
  }

  search(text) {
    const pattern = text.trim().toLowerCase();
    for (const { column, box } of this.fields) box.hidden = !column.toLowerCase().includes(pattern);
  }

  // Text that is not a number is sent unchanged: the service reports the error.
  row() {
    const value = ({ kind, input }) => {
      if (input.value === "") return null;
      if (kind === "boolean") return input.value === "true";
      const parsed = Number(input.value);
      return kind === "number" && NUMBER.test(input.value.trim()) && Number.isFinite(parsed) ? parsed : input.value;
    };
    return Object.fromEntries(this.fields.map((field) => [field.column, value(field)]));
  }

  // Shows each message at the field that its `loc` names, and returns the messages without a field.
  showErrors(detail) {
    const fieldsByColumn = new Map(this.fields.map((field) => [field.column, field]));
    for (const { input, error } of this.fields) {
      input.removeAttribute("aria-invalid");
      error.textContent = "";
    }
    const others = [];
    let firstInvalid = null;
    for (const { loc, msg } of detail) {
      const field = (loc ?? []).slice(1).map((part) => fieldsByColumn.get(part)).find(Boolean);
      if (!field) {
        others.push(loc?.length > 1 ? `${loc.slice(1).join(" › ")}: ${msg}` : msg);
        continue;
      }
      field.input.setAttribute("aria-invalid", "true");
      field.error.textContent = msg;
      field.box.hidden = false;
      firstInvalid ??= field.input;
    }
    firstInvalid?.focus();
    return others;
  }
}
