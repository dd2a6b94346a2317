// A form of one row, made from the schema of rows in the service's OpenAPI document.

import { at, make } from "./dom.js";

const MANY_COLUMNS = 24; // from which they can be searched by name
const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

// Returns the schema of one row: the first object with properties that /predict takes as JSON.
export function rowSchema(document) {
  const resolved = (schema) => {
    while (schema?.$ref) schema = schema.$ref.slice(2).split("/").reduce(
      (place, key) => place?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], document);
    return schema ?? {};
  };
  const waiting = [document.paths?.["/predict"]?.post?.requestBody?.content?.["application/json"]?.schema];
  while (waiting.length) {
    const schema = resolved(waiting.shift());
    if (schema.properties) return schema;
    waiting.push(...(schema.anyOf ?? schema.oneOf ?? []));
  }
  throw new Error("the service's OpenAPI document describes no row");
}

function kindOf(property) {
  const types = [property, ...(property.anyOf ?? property.oneOf ?? [])].flatMap((schema) => schema.type ?? []);
  return types.includes("boolean") ? "boolean" : types.includes("string") ? "text" : "number";
}

function input(id, kind, property) {
  const known = { id, "aria-describedby": `${id}-error`, autocomplete: "off" };
  if (kind === "boolean") {
    const options = [["", "missing"], ["true", "true"], ["false", "false"]];
    return [make("select", known, ...options.map(([value, text]) => make("option", { value }, text)))];
  }
  if (kind === "number") return [make("input", { ...known, type: "text", inputmode: "decimal" })];
  const categories = property.examples ?? [];
  return [
    make("input", { ...known, type: "text", list: `${id}-known`, spellcheck: "false" }),
    make("datalist", { id: `${id}-known` }, ...categories.map((value) => make("option", { value: String(value) }))),
  ];
}

export class RowForm {
  constructor(schema) {
    this.example = schema.examples?.[0] ?? schema.example ?? {};
    this.fields = Object.entries(schema.properties).map(([column, property], place) => {
      const [id, kind] = [`column-${place}`, kindOf(property)];
      const made = input(id, kind, property);
      const error = make("p", { id: `${id}-error`, class: "error" });
      const label = make("label", { for: id, title: property.description ?? null }, column,
        make("span", { class: "quiet" }, ` ${kind}`));
      return { column, kind, input: made[0], error, box: make("div", { class: "field" }, label, ...made, error) };
    });
    at("fields").replaceChildren(...this.fields.map((field) => field.box));
    at("find").hidden = this.fields.length <= MANY_COLUMNS;
    at("fields").classList.toggle("many", this.fields.length > MANY_COLUMNS);
    this.fill(this.example);
  }

  fill(row) {
    for (const { column, input } of this.fields) input.value = row[column] ?? "";
    this.showErrors([]);
  }

  search(text) {
    const wanted = text.trim().toLowerCase();
    for (const { column, box } of this.fields) box.hidden = !column.toLowerCase().includes(wanted);
  }

  // What is no number goes to the service as it stands, which says what is wrong.
  row() {
    const value = ({ kind, input }) => {
      if (input.value === "") return null;
      if (kind === "boolean") return input.value === "true";
      const parsed = Number(input.value);
      return kind === "number" && NUMBER.test(input.value.trim()) && Number.isFinite(parsed) ? parsed : input.value;
    };
    return Object.fromEntries(this.fields.map((field) => [field.column, value(field)]));
  }

  // Shows each message at the field its `loc` names; returns those of no field.
  showErrors(detail) {
    const of = new Map(this.fields.map((field) => [field.column, field]));
    for (const { input, error } of this.fields) {
      input.removeAttribute("aria-invalid");
      error.textContent = "";
    }
    const others = [];
    let first = null;
    for (const { loc, msg } of detail) {
      const field = (loc ?? []).slice(1).map((part) => of.get(part)).find(Boolean);
      if (!field) {
        others.push(loc?.length > 1 ? `${loc.slice(1).join(" › ")}: ${msg}` : msg);
        continue;
      }
      field.input.setAttribute("aria-invalid", "true");
      field.error.textContent = msg;
      field.box.hidden = false;
      first ??= field.input;
    }
    first?.focus();
    return others;
  }
}
