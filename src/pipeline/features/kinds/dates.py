"""Turn dates and times into numbers: year, month, day, weekday, hour and so on (``features.dates``)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NotConvertible, PipelineError
from pipeline.features.columns import Kind
from pipeline.features.dates import Times, common_offset, part_of, read_times, varying_parts
from pipeline.features.graph_builder import GraphBuilder, GraphSource
from pipeline.features.kinds.interface import (
    Feature,
    FeatureKind,
    RawColumns,
    TrainingRows,
    feature_name,
    require_columns,
)
from pipeline.features.source import Source

FORMAT_NAMES = {
    "iso": "An ISO 8601 date or time, such as 2026-01-31 or 2026-01-31T14:05:00Z",
    "excel": "A date or time as Excel counts it, in days",
    "unix": "A time in seconds from the start of 1970",
    "unix_ms": "A time in milliseconds from the start of 1970",
}


class DateColumn(NamedTuple):
    """How a column is read.

    Attributes
    ----------
    format : str
        See `read_times`.
    offset : int
        Offset from UTC that all training rows have, in seconds; 0 if they have none or different ones.
    parts : list of str
        The parts that vary in the training rows.
    """

    format: str
    offset: int
    parts: list[str]


@dataclass(frozen=True, eq=False)
class Dates(FeatureKind):
    """The columns with dates or times; a value that is not in its column's format is missing."""

    key: ClassVar[str] = "dates"
    learns_from_values: ClassVar[bool] = True
    grows: ClassVar[bool] = True
    columns: dict[str, DateColumn]

    @classmethod
    def claims(cls, kinds: Mapping[str, Kind], settings: Mapping[str, Any] | None) -> list[str]:
        """Return the columns with dates."""
        return list(settings or ())

    @classmethod
    def fit(cls, training: TrainingRows, settings: dict[str, str] | None) -> Self | None:
        """Find the parts that vary.

        Raises
        ------
        PipelineError
            If a column does not exist, holds booleans, or has no value in its format.
        """
        if not settings:
            return None
        require_columns(cls.key, settings, training.columns, "number", "text")
        return cls({name: _fit(training.source, name, date_format) for name, date_format in settings.items()})

    @classmethod
    def restore(cls, columns: RawColumns, state: dict[str, Any] | None, arrays: Mapping[str, Any]) -> Self | None:
        """Restore the stored columns."""
        return cls({name: DateColumn(**column) for name, column in state.items()}) if state else None

    def state(self) -> dict[str, Any]:
        """Return how each column is read."""
        return {name: column._asdict() for name, column in self.columns.items()}

    @cached_property
    def features(self) -> list[Feature]:
        """One feature per part of each column."""
        return [Feature(feature_name(name, part), [name]) for name, part in self._parts]

    def compute(self, source: Source, indices: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Yield the parts; each different value is read once."""
        parsed: dict[str, tuple[Times, NDArray[np.intp]]] = {}
        for index in indices:
            name, part = self._parts[index]
            if name not in parsed:
                parsed[name] = _read(source, name, self.columns[name])
            times, rows = parsed[name]
            yield part_of(times, part)[rows]

    def add_nodes(self, graph: GraphBuilder, source: GraphSource, indices: Sequence[int]) -> list[str]:
        """Raise `NotConvertible`: ONNX has no operators for dates."""
        raise NotConvertible(
            f"the model uses parts of dates (features.dates: {', '.join(self.columns)}), for which ONNX has no "
            "operators",
            "serve the MLflow model, or drop these columns in params.yaml",
        )

    @property
    def descriptions(self) -> dict[str, str]:
        """The format of each column."""
        end = "null if missing. Any other value is accepted and treated as missing."
        return {name: f"{_describe(column.format)}; {end}" for name, column in self.columns.items()}

    @cached_property
    def _parts(self) -> list[tuple[str, str]]:
        return [(name, part) for name, column in self.columns.items() for part in column.parts]


def _fit(source: Source, name: str, date_format: str) -> DateColumn:
    values = source.values(name)
    offset = 0 if isinstance(values, np.ndarray) else common_offset(values.used, date_format)
    column = DateColumn(date_format, offset, [])
    times, rows = _read(source, name, column)
    times = times[np.unique(rows)]
    if np.isnat(times).all():
        present = values[~np.isnan(values)].tolist() if isinstance(values, np.ndarray) else values.used
        example = f", such as {present[0]!r:.60}" if present else ""
        raise PipelineError(
            f"column {name!r} has no training value in the format {date_format!r}{example}",
            f"correct features.dates.{name} in params.yaml, or add the column to dataset.drop",
        )
    return column._replace(parts=varying_parts(times))


def _read(source: Source, name: str, column: DateColumn) -> tuple[Times, NDArray[np.intp]]:
    """Return the different times of a column, and the index of each row's time."""
    values = source.values(name)
    if isinstance(values, np.ndarray):
        distinct, rows = np.unique(values, return_inverse=True)
        return read_times(distinct, column.format), rows
    times = read_times(values.distinct, column.format, column.offset)
    return np.append(times, np.datetime64("NaT")), values.codes  # code -1 selects the last element


def _describe(date_format: str) -> str:
    return FORMAT_NAMES.get(date_format, f"A date or time in the format {date_format}")
