"""Statistics against SciPy and against what follows by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from multisigma.experiments.budgets import BUDGETS
from multisigma.experiments.results import Result
from multisigma.experiments.statistics import delta_m, halves, over_frames, over_seeds, paired, score, t_interval
from multisigma.training.config import Names
from tests.experiments.fakes import FRAMES, fake_result

numbers = st.lists(st.floats(-100, 100), min_size=2, max_size=8)
CONFIG = BUDGETS["cpu"].config


def of_seeds(seeds: int, learning_rate: float = 0.1) -> list[Result]:
    return [fake_result(replace(CONFIG, seed=seed, learning_rate=learning_rate)) for seed in range(seeds)]


@given(numbers)
def test_t_interval_is_scipys(values: list[float]) -> None:
    found = t_interval(values)
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    if np.std(values) > 1e-9:
        np.testing.assert_allclose((found.low, found.high), expected, rtol=1e-9, atol=1e-9)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.half_width == pytest.approx((found.high - found.low) / 2)


def test_paired_is_scipys() -> None:
    first, second = of_seeds(4), of_seeds(5, 0.2)
    key = "disparity_error_px"
    values = [[r.value(key, FRAMES) for r in results] for results in (first, second[:4])]
    expected = scipy.stats.ttest_rel(*values).confidence_interval(0.95)
    found = paired(first, second, key, FRAMES)
    np.testing.assert_allclose((found.low, found.high), expected, rtol=1e-9)
    assert found.mean == pytest.approx(np.mean(values[0]) - np.mean(values[1]))


def test_one_seed_has_no_interval() -> None:
    found = over_seeds(of_seeds(1), "iou_class", FRAMES)
    assert math.isfinite(found.mean)
    assert math.isnan(found.low)
    assert math.isnan(over_seeds([], "iou_class", FRAMES).mean)


@pytest.mark.parametrize("key", ["iou_class", "instance_error_px", "disparity_error_px"])
def test_bootstrap_is_scipys(key: str) -> None:
    """For a mean over equally large frames, the interval is that of the frames' own values."""
    first, second = of_seeds(2), of_seeds(2, 0.2)
    low, high = over_frames(first, second, key, FRAMES)
    alone = [
        [float(np.mean([r.value(key, [name]) for r in results])) for name in FRAMES] for results in (first, second)
    ]
    difference = np.subtract(alone[0], alone[1])
    expected = scipy.stats.bootstrap((difference,), np.mean, method="percentile", rng=0).confidence_interval
    wide = expected.high - expected.low
    # IoU is a ratio of sums and not a mean of the frames' own.
    np.testing.assert_allclose((low, high), expected, atol=(0.7 if key == "iou_class" else 0.15) * wide)


cities = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(1, 9), min_size=1, max_size=6)


@given(cities)
def test_halves_split_no_city(counts: dict[str, int]) -> None:
    frames = [f"{city}_{i:06d}" for city, count in counts.items() for i in range(count)]
    choose, report = halves(frames)
    assert sorted(choose + report) == sorted(frames)
    assert len(report) >= len(choose)
    towns = [{name.split("_")[0] for name in part} for part in (choose, report)]
    if len(counts) > 1:
        assert not towns[0] & towns[1]
        assert choose
    else:
        assert len(report) - len(choose) <= 1


def test_cityscapes_halves() -> None:
    sizes = {"frankfurt": 267, "lindau": 59, "munster": 174}
    choose, report = halves([f"{city}_{i}" for city, size in sizes.items() for i in range(size)])
    assert (len(choose), len(report)) == (233, 267)


def test_delta_m() -> None:
    single = {"iou_class": 40.0, "iou_category": 50.0, "disparity_error_px": 2.0}
    values = {"iou_class": 44.0, "iou_category": 50.0, "disparity_error_px": 2.2}
    assert delta_m(values, single) == pytest.approx((10 - 10) / 2)
    assert delta_m(values, single, "metrics") == pytest.approx((10 + 0 - 10) / 3)
    assert math.isnan(delta_m({}, single))


def test_score_is_a_mean_log_gain() -> None:
    first, second = fake_result(CONFIG), fake_result(replace(CONFIG, seed=9))
    keys = {"iou_class": 1, "instance_error_px": -1, "disparity_error_px": -1}
    expected = np.mean([s * math.log(first.value(k, FRAMES) / second.value(k, FRAMES)) for k, s in keys.items()])
    assert score(first, FRAMES) - score(second, FRAMES) == pytest.approx(expected)
    assert score(Result(CONFIG, "diverged"), FRAMES) == -math.inf
    alone = fake_result(replace(CONFIG, tasks=Names("semantic")))
    assert score(alone, FRAMES) == pytest.approx(math.log(alone.value("iou_class", FRAMES)))
