"""What a column's name says of it, whatever its values."""

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
_POSTAL = {"zip", "zipcode", "postcode", "postal", "postalcode", "plz"}
_CODE = {"code", "codes", "type", "class", "category", "kind", "status"}


def words(name: str) -> list[str]:
    """Return the words of a name in lower case: ``customerID``, ``customer_id`` and ``Customer ID`` are the same."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.split(r"[\W_]+", apart) if word] or [name.strip().lower()]


def says_identifier(name: str) -> bool:
    """Return whether it is called an id: ``id``, ``customer_id``, ``id_customer``, ``PassengerId``, ``uuid``."""
    parts = words(name)
    return bool(_ID.fullmatch(parts[-1]) or parts[0] == "id")


def says_owner(name: str) -> bool:
    """Return whether it names whom or what rows belong to: ``customer``, ``patient``."""
    return bool(_OWNER.fullmatch(words(name)[-1]))


def says_row(name: str) -> bool:
    """Return whether it is called a row's number or index."""
    return " ".join(words(name)) in _ROW


def says_time(name: str) -> bool:
    """Return whether a word of it is of time: ``order_date``, ``year built``."""
    return not _TIME.isdisjoint(words(name))


def says_postal_code(name: str) -> bool:
    """Return whether it is called a postal code."""
    return not _POSTAL.isdisjoint(words(name))


def says_code(name: str) -> bool:
    """Return whether it is called a code, type, class or the like, or a postal code."""
    return words(name)[-1] in _CODE or says_postal_code(name)
