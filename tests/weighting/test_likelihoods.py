"""Each likelihood against torch.distributions and torch's losses, and its optimum against the closed form."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.distributions import Categorical, Normal
from torch.distributions import Exponential as ExponentialDistribution
from torch.distributions import Laplace as LaplaceDistribution
from torch.distributions import Poisson as PoissonDistribution
from torch.distributions import StudentT as StudentTDistribution
from torch.nn import functional as F

from multisigma import (
    Bernoulli,
    ExactBernoulli,
    ExactSoftmax,
    Exponential,
    Gaussian,
    Laplace,
    Likelihood,
    MultisigmaError,
    Poisson,
    Prediction,
    ScaledLikelihood,
    Softmax,
    StudentT,
    UncertaintyWeighting,
)


@pytest.fixture
def residuals() -> torch.Tensor:
    return torch.randn(1000, generator=torch.Generator().manual_seed(1)).double() * 3


@pytest.mark.parametrize("s", [-2.0, 0.0, 1.3, 5.0])
def test_gaussian_is_the_normal_log_density(residuals: torch.Tensor, s: float) -> None:
    ours = objective(Gaussian(), residuals.square().mean(), s)
    density = Normal(0.0, math.exp(s / 2)).log_prob(residuals)
    assert ours.item() == pytest.approx(-density.mean().item() - 0.5 * math.log(2 * math.pi))


@pytest.mark.parametrize("s", [-2.0, 0.0, 1.3, 5.0])
def test_laplace_is_the_laplace_log_density(residuals: torch.Tensor, s: float) -> None:
    ours = objective(Laplace(), residuals.abs().mean(), s)
    density = LaplaceDistribution(0.0, math.exp(s / 2)).log_prob(residuals)
    assert ours.item() == pytest.approx(-density.mean().item() - math.log(2))


@pytest.mark.parametrize("s", [-1.0, 0.0, 2.0])
def test_softmax_is_equation_10(s: float) -> None:
    cross_entropy, sigma = 0.7, math.exp(s / 2)
    ours = objective(Softmax(), torch.tensor(cross_entropy), s)
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


@pytest.mark.parametrize("shape", [(20, 7), (4, 7, 3, 5)])
def test_exact_softmax_of_probabilities_is_torchs(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, target = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator).softmax(1)
    for s in (0.0, 1.5):
        found = UncertaintyWeighting({"a": ExactSoftmax()}, s)({"a": Prediction(logits, target)})
        assert found.item() == pytest.approx(F.cross_entropy(logits * math.exp(-s), target).item(), rel=1e-6)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int32])
def test_exact_softmax_takes_classes_of_any_integer_type(kind: torch.dtype) -> None:
    logits, classes = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 4
    found = UncertaintyWeighting({"a": ExactSoftmax()})({"a": Prediction(logits, classes.to(kind))})
    assert found.item() == pytest.approx(F.cross_entropy(logits, classes).item(), rel=1e-6)


@pytest.mark.parametrize(
    ("likelihood", "output", "target"),
    [
        (StudentT(), torch.zeros(5, 1), torch.zeros(5)),
        (ExactBernoulli(), torch.zeros(5, 1), torch.zeros(5)),
        (ExactSoftmax(), torch.zeros(5, 3), torch.zeros(5, 2)),
        (ExactSoftmax(), torch.zeros(5, 3, 2), torch.zeros(5, dtype=torch.int64)),
    ],
)
def test_shapes_that_do_not_go_together(likelihood: Likelihood, output: Tensor, target: Tensor) -> None:
    with pytest.raises(MultisigmaError, match=r"Task 'a': .*must have the shape.*Found"):
        UncertaintyWeighting({"a": likelihood})({"a": Prediction(output, target)})


def objective(likelihood: Likelihood, loss: Tensor | Prediction, s: float = 0.0) -> Tensor:
    weighting = UncertaintyWeighting({"task": likelihood}, s)
    if isinstance(loss, Tensor):
        weighting = weighting.to(loss.dtype)
    return weighting({"task": loss})


@pytest.mark.parametrize("s", [-1.0, 0.0, 2.0])
def test_exponential_is_the_exponential_log_density_of_the_loss(s: float) -> None:
    density = ExponentialDistribution(math.exp(-s)).log_prob(torch.tensor(0.7))
    assert objective(Exponential(), torch.tensor(0.7), s).item() == pytest.approx(-density.item(), rel=1e-6)


@pytest.mark.parametrize("likelihood", [Gaussian, Laplace, Softmax, Exponential])
def test_a_preference_multiplies_the_whole_term(likelihood: type[ScaledLikelihood]) -> None:
    for s in (-1.0, 2.0):
        plain, preferred = (objective(likelihood(preference=k), torch.tensor(0.7), s).item() for k in (1.0, 3.0))
        assert preferred == pytest.approx(3 * plain, rel=1e-6)


@pytest.mark.parametrize("s", [-1.0, 0.0, 2.0])
def test_bernoulli_is_equation_10_for_two_classes(s: float) -> None:
    """A sigmoid is a softmax over (f, 0), so the approximation is the softmax's."""
    logits = torch.randn(500, generator=torch.Generator().manual_seed(0)) * 2
    target = (logits + torch.randn(500, generator=torch.Generator().manual_seed(1)) > 0).float()
    binary = nn.functional.binary_cross_entropy_with_logits(logits, target)
    two = nn.functional.cross_entropy(torch.stack([torch.zeros(500), logits], 1), target.long())
    assert objective(Bernoulli(), binary, s).item() == pytest.approx(objective(Softmax(), two, s).item(), rel=1e-5)


@pytest.mark.parametrize("dimension", [1, 3])
@pytest.mark.parametrize(
    ("likelihood", "density"),
    [
        (Gaussian, lambda r, scale: -Normal(0.0, scale).log_prob(r) - 0.5 * math.log(2 * math.pi)),
        (Laplace, lambda r, scale: -LaplaceDistribution(0.0, scale).log_prob(r) - math.log(2)),
    ],
)
def test_a_sum_over_channels_has_a_log_sigma_for_each(likelihood, density, dimension: int) -> None:  # type: ignore[no-untyped-def]
    residuals = torch.randn(400, dimension, generator=torch.Generator().manual_seed(2)) * 2
    s = 0.7
    losses = residuals.square() if likelihood is Gaussian else residuals.abs()
    expected = density(residuals, math.exp(s / 2)).sum(1).mean()
    found = objective(likelihood(dimension=dimension), losses.sum(1).mean(), s)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("s", [-1.0, 0.0, 1.5])
def test_exact_softmax_is_the_tempered_categorical(s: float) -> None:
    """Equations 8 and 9, with a class that is ignored."""
    generator = torch.Generator().manual_seed(3)
    logits, target = torch.randn(2, 5, 4, 6, generator=generator) * 3, torch.randint(5, (2, 4, 6), generator=generator)
    target[0, :2] = 255
    density = Categorical(logits=(logits / math.exp(s)).movedim(1, -1)).log_prob(target.clamp_max(4))
    expected = -density[target != 255].mean()
    assert objective(ExactSoftmax(ignore_index=255), Prediction(logits, target), s).item() == pytest.approx(
        expected.item(), rel=1e-5
    )


@pytest.mark.parametrize("s", [-1.0, 0.0, 1.5])
def test_exact_bernoulli_is_the_tempered_bernoulli(s: float) -> None:
    generator = torch.Generator().manual_seed(4)
    logits, target = torch.randn(30, 4, generator=generator) * 3, torch.randint(2, (30, 4), generator=generator).float()
    expected = -BernoulliDistribution(logits=logits / math.exp(s)).log_prob(target)
    labelled = torch.rand(30, 4, generator=generator) < 0.6
    found = objective(ExactBernoulli(), Prediction(logits, target.where(labelled, torch.nan)), s)
    assert found.item() == pytest.approx(expected[labelled].mean().item(), rel=1e-5)


@pytest.mark.parametrize("degrees", [1.0, 4.0])
@pytest.mark.parametrize("s", [-1.0, 0.0, 1.5])
def test_student_t_is_the_t_log_density(degrees: float, s: float) -> None:
    generator = torch.Generator().manual_seed(5)
    output, target = torch.randn(50, generator=generator), 3 * torch.randn(50, generator=generator)
    target[:7] = torch.nan
    t = StudentTDistribution(degrees, 0.0, math.exp(s / 2))
    constant = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(degrees * math.pi)
    expected = -t.log_prob((target - output)[7:]).mean() + constant
    assert objective(StudentT(degrees=degrees), Prediction(output, target), s).item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_student_t_is_not_carried_away_by_outliers() -> None:
    """With a residual a thousand sigmas away, the fitted mean of a t stays; a Gaussian's goes along."""
    target = torch.randn(200, generator=torch.Generator().manual_seed(6))
    target[:4] = 1000.0
    means = {}
    for name, likelihood in (("t", StudentT()), ("gaussian", Gaussian())):
        mean, weighting = nn.Parameter(torch.zeros(())), UncertaintyWeighting({"task": likelihood})
        optimizer = torch.optim.Adam([mean, *weighting.parameters()], lr=0.05)
        for _ in range(1500):
            output = mean.expand_as(target)
            loss = Prediction(output, target) if name == "t" else (output - target).square().mean()
            optimizer.zero_grad()
            weighting({"task": loss}).backward()
            optimizer.step()
        means[name] = mean.item()
    assert abs(means["t"]) < 0.3
    assert means["gaussian"] > 5


def test_poisson_has_weight_one_and_no_noise() -> None:
    rates, counts = torch.tensor([0.5, 2.0, 7.0], requires_grad=True), torch.tensor([1.0, 2.0, 5.0])
    loss = nn.PoissonNLLLoss(log_input=False, full=False)(rates, counts)
    weighting = UncertaintyWeighting({"task": Poisson()}, 1.5)
    found = weighting({"task": loss})
    density = PoissonDistribution(rates.detach()).log_prob(counts) + torch.lgamma(counts + 1)
    assert found.item() == pytest.approx(-density.mean().item(), rel=1e-5)
    found.backward()
    noise = weighting.log_variance("task").grad
    assert noise is None or not noise.any()
    assert weighting.weights == {"task": 1.0}


def test_exact_temperature_is_that_of_post_hoc_scaling() -> None:
    """Logits three times too confident: the learned sigma^2 is the temperature that minimises the cross entropy."""
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(4000, 6, generator=generator) * 2
    target = Categorical(logits=logits).sample()
    logits *= 3
    weighting = UncertaintyWeighting({"task": ExactSoftmax()})
    fit(weighting, Prediction(logits, target))
    temperatures = torch.linspace(1.0, 6.0, 5001)
    entropies = torch.stack([nn.functional.cross_entropy(logits / t, target) for t in temperatures])
    best = temperatures[entropies.argmin()].item()
    assert weighting.sigma["task"] ** 2 == pytest.approx(best, abs=2e-3)
    assert best == pytest.approx(3.0, rel=0.1)


def fit(weighting: UncertaintyWeighting, loss: Tensor | Prediction) -> None:
    optimizer = torch.optim.LBFGS(weighting.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = weighting({"task": loss})
        value.backward()
        return value

    optimizer.step(closure)


@pytest.mark.parametrize(
    "likelihood",
    [Gaussian(dimension=2), Laplace(dimension=3), Softmax(), Bernoulli(dimension=4), Exponential()],
    ids=repr,
)
@pytest.mark.parametrize("loss", [0.02, 1.0, 40.0])
def test_optimum_is_where_the_objective_is_least(likelihood: Gaussian, loss: float) -> None:
    s = UncertaintyWeighting({"task": likelihood}).optimum(torch.tensor([loss])).item()
    values = [objective(likelihood, torch.tensor(loss), at).item() for at in (s - 0.01, s, s + 0.01)]
    assert values[1] < values[0]
    assert values[1] < values[2]


@pytest.mark.parametrize(
    "likelihood",
    [
        Gaussian(),
        Gaussian(dimension=3),
        Laplace(),
        Softmax(),
        Bernoulli(),
        Poisson(),
        ExactSoftmax(),
        ExactBernoulli(),
        StudentT(),
    ],
    ids=repr,
)
def test_gradients_by_finite_differences(likelihood: Likelihood) -> None:
    generator = torch.Generator().manual_seed(8)
    output = torch.randn(6, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    weighting = UncertaintyWeighting({"task": likelihood}, 0.4).double()

    def value(output: Tensor, noise: Tensor) -> Tensor:
        if isinstance(likelihood, ExactSoftmax):
            loss: Tensor | Prediction = Prediction(output, torch.tensor([0, 1, 2, 3, -100, 1]))
        elif isinstance(likelihood, ExactBernoulli | StudentT):
            loss = Prediction(output, (output.detach() > 0).double())
        else:
            loss = output.square().mean()
        return torch.func.functional_call(weighting, {"log_variance_task": noise}, ({"task": loss},))

    noise = torch.tensor([0.4], dtype=torch.float64, requires_grad=True)
    if isinstance(likelihood, Poisson):
        assert torch.autograd.gradcheck(lambda o: value(o, noise), (output,))
    else:
        assert torch.autograd.gradcheck(value, (output, noise))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Gaussian(dimension=0), "`dimension`.*Found 0"),
        (lambda: Laplace(preference=0.0), "`preference`.*Found 0.0"),
        (lambda: StudentT(degrees=0.0), "`degrees`"),
        (lambda: StudentT(degrees=math.inf), "`degrees`"),
        (
            lambda: objective(Gaussian(), Prediction(torch.ones(2), torch.ones(2))),
            "real scalar.*Found a Prediction",
        ),
        (lambda: objective(ExactSoftmax(), torch.tensor(1.0)), "Prediction"),
    ],
)
def test_errors(make, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MultisigmaError, match=words):
        make()
