"""Write README.md from the results of all benchmarks.

README.template.md is the page with a placeholder for each figure: `{serving[ours_batch_p50_ms]:.1f ms|<=30}` is the
number of serving.py with that key in Python's format `.1f`, its unit, minimum and maximum if they are known, and in the
next cell of the table the target, marked if the figure misses it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from machine import MAX_BUSY
from table_peers import PEERS

FOLDER = Path(__file__).parent
SPEC = re.compile(r"(?P<format>[^ |]*)(?: (?P<unit>[^|]+))?(?:\|(?P<sign><=|>=)(?P<target>[\d.]+))?")
LIMITS = {"<=": "at most", ">=": "at least"}
OPTIONAL = ("gpu", "tables", "small_tables")  # benchmarks that a machine may be unable to run
OTHER_CODE = ("tables", "small_tables")  # take hours: the page names the commit they are of
OPTIONAL_NUMBERS = (("busy", "busy_quota"), ("busy", "busy_quota_seconds"))
Results = Mapping[str, Mapping[str, Any]]


class Figure(float):
    """A number with its minimum and maximum, which the format of this module's description shows."""

    spread: tuple[float, float] | None = None

    def __format__(self, spec: str) -> str:
        parts = _parse(spec)
        unit = f" {parts['unit']}" if parts["unit"] else ""
        text = format(float(self), parts["format"]) + unit
        if self.spread:
            text += " ({} - {})".format(*(format(value, parts["format"]) for value in self.spread))
        if parts["sign"]:
            target = float(parts["target"])
            met = self <= target if parts["sign"] == "<=" else self >= target
            text += f" | {LIMITS[parts['sign']]} {parts['target']}{'' if met else ': **missed**'}"
        return text


class NotMeasured:
    """Stands for a number that the machine cannot measure."""

    def __format__(self, spec: str) -> str:
        parts = _parse(spec)
        return "not measured" + (f" | {LIMITS[parts['sign']]} {parts['target']}" if parts["sign"] else "")


class Figures(dict[str, object]):
    """The figures of one benchmark by key, for the placeholders."""

    def __init__(self, name: str, result: Mapping[str, Any] | None) -> None:
        super().__init__()
        self.name = name
        if result:
            self |= {key: result[key] for key in ("machine", "versions")} | {"minutes": Figure(result["seconds"] / 60)}
            if name in OTHER_CODE:
                self |= {"commit": result["commit"][:10], "each_table": _each_table(result["numbers"])}
            self |= {key: _figure(result["numbers"], key) for key in result["numbers"]}

    def __missing__(self, key: str) -> object:
        if self.name in OPTIONAL or (self.name, key) in OPTIONAL_NUMBERS:
            return NotMeasured()
        raise refusal(f"the results of {self.name} have no {key}", [self.name])


def _parse(spec: str) -> dict[str, str]:
    match = SPEC.fullmatch(spec)
    if not match:
        raise ValueError(f"README.template.md: unknown format {spec!r}")
    return match.groupdict()


def _figure(numbers: Mapping[str, Any], key: str) -> object:
    if isinstance(numbers[key], str):
        return numbers[key]
    if isinstance(numbers[key], bool):
        return "yes" if numbers[key] else "no"
    figure = Figure(numbers[key])
    low, high = numbers.get(f"{key}_min"), numbers.get(f"{key}_max")
    if low is not None and high is not None and low != high:
        figure.spread = (low, high)
    return figure


def _each_table(numbers: Mapping[str, Any]) -> str:
    """Return a row for each table of tables.py, with the loss of each library, or why it is refused."""
    rows = []
    for name in (key.removesuffix("_rows") for key in numbers if key.endswith("_rows")):
        losses = [numbers.get(f"{name}_{side}") for side in ("project", *PEERS)]
        cells = ["failed" if loss is None else f"{loss:.4g}" for loss in losses]
        kind = "log loss" if numbers[f"{name}_task"] == "classification" else "RMSE"
        ratio = f"{numbers[f'{name}_ratio']:.3f}" if f"{name}_ratio" in numbers else ""
        rows.append([name, f"{numbers[f'{name}_rows']:,}", kind, *cells, ratio])
    refused = [key for key in numbers if key.endswith("_refused")]
    rows += [
        [key.removesuffix("_refused"), "", f"refused: {numbers[key]}", *[""] * (len(PEERS) + 2)] for key in refused
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def refusal(problem: str, again: list[str]) -> SystemExit:
    """Return the error that the page cannot be written, and which benchmarks must run again."""
    return SystemExit(
        f"error: benchmarks/README.md is not written: {problem}\n"
        f"  -> run python benchmarks/run_all.py --only {' '.join(again)}"
    )


def check(results: Results, names: list[str]) -> None:
    """Raise an error unless there are results of all benchmarks, of one code and machine, measured while it was idle.

    Parameters
    ----------
    results : mapping
        Content of results.json.
    names : list of str
        Names of the benchmarks that the page shows.

    Raises
    ------
    SystemExit
        The message names the benchmarks that must run again.
    """
    if missing := [name for name in names if name not in results and name not in OPTIONAL]:
        raise refusal(f"there are no results of {', '.join(missing)}", missing)
    newest = _newest(results)
    for key, text in (("code", "other code"), ("machine", "another machine"), ("versions", "other package versions")):
        skipped = OPTIONAL if key != "code" else OTHER_CODE
        other = [name for name in results if name not in skipped and results[name][key] != newest[key]]
        if other:
            raise refusal(f"results of {', '.join(other)} are of {text} than those of {newest['date']}", other)
    for name, result in results.items():
        busy = max(result["other_processors_before"], result["other_processors_after"])
        if busy > MAX_BUSY:
            raise refusal(f"other programs used {busy:.2g} processors just before or after {name}", [name])


def render(results: Results, names: list[str], template: str, baselines: Mapping[str, str]) -> str:
    """Return the page: the template with the figures of the results; `baselines` are the commits some compare with."""
    check(results, names)
    newest = _newest(results)
    rows = [
        f"| {name} | {result['date']} | {result['seconds'] / 60:.1f} | {_loads(result['load_average_before'])} | "
        f"{_loads(result['load_average_after'])} | {result['other_processors_before']:.2f}, "
        f"{result['other_processors_after']:.2f} |"
        for name, result in results.items()
    ]
    run = {key: newest[key] for key in ("machine", "versions")}
    run |= {"commit": newest["commit"][:10], "baselines": baselines, "loads": "\n".join(rows)}
    figures = {name: Figures(name, results.get(name)) for name in names}
    return template.format(run=run, **figures)


def _newest(results: Results) -> Mapping[str, Any]:
    return max((results[name] for name in results if name not in OPTIONAL), key=lambda result: str(result["date"]))


def _loads(averages: list[float]) -> str:
    return " ".join(f"{value:.2f}" for value in averages)
