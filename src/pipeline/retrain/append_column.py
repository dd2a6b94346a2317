"""One column of a table with values of further rows below it."""

import pandas as pd

from pipeline.errors import PipelineError
from pipeline.features.columns import as_text, kind_of
from pipeline.support.section import shown


def append_column(old: pd.Series, new: pd.Series, as_texts: bool) -> pd.Series:
    """Return a column of the table and of further rows, with a type that holds both.

    Parameters
    ----------
    old : Series, shape (n_rows,)
        Of the table.
    new : Series, shape (n_new,)
        Of the rows below it.
    as_texts : bool
        Whether the values are categories or labels, which stage prepare compares as texts.

    Returns
    -------
    Series, shape (n_rows + n_new,)

    Raises
    ------
    PipelineError
        When one is of numbers or times and the other is not.
    """
    n_rows = len(old) + len(new)
    if new.isna().all():
        return old.set_axis(range(len(old))).reindex(range(n_rows))
    if old.isna().all():
        return new.set_axis(range(len(old), n_rows)).reindex(range(n_rows))
    if pd.api.types.is_datetime64_any_dtype(old):
        return _joined(old, _as_times(new, old))
    kinds = {kind_of(old), kind_of(new)}
    if as_texts or kinds <= {"text", "boolean", None}:
        return _joined(old, new) if kinds == {"boolean"} else _joined(as_text(old), as_text(new))
    if kinds != {"number"}:
        wrong, right = (column.dropna().tolist()[0] for column in (new, old))
        raise PipelineError(
            f"column {old.name!r} holds {shown(right)} in the table, and {shown(wrong)} among recorded "
            "predictions or their labels: one is a number, and the other is not",
            "bring both to one type, or name the column in dataset.categorical of params.yaml",
        )
    return _joined(old, new)


def _joined(old: pd.Series, new: pd.Series) -> pd.Series:
    return pd.concat([old, new], ignore_index=True)


def _as_times(new: pd.Series, old: pd.Series) -> pd.Series:
    times = pd.to_datetime(new, errors="coerce", format="ISO8601", utc=True)
    wrong = new[times.isna() & new.notna()]
    if len(wrong):
        raise PipelineError(
            f"the label file has {shown(wrong.tolist()[0])} in column {old.name!r}, which is no time",
            "write it as an ISO 8601 date or time (2026-01-31)",
        )
    zone = old.dt.tz
    return (times.dt.tz_convert(zone) if zone else times.dt.tz_localize(None)).astype(old.dtype)
