"""The methods that uncertainty weighting is compared with: each against its formula or another implementation."""

import math
import pickle
from copy import deepcopy
from statistics import NormalDist
from typing import Any, Never

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from torch import Tensor, nn

# TorchJD has methods of the same names, checked against the papers' official code by its own tests.
from torchjd import scalarization

from multisigma import (
    FAMO,
    GLS,
    IMTLL,
    RLW,
    UWSO,
    DynamicWeightAverage,
    GradNorm,
    Laplace,
    LogTransform,
    MultisigmaError,
    Poisson,
    RevisedUncertaintyWeighting,
    SmoothTchebycheff,
    UncertaintyWeighting,
    Weighting,
)
from multisigma.weighting.rlw import standard_normal
from tests.weighting.methods import EVERY, METHODS, TASKS

positive = st.lists(st.floats(1e-2, 1e2), min_size=3, max_size=3)


def gradients(weighting: Weighting, values: list[float]) -> tuple[float, list[float]]:
    leaves = [torch.tensor(value, requires_grad=True) for value in values]
    objective = weighting(dict(zip(TASKS, leaves, strict=True)))
    objective.backward()
    return objective.item(), [leaf.grad.item() for leaf in leaves]  # type: ignore[union-attr]


def theirs(scalarizer: nn.Module, values: list[float]) -> tuple[float, list[float]]:
    leaf = torch.tensor(values, requires_grad=True)
    objective = scalarizer(leaf)
    objective.backward()
    return objective.item(), leaf.grad.tolist()  # type: ignore[union-attr]


def close(found: tuple[float, list[float]], expected: tuple[float, list[float]]) -> None:
    assert found[0] == pytest.approx(expected[0], rel=1e-4, abs=1e-6)
    assert found[1] == pytest.approx(expected[1], rel=1e-4, abs=1e-7)


@given(positive)
def test_geometric(values: list[float]) -> None:
    close(gradients(GLS(TASKS), values), theirs(scalarization.GeometricMean(), values))


@given(positive, st.sampled_from([0.05, 0.5, 2.0]))
def test_smooth_tchebycheff(values: list[float], mu: float) -> None:
    weights, ideal = torch.tensor([0.5, 0.2, 0.3]), torch.tensor([0.0, 0.01, 0.0])
    ours = SmoothTchebycheff(
        TASKS,
        mu,
        dict(zip(TASKS, weights.tolist(), strict=True)),
        dict(zip(TASKS, ideal.tolist(), strict=True)),
    )
    close(gradients(ours, values), theirs(scalarization.STCH(mu, weights, ideal), values))


@given(positive)
def test_imtl_l(values: list[float]) -> None:
    ours, other = IMTLL(TASKS), scalarization.IMTLL(3)
    scales = [0.3, -0.4, 1.2]
    with torch.no_grad():
        for name, scale in zip(TASKS, scales, strict=True):
            ours.log_variance(name).fill_(-scale)
        next(other.parameters()).copy_(torch.tensor(scales))
    close(gradients(ours, values), theirs(other, values))
    assert [ours.log_variance(name).grad.item() for name in TASKS] == pytest.approx(  # type: ignore[union-attr]
        [-g for g in next(other.parameters()).grad.tolist()],  # type: ignore[union-attr]
        rel=1e-4,
        abs=1e-6,
    )


@given(positive)
def test_db_mtl_is_the_sum_of_logarithms(values: list[float]) -> None:
    close(gradients(LogTransform(TASKS), values), (sum(map(math.log, values)), [1 / v for v in values]))


@given(positive, st.sampled_from([0.5, 2.0, 20.0]))
def test_uw_so_is_the_softmax_of_the_inverse_losses(values: list[float], temperature: float) -> None:
    inverse = torch.tensor([1 / v for v in values], dtype=torch.float64) / temperature
    weights = inverse.softmax(0).tolist()
    expected = sum(w * v for w, v in zip(weights, values, strict=True)), weights
    close(gradients(UWSO(TASKS, temperature), values), expected)


@given(positive)
def test_revised_uncertainty(values: list[float]) -> None:
    ours = RevisedUncertaintyWeighting(TASKS, 0.6)
    objective, found = gradients(ours, values)
    variance = math.exp(0.6)
    assert objective == pytest.approx(sum(v / (2 * variance) + math.log1p(variance) for v in values), rel=1e-5)
    assert found == pytest.approx([1 / (2 * variance)] * 3, rel=1e-5)


@pytest.mark.parametrize("loss", [0.01, 1.0, 30.0])
def test_revised_uncertainty_has_the_optimum_of_its_docstring(loss: float) -> None:
    best = (loss + math.sqrt(loss * loss + 8 * loss)) / 4
    values = [gradients(RevisedUncertaintyWeighting(TASKS, math.log(best * k)), [loss] * 3)[0] for k in (0.98, 1, 1.02)]
    assert values[1] < min(values[0], values[2])


@pytest.mark.parametrize("first", [0.0, 1e-30])
def test_dynamic_weight_average_takes_a_loss_that_was_zero(first: float) -> None:
    weighting = DynamicWeightAverage(["a", "b"], 1)
    for loss in (first, 5.0, 1.0):
        objective = weighting({"a": torch.tensor(loss), "b": torch.tensor(1.0)})
        assert objective.isfinite()


def test_famo_takes_a_loss_at_its_bound() -> None:
    assert FAMO(["a"], lower_bounds={"a": 0.7})({"a": torch.tensor(0.7)}).isfinite()


def test_famo_takes_no_loss_below_its_bound() -> None:
    weighting = FAMO(["a", "b"], lower_bounds={"b": 0.5})
    with pytest.raises(MultisigmaError, match=r"'b'.*no loss below 0\.5.*Found 0\.25"):
        weighting({"a": torch.tensor(1.0), "b": torch.tensor(0.25)})


def gradnorm_steps(losses: list[list[float | None]]) -> GradNorm:
    weighting, x = GradNorm(TASKS), torch.ones((), requires_grad=True)
    for step in losses:
        given = {name: None if loss is None else loss * x for name, loss in zip(TASKS, step, strict=True)}
        weighting(given, shared=x)
    return weighting


def test_gradnorm_leaves_the_weight_of_an_absent_task_alone() -> None:
    weighting = gradnorm_steps([[1.0 + i, None, 1.5] for i in range(40)])
    assert weighting.weights["b"] == 1.0
    assert sum(weighting.weights.values()) == pytest.approx(3.0, rel=1e-5)
    assert weighting.weights["a"] != pytest.approx(1.0, rel=0.1)


def test_gradnorm_leaves_the_weight_of_a_task_alone_in_its_batches() -> None:
    together: list[list[float | None]] = [[1.0 if i == 0 else 0.1, 1.0, 1.0] for i in range(21)]
    before = gradnorm_steps(together).weights[TASKS[0]]
    after = gradnorm_steps([*together, *([0.1 + i, None, None] for i in range(40))]).weights[TASKS[0]]
    assert before < 0.9
    assert after == pytest.approx(before, rel=1e-5)


def test_gradnorm_counts_from_the_first_loss_above_zero() -> None:
    late = gradnorm_steps([[0.0, 1.0, 1.0], *([[1.0, 1.0, 1.0]] * 100)])  # type: ignore[list-item]
    assert late.weights == pytest.approx(dict.fromkeys(TASKS, 1.0), rel=0.2)


def test_gradnorm_takes_no_infinite_loss_as_its_first(monkeypatch: pytest.MonkeyPatch) -> None:
    # On an accelerator most losses are not looked at.
    monkeypatch.setattr(GradNorm, "_check", lambda self, batch: None)
    weighting = gradnorm_steps([[math.inf, 1.0, 1.0], *([[1.0, 1.0, 1.0]] * 100)])  # type: ignore[list-item]
    assert weighting.weights == pytest.approx(dict.fromkeys(TASKS, 1.0), rel=0.2)


def test_famo_s_update_does_not_take_the_turn_of_a_check() -> None:
    weighting, losses = FAMO(["a"]), {"a": torch.tensor(1.0)}
    for step in range(1, 4):
        weighting(losses)
        weighting.update(losses)
        assert weighting.calls == step


@pytest.mark.parametrize("name", [*METHODS, "nash_mtl"])
def test_nothing_is_remembered_in_evaluation(name: str) -> None:
    weighting, x = EVERY[name](), torch.tensor([1.0, 2.0, 3.0], requires_grad=True)

    def call(scale: float) -> None:
        weighting(dict(zip(TASKS, (scale * x).square().unbind(), strict=True)), shared=x)

    call(1.0)
    before = deepcopy(weighting.state_dict())
    weighting.eval()
    call(3.0)
    for key, value in weighting.state_dict().items():
        assert torch.equal(value.nan_to_num(), before[key].nan_to_num()), key


def test_random_weights_are_a_softmax_of_normal_numbers() -> None:
    weighting = RLW(TASKS, seed=3)
    drawn = []
    for _ in range(3000):
        _, weights = gradients(weighting, [1.0, 2.0, 3.0])
        assert sum(weights) == pytest.approx(1.0, rel=1e-5)
        drawn.append(weights)
    logs = torch.tensor(drawn).log()
    # Differences of two standard normal numbers: mean 0, variance 2.
    difference = logs[:, 0] - logs[:, 1]
    assert difference.mean().item() == pytest.approx(0.0, abs=0.1)
    assert difference.var().item() == pytest.approx(2.0, rel=0.1)


def test_seeds_are_whole_numbers_of_64_bits() -> None:
    for seed in (2**63 - 1, -(2**63)):
        RLW(TASKS, seed)
    wrong: list[Any] = [2**63, -(2**63) - 1, 0.5]
    for seed in wrong:
        with pytest.raises(MultisigmaError, match="`seed`"):
            RLW(TASKS, seed)


@given(positive)
def test_the_optimum_of_revised_weighting_has_no_gradient(values: list[float]) -> None:
    weighting = RevisedUncertaintyWeighting(TASKS)
    best = weighting.optimum(torch.tensor(values)).requires_grad_()
    (weighting.weight(best) * torch.tensor(values) + weighting.regulariser(best)).sum().backward()
    assert best.grad is not None
    assert best.grad.tolist() == pytest.approx([0.0] * 3, abs=1e-4)


def test_famo_waits_for_the_tasks_of_its_last_batch_with_labels() -> None:
    weighting = FAMO(TASKS)
    weighting({TASKS[0]: torch.tensor(1.0), TASKS[1]: None, TASKS[2]: None})
    assert weighting.waiting.tolist() == [1.0, 0.0, 0.0]
    weighting(dict.fromkeys(TASKS))
    assert weighting.waiting.tolist() == [1.0, 0.0, 0.0]


def test_the_temperature_of_dwa_is_that_of_its_paper() -> None:
    """Liu et al. (2019), section 4.2."""
    assert DynamicWeightAverage(TASKS, 2).temperature == 2.0


@pytest.mark.parametrize("weighting", [DynamicWeightAverage(TASKS, 2), GLS(TASKS)])
def test_a_task_alone_in_a_batch_has_its_own_loss(weighting: Weighting) -> None:
    assert weighting({TASKS[0]: torch.tensor(3.0)}).item() == pytest.approx(3.0)


def test_random_weights_differ_by_seed_and_do_not_repeat() -> None:
    drawn = [
        tuple(gradients(weighting, [1.0, 1.0, 1.0])[1])
        for weighting in (RLW(TASKS, seed) for seed in (0, 1, -1, 2**40))
        for _ in range(500)
    ]
    assert len(set(drawn)) == len(drawn)


def lowbias32(x: int) -> int:
    """As Wellons, "Prospecting for Hash Functions", has it in C, on unsigned integers of 32 bits."""
    x &= 0xFFFFFFFF
    x ^= x >> 16
    x = x * 0x7FEB352D & 0xFFFFFFFF
    x ^= x >> 15
    x = x * 0x846CA68B & 0xFFFFFFFF
    return x ^ x >> 16


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**31))
def test_random_numbers_are_a_hash_of_seed_step_and_place(seed: int, step: int) -> None:
    """So that a seed gives the same weights on every machine."""
    for place, number in enumerate(standard_normal(torch.tensor(seed), torch.tensor(step), 3).tolist()):
        bits = lowbias32(lowbias32(lowbias32(lowbias32(seed >> 32) + seed) + step) + place)
        assert number == pytest.approx(NormalDist().inv_cdf(((bits >> 9) + 0.5) / 2**23), rel=1e-4, abs=1e-6)


def test_random_numbers_are_normal_and_independent() -> None:
    seeds, steps = torch.arange(20), torch.arange(1000)
    drawn = torch.stack([standard_normal(seed, step, 3) for seed in seeds for step in steps])
    assert kstest(drawn.flatten().numpy(), "norm").pvalue > 0.01
    neighbours = torch.cat([drawn[:-1].T, drawn[1:].T])
    assert (torch.corrcoef(neighbours) - torch.eye(6)).abs().max() < 4 / len(drawn) ** 0.5


def test_dynamic_weight_average_is_equation_7() -> None:
    weighting = DynamicWeightAverage(TASKS, steps_per_epoch=2, temperature=2.0)
    epochs = torch.tensor([[[4.0, 1.0, 2.0], [2.0, 1.0, 4.0]], [[1.0, 3.0, 3.0], [1.0, 1.0, 3.0]], [[1.0] * 3] * 2])
    found = [gradients(weighting, step.tolist())[1] for epoch in epochs for step in epoch]
    assert found[:4] == [[1.0] * 3] * 4
    ratios = epochs[1].mean(0) / epochs[0].mean(0)
    expected = 3 * (ratios / 2).softmax(0)
    assert found[4] == pytest.approx(expected.tolist(), rel=1e-5)
    assert found[5] == found[4]
    weighting.eval()
    assert gradients(weighting, [9.0, 9.0, 9.0])[1] != found[4]


def test_dynamic_weight_average_takes_the_mean_over_the_batches_with_labels() -> None:
    weighting = DynamicWeightAverage(TASKS, steps_per_epoch=2)
    for a, b in ((1.0, 1.0), (1.0, None), (1.0, 3.0), (1.0, 1.0), (1.0, 1.0)):
        given = {
            TASKS[0]: torch.tensor(a),
            TASKS[1]: None if b is None else torch.tensor(b),
            TASKS[2]: torch.tensor(1.0),
        }
        weighting(given)
    expected = 3 * (torch.tensor([1.0, 2.0, 1.0]) / 2).softmax(0)
    assert list(weighting.weights.values()) == pytest.approx(expected.tolist(), rel=1e-5)


@pytest.mark.parametrize("update", [True, False])
def test_famo_is_torchjds(update: bool) -> None:
    """With `update` on the same batch; without it, the next losses serve, as if `update` were called with them."""
    bounds = [0.0, 0.1, 0.0]
    ours = FAMO(TASKS, dict(zip(TASKS, bounds, strict=True)))
    other = scalarization.FAMO(3, torch.tensor(bounds))
    generator = torch.Generator().manual_seed(0)
    for step in range(20):
        values = (0.2 + 3 * torch.rand(3, generator=generator)).tolist()
        after = (torch.tensor(values) * (0.8 + 0.3 * torch.rand(3, generator=generator))).tolist()
        if not update and step:
            other.update(torch.tensor(values))
        close(gradients(ours, values), theirs(other, values))
        if update:
            ours.update(dict(zip(TASKS, map(torch.tensor, after), strict=True)))
            other.update(torch.tensor(after))
    assert ours.weights != dict.fromkeys(TASKS, 1.0)


def test_gradnorm_is_algorithm_1() -> None:
    """Against the algorithm written out: autograd has the gradient of sum |w G - target|; weights sum to T."""
    generator = torch.Generator().manual_seed(1)
    shared, inputs = nn.Linear(5, 4, bias=False), torch.randn(8, 5, generator=generator)
    heads = [torch.randn(4, generator=generator) * scale for scale in (0.1, 1.0, 10.0)]

    def losses() -> list[Tensor]:
        return [(torch.tanh(shared(inputs)) @ head - 1).square().mean() for head in heads]

    ours = GradNorm(TASKS, alpha=1.5, lr=0.01)
    weights = torch.ones(3, requires_grad=True)
    first = torch.stack(losses()).detach()
    for _ in range(5):
        current = losses()
        norms = torch.stack([torch.autograd.grad(loss, shared.weight, retain_graph=True)[0].norm() for loss in current])
        rates = torch.stack(current).detach() / first
        rates = rates / rates.mean()
        scaled = weights * norms
        target = (scaled.mean() * rates**1.5).detach()
        (gradient,) = torch.autograd.grad((scaled - target).abs().sum(), weights)
        stepped = (weights - 0.01 * gradient).detach().clamp_min(1e-3)
        weights = (3 * stepped / stepped.sum()).requires_grad_()
        objective = ours(dict(zip(TASKS, current, strict=True)), shared=shared.parameters())
        assert list(ours.weights.values()) == pytest.approx(weights.tolist(), rel=1e-4)
        assert objective.item() == pytest.approx((weights * torch.stack(current)).sum().item(), rel=1e-4)
        shared.zero_grad()
        objective.backward()
        with torch.no_grad():
            shared.weight -= 0.1 * shared.weight.grad


def model() -> tuple[nn.Module, nn.ModuleDict]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh()), nn.ModuleDict({name: nn.Linear(6, 1) for name in TASKS})


def step_losses(shared: nn.Module, heads: nn.ModuleDict, step: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Some tasks have no labels in some steps."""
    x = torch.randn(10, 4, generator=torch.Generator().manual_seed(step))
    features = shared(x)
    losses = {}
    for i, name in enumerate(TASKS):
        error = (heads[name](features).squeeze(1) - x[:, i]).abs() + 0.01
        count = 0 if (step + i) % 4 == 0 else 10 - i
        losses[name] = error[:count].sum(), torch.tensor(count)
    return losses


def run(
    weighting: Weighting, shared: nn.Module, heads: nn.ModuleDict, optimizer: torch.optim.Optimizer, steps: range
) -> None:
    for step in steps:
        torch.manual_seed(step)
        losses = step_losses(shared, heads, step)
        optimizer.zero_grad()
        weighting(losses, shared=shared.parameters()).backward()
        optimizer.step()


def optimizer_of(weighting: Weighting, *modules: nn.Module) -> torch.optim.Optimizer:
    parameters = [p for module in modules for p in module.parameters()]
    return torch.optim.Adam([*weighting.param_groups(), {"params": parameters}], lr=0.01)


@pytest.mark.parametrize("name", EVERY)
def test_a_resumed_run_goes_on_bit_for_bit(name: str) -> None:
    whole = model()
    weighting = EVERY[name]()
    optimizer = optimizer_of(weighting, *whole)
    run(weighting, *whole, optimizer, range(6))
    state = pickle.loads(
        pickle.dumps([weighting.state_dict(), optimizer.state_dict(), *(module.state_dict() for module in whole)])
    )
    run(weighting, *whole, optimizer, range(6, 12))

    again, resumed = model(), EVERY[name]()
    second = optimizer_of(resumed, *again)
    for thing, saved in zip((resumed, second, *again), state, strict=True):
        thing.load_state_dict(saved)
    run(resumed, *again, second, range(6, 12))
    for a, b in zip((*whole, weighting), (*again, resumed), strict=True):
        for key, value in a.state_dict().items():
            other = b.state_dict()[key]
            assert torch.equal(value, other) if isinstance(value, Tensor) else repr(value) == repr(other), key
    assert weighting.weights == resumed.weights


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("values", [[0.5, 2.0, 3.0], [1.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
def test_weights_for_logs_are_the_losses_gradients(name: str, values: list[float]) -> None:
    """With losses at zero too, where all must stay finite."""
    weighting, shared = METHODS[name](), torch.ones(3, requires_grad=True)
    for _ in range(5):
        leaves = [v * x for v, x in zip(values, shared.unbind(), strict=True)]
        objective = weighting(dict(zip(TASKS, leaves, strict=True)), shared=shared)
        found = torch.autograd.grad(objective, leaves)
        assert objective.isfinite()
        given = list(weighting.weights.values())
        assert all(map(math.isfinite, given))
        assert all(gradient.isfinite() for gradient in found)
        # This one gives a loss at its lowest no gradient.
        if name != "famo" or all(values):
            assert [gradient.item() for gradient in found] == pytest.approx(given, rel=1e-4)


@pytest.mark.parametrize(
    "weighting",
    [
        GLS(TASKS),
        LogTransform(TASKS),
        UWSO(TASKS),
        UncertaintyWeighting({"b": Laplace()}, closed_form=True),
        UncertaintyWeighting({"a": Poisson(), "b": Laplace()}, closed_form=True),
    ],
    ids=lambda weighting: type(weighting).__name__,
)
def test_a_negative_loss_is_an_error_where_the_method_has_no_meaning_for_it(weighting: Weighting) -> None:
    others = {n: torch.tensor(-1.0) for n, v in zip(weighting.tasks, weighting.lowest_losses, strict=True) if v < 0}
    weighting(others)
    with pytest.raises(MultisigmaError, match=r"'b'.*no loss below 0.*Found -1\.5"):
        weighting({**others, "b": torch.tensor(-1.5)})


@pytest.mark.parametrize("name", EVERY)
def test_state_loads_with_weights_only(name: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    weighting = EVERY[name]()
    run(weighting, *(m := model()), optimizer_of(weighting, *m), range(3))
    torch.save(weighting.state_dict(), tmp_path / "state.pt")
    EVERY[name]().load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))


@pytest.mark.parametrize("name", EVERY)
def test_copies_and_pickles(name: str) -> None:
    weighting = EVERY[name]()
    run(weighting, *(m := model()), optimizer_of(weighting, *m), range(3))
    for copy in (deepcopy(weighting), pickle.loads(pickle.dumps(weighting))):
        assert copy.weights == weighting.weights
        assert copy.sigma == weighting.sigma


@pytest.mark.parametrize("name", EVERY)
def test_an_absent_task_contributes_nothing(name: str) -> None:
    """No key, None, a zero count known now and a zero count that is looked at on its device: the same result."""
    results = []
    for absent in ("missing", None, (torch.tensor(0.0), 0), "device"):
        shared, heads = model()
        weighting = EVERY[name]()
        for step in range(3):
            losses = dict(step_losses(shared, heads, 1))
            if absent == "missing":
                del losses["b"]
            elif absent == "device":
                losses["b"] = losses["b"][0] * 0, OnDevice(0)
            else:
                losses["b"] = absent  # type: ignore[assignment]
            torch.manual_seed(step)
            objective = weighting(losses, shared=shared.parameters())
        shared.zero_grad()
        objective.backward()
        assert heads["b"].weight.grad is None or not heads["b"].weight.grad.any()
        results.append([objective.detach(), *(p.grad for p in shared.parameters()), heads["a"].weight.grad])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.allclose(a, b, rtol=1e-5, atol=1e-7), name


class OnDevice(Tensor):
    """A count that says that it lies on an accelerator, so that nobody looks at it."""

    @staticmethod
    def __new__(cls, value: int) -> "OnDevice":
        return torch.tensor(value).as_subclass(cls)

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        return False

    def item(self) -> Never:
        raise AssertionError("to read the count would wait for the device")


@pytest.mark.parametrize("name", EVERY)
def test_all_absent_is_zero_with_a_graph(name: str) -> None:
    shared = torch.ones(2, requires_grad=True)
    for losses in ({}, {"a": None}, {"a": (torch.zeros((), requires_grad=True), 0)}):
        objective = EVERY[name]()(losses, shared=shared)
        objective.backward()
        assert objective.item() == 0.0


@pytest.mark.parametrize("name", EVERY)
def test_a_loss_that_is_not_finite_names_its_task(name: str) -> None:
    for bad in (math.nan, math.inf):
        with pytest.raises(MultisigmaError, match="'b'"):
            EVERY[name]()({"a": torch.tensor(1.0), "b": torch.tensor(bad)})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DynamicWeightAverage(TASKS, 0), "`steps_per_epoch`"),
        (lambda: DynamicWeightAverage(TASKS, 1, 0.0), "`temperature`"),
        (lambda: UWSO(TASKS, -1.0), "`temperature`"),
        (lambda: SmoothTchebycheff(TASKS, 0.0), "`mu`"),
        (lambda: SmoothTchebycheff(TASKS, 1.0, {"x": 1.0}), "`preferences`"),
        (lambda: SmoothTchebycheff(TASKS, 1.0, {"a": 0.0}), "`preferences`"),
        (lambda: SmoothTchebycheff(TASKS, 1.0, ideal={"x": 1.0}), "`ideal`"),
        (lambda: FAMO(TASKS, {"x": 1.0}), "`lower_bounds`"),
        (lambda: FAMO(TASKS, lr=0.0), "`lr`"),
        (lambda: FAMO(TASKS, weight_decay=-1.0), "`weight_decay`"),
        (lambda: FAMO(TASKS).update({"x": torch.tensor(1.0)}), "unknown tasks"),
        (lambda: GradNorm(TASKS, alpha=-1.0), "`alpha`"),
        (lambda: GradNorm(TASKS, lr=0.0), "`lr`"),
        (lambda: GradNorm(TASKS)({"a": torch.ones((), requires_grad=True)}), "shared="),
    ],
)
def test_errors(make, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MultisigmaError, match=words):
        make()
