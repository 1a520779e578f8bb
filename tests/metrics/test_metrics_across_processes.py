"""The counts of any number of processes, in any order, give exactly the numbers of one."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.scene import PredictedInstances
from multisigma.metrics import (
    AveragePrecision,
    Counts,
    DenseErrors,
    DepthErrors,
    IntervalCoverage,
    IoU,
    Metric,
    PanopticQuality,
    Reliability,
    VectorErrors,
)
from multisigma.metrics.evaluation import measure
from tests.scenes import Scene

Case = list[tuple[Scene, Frame]]


def vectors_of(frame: Frame) -> np.ndarray:
    """True vectors, a third of them not labelled; none in the first frames."""
    rng = np.random.default_rng(int(frame.name.split("_")[1]))
    vectors = rng.normal(0, 20, (2, *frame.size))
    vectors[:, rng.random(frame.size) < (1.1 if frame.name.endswith("0_000019") else 0.3)] = np.nan
    return vectors


def metrics() -> list[Metric]:
    return [
        IoU(CITYSCAPES),
        AveragePrecision(CITYSCAPES),
        PanopticQuality(CITYSCAPES),
        DepthErrors(),
        Reliability(CITYSCAPES),
        DenseErrors("vectors", vectors_of, "px"),
        VectorErrors("vectors", vectors_of),
        IntervalCoverage("vectors", vectors_of),
    ]


def count(case: Case) -> list[list[Counts]]:
    """What each metric counts of each frame."""
    return [[metric.count(scene, frame) for scene, frame in case] for metric in metrics()]


@pytest.fixture(scope="module")
def case(make_case: Any, kinds: tuple[str, ...]) -> Case:
    made = make_case(5, list(kinds))
    rng = np.random.default_rng(0)
    for scene, frame in made:
        scene["semantic"] = replace(scene["semantic"], probability=rng.random(frame.size).astype(np.float32))
        scene["vectors"] = PredictedInstances(
            None, rng.normal(0, 20, (2, *frame.size)).astype(np.float32), sigma=12.0, noise_scale=15.0
        )
    return made


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Two processes, which are started once: each takes seconds to load the package."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("share", [4, 0])
def test_two_processes_equal_one(case: Case, pool: ProcessPoolExecutor, share: int) -> None:
    alone = count(case)
    first, second = pool.map(count, (case[:share], case[share:]))
    for metric, one, *halves in zip(metrics(), alone, first, second, strict=True):
        frames = {frame.name: counts for (_, frame), counts in zip(case, one, strict=True)}
        merged = {frame.name: counts for (_, frame), counts in zip(case, halves[0] + halves[1], strict=True)}
        # As text: not-a-number equals itself, and every digit counts.
        assert repr(measure(metric, merged)) == repr(measure(metric, frames))
        assert measure(metric, frames)


def test_any_order_gives_the_same_numbers(case: Case) -> None:
    rng = np.random.default_rng(1)
    for metric, counts in zip(metrics(), count(case), strict=True):
        known = [of_frame for of_frame in counts if of_frame]
        expected = repr(metric.summarise(known))
        for _ in range(3):
            assert repr(metric.summarise([known[i] for i in rng.permutation(len(known))])) == expected


def test_resamples_are_summaries_of_repeated_frames(case: Case) -> None:
    """What a metric computes for all draws at once is what it computes for each draw's frames."""
    rng = np.random.default_rng(2)
    for metric, counts in zip(metrics(), count(case), strict=True):
        known = [of_frame for of_frame in counts if of_frame]
        weights = rng.multinomial(len(known), np.full(len(known), 1 / len(known)), 5)
        found, slow = metric.resample(known, weights), Metric.resample(metric, known, weights)
        assert slow.keys() <= found.keys()
        for key, values in slow.items():
            np.testing.assert_allclose(found[key], values, rtol=1e-10, err_msg=key)
