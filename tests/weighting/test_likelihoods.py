"""Each likelihood against torch.distributions, and its optimum over the noise against the closed form."""

import math

import pytest
import torch
from torch.distributions import Laplace as LaplaceDistribution
from torch.distributions import Normal

from multisigma import Gaussian, Laplace, Softmax, UncertaintyWeighting


@pytest.fixture
def residuals() -> torch.Tensor:
    return torch.randn(1000, generator=torch.Generator().manual_seed(1)).double() * 3


@pytest.mark.parametrize("s", [-2.0, 0.0, 1.3, 5.0])
def test_gaussian_is_the_normal_log_density(residuals: torch.Tensor, s: float) -> None:
    log_variance = torch.tensor(s, dtype=torch.float64)
    ours = Gaussian().weight(log_variance) * residuals.square().mean() + Gaussian().normaliser(log_variance)
    density = Normal(0.0, math.exp(s / 2)).log_prob(residuals)
    assert ours.item() == pytest.approx(-density.mean().item() - 0.5 * math.log(2 * math.pi))


@pytest.mark.parametrize("s", [-2.0, 0.0, 1.3, 5.0])
def test_laplace_is_the_laplace_log_density(residuals: torch.Tensor, s: float) -> None:
    log_variance = torch.tensor(s, dtype=torch.float64)
    ours = Laplace().weight(log_variance) * residuals.abs().mean() + Laplace().normaliser(log_variance)
    density = LaplaceDistribution(0.0, math.exp(s / 2)).log_prob(residuals)
    assert ours.item() == pytest.approx(-density.mean().item() - math.log(2))


@pytest.mark.parametrize("s", [-1.0, 0.0, 2.0])
def test_softmax_is_equation_10(s: float) -> None:
    log_variance, cross_entropy = torch.tensor(s), 0.7
    sigma = math.exp(s / 2)
    ours = Softmax().weight(log_variance) * cross_entropy + Softmax().normaliser(log_variance)
    assert ours.item() == pytest.approx(cross_entropy / sigma**2 + math.log(sigma), rel=1e-6)


@pytest.mark.parametrize(
    ("likelihood", "optimum"),
    [
        (Gaussian(), lambda loss: math.sqrt(loss)),
        (Laplace(), lambda loss: loss),
        (Softmax(), lambda loss: math.sqrt(2 * loss)),
    ],
)
@pytest.mark.parametrize("loss", [0.003, 1.0, 40.0])
@pytest.mark.parametrize("initial", [-2.0, 5.0])
def test_noise_converges_to_its_closed_form(likelihood, optimum, loss: float, initial: float) -> None:  # type: ignore[no-untyped-def]
    weighting = UncertaintyWeighting({"task": likelihood}, initial)
    optimizer = torch.optim.LBFGS(weighting.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        objective = weighting({"task": torch.tensor(loss)})
        objective.backward()
        return objective

    optimizer.step(closure)
    assert weighting.sigma["task"] == pytest.approx(optimum(loss), rel=1e-3)
