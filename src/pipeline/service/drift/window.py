"""Keep the newest predictions of a model, which drift checks look at."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

from pipeline.service.records import Columns, ModelIdentity, PredictionRecord


@dataclass(frozen=True)
class Rows:
    """The rows of one or more requests, in chronological order.

    Attributes
    ----------
    requests : sequence of PredictionRecord
        The requests that the rows belong to; not empty.
    """

    requests: Sequence[PredictionRecord]

    @cached_property
    def ids(self) -> list[str]:
        """Prediction ids."""
        return list(chain.from_iterable(request.ids for request in self.requests))

    @cached_property
    def predictions(self) -> list[Any]:
        """Predicted numbers, or classes in their own type."""
        return list(chain.from_iterable(request.outputs.predictions for request in self.requests))

    @cached_property
    def confidences(self) -> list[float] | None:
        """Probabilities of the predicted classes in percent; None for a regression."""
        by_request = [request.outputs.confidences for request in self.requests]
        if by_request[0] is None:
            return None
        return list(chain.from_iterable(confidences for confidences in by_request if confidences is not None))

    def column(self, name: str) -> list[Any]:
        """Return the values of a raw column; missing values are None."""
        return list(chain.from_iterable(request.columns[name] for request in self.requests))

    def newest(self, n_rows: int) -> "Rows":
        """Return the newest rows, at most `n_rows`."""
        kept: list[PredictionRecord] = []
        for request in reversed(self.requests):
            if n_rows <= 0:
                break
            kept.append(_newest(request, n_rows))
            n_rows -= len(request.ids)
        return Rows(kept[::-1])


class Window:
    """A sliding window over the newest rows of a model.

    Attributes
    ----------
    model : ModelIdentity
    total : int
        Number of rows added so far.
    """

    def __init__(self, model: ModelIdentity, size: int) -> None:
        self.model = model
        self.total = 0
        self._size = size
        self._requests: deque[PredictionRecord] = deque()
        self._n_rows = 0

    def add(self, request: PredictionRecord) -> None:
        """Add the rows of a request, and remove requests that have left the window."""
        self.total += len(request.ids)
        request = _newest(request, self._size)
        self._requests.append(request)
        self._n_rows += len(request.ids)
        while self._n_rows - len(self._requests[0].ids) >= self._size:
            self._n_rows -= len(self._requests.popleft().ids)

    def rows(self) -> Rows:
        """Return the rows in the window; they can be more than its size, as the oldest request is kept complete."""
        return Rows(list(self._requests))


def _newest(request: PredictionRecord, n_rows: int) -> PredictionRecord:
    """Return the last rows of a request as a copy that does not keep the others in memory."""
    if len(request.ids) <= n_rows:
        return request
    columns: Columns = {name: values[-n_rows:] for name, values in request.columns.items()}
    outputs = request.outputs
    probabilities = None if outputs.probabilities is None else outputs.probabilities[-n_rows:]
    return replace(
        request,
        ids=request.ids[-n_rows:],
        columns=columns,
        outputs=replace(outputs, predictions=outputs.predictions[-n_rows:], probabilities=probabilities),
    )
