"""Keep the served models up to date: a thread watches the registry and the exports, and loads new models."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.service.models.loading import ModelReference, find_in_exports, find_in_registry, load_model
from pipeline.service.models.served import ServedModel
from pipeline.service.records import Arm
from pipeline.service.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOADING = "the model is being loaded"

logger = logging.getLogger(__name__)


class Watcher:
    """The models being served, and the thread that updates them.

    If a new model cannot be loaded, the previous one stays, with a warning; loading is retried at every check.

    Parameters
    ----------
    settings : Settings
    folder : Path
        The pipeline folder that holds local exports.
    on_load : callable
        Called in the thread with each model from the moment it is served.
    """

    def __init__(self, settings: Settings, folder: Path, on_load: Callable[[ServedModel], None]) -> None:
        self.models: dict[Arm, ServedModel] = {}
        self.reason = LOADING  # why no model is served
        self._tried: str | None = None  # identity of the production model of the last attempt to load one
        self._settings, self._folder, self._on_load = settings, folder, on_load
        self._loaded_models: dict[Arm, ServedModel] = {}
        self._client: MlflowClient | None = None
        self._identities: dict[Arm, str] = {}
        self._warnings: dict[str, list[str]] = {}  # by subject
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    @property
    def is_loading(self) -> bool:
        """Whether no model is served because the first one is still being loaded."""
        return "production" not in self.models and self.reason == LOADING

    @property
    def warnings(self) -> list[str]:
        """The current warnings for the operator."""
        return [text for texts in list(self._warnings.values()) for text in texts]

    def start(self) -> None:
        """Start the thread that checks for new models."""
        self._thread.start()

    def stop(self) -> None:
        """Stop checking, without waiting for a model that is being loaded."""
        self._stopped.set()

    def check_for_models(self) -> None:
        """Check once for new models, and load them."""
        self._update("production", self._settings.model_version)
        if self._settings.challenger_version:
            self._update("challenger", self._settings.challenger_version)

    def _run(self) -> None:
        while not self._stopped.wait(self._settings.service_poll_seconds):
            self.check_for_models()

    def _update(self, arm: Arm, number: int | None) -> None:
        try:
            reference, client = self._find(arm, number)
            if reference.identity == self._identities.get(arm):
                self._warn(arm, [])
                return
            if arm == "production" and reference.identity != self._tried:  # otherwise the reason of its failure stays
                self.reason, self._tried = LOADING, reference.identity
            model, warnings = load_model(reference, client)
        except Exception as error:  # a failure of the store, a file or a model must not stop the service
            problem = _short(str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}")
            self._warn(arm, [f"{arm}: {problem}"])
            if arm == "production":
                self.reason = problem
            return
        self._loaded_models[arm] = model
        self._identities[arm] = reference.identity
        self._warn(arm, [])
        self._serve()
        self._warn(f"model of {arm}", warnings)
        logger.info("%s: now serving %s version %d from the %s", arm, model.name, model.version, model.source)
        try:
            self._on_load(model)
        except Exception as error:  # the callback must not prevent the model from being served
            self._warn(f"model of {arm}", [*warnings, f"{arm}: {_short(f'{type(error).__name__}: {error}')}"])

    def _serve(self) -> None:
        """Serve the loaded models; the challenger only if it has the columns of the production model."""
        models, subject = dict(self._loaded_models), "columns of challenger"
        production, challenger = models.get("production"), models.get("challenger")
        self._warn(subject, [])
        if production and challenger and list(production.kinds.items()) != list(challenger.kinds.items()):
            del models["challenger"]
            warning = f"challenger: version {challenger.version} is not served: its columns differ from production's"
            self._warn(subject, [warning])
        self.models = models

    def _find(self, arm: Arm, number: int | None) -> "tuple[ModelReference, MlflowClient | None]":
        """Find the model of an arm in the registry or, if that fails before the first load, in the exports."""
        from pipeline.store.open import open_store, refresh_client

        subject = f"registry of {arm}"
        if not self._settings.enable_model_registry:
            return find_in_exports(self._folder, self._settings, number), None
        try:
            self._client = refresh_client(self._client) if self._client else open_store()
            reference = find_in_registry(self._client, self._settings, number)
        except Exception as error:
            problem = error.problem if isinstance(error, PipelineError) else str(error)
            served = self._loaded_models.get(arm)
            if served and served.source == "registry":
                self._warn(subject, [f"{_short(problem)}: still serving version {served.version}"])
                return ModelReference(
                    "registry", served.name, served.version, served.run_id, self._identities[arm]
                ), None
            try:
                exported = find_in_exports(self._folder, self._settings, number)
            except PipelineError as export_error:
                problems = f"{_short(problem)}; {export_error.problem}"
                raise PipelineError(problems, export_error.remedy) from None
            self._warn(subject, [f"{_short(problem)}: serving the local export of version {exported.version}"])
            return exported, None
        self._warn(subject, [])
        return reference, self._client

    def _warn(self, subject: str, texts: list[str]) -> None:
        """Replace the warnings of a subject, and log the new ones."""
        for text in texts:
            if text not in self._warnings.get(subject, []):
                logger.warning(text)
        self._warnings[subject] = texts


def _short(text: str) -> str:
    from pipeline.store.open import mask_passwords

    return mask_passwords(" ".join(text.split()))[:500]
