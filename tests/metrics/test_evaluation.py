"""Measurements and evaluations: files, intervals, worst frames."""

import json
from collections.abc import Mapping, Sequence
from math import inf, isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multisigma.datasets.frame import Frame
from multisigma.errors import MultisigmaError
from multisigma.metrics import Counts, Evaluation, Measurement, Metric, SumMetric, measure, read_evaluations
from multisigma.metrics.evaluation import DRAWS


class Mean(Metric):
    """The mean of one number of each frame, by the slowest way: nothing is overridden."""

    def __init__(self, higher_is_better: bool | None = False) -> None:
        self.higher_is_better = higher_is_better

    def count(self, scene: Mapping[str, Any], frame: Frame) -> Counts:
        return {"value": np.array(scene["value"])}

    def summarise(self, counts: Sequence[Counts]) -> list[Measurement]:
        value = float(np.mean([of_frame["value"] for of_frame in counts]))
        return [Measurement("mean", value, "px", self.higher_is_better, "The mean.")]


def counts_of(values: Sequence[float]) -> dict[str, Counts]:
    return {f"frame {i}": {"value": np.array(value)} for i, value in enumerate(values)}


def test_an_interval_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(0).normal(10, 2, 400)
    (found,) = measure(Mean(), counts_of(values.tolist()))
    assert found.value == pytest.approx(values.mean())
    assert found.interval is not None
    error = values.std() / 20  # of the mean of 400
    assert found.interval == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.3 * error
    )
    assert measure(Mean(), counts_of(values.tolist())) == [found]


class Known(Mean):
    """Its resamples give 0, 1, 2, ..."""

    def __init__(self) -> None:
        super().__init__()
        self.done = 0

    def resample(self, counts: Sequence[Counts], weights: np.ndarray) -> dict[str, np.ndarray]:
        begin, self.done = self.done, self.done + len(weights)
        return {"mean": np.arange(begin, self.done, dtype=np.float64)}


def test_an_interval_leaves_out_the_same_share_on_both_sides() -> None:
    metric = Known()
    (found,) = measure(metric, counts_of([1.0, 2.0, 3.0]))
    last = metric.done - 1
    assert metric.done == DRAWS
    assert found.interval == pytest.approx((0.025 * last, 0.975 * last))


class FastMean(SumMetric):
    """The same mean by sums, which does all draws at once."""

    def blanks(self) -> list[Measurement]:
        return [Measurement("mean", nan, "px", False, "The mean.")]

    def zeros(self) -> Counts:
        return {"value": np.zeros(()), "frames": np.zeros((), np.int64)}

    def count(self, scene: Mapping[str, Any], frame: Frame) -> Counts:
        return {"value": np.array(scene["value"]), "frames": np.asarray(1)}

    def scores(self, totals: Counts) -> dict[str, np.ndarray]:
        return {"mean": totals["value"] / totals["frames"]}


@pytest.mark.parametrize("diverged", [1, 2, 20])
def test_a_diverged_frame_makes_the_interval_end_at_infinity(diverged: int) -> None:
    """The resamples without the frame have a finite mean, and count as what they are."""
    values = np.random.default_rng(0).normal(10, 2, 20)
    values[:diverged] = inf
    (slow,) = measure(Mean(), counts_of(values.tolist()))
    with_frames = {name: dict(counts, frames=np.asarray(1)) for name, counts in counts_of(values.tolist()).items()}
    (fast,) = measure(FastMean(), with_frames)
    for found in (slow, fast):
        assert found.value == inf
        assert found.interval is not None
        assert found.interval[1] == inf
        assert (found.interval[0] == inf) == (diverged == 20)
        assert next(iter(found.worst_frames)) == "frame 0"
        assert Measurement.from_json(json.loads(json.dumps(found.to_json()))).interval == found.interval
    assert slow.interval == pytest.approx(fast.interval)


class TwoClasses(FastMean):
    """The sum over two classes."""

    def zeros(self) -> Counts:
        return {"value": np.zeros(2)}

    def scores(self, totals: Counts) -> dict[str, np.ndarray]:
        return {"mean": totals["value"].sum(1)}


def test_a_frame_that_diverged_in_one_class_alone_counts_in_the_draws_that_contain_it() -> None:
    frames = [{"value": np.array([inf, 1.0])}, {"value": np.array([2.0, 3.0])}]
    assert TwoClasses().resample(frames, np.array([[1, 1], [0, 2]]))["mean"].tolist() == [inf, 10.0]


@pytest.mark.parametrize(
    ("higher_is_better", "worst"),
    [(False, ["frame 3", "frame 0", "frame 2"]), (True, ["frame 2", "frame 0", "frame 3"]), (None, [])],
)
def test_worst_frames_follow_the_direction(higher_is_better: bool | None, worst: list[str]) -> None:
    (found,) = measure(Mean(higher_is_better), counts_of([2.0, nan, 1.0, 9.0]))
    assert list(found.worst_frames) == worst
    if worst:
        assert found.worst_frames["frame 0"] == 2.0


def test_a_single_frame_has_no_interval_and_none_gives_nothing() -> None:
    (found,) = measure(Mean(), counts_of([3.0]))
    assert (found.value, found.interval, found.worst_frames) == (3.0, None, {})
    assert measure(Mean(), {"frame 0": {}}) == []


def an_evaluation() -> Evaluation:
    road = Measurement(
        "iou_class",
        61.25,
        "%",
        True,
        "How much overlaps.",
        {"road": 90.5, "train": nan},
        (55.0, 66.5),
        name="IoU class",
        is_main=True,
        details={"confusion": [[1, 2], [3, 4]]},
        worst_frames={"b": 3.5, "a": 4.0},
    )
    diverged = Measurement("depth_rmse_m", inf, "m", None, "")
    counts: dict[str, dict[str, Counts]] = {
        "semantic/IoU": {
            "a": {"confusion": np.arange(6).reshape(2, 3), "n": np.asarray(4)},
            "b": {},
            "c": {"confusion": np.ones((2, 3), np.int64), "n": np.asarray(5)},
        },
        "instance/AP": {
            "a": {"scores": np.array([0.5, 0.25])},
            "b": {"scores": np.zeros(0)},
            "c": {"scores": np.ones(1)},
        },
        "depth/None": {"a": {}, "b": {}, "c": {}},
    }
    return Evaluation(
        [road, diverged], [Measurement("iou_class", nan, "%", True, "")], {"paper": [road]}, {"data": "Straße"}, counts
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = an_evaluation()
    written.write(tmp_path)
    read = Evaluation.read(tmp_path, counts=True)
    for name in ("baseline", "by_votes", "provenance"):
        assert repr(getattr(read, name)) == repr(getattr(written, name)).replace("name=''", "name='Iou class'")
    assert repr(read["iou_class"]) == repr(written["iou_class"])
    assert read.value("depth_rmse_m") == inf
    assert isnan(read.value("other"))
    with pytest.raises(KeyError):
        read["other"]
    for metric, by_frame in written.counts.items():
        known = {frame: counts for frame, counts in by_frame.items() if counts}
        assert read.counts[metric].keys() == known.keys()
        for frame, counts in known.items():
            for name, array in counts.items():
                np.testing.assert_array_equal(read.counts[metric][frame][name], array)
                assert read.counts[metric][frame][name].shape == array.shape


def test_the_file_is_json_that_any_reader_takes(tmp_path: Path) -> None:
    an_evaluation().write(tmp_path)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    content = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"), parse_constant=refuse)
    by_key = {m["key"]: m for m in content["measurements"]}
    assert by_key["iou_class"]["per_class"] == {"road": 90.5, "train": None}
    assert by_key["depth_rmse_m"]["value"] == "inf"


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("metrics.json", "{", "must be readable JSON"),
        ("metrics.json", "[]", "`format_version` must be 1. Found None"),
        ("metrics.json", '{"format_version": 2}', "`format_version` must be 1. Found 2"),
        ("metrics.json", '{"format_version": 1}', "Found a fault: 'measurements'"),
        (
            "metrics.json",
            '{"format_version": 1, "measurements": [{}], "baseline": []}',
            "must have the field 'interval'",
        ),
        ("counts.npz", "", "must hold counts"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, file: str, change: str, words: str) -> None:
    an_evaluation().write(tmp_path)
    (tmp_path / file).write_text(change)
    with pytest.raises(MultisigmaError, match=words) as error:
        Evaluation.read(tmp_path, counts=True)
    assert str(tmp_path / file) in str(error.value)


def test_counts_hold_no_pickles(tmp_path: Path) -> None:
    an_evaluation().write(tmp_path)
    np.savez(tmp_path / "counts.npz", frames=np.array([{"a": 1}], dtype=object))
    with pytest.raises(MultisigmaError, match="must hold counts"):
        Evaluation.read(tmp_path, counts=True)


def test_a_value_may_be_a_whole_number_but_not_beyond_any_float(tmp_path: Path) -> None:
    an_evaluation().write(tmp_path)
    path = tmp_path / "metrics.json"
    written = path.read_text(encoding="utf-8")
    path.write_text(written.replace("61.25", "61"), encoding="utf-8")
    assert Evaluation.read(tmp_path).value("iou_class") == 61.0
    path.write_text(written.replace("61.25", "1" + 400 * "0"), encoding="utf-8")
    with pytest.raises(MultisigmaError, match="a whole number is too large"):
        Evaluation.read(tmp_path)


def test_all_evaluations_of_a_folder(tmp_path: Path) -> None:
    assert read_evaluations(tmp_path) == {}
    for name in ("b", "a"):
        (tmp_path / "evaluations" / name).mkdir(parents=True)
        an_evaluation().write(tmp_path / "evaluations" / name)
    assert list(read_evaluations(tmp_path)) == ["a", "b"]


def test_a_measurement_of_ones_own_has_a_title_and_an_arrow() -> None:
    m = Measurement("edge_f1", 61.5, "%", True, "F1 of edges.")
    assert (m.title, m.arrow) == ("Edge f1", "↑")
    assert Measurement("x", 0.0, "", None, "").arrow == ""
