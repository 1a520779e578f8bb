"""Is the learned noise at its optimum at convergence? For every likelihood of the library (sections 3.1 and 3.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.nn import functional as F

from multisigma.experiments.page import Page, number
from multisigma.experiments.plots import legend, panels
from multisigma.experiments.study import Study
from multisigma.training.config import TrainConfig
from multisigma.weighting import (
    Bernoulli,
    ExactBernoulli,
    ExactLikelihood,
    ExactSoftmax,
    Exponential,
    Gaussian,
    Laplace,
    Likelihood,
    Loss,
    Prediction,
    Softmax,
    StudentT,
    UncertaintyWeighting,
)

SEEDS = 1
STEPS, EVERY = 1500, 25
_INPUTS, _SAMPLES = 6, 2000
_BOUNDS = (-8.0, 8.0)


@dataclass(frozen=True)
class Toy:
    """A task whose noise is known by construction.

    Args:
        likelihood: Its likelihood.
        target: Makes labels, shape (N, outputs) or (N,), from noiseless values of shape (N, outputs).
        loss: Makes the loss of the output and the labels.
        outputs: Number of the network's outputs.
        sigma: The sigma of the labels; nan where the network can take up any scale.
    """

    likelihood: Likelihood
    target: Callable[[Tensor], Tensor]
    loss: Callable[[Tensor, Tensor], Loss]
    outputs: int = 1
    sigma: float = math.nan


def _laplace(size: torch.Size, scale: float) -> Tensor:
    return torch.distributions.Laplace(0.0, scale).sample(size)


def _classes(values: Tensor) -> Tensor:
    return torch.multinomial(values.softmax(1), 1)[:, 0]


def _binary(values: Tensor) -> Tensor:
    return torch.bernoulli(values.sigmoid())


TOYS: Mapping[str, Toy] = {
    "Gaussian": Toy(Gaussian(), lambda v: v + 0.7 * torch.randn_like(v), F.mse_loss, sigma=0.7),
    "Laplace": Toy(Laplace(), lambda v: v + _laplace(v.shape, 0.5), F.l1_loss, sigma=0.5),
    "Laplace, two components": Toy(
        Laplace(dimension=2),
        lambda v: v + _laplace(v.shape, 3.0),
        lambda output, target: (output - target).abs().sum(1).mean(),
        2,
        3.0,
    ),
    "Exponential": Toy(Exponential(), lambda v: v + _laplace(v.shape, 0.5), F.l1_loss, sigma=0.5**0.5),
    "Softmax": Toy(Softmax(), _classes, F.cross_entropy, 5),
    "Bernoulli": Toy(Bernoulli(), _binary, F.binary_cross_entropy_with_logits),
    "ExactSoftmax": Toy(ExactSoftmax(), _classes, Prediction, 5),
    "ExactBernoulli": Toy(ExactBernoulli(), _binary, Prediction),
    "StudentT": Toy(
        StudentT(degrees=4.0),
        lambda v: v + 0.5 * torch.distributions.StudentT(4.0).sample(v.shape),
        Prediction,
        sigma=0.5,
    ),
}
"""Every likelihood that has a noise; Poisson has none."""


@dataclass(frozen=True)
class Curve:
    """The noise of a task over its training.

    Args:
        learned: Its learned sigma at each record.
        optimal: The sigma that minimises the objective for the outputs of the same iteration.
    """

    learned: list[float]
    optimal: list[float]


def optimal_sigma(weighting: UncertaintyWeighting, name: str, loss: Loss) -> float:
    """Return the sigma that minimises a task's term for a loss: the closed form, or a search for exact likelihoods."""
    likelihood = weighting.likelihoods[name]
    if not isinstance(likelihood, ExactLikelihood):
        assert isinstance(loss, Tensor)
        means = torch.ones(len(weighting.tasks))
        means[weighting.tasks.index(name)] = loss.detach()
        return math.exp(0.5 * weighting.optimum(means)[weighting.tasks.index(name)].item())
    assert isinstance(loss, Prediction)
    prediction = Prediction(loss.output.detach().double(), loss.target)

    def term(log_variance: float) -> float:
        total, count = likelihood.negative_log_likelihood(prediction, torch.tensor(log_variance, dtype=torch.float64))
        return total.item() / count.item()

    return math.exp(0.5 * float(minimize_scalar(term, bounds=_BOUNDS, method="bounded").x))


@cache
def train(seed: int = 0) -> dict[str, Curve]:
    """Train a linear model of each task with learned noise, from one start of the noise far from the optimum."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inputs = torch.randn(_SAMPLES, _INPUTS)
        weighting = UncertaintyWeighting({name: toy.likelihood for name, toy in TOYS.items()}, initial=3.0)
        targets, heads = {}, nn.ModuleList()
        for toy in TOYS.values():
            heads.append(nn.Linear(_INPUTS, toy.outputs))
            targets[toy] = toy.target(inputs @ torch.randn(_INPUTS, toy.outputs) / _INPUTS**0.5)
    optimizer = torch.optim.SGD([*heads.parameters(), *weighting.parameters()], 0.02, momentum=0.9)
    curves: dict[str, Curve] = {name: Curve([], []) for name in TOYS}
    for step in range(STEPS + 1):
        losses = {
            name: toy.loss(head(inputs), targets[toy]) for (name, toy), head in zip(TOYS.items(), heads, strict=True)
        }
        if step % EVERY == 0:
            for name, loss in losses.items():
                curves[name].learned.append(weighting.sigma[name])
                curves[name].optimal.append(optimal_sigma(weighting, name, loss))
        optimizer.zero_grad()
        weighting(losses).backward()
        optimizer.step()
    return curves


def plan(study: Study) -> list[TrainConfig]:
    return []


def page(study: Study) -> Page:
    made = Page("Is the learned noise at its optimum?")
    made.text(
        "At convergence the learned noise minimises the objective for the loss as it is. Here each likelihood of the "
        "library learns a linear model of made-up data, whose noise is known. The optimum is the closed form, or for "
        "likelihoods with the noise inside the loss a search over sigma for the same outputs. `figure7` and "
        "`likelihoods` show the same for the networks of the streets."
    )
    curves = train()
    steps = list(range(0, STEPS + 1, EVERY))
    figure, axes = panels(list(TOYS))
    for axis, curve in zip(axes, curves.values(), strict=False):
        axis.plot(steps, curve.learned, label="learned sigma")
        axis.plot(steps, curve.optimal, "k--", linewidth=1, label="optimum")
        axis.set_yscale("log")
    legend(axes[0])
    made.plot("noise", figure, f"Sigma over {STEPS} iterations, from a start of exp(1.5) = 4.5 for every task.")
    made.table(
        ["likelihood", "learned sigma", "optimum", "learned / optimum", "sigma of the data"],
        [
            [name, *map(number, (c.learned[-1], c.optimal[-1], c.learned[-1] / c.optimal[-1], TOYS[name].sigma))]
            for name, c in curves.items()
        ],
    )
    made.text(
        "A dash: the network can scale its logits, so sigma is no property of the data. `Poisson` has no noise.\n\n"
        "```\nmultisigma experiment optimum --out DIR\n```"
    )
    return made
