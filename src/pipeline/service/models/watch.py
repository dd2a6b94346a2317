"""Which models are served now: a thread looks for new versions and exports, loads them, and lets them answer."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.service.answered import Arm
from pipeline.service.models.loading import Found, in_exports, in_registry, load
from pipeline.service.models.served import ServedModel
from pipeline.service.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)


class Watcher:
    """What is served, and the thread that renews it.

    A model that cannot be loaded leaves the one before in place, with a warning; it is tried again each time.

    Parameters
    ----------
    settings : Settings
    folder : Path
        The pipeline folder, for local exports.
    loaded : callable
        Called in the thread with every model that has begun to answer.
    """

    def __init__(self, settings: Settings, folder: Path, loaded: Callable[[ServedModel], None]) -> None:
        self.models: dict[Arm, ServedModel] = {}
        self.reason = "the model is being loaded"  # why there is none
        self._settings, self._folder, self._loaded = settings, folder, loaded
        self._loaded_models: dict[Arm, ServedModel] = {}
        self._client: MlflowClient | None = None
        self._identities: dict[Arm, str] = {}
        self._warnings: dict[str, list[str]] = {}  # by what they are of
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    @property
    def warnings(self) -> list[str]:
        """What an operator should know, now."""
        return [text for texts in list(self._warnings.values()) for text in texts]

    def start(self) -> None:
        """Begin to look, again and again."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; what is being loaded is left to end by itself."""
        self._stopped.set()

    def look(self) -> None:
        """Look once for what is to be served, and load what is new."""
        self._look("production", self._settings.model_version)
        if self._settings.challenger_version:
            self._look("challenger", self._settings.challenger_version)

    def _run(self) -> None:
        while not self._stopped.wait(self._settings.service_poll_seconds):
            self.look()

    def _look(self, arm: Arm, number: int | None) -> None:
        try:
            found, client = self._find(arm, number)
            if found.identity == self._identities.get(arm):
                self._warn(arm, [])
                return
            model, warnings = load(found, client)
        except Exception as error:  # whatever a store, a file or a model raises: the service goes on
            problem = _short(str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}")
            self._warn(arm, [f"{arm}: {problem}"])
            if arm == "production":
                self.reason = problem
            return
        self._loaded_models[arm] = model
        self._identities[arm] = found.identity
        self._warn(arm, [])
        self._serve()
        self._warn(f"model of {arm}", warnings)
        logger.info("%s: %s version %d, from the %s, answers now", arm, model.name, model.version, model.source)
        try:
            self._loaded(model)
        except Exception as error:  # what is done beside must not keep the model from answering
            self._warn(f"model of {arm}", [*warnings, f"{arm}: {_short(f'{type(error).__name__}: {error}')}"])

    def _serve(self) -> None:
        """Let what is loaded answer; a challenger only where it takes the requests that production takes."""
        models, of = dict(self._loaded_models), "columns of challenger"
        production, challenger = models.get("production"), models.get("challenger")
        self._warn(of, [])
        if production and challenger and list(production.kinds.items()) != list(challenger.kinds.items()):
            del models["challenger"]
            self._warn(of, [f"challenger: version {challenger.version} takes other columns, and answers nothing"])
        self.models = models

    def _find(self, arm: Arm, number: int | None) -> "tuple[Found, MlflowClient | None]":
        """Find what an arm is to serve: in the registry; in the exports where that fails and nothing is served yet."""
        from pipeline.store.open import open_store, still_open

        of_registry = f"registry of {arm}"
        if not self._settings.enable_model_registry:
            return in_exports(self._folder, self._settings, number), None
        try:
            self._client = still_open(self._client) if self._client else open_store()
            found = in_registry(self._client, self._settings, number)
        except Exception as error:
            problem = error.problem if isinstance(error, PipelineError) else str(error)
            served = self._loaded_models.get(arm)
            if served and served.source == "registry":
                self._warn(of_registry, [f"{_short(problem)}: version {served.version} goes on answering"])
                return Found("registry", served.name, served.version, served.run_id, self._identities[arm]), None
            try:
                exported = in_exports(self._folder, self._settings, number)
            except PipelineError as other:
                raise PipelineError(f"{_short(problem)}; {other.problem}", other.remedy) from None
            self._warn(of_registry, [f"{_short(problem)}: the local export of version {exported.version} answers"])
            return exported, None
        self._warn(of_registry, [])
        return found, self._client

    def _warn(self, of: str, texts: list[str]) -> None:
        """Let warnings take the place of those before; new ones are logged, once."""
        for text in texts:
            if text not in self._warnings.get(of, []):
                logger.warning(text)
        self._warnings[of] = texts


def _short(text: str) -> str:
    from pipeline.store.open import without_password

    return without_password(" ".join(text.split()))[:500]
