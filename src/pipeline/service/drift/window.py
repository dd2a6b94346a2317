"""The newest predictions of one model, which are judged together."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

from pipeline.service.answered import Answered, Columns, ModelIdentity, Outputs


@dataclass(frozen=True)
class Rows:
    """Answered rows in the order in which they were answered.

    Attributes
    ----------
    requests : sequence of Answered
        Those that the rows came with; not empty.
    """

    requests: Sequence[Answered]

    @cached_property
    def ids(self) -> list[str]:
        """Prediction ids."""
        return list(chain.from_iterable(one.ids for one in self.requests))

    @cached_property
    def predictions(self) -> list[Any]:
        """Numbers, or labels in their own type."""
        return list(chain.from_iterable(one.outputs.predictions for one in self.requests))

    @cached_property
    def confidences(self) -> list[float] | None:
        """Probabilities of the predicted labels in percent; None of a regression."""
        known = [one.outputs.confidences for one in self.requests]
        return None if known[0] is None else list(chain.from_iterable(some for some in known if some is not None))

    def column(self, name: str) -> list[Any]:
        """Return the values of a raw column, None where one is missing."""
        return list(chain.from_iterable(one.columns[name] for one in self.requests))

    def newest(self, n_rows: int) -> "Rows":
        """Return the last rows, at most so many."""
        kept: list[Answered] = []
        for one in reversed(self.requests):
            if n_rows <= 0:
                break
            kept.append(_newest(one, n_rows))
            n_rows -= len(one.ids)
        return Rows(kept[::-1])


class Window:
    """The newest answered rows of a model.

    Attributes
    ----------
    model : ModelIdentity
    total : int
        How many rows have come so far.
    """

    def __init__(self, model: ModelIdentity, size: int) -> None:
        self.model = model
        self.total = 0
        self._size = size
        self._requests: deque[Answered] = deque()
        self._n_rows = 0

    def add(self, answered: Answered) -> None:
        """Take the rows of a request, and leave those go that are too old."""
        self.total += len(answered.ids)
        answered = _newest(answered, self._size)
        self._requests.append(answered)
        self._n_rows += len(answered.ids)
        while self._n_rows - len(self._requests[0].ids) >= self._size:
            self._n_rows -= len(self._requests.popleft().ids)

    def rows(self) -> Rows:
        """Return what the window holds now: at most its size, unless the oldest request reaches beyond it."""
        return Rows(list(self._requests))


def _newest(answered: Answered, n_rows: int) -> Answered:
    """Return the last rows of a request, without keeping the others alive."""
    if len(answered.ids) <= n_rows:
        return answered
    columns: Columns = {name: values[-n_rows:] for name, values in answered.columns.items()}
    outputs = answered.outputs
    probabilities = None if outputs.probabilities is None else outputs.probabilities[-n_rows:]
    return replace(
        answered,
        ids=answered.ids[-n_rows:],
        columns=columns,
        outputs=Outputs(outputs.predictions[-n_rows:], probabilities),
    )
