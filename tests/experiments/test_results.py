"""Result files: what is written is read again, and a name stands for what is learned."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from multisigma.errors import MultisigmaError
from multisigma.experiments.budgets import BUDGETS
from multisigma.experiments.results import METRICS, Result, result_path
from multisigma.training.config import Names
from tests.experiments.fakes import FRAMES, fake_result

CONFIG = BUDGETS["cpu"].config


@pytest.mark.parametrize("tasks", [("semantic", "instance", "depth"), ("depth",)])
def test_round_trip(tmp_path: Path, tasks: tuple[str, ...]) -> None:
    config = replace(CONFIG, tasks=Names(*tasks), weighting_options={"initial": {"depth": 1.5}})
    before = fake_result(config)
    before.write(tmp_path / "a.json.gz")
    after = Result.read(tmp_path / "a.json.gz")
    assert after.config == config
    assert [m.key for m in after.measurements] == [m.key for m in before.measurements]
    assert after.provenance == before.provenance
    for keys in METRICS.values():
        for key in keys:
            for frames in (FRAMES, FRAMES[2:5]):
                np.testing.assert_allclose(after.value(key, frames), before.value(key, frames), rtol=1e-6)
    assert list(after.curves) == list(before.curves)
    for name, (steps, values) in before.curves.items():
        assert after.curves[name][0] == steps
        np.testing.assert_allclose(after.curves[name][1], values, rtol=1e-6)


def test_values_are_those_of_the_metric(tmp_path: Path) -> None:
    result = fake_result(CONFIG)
    whole = {m.key: m.value for m in result.measurements}
    for keys in METRICS.values():
        for key in keys:
            assert result.value(key, FRAMES) == pytest.approx(whole[key])
    assert math.isnan(fake_result(replace(CONFIG, tasks=Names("depth"))).value("iou_class", FRAMES))


def test_a_curve_that_is_not_finite(tmp_path: Path) -> None:
    result = replace(fake_result(CONFIG), curves={"loss/depth": ([0, 1, 2], [1.0, math.nan, math.inf])})
    result.write(tmp_path / "a.json.gz")
    np.testing.assert_array_equal(
        Result.read(tmp_path / "a.json.gz").curves["loss/depth"][1], [1.0, math.nan, math.nan]
    )


def test_a_diverged_run(tmp_path: Path) -> None:
    Result(CONFIG, "the loss must be finite").write(tmp_path / "a.json.gz")
    read = Result.read(tmp_path / "a.json.gz")
    assert read.failure == "the loss must be finite"
    assert read.frames == []
    assert math.isnan(read.value("iou_class", FRAMES))


@pytest.mark.parametrize("content", [b"", b"no gzip", b"\x1f\x8b" + bytes(20)])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json.gz").write_bytes(content)
    with pytest.raises(MultisigmaError, match=r"a\.json\.gz.*Remove it"):
        Result.read(tmp_path / "a.json.gz")


def test_a_name_stands_for_what_is_learned() -> None:
    path = result_path(Path(), CONFIG)
    for same in ({"data": "elsewhere"}, {"workers": 3}, {"threads": 2}, {"log_every": 7}, {"checkpoint_every": 9}):
        assert result_path(Path(), replace(CONFIG, **same)) == path
    others = [{"seed": 5}, {"learning_rate": 0.2}, {"iterations": 5}, {"weighting": "equal"}, {"decoder_kernel": 1}]
    others += [{"weighting_options": {"normalise": 1.0}}, {"task_options": {"depth": {"likelihood": "gaussian"}}}]
    assert len({path, *(result_path(Path(), replace(CONFIG, **other)) for other in others)}) == len(others) + 1
