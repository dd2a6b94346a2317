"""Every move of a version between stages, kept in the registry itself: one tag of the registered model each.

A move is written down before it is made and marked as done after it, so that what a killed process left can be told.
"""

import getpass
import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pipeline.params.schema import Stage
from pipeline.store.lookup import HISTORY
from pipeline.support.processes import owner

if TYPE_CHECKING:
    from mlflow import MlflowClient

LONGEST_REASON = 1000  # characters: a tag of a registered model holds 5,000
How = Literal["params.yaml", "command", "forced", "rollback"]


@dataclass(frozen=True)
class Decision:
    """The stage that a version is to get, and why.

    Attributes
    ----------
    stage : str
    how : str
        By params.yaml, by a command with ``--stage``, forced past the gate, or by a rollback.
    reason : str
        What the person said.
    comparison : str
        What the gate found.
    """

    stage: Stage
    how: How
    reason: str = ""
    comparison: str = ""


@dataclass(frozen=True)
class Transition:
    """A version's move to another stage.

    Attributes
    ----------
    when : str
        UTC, ISO 8601 with microseconds; moves are in its order.
    version : int
    origin, stage : str
        The stage it had, and the one it was given.
    archived : list of int
        Versions that held the stage before, and are archived by this.
    how, reason, comparison : str
        Of the `Decision`; the reason in one line.
    by : str
        ``user@host``.
    owner : str
        The process that made it.
    done : bool
        False until it is made.
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
        """The name of its tag."""
        return f"{HISTORY}{self.when.replace('+00:00', 'Z').replace(':', '.')}"


def transition(version: int, origin: str, archived: list[int], decision: Decision) -> Transition:
    """Return a move that begins now, by the user of this process."""
    return Transition(
        when=datetime.now(UTC).isoformat(timespec="microseconds"),
        version=version,
        origin=origin,
        stage=decision.stage,
        archived=archived,
        how=decision.how,
        by=f"{_user()}@{owner().split('~')[0]}",
        reason=" ".join(decision.reason.split())[:LONGEST_REASON],
        comparison=decision.comparison,
        owner=owner(),
    )


def write(client: "MlflowClient", name: str, move: Transition) -> None:
    """Write a move down, or what has become of it."""
    client.set_registered_model_tag(name, move.key, json.dumps(asdict(move), ensure_ascii=False))


def done(client: "MlflowClient", name: str, move: Transition) -> None:
    """Mark a move as made."""
    write(client, name, replace(move, done=True))


def forget(client: "MlflowClient", name: str, move: Transition) -> None:
    """Take a move back that was never made."""
    client.delete_registered_model_tag(name, move.key)


def history(client: "MlflowClient", name: str) -> list[Transition]:
    """Return all moves of a registered model's versions, the oldest first; none when there is no such model."""
    models = client.search_registered_models(f"name = '{name}'")
    tags = models[0].tags if models else {}
    moves = [_read(tags[key]) for key in sorted(tags) if key.startswith(HISTORY)]
    return [move for move in moves if move]


def _read(tag: str) -> Transition | None:
    """Return a move as its tag has it; None of a tag that another program wrote."""
    try:
        return Transition(**json.loads(tag))
    except (TypeError, ValueError):
        return None


def last_of(moves: list[Transition], version: int) -> Transition | None:
    """Return the last move that gave `version` its stage, or archived it."""
    return next((move for move in reversed(moves) if move.version == version or version in move.archived), None)


def production_line(moves: list[Transition]) -> list[int]:
    """Return the versions that a rollback leads back through, the one in Production last."""
    line: list[int] = []
    for move in moves:
        if move.stage != "Production":  # taken out by hand, if it was there
            line = [version for version in line if version != move.version or move.origin != "Production"]
        elif move.how == "rollback" and move.version in line:
            line = line[: line.index(move.version) + 1]
        else:
            line = [version for version in line if version != move.version] + [move.version]
    return line


def rolled_back_from(moves: list[Transition], version: int) -> Transition | None:
    """Return the rollback that took `version` out of Production, if that is the last that happened to it."""
    last = last_of(moves, version)
    return last if last and last.how == "rollback" and last.version != version else None


def _user() -> str:
    try:
        return getpass.getuser()
    except OSError:  # a process id without a name, as in some containers
        return "unknown"
