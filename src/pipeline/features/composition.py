"""Combine fitted kinds of features: name their features, and find the kind that computes each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.features.kinds.interface import Feature, FeatureKind


@dataclass(frozen=True)
class Composition:
    """A sequence of fitted kinds of features.

    Attributes
    ----------
    parts : tuple of FeatureKind
        The kinds, in the order of their features.
    """

    parts: tuple[FeatureKind, ...]

    @cached_property
    def named_parts(self) -> list[tuple[FeatureKind, dict[str, Feature]]]:
        """Each kind with its features by name; repeated names get the suffixes _2, _3 and so on."""
        used: set[str] = set()
        return [(part, {_unique_name(feature.name, used): feature for feature in part.features}) for part in self.parts]

    @cached_property
    def features(self) -> dict[str, Feature]:
        """All features by name, in column order."""
        return {name: feature for _, named in self.named_parts for name, feature in named.items()}

    @cached_property
    def feature_names(self) -> list[str]:
        """Names of the features, in column order."""
        return list(self.features)

    @property
    def numeric_names(self) -> list[str]:
        """Names of the numeric features; the others are 0 or 1."""
        return [name for name, feature in self.features.items() if feature.is_number]

    @property
    def target_names(self) -> list[str]:
        """Names of the features that are learned from the target."""
        return [name for part, named in self.named_parts if part.sees_target for name in named]

    @property
    def numbers(self) -> dict[str, str]:
        """Names of the features that are a raw or derived numeric column, by column name."""
        return {feature.column: name for name, feature in self.features.items() if feature.column and feature.is_number}

    @cached_property
    def raw_columns(self) -> dict[str, list[str]]:
        """The raw columns that each feature is computed from, so that explanations can be summed by raw column."""
        columns: dict[str, list[str]] = {}
        for part, named in self.named_parts:
            inherited = [column for name in part.input_features for column in columns[name]]
            columns |= {name: list(dict.fromkeys([*item.columns, *inherited])) for name, item in named.items()}
        return columns

    @property
    def known_categories(self) -> dict[str, list[str]]:
        """The categories of each text column seen in training."""
        return {column: texts for part in self.parts for column, texts in part.known_categories.items()}

    @property
    def descriptions(self) -> dict[str, str]:
        """What the values of columns are, for clients, where the type and `known_categories` do not say it."""
        return {column: text for part in self.parts for column, text in part.descriptions.items()}

    @property
    def growing_columns(self) -> dict[str, str]:
        """The raw columns whose values grow by nature, each with a feature that shows which are missing."""
        growing: dict[str, str] = {}
        for part, named in self.named_parts:
            for name, feature in named.items() if part.grows else ():
                growing.setdefault(feature.columns[0], name)
        return growing

    @property
    def run_params(self) -> dict[str, Any]:
        """Parameters to log with a training run."""
        return {name: value for part in self.parts for name, value in part.run_params.items()}

    def drift_features(self) -> list[tuple[FeatureKind, list[str]]]:
        """Return the kinds whose features are monitored for drift instead of raw columns, with their feature names."""
        return [(part, list(named)) for part, named in self.named_parts if part.drift_name]

    def select(self, names: Sequence[str]) -> Iterator[tuple[FeatureKind, list[int], list[str]]]:
        """Yield each kind that has any of these features, their indices within the kind, and their names.

        Raises
        ------
        KeyError
            If a feature does not exist.
        """
        requested = set(names)
        if unknown := requested - self.features.keys():
            raise KeyError(*unknown)
        for part, named in self.named_parts:
            if selected := {index: name for index, name in enumerate(named) if name in requested}:
                yield part, list(selected), list(selected.values())


def _unique_name(name: str, used: set[str]) -> str:
    """Return the name, with the smallest numeric suffix that makes it unique, and add it to `used`."""
    candidate, count = name, 1
    while candidate in used:
        count += 1
        candidate = f"{name}_{count}"
    used.add(candidate)
    return candidate
