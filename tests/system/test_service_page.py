"""The service's pages in headless Chromium: they show, predict, explain, and load nothing from other origins."""

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
from support.served_models import TASKS, small_model
from support.servers import free_port
from support.services import RunningService, service

pytestmark = pytest.mark.xdist_group("service_page")  # share a module-scoped fixture

KEY = "a key with <b>signs</b>"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1280,1400"
)
TIMEOUT = 30  # seconds for anything to appear
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
def running(trained_module: Trained) -> Iterator[RunningService]:
    """Serve the best model of a trained pipeline folder, with an API key."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(trained_module.folder, monkeypatch)
        registration = Registration("Production", trained_module.experiments[0].run_id, force=True, reason="test")
        register(RegisterParams(model_name="shown"), trained_module.folder, registration)
        with service(trained_module.folder, MLFLOW_MODEL_NAME="shown", SERVICE_API_KEY=KEY) as started:
            yield started


@contextmanager
def serving(name: str, task: str, folder: Path) -> Iterator[str]:
    """Serve a small model from this process and yield its address."""
    model, columns = small_model(name, TASKS[task])
    card = {"name": model.name, "version": model.version, "task": "classification"}
    row = {column: values[0] for column, values in columns.items()}
    local_service = Service(Settings(enable_mlflow_tracking=False), MonitorParams(), folder)
    local_service.watcher.models = {"production": replace(model, card=card, example=row)}
    server = uvicorn.Server(
        uvicorn.Config(create_app(local_service), port=free_port(), lifespan="off", ws="none", log_config=None)
    )
    thread = threading.Thread(target=server.run)
    local_service.recorder.start()
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.config.port}"
    finally:
        server.should_exit = True
        thread.join()
        local_service.recorder.stop(10)


def wait_until(page: Page, condition: Callable[[Page], Any]) -> Any:
    """Wait until a condition is true and return its value."""
    return WebDriverWait(page, TIMEOUT, 0.05).until(condition)


def wait_visible(page: Page, selector: str) -> Any:
    """Wait until an element is visible and return it."""
    return wait_until(
        page, lambda page: next((element for element in elements(page, selector) if element.is_displayed()), None)
    )


def elements(page: Page, selector: str) -> Any:
    """Return all elements of a selector."""
    return page.find_elements(By.CSS_SELECTOR, selector)


def visible_texts(page: Page, selector: str) -> list[str]:
    """Return the texts of all visible elements, read at one moment."""
    visible = "[...document.querySelectorAll(arguments[0])].filter((element) => element.checkVisibility())"
    contents: list[str] = page.execute_script(f"return {visible}.map((element) => element.textContent)", selector)
    return contents


def wait_text(page: Page, selector: str) -> str:
    """Wait until a visible element has text and return that text."""
    return next(filter(None, wait_until(page, lambda page: visible_texts(page, selector))))


def open_page(page: Page, address: str, key: str | None = KEY) -> None:
    """Open the page with a stored API key, and an empty browser log."""
    page.get(f"{address}/docs")
    page.execute_script(
        "sessionStorage.clear(); if (arguments[0]) sessionStorage.setItem('api-key', arguments[0])", key
    )
    page.get_log("browser")  # discard entries of the previous page
    page.get(address)


def check_quiet(page: Page, *expected: int) -> None:
    """Check that the browser logged only the expected statuses and requested nothing from other origins."""
    messages = [entry["message"] for entry in page.get_log("browser")]
    unexpected = [message for message in messages if not any(f"status of {status} " in message for status in expected)]
    assert unexpected == []
    names = page.execute_script("return performance.getEntries().map((entry) => entry.name)")
    addresses = [name for name in names if "://" in name]
    origin = page.execute_script("return location.origin")
    assert len(addresses) >= 5
    assert {name for name in addresses if not name.startswith(f"{origin}/")} == set()


def predict(page: Page) -> None:
    """Submit the form."""
    wait_visible(page, "#row-form button.first").click()


def field(page: Page, column: str) -> Any:
    """Return the input of a column."""
    wait_visible(page, "#fields label")
    labels = [label.rpartition(" ")[0] for label in visible_texts(page, "#fields label")]
    return page.find_element(By.ID, f"column-{labels.index(column)}")


def test_api_key_is_required_for_the_model_card(chrome: Page, running: RunningService) -> None:
    open_page(chrome, running.address, key=None)
    assert wait_visible(chrome, "#key").accessible_name == "This service requires an API key"
    assert not wait_visible(chrome, "body").find_element(By.ID, "main").is_displayed()
    wait_visible(chrome, "#key").send_keys("another", Keys.ENTER)
    assert wait_text(chrome, "#key-error") == "The service rejected this key."
    wait_visible(chrome, "#key").clear()
    wait_visible(chrome, "#key").send_keys(KEY, Keys.ENTER)
    card = requests.get(f"{running.address}/model", headers={"X-API-Key": KEY}, timeout=10).json()
    facts = wait_text(chrome, "#card .facts")
    assert wait_text(chrome, "h1") == "shown"
    assert wait_text(chrome, "#state") == "version 1, ok"
    assert all(fact in facts for fact in ("Production", "xgboost", "regression", "ONNX Runtime"))
    exact = [element.get_attribute("title") for element in elements(chrome, "#card .exact")]
    assert {card["run_id"], card["model_id"], *card["hashes"].values()} <= set(exact)
    assert wait_text(chrome, "#card caption") == "Test and cross-validation metrics"
    assert f"test_rmse{card['metrics']['test_rmse']:,.0f}" in wait_text(chrome, "#card table")
    assert not elements(chrome, "#key-form:not([hidden])")
    check_quiet(chrome, 401)


def test_form_predicts_and_explains(chrome: Page, running: RunningService) -> None:
    open_page(chrome, running.address)
    schema = requests.get(f"{running.address}/openapi.json", timeout=10).json()
    row = schema["components"]["schemas"]["Row"]
    for column, value in row["examples"][0].items():
        as_text = "" if value is None else json.dumps(value).strip('"').removesuffix(".0")
        assert field(chrome, column).get_attribute("value") == as_text
    datalist = field(chrome, "place").get_attribute("list")
    options = [option.get_attribute("value") for option in elements(chrome, f"#{datalist} option")]
    assert options == row["properties"]["place"]["examples"]
    predict(chrome)
    prediction, explanation = wait_visible(chrome, "#prediction"), wait_visible(chrome, "#explanation-sum")
    headers = {"X-API-Key": KEY}
    expected = requests.post(f"{running.address}/predict", json=row["examples"][0], headers=headers, timeout=10).json()
    assert float(prediction.get_attribute("title")) == pytest.approx(expected["prediction"])
    assert wait_text(chrome, "#prediction-id").rpartition("-")[0] == expected["prediction_id"].rpartition("-")[0]
    assert float(explanation.get_attribute("data-sum")) == pytest.approx(expected["prediction"], rel=1e-5)
    assert f"{expected['prediction']:,.0f}" in explanation.text
    explained = requests.post(f"{running.address}/explain", json=row["examples"][0], headers=headers, timeout=60).json()
    bars = {side: len(elements(chrome, f"#explanation rect.{side}")) for side in ("positive", "negative")}
    assert sum(bars.values()) == min(len(explained["shap_values"]), 13)
    largest = max(explained["shap_values"], key=lambda name: abs(explained["shap_values"][name]))
    assert visible_texts(chrome, "#explanation svg text")[0].startswith(largest)
    first_bar = elements(chrome, "#explanation rect")[0]
    assert first_bar.get_attribute("class") == ("positive" if explained["shap_values"][largest] > 0 else "negative")
    assert first_bar.rect["width"] == max(bar.rect["width"] for bar in elements(chrome, "#explanation rect"))
    check_quiet(chrome)


def test_invalid_value_is_reported_at_its_field(chrome: Page, running: RunningService) -> None:
    open_page(chrome, running.address)
    rooms = field(chrome, "rooms")
    rooms.clear()
    rooms.send_keys("1e999")
    predict(chrome)
    wait_until(chrome, lambda page: rooms.get_attribute("aria-invalid") == "true")
    message = chrome.find_element(By.ID, rooms.get_attribute("aria-describedby"))
    assert "number" in message.text
    assert chrome.switch_to.active_element == rooms
    assert len(elements(chrome, "[aria-invalid]")) == 1
    assert not elements(chrome, "#prediction")
    wait_visible(chrome, "#clear").click()  # a row of missing values is valid
    predict(chrome)
    wait_visible(chrome, "#explanation-sum")
    assert not elements(chrome, "[aria-invalid]")
    check_quiet(chrome, 422)


def test_drift_is_shown_live(chrome: Page, running: RunningService) -> None:
    open_page(chrome, running.address)
    assert wait_text(chrome, "#drift").startswith("Not checked yet")
    row = {"size <m2>": 900.0, "rooms": 3, "place": "INLAND", "garden": True}
    headers = {"X-API-Key": KEY}
    for _ in range(3):
        done = requests.post(f"{running.address}/predict", json=[row] * 100, headers=headers, timeout=10)
        assert done.status_code == 200, done.text
    wait_until(chrome, lambda page: wait_text(page, "#drift").startswith("Alarm"))
    assert wait_text(chrome, "#state") == "version 1, drift"
    assert "size <m2>" in visible_texts(chrome, "#columns tr.alarmed td:first-child")
    assert "mean inference ms" in wait_text(chrome, "#rules")
    assert "refused: " in wait_text(chrome, "#live-state")
    wait_until(chrome, lambda page: len(elements(page, "#latency polyline.p99")) == 1)
    assert elements(chrome, "#latency circle.p50")
    check_quiet(chrome)


def test_multiclass_model_shows_and_explains_each_class(chrome: Page, tmp_path: Path) -> None:
    with serving("random_forest", "three", tmp_path) as address:
        open_page(chrome, address, key=None)
        garden = Select(field(chrome, "garden"))
        assert [option.text for option in garden.options] == ["missing", "true", "false"]
        garden.select_by_visible_text("false")
        predict(chrome)
        explanation = wait_visible(chrome, "#explanation-sum")
        labels = visible_texts(chrome, ".probabilities dt")
        percentages = [float(value.removesuffix(" %")) for value in visible_texts(chrome, ".probabilities dd")]
        assert sorted(labels) == ["<c>", "a", "b b"]
        assert percentages == sorted(percentages, reverse=True)
        assert sum(percentages) == pytest.approx(100, abs=0.2)
        assert wait_text(chrome, "#prediction") == labels[0]
        choice = Select(wait_visible(chrome, "#explained-label"))
        assert choice.first_selected_option.text == labels[0]
        for label, percentage in zip(labels, percentages, strict=True):
            choice.select_by_visible_text(label)
            explanation = wait_visible(chrome, "#explanation-sum")
            assert float(explanation.get_attribute("data-sum")) == pytest.approx(percentage / 100, abs=1e-3)
            assert f"the probability of {label}" in explanation.text
        assert not elements(chrome, "m2, c")  # names of columns and classes are escaped, not markup
        size = {"width": 380, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            wait_until(chrome, lambda page: page.find_element(By.CSS_SELECTOR, "#explanation svg").size["width"] < 380)
            assert chrome.execute_script("return document.documentElement.scrollWidth") <= 380
        finally:
            chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        check_quiet(chrome)


def test_binary_model_explains_log_odds_of_the_positive_class(chrome: Page, tmp_path: Path) -> None:
    with serving("xgboost", "binary", tmp_path) as address:
        open_page(chrome, address, key=None)
        predict(chrome)
        explanation = wait_text(chrome, "#explanation-sum")
        assert not elements(chrome, "#explained-label")
        probabilities = dict(
            zip(visible_texts(chrome, ".probabilities dt"), visible_texts(chrome, ".probabilities dd"), strict=True)
        )
        assert f"log-odds of True, a probability of {probabilities['True']}" in explanation
        check_quiet(chrome)


def test_page_without_a_model_reports_why(chrome: Page, tmp_path: Path) -> None:
    off = {"ENABLE_MODEL_REGISTRY": "false", "ENABLE_MLFLOW_TRACKING": "false"}
    with service(tmp_path, None, **off) as running:
        wait_until(chrome, lambda page: running.health()["status"] == "no model")
        open_page(chrome, running.address, key=None)
        assert running.health()["reason"] in wait_text(chrome, "#notice")
        assert wait_text(chrome, "#state") == "no model"
        assert not chrome.find_element(By.ID, "main").is_displayed()
    wait_until(chrome, lambda page: "does not respond" in wait_text(page, "#notice"))


def test_api_documentation_shows_the_model_columns(chrome: Page, running: RunningService) -> None:
    chrome.get_log("browser")
    chrome.get(f"{running.address}/docs")
    wait_visible(chrome, "#operations-default-predict button").click()
    assert "size <m2>" in wait_text(chrome, "#operations-default-predict .body-param__example")
    check_quiet(chrome)


def test_pages_load_nothing_from_other_origins(chrome: Page, running: RunningService) -> None:
    for path in ("/", "/docs"):
        headers = requests.get(f"{running.address}{path}", timeout=10).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "script-src 'self';" in headers["content-security-policy"]
        chrome.get(f"{running.address}{path}")
        chrome.get_log("browser")
        fetch = "const done = arguments[1]; fetch(arguments[0]).then(() => done(true), () => done(false))"
        assert chrome.execute_async_script(fetch, f"http://localhost:{free_port()}/") is False
        assert "Content Security Policy" in json.dumps(chrome.get_log("browser"))
    for name in ("index.html", "..%2fpages.py", "none.js"):
        assert requests.get(f"{running.address}/page/{name}", timeout=10).status_code == 404
    assert pd.Series(["<script", "onclick"]).map(
        requests.get(f"{running.address}/", timeout=10).text.count
    ).tolist() == [1, 0]
