"""benchmarks/gpu.py measures the parts of a training; the comparison itself needs a GPU."""

import gpu
import pytest


def test_parts_are_measured_on_the_cpu() -> None:
    results = [gpu.measure(300, "cpu", 2, {"n_candidates": 2, "max_rounds": 20}) for _ in range(2)]
    first, second = results
    assert first["sha256"] == second["sha256"]
    assert first["total"] == pytest.approx(sum(first[part] for part in gpu.PARTS))
    assert 0.5 < first["test_rmse"] < 2


@pytest.mark.usefixtures("_without_gpu")
def test_without_a_gpu_it_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    with pytest.raises(SystemExit) as raised:
        gpu.main()
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("error: XGBoost finds no GPU with a working driver\n  -> ")
