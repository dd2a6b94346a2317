"""The service's pages in headless Chromium: they show, predict and explain, and ask nobody else for anything."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
import uvicorn
from selenium import webdriver
from selenium.webdriver.chrome.service import Service as Driver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from pipeline.params.schema import MonitorParams, RegisterParams
from pipeline.register.stage import Registration, register
from pipeline.service.service import Service
from pipeline.service.settings import Settings
from pipeline.service.web.app import create_app
from support.folders import Trained, enter
from support.served import TASKS, served
from support.servers import free_port
from support.services import Running, service

pytestmark = pytest.mark.xdist_group("service_page")  # they share what a fixture makes

KEY = "a key with <b>signs</b>"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1280,1400"
)
SECONDS = 30  # that anything may take to show
Page = webdriver.Chrome


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Start a browser."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("Debian's packages chromium and chromium-driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs[0])
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options, Driver(programs[1])) as started:
        yield started


@pytest.fixture(scope="module")
def running(trained_once: Trained) -> Iterator[Running]:
    """Serve the best model of a trained pipeline folder, with an API key."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(trained_once.folder, monkeypatch)
        asked = Registration("Production", trained_once.experiments[0].run_id, force=True, reason="test")
        register(RegisterParams(model_name="shown"), trained_once.folder, asked)
        with service(trained_once.folder, MLFLOW_MODEL_NAME="shown", SERVICE_API_KEY=KEY) as started:
            yield started


@contextmanager
def serving(name: str, task: str, folder: Path) -> Iterator[str]:
    """Serve a small model from this process, and yield the address."""
    model, columns = served(name, TASKS[task])
    card = {"name": model.name, "version": model.version, "task": "classification"}
    row = {column: values[0] for column, values in columns.items()}
    joined = Service(Settings(enable_mlflow_tracking=False), MonitorParams(), folder)
    joined.watcher.models = {"production": replace(model, card=card, example=row)}
    server = uvicorn.Server(
        uvicorn.Config(create_app(joined), port=free_port(), lifespan="off", ws="none", log_config=None)
    )
    thread = threading.Thread(target=server.run)
    joined.recorder.start()
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.config.port}"
    finally:
        server.should_exit = True
        thread.join()
        joined.recorder.stop(10)


def until(page: Page, what: Callable[[Page], Any]) -> Any:
    return WebDriverWait(page, SECONDS, 0.05).until(what)


def shown(page: Page, selector: str) -> Any:
    """Wait until an element shows, and return it."""
    return until(page, lambda page: next((one for one in all_of(page, selector) if one.is_displayed()), None))


def all_of(page: Page, selector: str) -> Any:
    return page.find_elements(By.CSS_SELECTOR, selector)


def texts(page: Page, selector: str) -> list[str]:
    """Return the texts of the elements that show, all as they are at one moment."""
    visible = "[...document.querySelectorAll(arguments[0])].filter((one) => one.checkVisibility())"
    found: list[str] = page.execute_script(f"return {visible}.map((one) => one.textContent)", selector)
    return found


def text(page: Page, selector: str) -> str:
    """Wait until an element shows a text, and return it."""
    return next(filter(None, until(page, lambda page: texts(page, selector))))


def open_page(page: Page, address: str, key: str | None = KEY) -> None:
    page.get(f"{address}/docs")
    page.execute_script(
        "sessionStorage.clear(); if (arguments[0]) sessionStorage.setItem('api-key', arguments[0])", key
    )
    page.get_log("browser")  # of the page before
    page.get(address)


def check_quiet(page: Page, *expected: int) -> None:
    """Nothing went wrong but the statuses that are expected, and nobody else was asked."""
    messages = [entry["message"] for entry in page.get_log("browser")]
    assert [one for one in messages if not any(f"status of {status} " in one for status in expected)] == []
    asked = page.execute_script("return performance.getEntries().map((entry) => entry.name)")
    asked = [name for name in asked if "://" in name]
    origin = page.execute_script("return location.origin")
    assert len(asked) >= 5
    assert {name for name in asked if not name.startswith(f"{origin}/")} == set()


def predict(page: Page) -> None:
    shown(page, "#row-form button.first").click()


def field(page: Page, column: str) -> Any:
    """Return the input of a column."""
    shown(page, "#fields label")
    labels = [one.rpartition(" ")[0] for one in texts(page, "#fields label")]
    return page.find_element(By.ID, f"column-{labels.index(column)}")


def test_who_has_the_key_sees_which_model_answers(chrome: Page, running: Running) -> None:
    open_page(chrome, running.address, key=None)
    assert shown(chrome, "#key").accessible_name == "This service requires an API key"
    assert not shown(chrome, "body").find_element(By.ID, "main").is_displayed()
    shown(chrome, "#key").send_keys("another", Keys.ENTER)
    assert text(chrome, "#key-error") == "The service rejected this key."
    shown(chrome, "#key").clear()
    shown(chrome, "#key").send_keys(KEY, Keys.ENTER)
    card = requests.get(f"{running.address}/model", headers={"X-API-Key": KEY}, timeout=10).json()
    facts = text(chrome, "#card .facts")
    assert text(chrome, "h1") == "shown"
    assert text(chrome, "#state") == "version 1, ok"
    assert all(fact in facts for fact in ("Production", "xgboost", "regression", "ONNX Runtime"))
    exact = [one.get_attribute("title") for one in all_of(chrome, "#card .exact")]
    assert {card["run_id"], card["model_id"], *card["hashes"].values()} <= set(exact)
    assert text(chrome, "#card caption") == "Test and cross-validation metrics"
    assert f"test_rmse{card['metrics']['test_rmse']:,.0f}" in text(chrome, "#card table")
    assert not all_of(chrome, "#key-form:not([hidden])")
    check_quiet(chrome, 401)


def test_the_form_predicts_and_explains(chrome: Page, running: Running) -> None:
    open_page(chrome, running.address)
    document = requests.get(f"{running.address}/openapi.json", timeout=10).json()
    row = document["components"]["schemas"]["Row"]
    for column, value in row["examples"][0].items():
        as_text = "" if value is None else json.dumps(value).strip('"').removesuffix(".0")
        assert field(chrome, column).get_attribute("value") == as_text
    known = field(chrome, "place").get_attribute("list")
    options = [one.get_attribute("value") for one in all_of(chrome, f"#{known} option")]
    assert options == row["properties"]["place"]["examples"]
    predict(chrome)
    answer, said = shown(chrome, "#prediction"), shown(chrome, "#explanation-sum")
    headers = {"X-API-Key": KEY}
    one = requests.post(f"{running.address}/predict", json=row["examples"][0], headers=headers, timeout=10).json()
    assert float(answer.get_attribute("title")) == pytest.approx(one["prediction"])
    assert text(chrome, "#prediction-id").rpartition("-")[0] == one["prediction_id"].rpartition("-")[0]
    assert float(said.get_attribute("data-sum")) == pytest.approx(one["prediction"], rel=1e-5)
    assert f"{one['prediction']:,.0f}" in said.text
    explained = requests.post(f"{running.address}/explain", json=row["examples"][0], headers=headers, timeout=60).json()
    bars = {side: len(all_of(chrome, f"#explanation rect.{side}")) for side in ("positive", "negative")}
    assert sum(bars.values()) == min(len(explained["shap_values"]), 13)
    largest = max(explained["shap_values"], key=lambda name: abs(explained["shap_values"][name]))
    assert texts(chrome, "#explanation svg text")[0].startswith(largest)
    wide = all_of(chrome, "#explanation rect")[0]
    assert wide.get_attribute("class") == ("positive" if explained["shap_values"][largest] > 0 else "negative")
    assert wide.rect["width"] == max(one.rect["width"] for one in all_of(chrome, "#explanation rect"))
    check_quiet(chrome)


def test_what_is_wrong_is_said_at_its_field(chrome: Page, running: Running) -> None:
    open_page(chrome, running.address)
    wrong = field(chrome, "rooms")
    wrong.clear()
    wrong.send_keys("1e999")
    predict(chrome)
    until(chrome, lambda page: wrong.get_attribute("aria-invalid") == "true")
    message = chrome.find_element(By.ID, wrong.get_attribute("aria-describedby"))
    assert "number" in message.text
    assert chrome.switch_to.active_element == wrong
    assert len(all_of(chrome, "[aria-invalid]")) == 1
    assert not all_of(chrome, "#prediction")
    shown(chrome, "#clear").click()  # all values are missing: that is answered
    predict(chrome)
    shown(chrome, "#explanation-sum")
    assert not all_of(chrome, "[aria-invalid]")
    check_quiet(chrome, 422)


def test_drift_shows_while_it_happens(chrome: Page, running: Running) -> None:
    open_page(chrome, running.address)
    assert text(chrome, "#drift").startswith("Not checked yet")
    row = {"size <m2>": 900.0, "rooms": 3, "place": "INLAND", "garden": True}
    headers = {"X-API-Key": KEY}
    for _ in range(3):
        done = requests.post(f"{running.address}/predict", json=[row] * 100, headers=headers, timeout=10)
        assert done.status_code == 200, done.text
    until(chrome, lambda page: text(page, "#drift").startswith("Alarm"))
    assert text(chrome, "#state") == "version 1, drift"
    assert "size <m2>" in texts(chrome, "#columns tr.alarmed td:first-child")
    assert "mean inference ms" in text(chrome, "#rules")
    assert "refused: " in text(chrome, "#live-state")
    until(chrome, lambda page: len(all_of(page, "#latency polyline.p99")) == 1)
    assert all_of(chrome, "#latency circle.p50")
    check_quiet(chrome)


def test_of_several_labels_each_has_its_probability_and_explanation(chrome: Page, tmp_path: Path) -> None:
    with serving("random_forest", "three", tmp_path) as address:
        open_page(chrome, address, key=None)
        garden = Select(field(chrome, "garden"))
        assert [one.text for one in garden.options] == ["missing", "true", "false"]
        garden.select_by_visible_text("false")
        predict(chrome)
        said = shown(chrome, "#explanation-sum")
        labels = texts(chrome, ".probabilities dt")
        shares = [float(one.removesuffix(" %")) for one in texts(chrome, ".probabilities dd")]
        assert sorted(labels) == ["<c>", "a", "b b"]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(100, abs=0.2)
        assert text(chrome, "#prediction") == labels[0]
        choice = Select(shown(chrome, "#explained-label"))
        assert choice.first_selected_option.text == labels[0]
        for label, share in zip(labels, shares, strict=True):
            choice.select_by_visible_text(label)
            said = shown(chrome, "#explanation-sum")
            assert float(said.get_attribute("data-sum")) == pytest.approx(share / 100, abs=1e-3)
            assert f"the probability of {label}" in said.text
        assert not all_of(chrome, "m2, c")  # names of columns and labels are text, never markup
        size = {"width": 380, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            until(chrome, lambda page: page.find_element(By.CSS_SELECTOR, "#explanation svg").size["width"] < 380)
            assert chrome.execute_script("return document.documentElement.scrollWidth") <= 380
        finally:
            chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        check_quiet(chrome)


def test_of_two_labels_the_log_odds_of_the_positive_one_are_explained(chrome: Page, tmp_path: Path) -> None:
    with serving("xgboost", "binary", tmp_path) as address:
        open_page(chrome, address, key=None)
        predict(chrome)
        said = text(chrome, "#explanation-sum")
        assert not all_of(chrome, "#explained-label")
        shares = dict(zip(texts(chrome, ".probabilities dt"), texts(chrome, ".probabilities dd"), strict=True))
        assert f"log-odds of True, a probability of {shares['True']}" in said
        check_quiet(chrome)


def test_without_a_model_the_page_says_why(chrome: Page, tmp_path: Path) -> None:
    off = {"ENABLE_MODEL_REGISTRY": "false", "ENABLE_MLFLOW_TRACKING": "false"}
    with service(tmp_path, None, **off) as running:
        until(chrome, lambda page: running.health()["reason"])
        open_page(chrome, running.address, key=None)
        assert running.health()["reason"] in text(chrome, "#notice")
        assert text(chrome, "#state") == "no model"
        assert not chrome.find_element(By.ID, "main").is_displayed()
    until(chrome, lambda page: "does not respond" in text(page, "#notice"))


def test_the_api_documentation_shows_the_models_columns(chrome: Page, running: Running) -> None:
    chrome.get_log("browser")
    chrome.get(f"{running.address}/docs")
    shown(chrome, "#operations-default-predict button").click()
    assert "size <m2>" in text(chrome, "#operations-default-predict .body-param__example")
    check_quiet(chrome)


def test_pages_neither_load_nor_ask_for_anything_from_elsewhere(chrome: Page, running: Running) -> None:
    for path in ("/", "/docs"):
        headers = requests.get(f"{running.address}{path}", timeout=10).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "script-src 'self';" in headers["content-security-policy"]
        chrome.get(f"{running.address}{path}")
        chrome.get_log("browser")
        ask = "const done = arguments[1]; fetch(arguments[0]).then(() => done(true), () => done(false))"
        assert chrome.execute_async_script(ask, f"http://localhost:{free_port()}/") is False
        assert "Content Security Policy" in json.dumps(chrome.get_log("browser"))
    for name in ("index.html", "..%2fpages.py", "none.js"):
        assert requests.get(f"{running.address}/page/{name}", timeout=10).status_code == 404
    assert pd.Series(["<script", "onclick"]).map(
        requests.get(f"{running.address}/", timeout=10).text.count
    ).tolist() == [1, 0]
