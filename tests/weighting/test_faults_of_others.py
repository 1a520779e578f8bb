"""Faults of other packages: each shown there with the version pinned here, so that we notice when it is mended, and
ours without it. `docs/faults.md` has the table."""

import importlib
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torchjd import scalarization
from torchjd.aggregation import NashMTL
from torchjd.scalarization import DWA, UW, GeometricMean

from multisigma import (
    FAMO,
    GLS,
    IMTLL,
    DynamicWeightAverage,
    Gaussian,
    GradientAggregation,
    Laplace,
    Likelihood,
    MultisigmaError,
    Softmax,
    UncertaintyWeighting,
    Weighting,
)


class Method(NamedTuple):
    """A weighting, and what makes the gradients of a batch's losses with it."""

    module: nn.Module
    backward: Callable[[Sequence[Any]], object]

    def train(self, optimizer: torch.optim.Optimizer, losses: Sequence[float | Tensor | None]) -> None:
        optimizer.zero_grad()
        self.backward([None if loss is None else torch.as_tensor(loss) for loss in losses])
        optimizer.step()


def ours(weighting: Weighting) -> Method:
    """Takes None for a task without labels, as the others do not."""
    return Method(weighting, lambda losses: weighting(dict(zip(weighting.tasks, losses, strict=True))).backward())


def uncertainty(*likelihoods: Likelihood, initial: float = 0.0) -> Method:
    return ours(UncertaintyWeighting({f"task {i}": one for i, one in enumerate(likelihoods)}, initial))


def torchjd(scalarizer: nn.Module) -> Method:
    return Method(scalarizer, lambda losses: scalarizer(torch.stack(list(losses))).backward())


@pytest.fixture(scope="module")
def libmtl() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        moved: Any = ModuleType("torchvision.models.utils")
        moved.load_state_dict_from_url = torch.hub.load_state_dict_from_url
        patch.setitem(sys.modules, moved.__name__, moved)
        return importlib.import_module("LibMTL.weighting")


def of_libmtl(weighting: Any, tasks: int, **parameters: object) -> Method:
    """What LibMTL's `Trainer` gives a weighting, without the `Trainer`, which asks for a CUDA device."""
    weighting.task_num, weighting.device, weighting.rep_grad = tasks, torch.device("cpu"), False
    weighting.init_param()
    return Method(weighting, lambda losses: weighting.backward(torch.stack(list(losses)), **parameters))


def noise(method: Method) -> nn.Parameter:
    return next(method.module.parameters())


def steps_until_nan(method: Method, steps: int) -> int | None:
    """Plain gradient descent at a rate of 0.1 with the first task's loss at zero, as a network that fits it has it."""
    output = torch.ones((), requires_grad=True)
    optimizer = torch.optim.SGD([*method.module.parameters(), output], lr=0.1)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        method.backward([0.0 * output, torch.tensor(1.0)])
        assert output.grad is not None
        if output.grad.isnan():
            return step
        output.grad = None
        optimizer.step()
    return None


# A loss that reaches zero.


@pytest.mark.parametrize(("scalarizer", "steps"), [(UW(2), 1776), (scalarization.IMTLL(2), 889)], ids=["UW", "IMTLL"])
def test_torchjd_turns_nan_at_a_loss_of_zero(scalarizer: nn.Module, steps: int) -> None:
    assert steps_until_nan(torchjd(scalarizer), 2000) == pytest.approx(steps, abs=5)


def test_libmtl_uncertainty_turns_nan_at_a_loss_of_zero(libmtl: ModuleType) -> None:
    assert steps_until_nan(of_libmtl(libmtl.UW(), 2), 2000) == pytest.approx(1780, abs=5)


@pytest.mark.parametrize(
    ("method", "optimum"),
    [
        (uncertainty(Gaussian(), Gaussian()), 0.0),
        (uncertainty(Laplace(), Gaussian()), 0.0),
        (uncertainty(Softmax(), Gaussian()), math.log(2)),
        (ours(IMTLL(["first", "second"])), 0.0),
    ],
    ids=["gaussian", "laplace", "softmax", "IMTL-L"],
)
def test_ours_stays_finite_at_a_loss_of_zero_and_recovers(method: Method, optimum: float) -> None:
    assert steps_until_nan(method, 2000) is None
    optimizer = torch.optim.SGD(method.module.parameters(), lr=0.1)
    for _ in range(1000):
        method.train(optimizer, [1.0, 1.0])
        assert noise(method).isfinite()
    assert noise(method).item() == pytest.approx(optimum, abs=1e-3)


def test_ours_does_not_overshoot_with_clipped_gradients() -> None:
    method = uncertainty(Gaussian(), Gaussian())
    assert steps_until_nan(method, 2000) is None
    optimizer = torch.optim.SGD(method.module.parameters(), lr=0.1)
    found = []
    for _ in range(200):
        optimizer.zero_grad()
        method.backward([torch.tensor(1.0), torch.tensor(1.0)])
        nn.utils.clip_grad_norm_(method.module.parameters(), 1.0)
        optimizer.step()
        found.append(noise(method).item())
    assert max(found) <= 1e-3
    assert found[-1] == pytest.approx(0.0, abs=0.1)


def gradients_with_one_loss_at_zero(method: Method) -> list[float]:
    losses = [torch.tensor(value, requires_grad=True) for value in (0.0, 1.0)]
    method.backward(losses)
    return [loss.grad.item() for loss in losses if loss.grad is not None]


def test_others_geometric_mean_turns_nan_at_a_loss_of_zero(libmtl: ModuleType) -> None:
    assert any(map(math.isnan, gradients_with_one_loss_at_zero(torchjd(GeometricMean()))))
    assert any(map(math.isnan, gradients_with_one_loss_at_zero(of_libmtl(libmtl.GLS(), 2))))


def test_our_geometric_mean_stays_finite_at_a_loss_of_zero() -> None:
    found = gradients_with_one_loss_at_zero(ours(GLS(["first", "second"])))
    assert len(found) == 2
    assert all(map(math.isfinite, found))


# Weight decay.


def settled(method: Method, optimizer: torch.optim.Optimizer) -> float:
    """The mean log variance that training ends at, for single residuals of standard deviation 10."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        noise(method).fill_(math.log(100))
    values = []
    for residual in (10 * torch.randn(6000, generator=generator)).unbind():
        method.train(optimizer, [residual.square()])
        values.append(noise(method).item())
    return sum(values[3000:]) / 3000


def test_weight_decay_moves_the_noise_of_others(libmtl: ModuleType) -> None:
    for method in (torchjd(UW(1)), of_libmtl(libmtl.UW(), 1)):
        optimizer = torch.optim.AdamW(method.module.parameters(), lr=0.01, weight_decay=0.1)
        assert settled(method, optimizer) == pytest.approx(3.8, abs=0.1)


def test_weight_decay_leaves_our_parameter_groups_alone() -> None:
    method = uncertainty(Gaussian())
    assert isinstance(method.module, Weighting)
    optimizer = torch.optim.AdamW(method.module.param_groups(), lr=0.01, weight_decay=0.1)
    assert settled(method, optimizer) == pytest.approx(math.log(100), abs=0.1)


# Half precision.


def moved_in_bfloat16(method: Method) -> float:
    """How far a thousand steps, of 0.0005 at first, carry the noise of a model in bfloat16 towards a smaller loss."""
    with torch.no_grad():
        noise(method).fill_(math.log(100))
    method.module.to(torch.bfloat16)
    before, dtype = noise(method).item(), noise(method).dtype
    optimizer = torch.optim.SGD(method.module.parameters(), lr=1e-3)
    for _ in range(1000):
        method.train(optimizer, [torch.tensor(1.0, dtype=dtype)])
    return before - noise(method).item()


def test_torchjd_noise_does_not_move_in_bfloat16() -> None:
    assert moved_in_bfloat16(torchjd(UW(1))) == 0


def test_libmtl_takes_no_bfloat16(libmtl: ModuleType) -> None:
    with pytest.raises(TypeError, match="BFloat16"):
        moved_in_bfloat16(of_libmtl(libmtl.UW(), 1))


def test_our_noise_moves_in_a_bfloat16_model() -> None:
    assert moved_in_bfloat16(uncertainty(Gaussian())) == pytest.approx(0.5, abs=0.01)


# A task without labels in a batch.


def variance_with_labels_in_every_second_batch(method: Method, absent: float | None) -> float:
    """sigma^2 that training ends at for a loss of 4, which is its optimum where the loss is there."""
    optimizer = torch.optim.SGD(method.module.parameters(), lr=0.01, momentum=0.9)
    for step in range(4000):
        method.train(optimizer, [absent if step % 2 else 4.0])
    return math.exp(noise(method).item())


def test_others_keep_the_normaliser_of_an_absent_task(libmtl: ModuleType) -> None:
    """Neither can leave a task out; with a loss of zero in its place the noise is fitted to a loss half as large."""
    with pytest.raises(ValueError, match="should have shape"):
        torchjd(UW(2)).backward([torch.tensor(1.0)])
    assert variance_with_labels_in_every_second_batch(torchjd(UW(1)), 0.0) == pytest.approx(2.0, rel=0.02)
    assert variance_with_labels_in_every_second_batch(of_libmtl(libmtl.UW(), 1), 0.0) == pytest.approx(2.0, rel=0.02)


def test_ours_leaves_the_noise_of_an_absent_task_alone() -> None:
    assert variance_with_labels_in_every_second_batch(uncertainty(Gaussian()), None) == pytest.approx(4.0, rel=1e-3)


def test_nan_of_an_empty_mean_stays_in_the_noise_of_others(libmtl: ModuleType) -> None:
    """The mean over no labelled pixel is NaN: one such batch, and the task's noise is NaN for good, without a word."""
    for method in (torchjd(UW(2)), of_libmtl(libmtl.UW(), 2)):
        optimizer = torch.optim.SGD(method.module.parameters(), lr=0.1)
        for first in (math.nan, 1.0, 1.0):
            method.train(optimizer, [first, 1.0])
        assert noise(method)[0].isnan()


def test_ours_names_the_task_whose_loss_is_nan() -> None:
    method = uncertainty(Gaussian(), Gaussian())
    with pytest.raises(MultisigmaError, match=r"'task 0'.*must be finite\. Found nan"):
        method.backward([torch.tensor(math.nan), torch.tensor(1.0)])


# One likelihood for all.


def scale_from_laplace_noise(method: Method) -> float:
    residuals = torch.distributions.Laplace(0.0, 10.0).icdf(torch.linspace(0.0005, 0.9995, 1000))
    optimizer = torch.optim.SGD(method.module.parameters(), lr=0.1)
    for _ in range(500):
        method.train(optimizer, [residuals.abs().mean()])
    return math.exp(0.5 * noise(method).item())


def test_others_find_the_root_of_the_scale_for_an_l1_loss(libmtl: ModuleType) -> None:
    """Noise of scale 10, and a weight of half what the likelihood asks for."""
    for method in (torchjd(UW(1)), of_libmtl(libmtl.UW(), 1)):
        assert scale_from_laplace_noise(method) == pytest.approx(math.sqrt(10), rel=0.01)


def test_ours_finds_the_scale_for_an_l1_loss() -> None:
    assert scale_from_laplace_noise(uncertainty(Laplace())) == pytest.approx(10, rel=0.01)


# State that a checkpoint leaves out.

EPOCHS = [(4.0, 4.0), (2.0, 1.0)]


def test_torchjd_dynamic_weight_average_forgets_its_epochs() -> None:
    before, resumed = DWA(), DWA()
    for losses in EPOCHS:
        before(torch.tensor(losses))
        before.step()
    resumed.load_state_dict(before.state_dict())
    batch = torch.tensor([1.0, 0.0])
    assert resumed(batch).item() == 1
    assert before(batch).item() == pytest.approx(2 / (1 + math.exp((0.25 - 0.5) / 2.0)))


def test_libmtl_dynamic_weight_average_forgets_its_epochs(libmtl: ModuleType) -> None:
    before, resumed = (of_libmtl(libmtl.DWA(), 2, T=2.0) for _ in range(2))
    before.module.epoch, before.module.train_loss_buffer = 2, torch.tensor(EPOCHS).T.numpy()  # type: ignore[assignment]
    resumed.module.load_state_dict(before.module.state_dict())
    losses = [torch.tensor(1.0, requires_grad=True) for _ in range(2)]
    before.backward(losses)
    with pytest.raises(AttributeError, match="epoch"):
        resumed.backward(losses)


def test_our_dynamic_weight_average_goes_on_as_before() -> None:
    before, resumed = (DynamicWeightAverage(["first", "second"], 1) for _ in range(2))
    for first, second in EPOCHS:
        before({"first": torch.tensor(first), "second": torch.tensor(second)})
    resumed.load_state_dict(before.state_dict())
    batch = {"first": torch.tensor(1.0), "second": torch.tensor(0.0)}
    assert before(batch).item() == resumed(batch).item() == pytest.approx(2 / (1 + math.exp((0.25 - 0.5) / 2.0)))


FAMO_LOSSES = torch.tensor([[3.0, 2.0], [2.0, 1.9], [1.8, 1.0], [1.7, 0.5]])


def test_torchjd_famo_forgets_its_optimiser() -> None:
    before, resumed = scalarization.FAMO(2), scalarization.FAMO(2)
    for losses, after in pairwise(FAMO_LOSSES):
        before(losses)
        before.update(after)
    resumed.load_state_dict(before.state_dict())
    batch = torch.tensor([1.0, 2.0])
    assert before(batch).item() == resumed(batch).item()
    for famo in (before, resumed):
        famo.update(torch.tensor([0.5, 1.9]))
    assert before(batch).item() != pytest.approx(resumed(batch).item(), rel=1e-3)


def test_our_famo_goes_on_as_before() -> None:
    before, resumed = (FAMO(["first", "second"]) for _ in range(2))
    for first, second in FAMO_LOSSES:
        before({"first": first, "second": second})
    resumed.load_state_dict(before.state_dict())
    for famo in (before, resumed):
        famo({"first": torch.tensor(0.5), "second": torch.tensor(1.9)})
    assert torch.equal(before.logits, resumed.logits)
    assert torch.equal(before.adam_mean, resumed.adam_mean)
    assert before.logits.any()


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem:UserWarning")
def test_torchjd_nash_mtl_forgets_its_weights() -> None:
    before, resumed = NashMTL(2, update_weights_every=4), NashMTL(2, update_weights_every=4)
    first, last = torch.randn(2, 2, 5, generator=torch.Generator().manual_seed(0))
    before(first)
    resumed.load_state_dict(before.state_dict())
    assert not torch.allclose(before(last), resumed(last), rtol=0.01)


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem:UserWarning")
def test_our_nash_mtl_depends_on_the_step_alone() -> None:
    def step(weighting: GradientAggregation, i: int) -> Tensor:
        shared = torch.ones(5, requires_grad=True)
        rows = torch.randn(2, 5, generator=torch.Generator().manual_seed(i))
        weighting(dict(zip(weighting.tasks, rows @ shared, strict=True)), shared=shared).backward()
        assert shared.grad is not None
        return shared.grad

    before, resumed = (GradientAggregation(("first", "second"), "nash_mtl") for _ in range(2))
    for i in range(3):
        step(before, i)
    assert torch.equal(step(before, 3), step(resumed, 3))


# Gradients at what the tasks share.


def backward_of_libmtl(weighting: Any, shared: nn.Linear, set_to_none: bool = False, **parameters: object) -> None:
    method = of_libmtl(weighting, 2, **parameters)
    weighting.get_share_params = shared.parameters
    weighting.zero_grad_share_params = partial(shared.zero_grad, set_to_none=set_to_none)
    method.backward(list(shared(torch.ones(3)).square().unbind()))


def test_libmtl_gradient_methods_need_gradients_that_stay_zero(libmtl: ModuleType) -> None:
    """Since torch 2.0 the `zero_grad` that they call leaves None."""
    shared = nn.Linear(3, 2)
    backward_of_libmtl(libmtl.MGDA(), shared, mgda_gn="none")
    assert shared.weight.grad is not None
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'data'"):
        backward_of_libmtl(libmtl.MGDA(), shared, set_to_none=True, mgda_gn="none")


def test_libmtl_takes_no_frozen_parameter(libmtl: ModuleType) -> None:
    shared = nn.Linear(3, 2)
    shared.bias.requires_grad_(False)
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'data'"):
        backward_of_libmtl(libmtl.MGDA(), shared, mgda_gn="none")


def test_libmtl_cagrad_takes_three_tasks_alone(libmtl: ModuleType) -> None:
    with pytest.raises(ValueError, match="cannot reshape"):
        backward_of_libmtl(libmtl.CAGrad(), nn.Linear(3, 2), calpha=0.5, rescale=1)


@pytest.mark.parametrize("aggregator", ["mgda", "cagrad"])
def test_ours_takes_frozen_parameters_and_two_tasks(aggregator: str) -> None:
    shared = nn.Linear(3, 2)
    shared.bias.requires_grad_(False)
    first, second = shared(torch.ones(3)).square().unbind()
    weighting = GradientAggregation(["first", "second"], aggregator)
    weighting({"first": first, "second": second}, shared=shared.parameters()).backward()
    assert shared.weight.grad is not None
    assert shared.weight.grad.isfinite().all()
    assert shared.bias.grad is None


def test_libmtl_does_not_import_beside_this_torchvision(libmtl: ModuleType) -> None:
    assert libmtl.__name__ in sys.modules
    with mock.patch.dict(sys.modules):
        for name in [name for name in sys.modules if name.split(".")[0] == "LibMTL"]:
            del sys.modules[name]
        with pytest.raises(ModuleNotFoundError, match=r"torchvision\.models\.utils"):
            importlib.import_module("LibMTL")
