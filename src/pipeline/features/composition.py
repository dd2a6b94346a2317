"""Fitted kinds of features side by side: what their features are called, and which kind computes which."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.features.kinds.interface import Feature, FeatureKind


@dataclass(frozen=True)
class Composition:
    """Fitted kinds of features.

    Attributes
    ----------
    parts : tuple of FeatureKind
        In the order of their features.
    """

    parts: tuple[FeatureKind, ...]

    @cached_property
    def named_parts(self) -> list[tuple[FeatureKind, dict[str, Feature]]]:
        """The kinds with their features by name; a name that was there before gets _2, _3, … at its end."""
        taken: set[str] = set()
        return [(part, {_distinct(one.name, taken): one for one in part.features}) for part in self.parts]

    @cached_property
    def features(self) -> dict[str, Feature]:
        """All features by name, in order."""
        return {name: feature for _, named in self.named_parts for name, feature in named.items()}

    @cached_property
    def feature_names(self) -> list[str]:
        """Names of the features, in order."""
        return list(self.features)

    @property
    def numeric_names(self) -> list[str]:
        """The features that are numbers; others are 0 or 1."""
        return [name for name, feature in self.features.items() if feature.is_number]

    @property
    def target_names(self) -> list[str]:
        """The features of kinds that see the target."""
        return [name for part, named in self.named_parts if part.sees_target for name in named]

    @property
    def numbers(self) -> dict[str, str]:
        """The features that are the value of a raw or derived number column, by that column."""
        return {one.column: name for name, one in self.features.items() if one.column and one.is_number}

    @cached_property
    def raw_columns(self) -> dict[str, list[str]]:
        """The raw columns that each feature is computed from, by which explanations can be added up."""
        found: dict[str, list[str]] = {}
        for part, named in self.named_parts:
            taken = [column for name in part.takes for column in found[name]]
            found |= {name: list(dict.fromkeys([*one.columns, *taken])) for name, one in named.items()}
        return found

    @property
    def known_texts(self) -> dict[str, list[str]]:
        """The texts of raw columns that were met in training."""
        return {column: texts for part in self.parts for column, texts in part.known_texts.items()}

    @property
    def run_params(self) -> dict[str, Any]:
        """Parameters to record with a training run."""
        return {name: value for part in self.parts for name, value in part.run_params.items()}

    def watched(self) -> list[tuple[FeatureKind, list[str]]]:
        """Return the kinds whose features are watched for drift in place of their raw columns, and these features."""
        return [(part, list(named)) for part, named in self.named_parts if part.drift_name]

    def wanted(self, names: Sequence[str]) -> Iterator[tuple[FeatureKind, list[int], list[str]]]:
        """Give the kinds that have some of the features, the places of these among the kind's, and their names.

        Raises
        ------
        KeyError
            When there is no such feature.
        """
        asked = set(names)
        if unknown := asked - self.features.keys():
            raise KeyError(*unknown)
        for part, named in self.named_parts:
            if found := {place: name for place, name in enumerate(named) if name in asked}:
                yield part, list(found), list(found.values())


def _distinct(name: str, taken: set[str]) -> str:
    """Return the name with the least number at its end that makes it a new one."""
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    taken.add(candidate)
    return candidate
