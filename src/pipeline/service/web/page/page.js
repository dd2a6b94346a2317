// The page of a prediction service: model card, form for predictions and explanations, monitoring.

import { renderCard } from "./card.js";
import { byId, make, show } from "./dom.js";
import { showExplanation } from "./explanation.js";
import { RowForm, rowSchema } from "./form.js";
import { showLive } from "./live.js";
import { renderPrediction } from "./prediction.js";
import * as service from "./service.js";

const POLL_INTERVAL = 2000; // milliseconds
let form = null, version = null, loadedModel = null, requestNumber = 0;

function showNotice(text) {
  show(byId("notice"), text);
  byId("notice").hidden = !text;
}

function showState(text, kind) {
  show(byId("state"), make("span", { class: kind }, text));
}

function askForKey(isWrong) {
  byId("main").hidden = true;
  byId("key-error").textContent = isWrong ? "The service rejected this key." : "";
  if (byId("key-form").hidden) {
    byId("key-form").hidden = false;
    byId("key").focus();
  }
  showState("API key required", "waiting");
}

async function load() {
  const [card, document_] = await Promise.all([service.model(), service.openapi()]);
  const schema = rowSchema(document_), schemaText = JSON.stringify(schema);
  if (form?.schemaText !== schemaText) {
    form = new RowForm(schema);
    form.schemaText = schemaText;
  }
  byId("title").textContent = card.name;
  document.title = `${card.name} – prediction service`;
  show(byId("card"), ...renderCard(card));
  version = card.version;
}

async function refresh() {
  const health = await service.health();
  if (health.status !== "ok") {
    loadedModel = null;
    byId("main").hidden = true;
    const isLoading = health.status === "loading";
    showNotice(isLoading ? "The model is being loaded." : `No model is being served: ${health.reason}`);
    showState(health.status, isLoading ? "waiting" : "alarm");
    return;
  }
  const currentModel = `${health.source} ${health.model_version}`;
  if (currentModel !== loadedModel) {
    await load();
    loadedModel = currentModel;
  }
  const [report, requests] = await Promise.all([service.drift(), service.requests()]);
  byId("key-form").hidden = true;
  byId("main").hidden = false;
  showNotice((health.warnings ?? []).join("\n"));
  showState(health.drift_detected ? `version ${version}, drift` : `version ${version}, ok`, health.drift_detected ? "alarm" : "fine");
  showLive(report, health, requests);
}

async function poll() {
  if (!document.hidden) {
    try {
      await refresh();
    } catch (error) {
      if (error.status === 401) {
        showNotice("");
        askForKey(service.hasKey());
      } else {
        showNotice(`${error.message} (retrying every ${POLL_INTERVAL / 1000} seconds)`);
        showState(error instanceof service.ServiceUnreachable ? "unreachable" : "error", "alarm");
      }
    }
  }
  setTimeout(poll, POLL_INTERVAL);
}

function showRequestError(error) {
  if (error.status === 401) askForKey(service.hasKey());
  const others = error.detail ? form.showErrors(error.detail) : [];
  byId("form-error").textContent = error.detail?.length ? others.join("\n") : error.message;
}

async function predict() {
  const [row, number, key] = [form.row(), ++requestNumber, `page ${Math.random()}`];
  form.showErrors([]);
  byId("form-error").textContent = "";
  byId("explanation").replaceChildren();
  try {
    const prediction = await service.predict(row, key);
    if (number !== requestNumber) return;
    byId("result").replaceChildren(...renderPrediction(prediction, version).filter(Boolean));
    byId("explanation").replaceChildren(make("p", { class: "quiet" }, "Explaining…"));
    const explanation = await service.explain(row, key);
    if (number === requestNumber) showExplanation(byId("explanation"), explanation, row);
  } catch (error) {
    if (number !== requestNumber) return;
    if (byId("explanation").hasChildNodes()) {
      byId("explanation").replaceChildren(make("p", { class: "error" }, `The explanation failed: ${error.message}`));
      return;
    }
    byId("result").replaceChildren();
    showRequestError(error);
  }
}

byId("row-form").addEventListener("submit", (event) => {
  event.preventDefault();
  predict();
});
byId("fill-example").addEventListener("click", () => form.fill(form.example));
byId("clear").addEventListener("click", () => form.fill({}));
byId("find-column").addEventListener("input", (event) => form.search(event.target.value));
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  service.setKey(byId("key").value.trim());
  refresh().catch((error) => {
    if (error.status === 401) askForKey(true);
    else showNotice(error.message);
  });
});
poll();
