"""What `store.py prune` removes and what it keeps."""

import os
from collections.abc import Callable

import pytest

from pipeline.errors import PipelineError
from pipeline.store.database import LocalStore
from pipeline.store.maintenance.prune import parse_age
from support.stores import file_hashes, predict, query, remaining


def test_prune_removes_only_unreferenced_runs_and_files(
    store: LocalStore, old_runs: dict[str, str], call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store.home / "small" / ("b" * 32)
    folder.mkdir()
    os.utime(folder, (0, 0))
    before, models = file_hashes(store.home), query(store, "select model_id from logged_models")
    assert call("store", "prune") == 0
    dry_run = capsys.readouterr().out
    assert file_hashes(store.home) == before
    assert remaining(store, old_runs) == set(old_runs)
    assert call("store", "prune", "--no-dry-run") == 0
    done = capsys.readouterr().out
    removed = {"failed", "killed", "experiment 1", "experiment 2"}
    assert remaining(store, old_runs) == set(old_runs) - removed
    for name in removed:
        assert old_runs[name][:8] in dry_run
        assert old_runs[name][:8] in done
        assert not (store.home / "small" / old_runs[name]).exists()
        for table in ("tags", "params", "metrics", "latest_metrics"):
            assert not query(store, f"select 1 from {table} where run_uuid = ?", old_runs[name])
        assert not query(store, "select 1 from inputs where ? in (source_id, destination_id)", old_runs[name])
    assert not folder.exists()
    assert len(models) == 3
    assert len(list((store.home / "small" / "models").iterdir())) == 1
    assert query(store, "select count(*) from logged_models") == [(1,)]
    assert query(store, "pragma foreign_key_check") == []
    parents = "select count(*) from tags where key = 'mlflow.parentRunId' and value not in (select run_uuid from runs)"
    assert query(store, parents) == [(0,)]
    assert len(predict()) == 5
    assert call("store", "prune", "--no-dry-run") == 0
    assert capsys.readouterr().out == "nothing to remove (only items older than --older-than are removed)\n"


@pytest.mark.parametrize(("age", "seconds"), [("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)])
def test_parse_age(age: str, seconds: int) -> None:
    assert parse_age(age) == seconds
    for invalid in ("", "3", "d", "-1d", "1.5d", "3m", "1d\n"):
        with pytest.raises(PipelineError, match="older-than"):
            parse_age(invalid)
