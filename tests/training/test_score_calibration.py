"""The calibration of objects' scores: fitted like scipy fits it, stored, and applied."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from multisigma.tasks import Instance, PostprocessContext, Semantic
from multisigma.tasks.results import calibrate_scores
from multisigma.training.score_calibration import fit_score_calibration


def drawn(slope: float, intercept: float, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and which are right, where the calibration is known."""
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.05, 0.99, count)
    return scores, rng.random(count) < expit(slope * logit(scores) + intercept)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.6, -1.2), (2.0, 0.5)])
def test_the_fit_is_scipys_and_near_the_truth(slope: float, intercept: float) -> None:
    scores, right = drawn(slope, intercept)
    target = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2))

    def loss(line: np.ndarray) -> float:
        z = line[0] * logit(scores) + line[1]
        return float((np.logaddexp(0, z) - target * z).mean())

    found = fit_score_calibration(scores, right)
    assert found is not None
    assert found == pytest.approx(minimize(loss, [1.0, 0.0]).x, abs=0.01)
    assert found == pytest.approx((slope, intercept), abs=0.2)
    # Well calibrated: of the objects with a score near p, the share p is right.
    calibrated = calibrate_scores(scores, *found)
    high = calibrated > 0.5
    for chosen in (high, ~high):
        assert calibrated[chosen].mean() == pytest.approx(right[chosen].mean(), abs=0.03)
    assert np.array_equal(np.argsort(calibrated, kind="stable"), np.argsort(scores, kind="stable"))


def test_nothing_is_fitted_to_what_tells_nothing() -> None:
    scores = np.linspace(0.1, 0.9, 40)
    assert fit_score_calibration(scores[:10], scores[:10] > 0.5) is None
    assert fit_score_calibration(scores, np.ones(40, bool)) is None
    assert fit_score_calibration(scores, np.zeros(40, bool)) is None
    assert fit_score_calibration(scores, scores < 0.5) is None
    separated = fit_score_calibration(scores, scores > 0.5)
    assert separated is not None
    assert np.isfinite(separated).all()


def test_the_calibration_is_applied_to_the_score_and_leaves_the_objects() -> None:
    y, x = np.mgrid[:60, :80]
    logits = np.zeros((19, 60, 80), np.float32)
    logits[13] = np.where((x < 30) | (x > 50), 4, -4)  # cars
    vectors = np.where(x < 30, np.stack((14.5 - x, 29.5 - y)), np.stack((65.0 - x, 29.5 - y))).astype(np.float32)
    vectors += np.random.default_rng(0).normal(0, 1, vectors.shape).astype(np.float32)
    found = []
    for calibrations in ({}, {"instance": (0.5, -1.0)}):
        context = PostprocessContext(score_calibrations=calibrations)
        scene = {"semantic": Semantic().postprocess(logits, {}, context)}
        found.append(Instance().postprocess(vectors, scene, context))
    plain, calibrated = found
    assert len(plain) == len(calibrated) == 2
    assert np.array_equal(plain.ids(), calibrated.ids())
    expected = calibrate_scores(np.array([instance.score for instance in plain]), 0.5, -1.0)
    assert [instance.score for instance in calibrated] == pytest.approx(expected)
