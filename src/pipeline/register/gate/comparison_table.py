"""The comparison of a candidate with the version in Production, as people read it."""

import math
import textwrap
from dataclasses import dataclass

from pipeline.params.schema import GateParams
from pipeline.register.gate.comparison import FEWEST_ROWS, ModelComparison, Score, Slice
from pipeline.support.text import aligned

WIDTH = 110
LONGEST_NAME = 34
MOST_NAMED = 3  # slices in a sentence


@dataclass(frozen=True)
class Condition:
    """One of the gate's rules, whether it holds, and what was found, in words."""

    holds: bool
    text: str


def conditions(comparison: ModelComparison, params: GateParams) -> list[Condition]:
    """Hold a comparison to the rules of params.yaml."""
    score, sure = comparison.scores[0], comparison.share >= params.confidence
    improvement = score.improvement or 0.0
    enough = improvement > 0 and improvement >= params.min_improvement
    asked = percent(params.min_improvement) if params.min_improvement else "any improvement"
    found = [
        Condition(
            enough,
            f"{'only ' if improvement > 0 and not enough else ''}{change(score)} in {score.metric} ({asked} asked)",
        ),
        Condition(
            sure,
            f"better in {'' if sure else 'only '}{_share(comparison.share)} of {params.n_resamples:,} resamples of the "
            f"test rows ({_share(params.confidence)} asked)",
        ),
    ]
    return [*found, of_slices(comparison.slices, params)] if comparison.slices else found


def of_slices(slices: list[Slice], params: GateParams) -> Condition:
    """Hold slices to the rule that none may get much worse."""
    allowed = percent(params.max_regression)
    judged = [one for one in slices if one.is_judged]
    worse = [
        f"{change(one.score)} in {one.column} {shortened(value_of(one))}"
        for one in judged
        if one.regressed(params.max_regression)
    ]
    if worse:
        more = f" and {len(worse) - MOST_NAMED} more" if len(worse) > MOST_NAMED else ""
        return Condition(False, f"{', '.join(worse[:MOST_NAMED])}{more} ({allowed} allowed)")
    if not judged:
        return Condition(
            True, f"no slice is judged: each has fewer than {FEWEST_ROWS} rows, or the metric is undefined"
        )
    return Condition(True, f"in no slice worse by more than {allowed} ({len(judged)} of {len(slices)} judged)")


def table(
    title: str, version: str, comparison: ModelComparison, params: GateParams, below: list[tuple[str, str]]
) -> str:
    """Return all metrics and slices in aligned columns, and below them what follows.

    Parameters
    ----------
    title : str
    version : str
        The number of the version in Production.
    comparison : ModelComparison
    params : GateParams
    below : list of (str, str)
        A word and a text each.
    """
    judged, *others = comparison.scores
    cells = [("", "rows", f"version {version}", "candidate", "", ""), _cells(judged.metric, judged)]
    for place, one in enumerate(comparison.slices):
        if place == 0 or one.column != comparison.slices[place - 1].column:
            cells.append((f"  {shortened(one.column)}", "", "", "", "", ""))
        cells.append(_cells(f"    {shortened(value_of(one))}", one.score, _remark(one, params)))
    cells += [_cells(score.metric, score) for score in others]
    lines = [*textwrap.wrap(title, WIDTH), "", aligned(cells, to_right=(1, 2, 3)), ""]
    wide = max(len(word) for word, _ in below) + 2
    for word, text in below:
        lines += textwrap.wrap(text, WIDTH, initial_indent=word.ljust(wide), subsequent_indent=" " * wide)
    return "\n".join(lines)


def summary(comparison: ModelComparison, params: GateParams) -> str:
    """Return the comparison by the judged metric, and the slices that got too bad, in a few words."""
    score = comparison.scores[0]
    found = (
        f"{score.metric} {number(score.current)} -> {number(score.candidate)} "
        f"({change(score)}, better in {_share(comparison.share)} of resamples)"
    )
    slices = of_slices(comparison.slices, params)
    return found if slices.holds else f"{found}; {slices.text}"


def change(score: Score) -> str:
    """Return how much better or worse the candidate is; nothing where that is not defined."""
    if score.improvement is None:
        return ""
    if not score.improvement:
        return "equal"
    word = "better" if score.improvement > 0 else "worse"
    size = abs(score.improvement)
    if math.isinf(size):
        return f"{word}, from 0"
    return f"{percent(size)} {word}" if size >= 0.999 else f"{100 * size:#.3g} % {word}"  # all as many digits


def percent(share: float) -> str:
    """Return a share as a percentage of three digits or more."""
    return f"{100 * share:,.0f} %" if share >= 0.999 else f"{100 * share:.3g} %"


def number(value: float | None) -> str:
    """Return a metric's value; a dash where it has none."""
    if value is None:
        return "-"
    return f"{value:,.1f}" if 1000 <= abs(value) < 1e12 else f"{value:#.5g}"


def value_of(one: Slice) -> str:
    """Return the value that a slice's rows hold."""
    return "(missing)" if one.value is None else one.value or "(empty)"


def shortened(text: str) -> str:
    """Return a text on one line, and no longer than fits a column."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 1]}…"


def _share(share: float) -> str:
    return f"{100 * share:.4g} %"


def _cells(name: str, score: Score, remark: str = "") -> tuple[str, ...]:
    return (name, f"{score.n_rows:,}", number(score.current), number(score.candidate), change(score), remark)


def _remark(one: Slice, params: GateParams) -> str:
    if not one.is_judged:
        return "not judged: few rows" if one.score.n_rows < FEWEST_ROWS else "not judged: undefined"
    return "too much" if one.regressed(params.max_regression) else ""
