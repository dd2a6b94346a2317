"""Classify columns by their names alone."""

import re

_OWNERS = (
    "account|client|customer|device|employee|household|item|machine|member|order|passenger|patient|person|player|"
    "product|session|student|subject|transaction|user"
)
_ID = re.compile(rf"id|ids|uuid|guid|kepid|rowid|({_OWNERS}|store)id")
_OWNER = re.compile(_OWNERS)
_ROW = {"#", "index", "idx", "row", "no", "nr", "number", "unnamed 0", "level 0", "row number", "row no", "rownum"}
_TIME = {
    *("date", "datetime", "time", "timestamp", "year", "quarter", "month", "week", "day", "hour", "minute", "second"),
}
_DATE = {"date", "datetime", "timestamp"}
_POSTAL = {"zip", "zipcode", "postcode", "postal", "postalcode", "plz"}
_CODE = {"code", "codes", "type", "class", "category", "kind", "status"}


def words(name: str) -> list[str]:
    """Return the words of a name in lower case: ``customerID``, ``customer_id`` and ``Customer ID`` give the same."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.split(r"[\W_]+", spaced) if word] or [name.strip().lower()]


def is_identifier_name(name: str) -> bool:
    """Return whether a column is named like an identifier: ``id``, ``customer_id``, ``PassengerId``, ``uuid``.

    Examples
    --------
    >>> is_identifier_name("customer_id"), is_identifier_name("humidity")
    (True, False)
    """
    parts = words(name)
    return bool(_ID.fullmatch(parts[-1]) or parts[0] == "id")


def is_owner_name(name: str) -> bool:
    """Return whether a column is named after the owner of its rows: ``customer``, ``patient``."""
    return bool(_OWNER.fullmatch(words(name)[-1]))


def is_row_number_name(name: str) -> bool:
    """Return whether a column is named like a row number or index."""
    return " ".join(words(name)) in _ROW


def is_unnamed(name: str) -> bool:
    """Return whether a column has no name in a CSV file; pandas then calls it ``Unnamed: 0``."""
    return not name.strip() or bool(re.fullmatch(r"Unnamed: \d+", name))


def is_time_name(name: str) -> bool:
    """Return whether a column's name has a word for a date or time: ``order_date``, ``year built``."""
    return not _TIME.isdisjoint(words(name))


def is_date_name(name: str) -> bool:
    """Return whether a column's name has a word for a date: ``order_date``, ``timestamp``."""
    return not _DATE.isdisjoint(words(name))


def is_postal_code_name(name: str) -> bool:
    """Return whether a column is named like a postal code."""
    return not _POSTAL.isdisjoint(words(name))


def is_code_name(name: str) -> bool:
    """Return whether a column is named like a code, type, class or the like, or a postal code."""
    return words(name)[-1] in _CODE or is_postal_code_name(name)
