"""Errors against numpy."""

from math import isnan, nan
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from multisigma.datasets.frame import Frame
from multisigma.errors import MultisigmaError
from multisigma.metrics import DenseErrors, Metric, VectorErrors
from multisigma.tasks import Instance
from tests.frames import frame_of
from tests.scenes import numbers

FRAMES = 6


def fields(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true vectors (6, 2, 4, 5); whole pixels of the truth are not labelled."""
    rng = np.random.default_rng(seed)
    prediction, target = rng.normal(0, 50, (2, FRAMES, 2, 4, 5)).astype(np.float32)
    target[np.broadcast_to(rng.random((FRAMES, 1, 4, 5)) < 0.3, target.shape)] = nan
    return prediction, target


def measured(
    kind: type[DenseErrors] | type[VectorErrors], prediction: np.ndarray, target: np.ndarray
) -> dict[str, Any]:
    """The numbers over frames whose names are their places."""

    def target_of(frame: Frame) -> np.ndarray:
        return target[int(frame.name)]

    metric: Metric = DenseErrors("x", target_of, "px") if kind is DenseErrors else VectorErrors("x", target_of)
    image = np.zeros((*prediction.shape[2:], 3), np.uint8)
    case = [({"x": SimpleNamespace(values=values)}, frame_of(str(i), image)) for i, values in enumerate(prediction)]
    return numbers(metric, case)


@pytest.mark.parametrize("seed", range(5))
def test_equal_numpy(seed: int) -> None:
    prediction, target = fields(seed)
    difference = prediction.astype(float) - target.astype(float)
    assert measured(DenseErrors, prediction, target) == {
        "x_error_px": pytest.approx(np.nanmean(np.abs(difference)), rel=1e-12),
        "x_rms_px": pytest.approx(np.sqrt(np.nanmean(difference**2)), rel=1e-12),
    }
    x, y = difference[:, 0], difference[:, 1]
    assert measured(VectorErrors, prediction, target) == {
        "x_error_px": pytest.approx(np.nanmean(np.abs(x) + np.abs(y)), rel=1e-12),
        "x_component_error_px": pytest.approx(np.nanmean(np.abs(difference)), rel=1e-12),
        "x_endpoint_px": pytest.approx(np.nanmean(np.hypot(x, y)), rel=1e-12),
    }


def test_the_error_of_vectors_is_the_training_loss() -> None:
    prediction, target = fields(0)
    total, count = Instance().loss(torch.from_numpy(prediction), torch.from_numpy(target))
    assert measured(VectorErrors, prediction, target)["x_error_px"] == pytest.approx((total / count).item(), rel=1e-6)


def test_large_sums_keep_their_digits() -> None:
    # In float32 the sum would stop growing long before the mean is right.
    prediction = np.full((4, 1, 1000, 5000), 0.1, np.float32)
    found = measured(DenseErrors, prediction, np.zeros_like(prediction))
    assert found["x_error_px"] == pytest.approx(np.float32(0.1), rel=1e-9)


def test_nothing_labelled_is_nan() -> None:
    nothing = np.full((1, 2, 3, 3), nan, np.float32)
    for kind in (DenseErrors, VectorErrors):
        assert all(isnan(value) for value in measured(kind, np.zeros_like(nothing), nothing).values())


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, nan])
def test_a_diverged_prediction_is_not_hidden(wrong: float) -> None:
    prediction, target = fields(0)
    target[0, :, 0, 0] = 0
    prediction[0, :, 0, 0] = wrong
    for kind in (DenseErrors, VectorErrors):
        assert set(measured(kind, prediction, target).values()) == {float("inf")}


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(MultisigmaError, match=r"\(1, 3, 1\) and \(1, 1, 3\)"):
        measured(DenseErrors, np.zeros((1, 1, 3, 1)), np.zeros((1, 1, 1, 3)))
    with pytest.raises(MultisigmaError, match=r"\(2, H, W\).*\(3, 2, 2\)"):
        measured(VectorErrors, np.zeros((1, 3, 2, 2)), np.zeros((1, 3, 2, 2)))
