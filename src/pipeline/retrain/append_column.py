"""Append values of new rows to a column of a table."""

import pandas as pd

from pipeline.errors import PipelineError
from pipeline.features.columns import as_text, infer_kind
from pipeline.support.section import short_repr


def append_column(old: pd.Series, new: pd.Series, is_categorical: bool) -> pd.Series:
    """Return a column of the table with the values of new rows appended, in a type for both.

    Parameters
    ----------
    old : Series, shape (n_rows,)
        The column of the table.
    new : Series, shape (n_new,)
        Its values in the new rows.
    is_categorical : bool
        Whether the values are categories or labels, which stage prepare treats as text.

    Returns
    -------
    Series, shape (n_rows + n_new,)

    Raises
    ------
    PipelineError
        If one has numbers or times and the other does not.
    """
    n_rows = len(old) + len(new)
    if new.isna().all():
        return old.set_axis(range(len(old))).reindex(range(n_rows))
    if old.isna().all():
        return new.set_axis(range(len(old), n_rows)).reindex(range(n_rows))
    if pd.api.types.is_datetime64_any_dtype(old):
        return _concatenate(old, _to_times(new, old))
    kinds = {infer_kind(old), infer_kind(new)}
    if is_categorical or kinds <= {"text", "boolean", None}:
        return _concatenate(old, new) if kinds == {"boolean"} else _concatenate(as_text(old), as_text(new))
    if kinds != {"number"}:
        wrong, right = (column.dropna().tolist()[0] for column in (new, old))
        raise PipelineError(
            f"column {old.name!r} contains {short_repr(right)} in the table, but {short_repr(wrong)} in recorded "
            "predictions or their labels: both must be numbers, or neither",
            "convert both to one type, or add the column to dataset.categorical of params.yaml",
        )
    return _concatenate(old, new)


def _concatenate(old: pd.Series, new: pd.Series) -> pd.Series:
    return pd.concat([old, new], ignore_index=True)


def _to_times(new: pd.Series, old: pd.Series) -> pd.Series:
    times = pd.to_datetime(new, errors="coerce", format="ISO8601", utc=True)
    wrong = new[times.isna() & new.notna()]
    if len(wrong):
        raise PipelineError(
            f"the label file has {short_repr(wrong.tolist()[0])} in column {old.name!r}, which is not a time",
            "write it as an ISO 8601 date or time (2026-01-31)",
        )
    zone = old.dt.tz
    return (times.dt.tz_convert(zone) if zone else times.dt.tz_localize(None)).astype(old.dtype)
