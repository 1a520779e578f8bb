"""Learned and closed-form noise: known noise is recovered, bounds hold, weights normalise."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multisigma import (
    Bernoulli,
    ExactSoftmax,
    Gaussian,
    Laplace,
    MultisigmaError,
    Poisson,
    Prediction,
    Softmax,
    StudentT,
    UncertaintyWeighting,
)

NOISE = {"coarse": 10.0, "fine": 0.1}


def known_noise(likelihood: type[Gaussian] | type[Laplace], steps: int = 1500, **settings: object) -> dict[str, float]:
    """Two regressions on one input with known noise, fitted together; the noise that comes out."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(4000, 1, generator=generator)
    unit = torch.rand(4000, 2, generator=generator)
    # By the inverse of each distribution function.
    drawn = (
        torch.erfinv(2 * unit - 1) * math.sqrt(2) if likelihood is Gaussian else torch.log(2 * unit.clamp(1e-6, 0.5))
    )
    if likelihood is Laplace:
        drawn = torch.where(unit < 0.5, drawn, -torch.log((2 - 2 * unit).clamp_min(1e-6)))
    target = torch.cat([2 * x + 8, 3 * x + 3], 1) + drawn * torch.tensor(list(NOISE.values()))
    network = nn.Linear(1, 2)
    weighting = UncertaintyWeighting({name: likelihood() for name in NOISE}, **settings)  # type: ignore[arg-type]
    # The first steps' gradients are far larger than the later ones: Adam must forget them in time.
    groups = [*weighting.param_groups(lr=0.05), {"params": network.parameters(), "lr": 0.05}]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        error = network(x) - target
        losses = error.square().mean(0) if likelihood is Gaussian else error.abs().mean(0)
        optimizer.zero_grad()
        weighting(dict(zip(NOISE, losses.unbind(), strict=True))).backward()
        optimizer.step()
        schedule.step()
    return weighting.sigma


@pytest.mark.parametrize("closed_form", [False, True])
@pytest.mark.parametrize("likelihood", [Gaussian, Laplace])
def test_known_noise_is_recovered(likelihood: type[Gaussian], closed_form: bool) -> None:
    assert known_noise(likelihood, closed_form=closed_form) == pytest.approx(NOISE, rel=0.05)


def test_normalised_weights_learn_the_same_noise() -> None:
    # The coarse task's weight is small beside the fine one's, and its line is learned more slowly.
    assert known_noise(Gaussian, 3000, normalise=2.0) == pytest.approx(NOISE, rel=0.05)


@pytest.mark.parametrize("classes", [2, 19])
@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_label_noise_at_a_known_rate_is_recovered(rate: float, classes: int) -> None:
    """Logits that are certain of the true class, labels flipped at a known rate: the temperature has a closed form.

    With a logit a for the true class, 0 for C - 1 others, and flips to any of those at rate r, the best probability of
    the true class is 1 - r, so that a / sigma^2 = log((1 - r) (C - 1) / r).
    """
    generator = torch.Generator().manual_seed(1)
    count, a = 50_000, 8.0
    true = torch.randint(classes, (count,), generator=generator)
    flipped = torch.rand(count, generator=generator) < rate
    other = (true + torch.randint(1, classes, (count,), generator=generator)) % classes
    logits = a * F.one_hot(true, classes)
    weighting = UncertaintyWeighting({"label": ExactSoftmax()})
    optimizer = torch.optim.Adam(weighting.parameters(), lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        weighting({"label": Prediction(logits, torch.where(flipped, other, true))}).backward()
        optimizer.step()
    expected = a / math.log((1 - rate) * (classes - 1) / rate)
    assert weighting.sigma["label"] ** 2 == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("scale", NOISE.values())
def test_the_scale_of_student_t_noise_is_recovered(scale: float) -> None:
    torch.manual_seed(4)
    target = 5.0 + scale * torch.distributions.StudentT(4.0).sample((50_000,))
    centre, weighting = nn.Parameter(torch.zeros(())), UncertaintyWeighting({"robust": StudentT(degrees=4.0)})
    optimizer = torch.optim.Adam([*weighting.param_groups(), {"params": [centre]}], lr=0.1, betas=(0.9, 0.9))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    for _ in range(300):
        optimizer.zero_grad()
        weighting({"robust": Prediction(centre.expand_as(target), target)}).backward()
        optimizer.step()
        schedule.step()
    assert weighting.sigma["robust"] == pytest.approx(scale, rel=0.05)
    assert centre.item() == pytest.approx(5.0, abs=0.05 * scale)


def test_a_hundred_tasks_at_once() -> None:
    generator = torch.Generator().manual_seed(2)
    noise = torch.logspace(-2, 2, 100)
    names = [f"task{i}" for i in range(100)]
    losses = (torch.randn(20_000, 100, generator=generator) * noise).square().mean(0)
    weighting = UncertaintyWeighting(dict.fromkeys(names, Gaussian()))
    optimizer = torch.optim.Adam(weighting.parameters(), lr=0.2, betas=(0.9, 0.9))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    for _ in range(400):
        optimizer.zero_grad()
        weighting(dict(zip(names, losses, strict=True))).backward()
        optimizer.step()
        schedule.step()
    assert list(weighting.sigma.values()) == pytest.approx(noise.tolist(), rel=0.05)


@pytest.mark.parametrize(
    "likelihood",
    [Gaussian(), Gaussian(dimension=2), Laplace(), Laplace(dimension=3), Softmax(), Bernoulli(dimension=2)],
    ids=repr,
)
def test_closed_form_of_a_steady_loss_is_the_optimum(likelihood: Gaussian) -> None:
    weighting = UncertaintyWeighting({"task": likelihood}, closed_form=True)
    assert weighting.sigma == {"task": 1.0}
    assert list(weighting.parameters()) == []
    assert weighting.param_groups() == []
    loss = torch.tensor(0.3, requires_grad=True)
    for _ in range(3):
        objective = weighting({"task": loss})
    s = weighting.optimum(torch.tensor([0.3]))
    assert weighting.sigma["task"] == pytest.approx(math.exp(0.5 * s.item()), rel=1e-5)
    objective.backward()
    assert loss.grad is not None
    assert loss.grad.item() == pytest.approx(weighting.weight(s).item(), rel=1e-5)


def test_closed_form_follows_a_running_mean_in_training_alone() -> None:
    weighting = UncertaintyWeighting({"a": Gaussian(), "b": Gaussian()}, closed_form=True, decay=0.5)
    weighting({"a": torch.tensor(1.0)})
    weighting({"a": torch.tensor(4.0), "b": torch.tensor(9.0)})
    # Weights 1/4 and 1/2, divided by their sum.
    assert weighting.sigma["a"] ** 2 == pytest.approx((0.25 * 1 + 0.5 * 4) / 0.75, rel=1e-5)
    assert weighting.sigma["b"] ** 2 == pytest.approx(9.0, rel=1e-5)
    before = weighting.sigma
    weighting({"a": (torch.tensor(50.0), torch.tensor(0)), "b": None})
    weighting.eval()
    weighting({"a": torch.tensor(100.0)})
    assert weighting.sigma == before


@pytest.mark.parametrize("dimension", [0, 2.5, math.nan])
def test_the_dimension_is_a_whole_number(dimension: float) -> None:
    with pytest.raises(MultisigmaError, match="whole number"):
        Gaussian(dimension=dimension)  # type: ignore[arg-type]


def test_poisson_in_closed_form_keeps_weight_one() -> None:
    weighting = UncertaintyWeighting({"count": Poisson(), "depth": Laplace()}, closed_form=True)
    weighting({"count": torch.tensor(-3.0), "depth": torch.tensor(0.5)})
    assert weighting.weights == pytest.approx({"count": 1.0, "depth": 2.0})


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("likelihood", [Gaussian(), Laplace(), Softmax(), Laplace(dimension=2)], ids=repr)
def test_a_loss_at_zero_leaves_the_noise_at_its_bound_and_it_recovers(likelihood: Gaussian, momentum: float) -> None:
    weighting = UncertaintyWeighting({"task": likelihood})
    optimizer = torch.optim.SGD(weighting.parameters(), lr=0.1, momentum=momentum)

    def steps(loss: float, count: int) -> float:
        for _ in range(count):
            optimizer.zero_grad()
            objective = weighting({"task": torch.tensor(loss)})
            objective.backward()
            optimizer.step()
            assert math.isfinite(objective.item())
        return weighting.log_variance("task").item()

    assert steps(0.0, 2000) == pytest.approx(-14.0, abs=1.0)
    assert weighting.sigma["task"] >= math.exp(-7.0) * 0.999
    # The loss returns: a single step carries the noise far away, from where it must find back.
    expected = weighting.optimum(torch.tensor([0.5])).item()
    assert steps(0.5, 2500) == pytest.approx(expected, abs=0.1)


def test_noise_that_is_computed_from_something_else() -> None:
    """As torch's parametrisations do, and the replicas of DataParallel hold it."""

    class Doubled(nn.Module):
        def forward(self, noise: Tensor) -> Tensor:
            return 2 * noise

    weighting = UncertaintyWeighting({"a": Gaussian()}, 0.5)
    nn.utils.parametrize.register_parametrization(weighting, "log_variance_a", Doubled())
    expected = UncertaintyWeighting({"a": Gaussian()}, 1.0)({"a": torch.tensor(2.0)})
    assert torch.equal(weighting({"a": torch.tensor(2.0)}), expected)


def test_bounds_do_not_touch_what_is_inside() -> None:
    free = UncertaintyWeighting({"task": Gaussian()}, 1.0, bounds=(-100.0, 100.0))
    bound = UncertaintyWeighting({"task": Gaussian()}, 1.0, bounds=(0.9, 1.1))
    for weighting in (free, bound):
        weighting({"task": torch.tensor(0.3)}).backward()
    assert torch.equal(free.log_variance("task").grad, bound.log_variance("task").grad)  # type: ignore[arg-type]


def test_one_noise_beyond_its_bounds_is_pulled_back_and_the_others_are_free() -> None:
    weighting = UncertaintyWeighting({"a": Gaussian(), "b": Gaussian()}, bounds=(-1.0, 1.0))
    with torch.no_grad():
        weighting.log_variance("a").fill_(3.0)
    objective = weighting({"a": torch.tensor(2.0), "b": torch.tensor(1.0)})
    objective.backward()
    # Weight and logarithm at the bound, and the penalty |2| / 2 + 2^2 / 2 of being 2 beyond it.
    expected = 0.5 * math.exp(-1) * 2 + 0.5 + 1 + 2 + 0.5 * 1 + 0
    assert objective.item() == pytest.approx(expected, rel=1e-6)
    for name, expected in (("a", 0.5 + 2), ("b", -0.5 + 0.5)):
        gradient = weighting.log_variance(name).grad
        assert gradient is not None
        assert gradient.item() == pytest.approx(expected)


def test_normalised_weights_sum_to_the_constant() -> None:
    weighting = UncertaintyWeighting(
        {"a": Gaussian(), "b": Laplace(), "c": Softmax()}, {"a": -3.0, "b": 2.0}, normalise=3.0
    )
    losses = {name: torch.tensor(value, requires_grad=True) for name, value in (("a", 2.0), ("b", 0.5), ("c", 1.0))}
    weighting(losses).backward()
    gradients = torch.stack([loss.grad for loss in losses.values()])  # type: ignore[misc]
    assert gradients.sum().item() == pytest.approx(3.0, rel=1e-6)
    plain = torch.tensor(list(weighting.weights.values()))
    assert torch.allclose(gradients, plain)
    # Over the tasks present alone.
    for loss in losses.values():
        loss.grad = None
    weighting({"a": losses["a"], "b": (losses["b"], torch.tensor(1)), "c": (losses["c"], torch.tensor(0))}).backward()
    assert losses["a"].grad + losses["b"].grad == pytest.approx(3.0, rel=1e-6)  # type: ignore[operator]


@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.Adam])
def test_an_absent_task_keeps_its_noise_whatever_the_optimizer_remembers(
    optimizer_class: type[torch.optim.Optimizer],
) -> None:
    weighting = UncertaintyWeighting({"a": Gaussian(), "b": Laplace()})
    extra = {"momentum": 0.9} if optimizer_class is torch.optim.SGD else {}
    optimizer = optimizer_class(weighting.param_groups(), lr=0.05, **extra)  # type: ignore[call-arg]

    def step(losses: dict[str, object]) -> None:
        optimizer.zero_grad()
        weighting(losses).backward()  # type: ignore[arg-type]
        optimizer.step()

    for _ in range(5):
        step({"a": torch.tensor(3.0), "b": torch.tensor(4.0)})
    kept = weighting.sigma["b"]
    for absent in ({}, {"b": None}, {"b": (torch.tensor(0.0), 0)}, {"b": (torch.tensor(0.0), torch.tensor(0))}):
        step({"a": torch.tensor(3.0), **absent})
        assert weighting.sigma["b"] == kept
    step({"b": None})
    assert weighting.sigma["b"] == kept


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: UncertaintyWeighting({"a": Gaussian()}, bounds=(1.0, 1.0)), "`bounds`"),
        (lambda: UncertaintyWeighting({"a": Gaussian()}, 3.0, bounds=(-1.0, 1.0)), "within the bounds"),
        (lambda: UncertaintyWeighting({"a": Gaussian()}, normalise=0.0), "`normalise`"),
        (lambda: UncertaintyWeighting({"a": ExactSoftmax()}, normalise=1.0), "`normalise`"),
        (lambda: UncertaintyWeighting({"a": Gaussian()}, closed_form=True, decay=1.0), "`decay`"),
        (lambda: UncertaintyWeighting({"a": StudentT()}, closed_form=True), "`closed_form`"),
    ],
)
def test_errors(make, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MultisigmaError, match=words):
        make()


def test_softmax_approximation_of_equation_10() -> None:
    """Equation 10 takes (1 / sigma) sum exp(f / sigma^2) to be (sum exp f)^(1 / sigma^2): equal at sigma = 1."""
    logits, target = torch.randn(50, 4, generator=torch.Generator().manual_seed(3)), torch.arange(50) % 4

    def value(weighting: UncertaintyWeighting, loss: Tensor | Prediction) -> float:
        return weighting({"task": loss}).item()

    approximate = value(UncertaintyWeighting({"task": Softmax()}), F.cross_entropy(logits, target))
    exact = value(UncertaintyWeighting({"task": ExactSoftmax()}), Prediction(logits, target))
    assert approximate == pytest.approx(exact, rel=1e-6)
