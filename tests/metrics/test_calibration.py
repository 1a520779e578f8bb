"""Reliability and coverage against distributions whose calibration is known."""

from dataclasses import replace
from itertools import pairwise
from math import isnan, log
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.labels import Label
from multisigma.datasets.scene import PredictedClasses, PredictedInstances, SceneInstance
from multisigma.errors import MultisigmaError
from multisigma.metrics import IntervalCoverage, Reliability, ScoreReliability
from tests.frames import class_ids, frame_of
from tests.scenes import Scene, numbers

VOID = 9
FIVE = LabelSpace(
    "five",
    (
        *(Label(str(i), i, i, str(i), i, False, False, (i, 0, 0)) for i in range(5)),
        Label("void", VOID, 255, "void", 9, False, True, (0, 0, 0)),
    ),
)


def drawn(temperature: float, seed: int = 0) -> list[tuple[Scene, Frame]]:
    """Two frames whose classes are drawn from the softmax of logits at a temperature; a tenth is not labelled.

    The model's probability is of temperature 1, the learned one of temperature 2.
    """
    rng = np.random.default_rng(seed)
    case = []
    for index in range(2):
        logits = 3 * rng.standard_normal((200, 250, 5))
        chances = softmax(logits / temperature, -1).cumsum(-1)
        target = (rng.random((200, 250, 1)) > chances).sum(-1).clip(0, 4).astype(np.uint8)
        target[rng.random(target.shape) < 0.1] = VOID
        result = PredictedClasses(
            ids=logits.argmax(-1).astype(np.uint8),
            probability=softmax(logits, -1).max(-1).astype(np.float32),
            learned_probability=softmax(logits / 2, -1).max(-1).astype(np.float32),
        )
        case.append(({"semantic": result}, replace(frame_of(str(index), None, target), labels=FIVE)))
    return case


def test_the_temperature_that_drew_the_classes_calibrates() -> None:
    found = numbers(Reliability(FIVE), drawn(2.0))
    assert found["semantic_ece_temperature"] < 0.01
    assert found["semantic_ece"] > 0.1


def test_equals_an_obvious_version() -> None:
    case = drawn(1.0)
    true = np.concatenate([class_ids(frame).ravel() for _, frame in case])
    p = np.concatenate([scene["semantic"].probability.ravel() for scene, _ in case])[true != VOID].astype(float)
    right = (np.concatenate([scene["semantic"].ids.ravel() for scene, _ in case]) == true)[true != VOID]
    expected = 0.0
    for low, high in pairwise(np.linspace(0, 1, 16)):
        inside = (p > low) & (p <= high)
        if inside.any():
            expected += inside.mean() * abs(p[inside].mean() - right[inside].mean())
    metric = Reliability(FIVE)
    ece, _ = metric.summarise([metric.count(scene, frame) for scene, frame in case])
    # A pixel on an edge may round into either bin.
    assert ece.value == pytest.approx(100 * expected, abs=1e-4)
    assert sum(ece.details["share"]) == pytest.approx(1)
    assert ece.details["accuracy"][0] is None  # of five classes the surest has at least 1/5


def test_what_was_not_given_is_left_out() -> None:
    (scene, frame), _ = drawn(1.0)
    scene["semantic"] = replace(scene["semantic"], learned_probability=None)
    assert set(numbers(Reliability(FIVE), [(scene, frame)])) == {"semantic_ece"}
    void = replace(frame_of("f", None, np.full((200, 250), VOID, np.uint8)), labels=FIVE)
    assert numbers(Reliability(FIVE), [(scene, void)]) == {}
    scene["semantic"] = replace(scene["semantic"], probability=None)
    assert not Reliability(FIVE).count(scene, frame)


def test_bad_input_is_named() -> None:
    (scene, frame), _ = drawn(1.0)
    scene["semantic"] = replace(scene["semantic"], probability=np.zeros((2, 2), np.float32))
    with pytest.raises(MultisigmaError, match=r"\(2, 2\).* and \(200, 250\)"):
        Reliability(FIVE).count(scene, frame)


def coverage(errors: list[np.ndarray], noise: str = "laplace", **scales: float) -> dict[str, Any]:
    """The numbers of predictions of zero over frames whose true values are the errors."""
    metric = IntervalCoverage("depth", lambda frame: errors[int(frame.name)][None, None])
    image = np.zeros((1, 1, 3), np.uint8)
    return numbers(
        metric,
        [
            (
                {"depth": PredictedInstances(None, np.zeros((1, 1, len(e)), np.float32), noise=noise, **scales)},
                frame_of(str(i), image),
            )
            for i, e in enumerate(errors)
        ],
    )


@pytest.mark.parametrize("scale", [0.3, 4.0])
def test_intervals_hold_what_they_say_under_laplace_noise(scale: float) -> None:
    noise = np.random.default_rng(0).laplace(0, scale, 100_000)
    found = coverage([noise[:50_000], noise[50_000:]], sigma=scale, noise_scale=2 * scale)
    for level in (50, 80, 90, 95):
        # Four standard errors.
        assert found[f"depth_coverage_{level}"] == pytest.approx(level / 100, abs=0.007)
        # An interval twice as wide leaves the square of the share outside.
        wide = 1 - (1 - level / 100) ** 2
        assert found[f"depth_fitted_coverage_{level}"] == pytest.approx(wide, abs=0.007)


def test_intervals_of_gaussian_noise_are_those_of_the_normal_distribution() -> None:
    noise = np.random.default_rng(0).normal(0, 3.0, 100_000)
    found = coverage([noise], "gaussian", noise_scale=3.0)
    for level in (50, 80, 90, 95):
        assert found[f"depth_fitted_coverage_{level}"] == pytest.approx(level / 100, abs=0.007)


def test_an_interval_ends_where_the_distribution_says() -> None:
    edge = 2 * log(2)  # half of Laplace noise of scale 2 lies within
    found = coverage([np.array([edge - 1e-4, edge + 1e-4, np.nan])], sigma=2.0)
    assert found["depth_coverage_50"] == 0.5
    assert set(found) == {f"depth_coverage_{level}" for level in (50, 80, 90, 95)}
    assert not isnan(found["depth_coverage_95"])


def test_without_a_scale_or_a_label_nothing_is_covered() -> None:
    assert coverage([np.zeros(3)]) == {}
    assert coverage([np.full(3, np.nan)], sigma=1.0) == {}


def test_a_result_of_values_alone_has_no_coverage() -> None:
    metric = IntervalCoverage("slope", lambda frame: np.zeros((1, 1, 3)))
    frame = frame_of("a", np.zeros((1, 3, 3), np.uint8))
    assert metric.count({"slope": SimpleNamespace(values=np.ones((1, 1, 3)))}, frame) == {}
    # The distribution is Laplace where none is given, as for a DenseResult.
    counts = metric.count({"slope": SimpleNamespace(values=np.ones((1, 1, 3)), sigma=1 / log(2))}, frame)
    assert counts["coverage_within"].tolist() == [3, 3, 3, 3]
    with pytest.raises(MultisigmaError, match=r"Task 'slope': its result must have `values`.*Found SimpleNamespace"):
        metric.count({"slope": SimpleNamespace(sigma=1.0)}, frame)


def squares(scores: list[float], right: list[bool], below: int = 0) -> tuple[Scene, Frame]:
    """A frame of cars in a row, each found with a score, at its place or beside it, and some rows below it."""
    ids = np.full((40, 40 * len(scores)), 7, np.int32)
    regions = []
    for index, (score, is_right) in enumerate(zip(scores, right, strict=True)):
        left = 40 * index
        ids[5:25, left : left + 15] = 26000 + index
        regions.append(SceneInstance(26, score, 5 + below, left + (0 if is_right else 20), np.ones((20, 15), bool)))
    frame = frame_of("cars", None, np.where(ids > 1000, 26, 7).astype(np.uint8), instances=ids)
    return {"instance": PredictedInstances(regions)}, frame


def test_scores_that_are_the_share_of_right_objects_have_no_error() -> None:
    metric = ScoreReliability(CITYSCAPES)
    case = [squares([0.75] * 4, [True, True, True, False]), squares([0.5, 0.5], [True, False])]
    assert numbers(metric, case)["instance_score_ece"] == pytest.approx(0.0, abs=1e-9)
    # Sure of all, of which half are right.
    assert numbers(metric, [squares([1.0, 1.0], [True, False])])["instance_score_ece"] == pytest.approx(0.5)
    (measurement,) = metric.summarise([metric.count(*case[0])])
    bin_of_score = 11  # 0.75 of 15 bins
    assert measurement.details["accuracy"][bin_of_score] == pytest.approx(0.75)
    assert measurement.details["share"][bin_of_score] == 1


def test_an_object_is_right_above_an_overlap_of_one_half() -> None:
    metric = ScoreReliability(CITYSCAPES)
    # Of 20 rows, 14 of 26 overlap, and 13 of 27.
    for below, error in ((6, 0.0), (7, 1.0)):
        found = numbers(metric, [squares([1.0], [True], below)])
        assert found["instance_score_ece"] == pytest.approx(error, abs=1e-9)


def test_scores_that_are_no_probabilities_are_not_counted() -> None:
    metric = ScoreReliability(CITYSCAPES)
    assert metric.count(*squares([1.01], [True])) == {}
    assert metric.count(*squares([1.0, 0.0], [True, False])) != {}
    assert isnan(metric.summarise([])[0].value)
    assert metric.summarise([])[0].details == {}
