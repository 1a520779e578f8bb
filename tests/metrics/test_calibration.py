"""Reliability and coverage against distributions whose calibration is known."""

from itertools import pairwise
from math import isnan, log

import numpy as np
import pytest
import torch

from multisigma.errors import MultisigmaError
from multisigma.metrics import LaplaceCoverage, Reliability


def drawn(temperature: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and classes drawn from their softmax at a temperature; a tenth is not labelled."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 5, 200, 250, generator=generator)
    flat = (logits / temperature).softmax(1).movedim(1, -1).reshape(-1, 5)
    target = torch.multinomial(flat, 1, generator=generator).reshape(2, 200, 250)
    target[torch.rand(target.shape, generator=generator) < 0.1] = 255
    return logits, target


def test_the_temperature_that_drew_the_classes_calibrates() -> None:
    metric = Reliability("semantic", {"": 1.0, "temperature": 2.0})
    metric.update(*drawn(2.0))
    result = metric.compute()
    assert result["semantic_ece_temperature"] < 0.01
    assert result["semantic_ece"] > 0.1


def test_equals_an_obvious_version() -> None:
    logits, target = drawn(1.0)
    probability, guess = logits.softmax(1).max(1)
    labelled = (target != 255).numpy()
    p, right = probability.numpy()[labelled].astype(float), (guess == target).numpy()[labelled]
    edges = np.linspace(0, 1, 16)
    expected = 0.0
    for low, high in pairwise(edges):
        inside = (p > low) & (p <= high)
        if inside.any():
            expected += inside.mean() * abs(p[inside].mean() - right[inside].mean())
    metric = Reliability("semantic", {"": 1.0})
    metric.update(logits[:1], target[:1])
    other = Reliability("semantic", {"": 1.0})
    other.update(logits[1:], target[1:])
    metric.merge_state(other)
    result = metric.compute()
    # A pixel on an edge may round into either bin.
    assert result["semantic_ece"] == pytest.approx(expected, abs=1e-6)
    bins = result["semantic_reliability"]["none"]
    assert sum(bins["share"]) == pytest.approx(1)
    assert isnan(bins["accuracy"][0])  # of five classes the surest has at least 1/5


def test_nothing_labelled_is_nan() -> None:
    metric = Reliability("semantic", {"": 1.0})
    metric.update(torch.zeros(1, 3, 2, 2), torch.full((1, 2, 2), 255))
    assert isnan(metric.compute()["semantic_ece"])
    coverage = LaplaceCoverage("depth", 1.0)
    coverage.update(torch.zeros(2), torch.full((2,), torch.nan))
    assert all(isnan(value) for value in coverage.compute().values())


def test_bad_input_is_named() -> None:
    with pytest.raises(MultisigmaError, match="positive"):
        Reliability("semantic", {"": 0.0})
    with pytest.raises(MultisigmaError, match=r"\(1, 3, 2, 2\) and \(1, 2, 3\)"):
        Reliability("semantic", {"": 1.0}).update(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 3))


@pytest.mark.parametrize("scale", [0.3, 4.0])
def test_intervals_hold_what_they_say_under_laplace_noise(scale: float) -> None:
    noise = torch.from_numpy(np.random.default_rng(0).laplace(0, scale, 100_000))
    metric = LaplaceCoverage("depth", scale)
    metric.update(torch.zeros(50_000, dtype=torch.float64), noise[:50_000])
    metric.update(torch.zeros(50_000, dtype=torch.float64), noise[50_000:])
    for level in (50, 80, 90, 95):
        # Four standard errors.
        assert metric.compute()[f"depth_coverage_{level}"] == pytest.approx(level / 100, abs=0.007)


def test_an_interval_ends_where_the_distribution_says() -> None:
    metric = LaplaceCoverage("depth", 2.0)
    edge = 2 * log(2)  # half of Laplace noise of scale 2 lies within
    metric.update(torch.zeros(3), torch.tensor([edge - 1e-4, edge + 1e-4, torch.nan]))
    assert metric.compute()["depth_coverage_50"] == 0.5
