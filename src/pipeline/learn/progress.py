"""Report the progress of a search: a progress bar on a terminal, lines elsewhere."""

import sys
from collections.abc import Iterable

from pipeline.learn.candidate import Candidate
from pipeline.support.progress import progress


def track_best(candidates: Iterable[Candidate], total: int, label: str, loss: str) -> Candidate:
    """Return the first candidate with the lowest mean score, and report the best so far. Dropped ones do not count."""
    from tqdm import tqdm

    bar = tqdm(
        total=total, desc=label, unit="candidate", leave=True, disable=not sys.stderr.isatty(), dynamic_ncols=True
    )
    best: Candidate | None = None
    if bar.disable:
        progress(f"{label}: searching {total} candidates")
    with bar:
        for candidate in candidates:
            if best is None or (not candidate.dropped and candidate.mean < best.mean):
                best = candidate
            score = f"best {loss} {best.mean:.6g} in the search"  # not comparable with the final cross-validation
            bar.set_postfix_str(score, refresh=False)
            bar.update()
            if bar.disable and (candidate.number % max(1, total // 4) == 0 or candidate.number == total):
                progress(f"{label}: candidate {candidate.number}/{total}, {score}")
    assert best is not None
    return best
