"""Format the comparison of a candidate with the production version as text."""

import math
import textwrap
from dataclasses import dataclass

from pipeline.params.schema import GateParams
from pipeline.register.gate.comparison import MIN_SLICE_ROWS, ModelComparison, Score, Slice
from pipeline.support.text import align_columns

WIDTH = 110
MAX_NAME_LENGTH = 34
MAX_NAMED_SLICES = 3  # in a sentence


@dataclass(frozen=True)
class Condition:
    """A rule of the gate: whether it holds, and a description of the finding."""

    holds: bool
    text: str


def conditions(comparison: ModelComparison, params: GateParams) -> list[Condition]:
    """Return the rules of the gate in params.yaml, applied to a comparison."""
    score, is_confident = comparison.scores[0], comparison.win_rate >= params.confidence
    improvement = score.improvement or 0.0
    is_improved = improvement > 0 and improvement >= params.min_improvement
    required = format_percent(params.min_improvement) if params.min_improvement else "any improvement"
    rules = [
        Condition(
            is_improved,
            f"{'only ' if improvement > 0 and not is_improved else ''}{format_change(score)} in {score.metric} "
            f"({required} required)",
        ),
        Condition(
            is_confident,
            f"better in {'' if is_confident else 'only '}{_format_share(comparison.win_rate)} of "
            f"{params.n_resamples:,} resamples of the test rows ({_format_share(params.confidence)} required)",
        ),
    ]
    return [*rules, slice_condition(comparison.slices, params)] if comparison.slices else rules


def slice_condition(slices: list[Slice], params: GateParams) -> Condition:
    """Return the rule that the candidate may not be much worse on any slice."""
    allowed = format_percent(params.max_regression)
    judged = [part for part in slices if part.is_judged]
    worse = [
        f"{format_change(part.score)} in {part.column} {shorten(slice_name(part))}"
        for part in judged
        if part.has_regressed(params.max_regression)
    ]
    if worse:
        more = f" and {len(worse) - MAX_NAMED_SLICES} more" if len(worse) > MAX_NAMED_SLICES else ""
        return Condition(False, f"{', '.join(worse[:MAX_NAMED_SLICES])}{more} ({allowed} allowed)")
    if not judged:
        return Condition(
            True, f"no slice is judged: each has fewer than {MIN_SLICE_ROWS} rows, or the metric is undefined"
        )
    return Condition(True, f"no slice is worse by more than {allowed} ({len(judged)} of {len(slices)} slices judged)")


def format_table(
    title: str, version: str, comparison: ModelComparison, params: GateParams, findings: list[tuple[str, str]]
) -> str:
    """Return a table of all metrics and slices, with the findings below it.

    Parameters
    ----------
    title : str
    version : str
        The number of the current production version.
    comparison : ModelComparison
    params : GateParams
    findings : list of (str, str)
        A word, such as passed or FAILED, and a sentence.
    """
    judged, *others = comparison.scores
    cells = [("", "rows", f"version {version}", "candidate", "", ""), _cells(judged.metric, judged)]
    for position, part in enumerate(comparison.slices):
        if position == 0 or part.column != comparison.slices[position - 1].column:
            cells.append((f"  {shorten(part.column)}", "", "", "", "", ""))
        cells.append(_cells(f"    {shorten(slice_name(part))}", part.score, _remark(part, params)))
    cells += [_cells(score.metric, score) for score in others]
    lines = [*textwrap.wrap(title, WIDTH), "", align_columns(cells, to_right=(1, 2, 3)), ""]
    indent = max(len(word) for word, _ in findings) + 2
    for word, text in findings:
        lines += textwrap.wrap(text, WIDTH, initial_indent=word.ljust(indent), subsequent_indent=" " * indent)
    return "\n".join(lines)


def summary(comparison: ModelComparison, params: GateParams) -> str:
    """Return the change in the judged metric, and the slices that are too much worse, in one line."""
    score = comparison.scores[0]
    result = (
        f"{score.metric} {format_number(score.current)} -> {format_number(score.candidate)} "
        f"({format_change(score)}, better in {_format_share(comparison.win_rate)} of resamples)"
    )
    slices = slice_condition(comparison.slices, params)
    return result if slices.holds else f"{result}; {slices.text}"


def format_change(score: Score) -> str:
    """Return how much better or worse the candidate is; empty if the metric is undefined."""
    if score.improvement is None:
        return ""
    if not score.improvement:
        return "equal"
    word = "better" if score.improvement > 0 else "worse"
    size = abs(score.improvement)
    if math.isinf(size):
        return f"{word}, from 0"
    return f"{format_percent(size)} {word}" if size >= 0.999 else f"{100 * size:#.3g} % {word}"  # keep trailing zeros


def format_percent(share: float) -> str:
    """Return a share as a percentage with at least three significant digits."""
    return f"{100 * share:,.0f} %" if share >= 0.999 else f"{100 * share:.3g} %"


def format_number(value: float | None) -> str:
    """Return a metric's value, or a dash if it is undefined."""
    if value is None:
        return "-"
    return f"{value:,.1f}" if 1000 <= abs(value) < 1e12 else f"{value:#.5g}"


def slice_name(part: Slice) -> str:
    """Return the value of a slice, with a name for missing and empty ones."""
    return "(missing)" if part.value is None else part.value or "(empty)"


def shorten(text: str) -> str:
    """Return a text on one line, cut to the width of a column."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_NAME_LENGTH else f"{line[: MAX_NAME_LENGTH - 1]}…"


def _format_share(share: float) -> str:
    return f"{100 * share:.4g} %"


def _cells(name: str, score: Score, remark: str = "") -> tuple[str, ...]:
    return (
        name,
        f"{score.n_rows:,}",
        format_number(score.current),
        format_number(score.candidate),
        format_change(score),
        remark,
    )


def _remark(part: Slice, params: GateParams) -> str:
    if not part.is_judged:
        return "not judged: few rows" if part.score.n_rows < MIN_SLICE_ROWS else "not judged: undefined"
    return "over the limit" if part.has_regressed(params.max_regression) else ""
