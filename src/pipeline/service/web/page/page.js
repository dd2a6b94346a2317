// The page of a prediction service: model card, a form that predicts and explains, live latency and drift.

import { answerOf } from "./answer.js";
import { cardOf } from "./card.js";
import { at, make, show } from "./dom.js";
import { showExplanation } from "./explanation.js";
import { RowForm, rowSchema } from "./form.js";
import { showLive } from "./live.js";
import * as service from "./service.js";

const EVERY = 2000; // ms
let form = null, version = null, loaded = null, asked = 0;

function notice(text) {
  show(at("notice"), text);
  at("notice").hidden = !text;
}

function state(text, kind) {
  show(at("state"), make("span", { class: kind }, text));
}

function wantKey(wrong) {
  at("main").hidden = true;
  at("key-error").textContent = wrong ? "The service does not take this key." : "";
  if (at("key-form").hidden) {
    at("key-form").hidden = false;
    at("key").focus();
  }
  state("API key wanted", "waiting");
}

async function load() {
  const [card, document_] = await Promise.all([service.model(), service.openapi()]);
  const sameForm = form && JSON.stringify(rowSchema(document_)) === form.made;
  if (!sameForm) {
    form = new RowForm(rowSchema(document_));
    form.made = JSON.stringify(rowSchema(document_));
  }
  at("title").textContent = card.name;
  document.title = `${card.name} – prediction service`;
  show(at("card"), ...cardOf(card));
  version = card.version;
}

async function look() {
  const health = await service.health();
  if (health.status !== "ok") {
    loaded = null;
    at("main").hidden = true;
    notice(`There is no model to predict with: ${health.reason}`);
    state("no model", "alarm");
    return;
  }
  const found = `${health.source} ${health.model_version}`;
  if (found !== loaded) {
    await load();
    loaded = found;
  }
  const [report, requests] = await Promise.all([service.drift(), service.requests()]);
  at("key-form").hidden = true;
  at("main").hidden = false;
  notice((health.warnings ?? []).join("\n"));
  state(health.drift_detected ? `version ${version}, drift` : `version ${version}, ok`, health.drift_detected ? "alarm" : "fine");
  showLive(report, health, requests);
}

async function watch() {
  if (!document.hidden) {
    try {
      await look();
    } catch (error) {
      if (error.status === 401) {
        notice("");
        wantKey(service.hasKey());
      } else {
        notice(`${error.message} Trying again every ${EVERY / 1000} seconds.`);
        state(error instanceof service.Unreachable ? "not reachable" : "error", "alarm");
      }
    }
  }
  setTimeout(watch, EVERY);
}

function refused(error) {
  if (error.status === 401) wantKey(service.hasKey());
  const others = error.detail ? form.showErrors(error.detail) : [];
  at("form-error").textContent = error.detail?.length ? others.join("\n") : error.message;
}

async function predict() {
  const [row, mine, key] = [form.row(), ++asked, `page ${Math.random()}`];
  form.showErrors([]);
  at("form-error").textContent = "";
  at("explanation").replaceChildren();
  try {
    const answer = await service.predict(row, key);
    if (mine !== asked) return;
    at("answer").replaceChildren(...answerOf(answer, version).filter(Boolean));
    at("explanation").replaceChildren(make("p", { class: "quiet" }, "Explaining…"));
    const explained = await service.explain(row, key);
    if (mine === asked) showExplanation(at("explanation"), explained, row);
  } catch (error) {
    if (mine !== asked) return;
    if (at("explanation").hasChildNodes()) {
      at("explanation").replaceChildren(make("p", { class: "error" }, `Not explained: ${error.message}`));
      return;
    }
    at("answer").replaceChildren();
    refused(error);
  }
}

at("row-form").addEventListener("submit", (event) => {
  event.preventDefault();
  predict();
});
at("fill-example").addEventListener("click", () => form.fill(form.example));
at("clear").addEventListener("click", () => form.fill({}));
at("find-column").addEventListener("input", (event) => form.search(event.target.value));
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  service.useKey(at("key").value.trim());
  look().catch((error) => {
    if (error.status === 401) wantKey(true);
    else notice(error.message);
  });
});
watch();
