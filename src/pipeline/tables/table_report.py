"""Summarize a table as a web page that people can look at: rows, statistics, distributions and associations."""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import numpy as np
import pandas as pd

from pipeline.tables.split import sample_rows

MAX_ROWS, MAX_COLUMNS = 10_000, 100  # more take longer, and a page of several megabytes
REPORT_FILE = "table_report.html"


def table_report(table: pd.DataFrame, target: str, title: str, n_rows: int) -> str:
    """Return a self-contained HTML page that summarizes a table with skrub's ``TableReport``.

    Equal tables give equal pages. A page loads nothing, and shows a few rows of the table.

    Parameters
    ----------
    table : DataFrame
        Of more than `MAX_ROWS` rows, a sample is summarized.
    target : str
        The column that comes first. Of more than `MAX_COLUMNS` columns, the first ones are summarized.
    title : str
    n_rows : int
        Number of rows of the table that `table` is a sample of.
    """
    import matplotlib as mpl
    from skrub import TableReport

    names = [target, *(name for name in table.columns if name != target)][:MAX_COLUMNS]
    positions = np.sort(sample_rows(np.arange(len(table)), MAX_ROWS, seed=0))
    shown = table[names].iloc[positions].reset_index(drop=True)
    objects = [name for name in names if shown[name].dtype == object]  # such as lists, which cannot be counted
    shown = shown.assign(**{name: shown[name].map(str, na_action="ignore") for name in objects})
    parts = ((len(shown), n_rows, "rows"), (len(names), table.shape[1], "columns"))
    if limits := [f"{count:,} of {total:,} {unit}" for count, total, unit in parts if count < total]:
        title += f" ({', '.join(limits)})"
    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": REPORT_FILE}), _fixed_date():
        warnings.simplefilter("ignore")
        return _with_fixed_ids(TableReport(shown, title=title, verbose=0).html())


def _with_fixed_ids(page: str) -> str:
    """Return a page with numbers in place of random ids."""
    found = re.search(r"\breport_[0-9a-f]{8}\b", page)
    numbers = count()
    page = re.sub(r'(?<=\sid=")[0-9a-f]{8}(?=")', lambda _: f"cell_{next(numbers)}", page)
    return page.replace(found[0], "report") if found else page


@contextmanager
def _fixed_date() -> Iterator[None]:
    """Make matplotlib write a constant date into SVG figures."""
    name = "SOURCE_DATE_EPOCH"
    previous = os.environ.get(name)
    os.environ[name] = "0"
    try:
        yield
    finally:
        os.environ.pop(name)
        if previous is not None:
            os.environ[name] = previous
