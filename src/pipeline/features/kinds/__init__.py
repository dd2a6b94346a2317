"""The kinds of features, one per module, in the order in which they are computed."""

from collections.abc import Mapping
from typing import Any

from pipeline.features.kinds.categories import Categories
from pipeline.features.kinds.dates import Dates
from pipeline.features.kinds.derived import Derived
from pipeline.features.kinds.flux import LightCurves
from pipeline.features.kinds.frequent_categories import FrequentCategories
from pipeline.features.kinds.interface import FeatureKind
from pipeline.features.kinds.lists import Lists
from pipeline.features.kinds.neighbors import Neighbors
from pipeline.features.kinds.numbers import Numbers
from pipeline.features.kinds.ordered import Ordered
from pipeline.features.kinds.target_encoding import TargetEncoding
from pipeline.features.kinds.text import Text

KINDS: tuple[type[FeatureKind], ...] = (
    Numbers,
    Derived,
    LightCurves,
    Dates,
    Categories,
    Ordered,
    FrequentCategories,
    Lists,
    Text,
    Neighbors,
    TargetEncoding,
)


def target_kinds(settings: Mapping[str, Any]) -> list[str]:
    """Return the keys of the configured kinds that learn from the target."""
    return [kind.key for kind in KINDS if kind.sees_target and settings.get(kind.key)]


def max_target_rows(settings: Mapping[str, Any]) -> int | None:
    """Return the number of rows beyond which these kinds are fitted on a sample; None for all rows."""
    limits = [kind.max_rows(settings[kind.key]) for kind in KINDS if kind.key in target_kinds(settings)]
    return min((limit for limit in limits if limit is not None), default=None)
