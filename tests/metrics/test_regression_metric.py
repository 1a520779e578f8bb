"""Errors against numpy, over any split into batches."""

from itertools import pairwise
from math import isnan, nan

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multisigma.errors import MultisigmaError
from multisigma.metrics import MaskedError, VectorError
from multisigma.tasks import Instance


def fields(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and true vectors (6, 2, 4, 5); whole pixels of the truth are not labelled."""
    rng = np.random.default_rng(seed)
    prediction, target = rng.normal(0, 50, (2, 6, 2, 4, 5)).astype(np.float32)
    target[np.broadcast_to(rng.random((6, 1, 4, 5)) < 0.3, target.shape)] = nan
    return torch.from_numpy(prediction), torch.from_numpy(target)


@pytest.mark.parametrize("seed", range(5))
def test_equal_numpy(seed: int) -> None:
    prediction, target = fields(seed)
    difference = prediction.numpy().astype(float) - target.numpy().astype(float)
    error, vector = MaskedError("disparity"), VectorError("instance")
    error.update(prediction, target)
    vector.update(prediction, target)

    assert error.compute() == {
        "disparity_error_px": pytest.approx(np.nanmean(np.abs(difference)), rel=1e-12),
        "disparity_rms_px": pytest.approx(np.sqrt(np.nanmean(difference**2)), rel=1e-12),
    }
    x, y = difference[:, 0], difference[:, 1]
    assert vector.compute() == {
        "instance_error_px": pytest.approx(np.nanmean(np.abs(x) + np.abs(y)), rel=1e-12),
        "instance_component_error_px": pytest.approx(np.nanmean(np.abs(difference)), rel=1e-12),
        "instance_endpoint_px": pytest.approx(np.nanmean(np.hypot(x, y)), rel=1e-12),
    }


def test_the_error_of_vectors_is_the_training_loss() -> None:
    prediction, target = fields(0)
    metric = VectorError("instance")
    metric.update(prediction, target)
    total, count = Instance().loss(prediction, target)
    assert metric.compute()["instance_error_px"] == pytest.approx((total / count).item(), rel=1e-6)
    assert int(metric.count) == int(count)


@given(seed=st.integers(0, 999), cuts=st.lists(st.integers(0, 6), max_size=4))
@settings(max_examples=30, deadline=None)
def test_any_split_into_batches_counts_the_same(seed: int, cuts: list[int]) -> None:
    prediction, target = fields(seed)
    edges = [0, *sorted(cuts), 6]
    for kind in (MaskedError, VectorError):
        one, many, merged = kind("x"), kind("x"), kind("x")
        one.update(prediction, target)
        merged.update(prediction[:0], target[:0])
        for a, b in pairwise(edges):
            many.update(prediction[a:b], target[a:b])
            part = kind("x")
            part.update(prediction[a:b], target[a:b])
            merged.merge_state(part)
        assert many.compute() == pytest.approx(one.compute(), rel=1e-12)
        assert merged.compute() == pytest.approx(one.compute(), rel=1e-12)
        assert int(merged.count) == int(one.count)


def test_large_sums_keep_their_digits() -> None:
    # In float32 the sum would stop growing long before the mean is right.
    metric = MaskedError("disparity")
    for _ in range(4):
        metric.update(torch.full((5_000_000,), 0.1), torch.zeros(5_000_000))
    assert metric.compute()["disparity_error_px"] == pytest.approx(np.float32(0.1), rel=1e-9)


def test_nothing_labelled_is_nan() -> None:
    nothing = torch.full((1, 2, 3, 3), nan)
    error, vector = MaskedError("disparity"), VectorError("instance")
    error.update(torch.zeros_like(nothing), nothing)
    vector.update(torch.zeros_like(nothing), nothing)
    assert all(isnan(value) for value in (*error.compute().values(), *vector.compute().values()))


def test_a_diverged_prediction_is_not_hidden() -> None:
    metric = MaskedError("disparity")
    metric.update(torch.tensor([torch.inf, 1.0]), torch.tensor([0.0, 1.0]))
    assert metric.compute()["disparity_error_px"] == float("inf")


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(MultisigmaError, match=r"\(1, 3\)"):
        MaskedError("x").update(torch.zeros(1, 3), torch.zeros(3, 1))
    with pytest.raises(MultisigmaError, match=r"\(B, 2, H, W\).*\(1, 3, 2, 2\)"):
        VectorError("x").update(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2))
