"""The history of stage transitions, stored in the registry: each transition is a tag of the registered model.

A transition is recorded before it is made and marked as done afterwards, so that an interrupted one is recognized.
"""

import getpass
import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pipeline.params.schema import Stage
from pipeline.store.lookup import HISTORY_PREFIX
from pipeline.support.processes import owner

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_REASON_LENGTH = 1000  # characters; a tag of a registered model is limited to 5,000
How = Literal["params.yaml", "command", "forced", "rollback"]


@dataclass(frozen=True)
class Decision:
    """The stage that a version is to have, and why.

    Attributes
    ----------
    stage : str
    how : str
        Whether params.yaml, a command with ``--stage``, ``--force`` or a rollback decided it.
    reason : str
        The reason given by the user.
    comparison : str
        The result of the gate.
    """

    stage: Stage
    how: How
    reason: str = ""
    comparison: str = ""


@dataclass(frozen=True)
class Transition:
    """A transition of a version to another stage.

    Attributes
    ----------
    when : str
        UTC, ISO 8601 with microseconds. It orders the history.
    version : int
    origin, stage : str
        The stage before and after the transition.
    archived : list of int
        The versions in the stage before, which the transition archives.
    how, reason, comparison : str
        As in `Decision`, with the reason on one line.
    by : str
        ``user@host``.
    owner : str
        The process that makes the transition.
    done : bool
        Whether the transition is complete.
    """

    when: str
    version: int
    origin: str
    stage: Stage
    archived: list[int]
    how: How
    by: str
    reason: str
    comparison: str
    owner: str
    done: bool = False

    @property
    def key(self) -> str:
        """The name of the tag."""
        return f"{HISTORY_PREFIX}{self.when.replace('+00:00', 'Z').replace(':', '.')}"


def transition(version: int, origin: str, archived: list[int], decision: Decision) -> Transition:
    """Return a transition that starts now, by the user of this process."""
    return Transition(
        when=datetime.now(UTC).isoformat(timespec="microseconds"),
        version=version,
        origin=origin,
        stage=decision.stage,
        archived=archived,
        how=decision.how,
        by=f"{_user()}@{owner().split('~')[0]}",
        reason=" ".join(decision.reason.split())[:MAX_REASON_LENGTH],
        comparison=decision.comparison,
        owner=owner(),
    )


def record(client: "MlflowClient", name: str, entry: Transition) -> None:
    """Record a transition, or update its record."""
    client.set_registered_model_tag(name, entry.key, json.dumps(asdict(entry), ensure_ascii=False))


def mark_done(client: "MlflowClient", name: str, entry: Transition) -> None:
    """Mark a transition as done."""
    record(client, name, replace(entry, done=True))


def delete(client: "MlflowClient", name: str, entry: Transition) -> None:
    """Delete the record of a transition that was not made."""
    client.delete_registered_model_tag(name, entry.key)


def history(client: "MlflowClient", name: str) -> list[Transition]:
    """Return all transitions of a registered model's versions, the oldest first; empty if there is no such model."""
    models = client.search_registered_models(f"name = '{name}'")
    tags = models[0].tags if models else {}
    entries = [_parse(tags[key]) for key in sorted(tags) if key.startswith(HISTORY_PREFIX)]
    return [entry for entry in entries if entry]


def _parse(tag: str) -> Transition | None:
    """Return the transition in a tag; None if another program wrote the tag."""
    try:
        return Transition(**json.loads(tag))
    except (TypeError, ValueError):
        return None


def last_transition(entries: list[Transition], version: int) -> Transition | None:
    """Return the last transition that moved `version` to a stage or archived it."""
    return next((entry for entry in reversed(entries) if entry.version == version or version in entry.archived), None)


def production_order(entries: list[Transition]) -> list[int]:
    """Return the versions that rollbacks can return to, in the order of promotion, the current one last."""
    order: list[int] = []
    for entry in entries:
        if entry.stage != "Production":  # removed from Production by hand, if it was there
            order = [version for version in order if version != entry.version or entry.origin != "Production"]
        elif entry.how == "rollback" and entry.version in order:
            order = order[: order.index(entry.version) + 1]
        else:
            order = [version for version in order if version != entry.version] + [entry.version]
    return order


def find_rollback(entries: list[Transition], version: int) -> Transition | None:
    """Return the rollback that removed `version` from Production, if that was its last transition."""
    last = last_transition(entries, version)
    return last if last and last.how == "rollback" and last.version != version else None


def _user() -> str:
    try:
        return getpass.getuser()
    except OSError:  # a user ID without a name, as in some containers
        return "unknown"
