"""Gradient methods behind the common call, against TorchJD's own engine."""

import importlib
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchjd import aggregation
from torchjd.autojac import jac_to_grad, mtl_backward

from multisigma import GradientAggregation, GradNorm, MultisigmaError, Weighting
from tests.weighting.methods import GRADIENT_METHODS, TASKS


def network() -> tuple[nn.Module, nn.ModuleDict]:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5)), nn.ModuleDict(
        {n: nn.Linear(5, 1) for n in TASKS}
    )


def losses_of(features: Tensor, heads: nn.ModuleDict) -> dict[str, Tensor]:
    scales = dict(zip(TASKS, (1.0, 5.0, 0.2), strict=True))
    return {name: (scales[name] * head(features) - i).square().mean() for i, (name, head) in enumerate(heads.items())}


def gradients(*modules: nn.Module) -> list[Tensor]:
    return [p.grad for module in modules for p in module.parameters() if p.grad is not None]


INPUT = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))


def reference(name: str) -> aggregation.Aggregator:
    return {
        "mgda": aggregation.MGDA,
        "pcgrad": aggregation.PCGrad,
        "cagrad": lambda: aggregation.CAGrad(c=0.5),
        "imtl_g": aggregation.IMTLG,
        "nash_mtl": lambda: aggregation.NashMTL(n_tasks=3),
        "aligned_mtl": aggregation.AlignedMTL,
        "upgrad": aggregation.UPGrad,
    }[name]()


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem")
@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_at_the_parameters_it_is_torchjds_mtl_backward(name: str) -> None:
    trunk, heads = network()
    features = trunk(INPUT)
    torch.manual_seed(2)
    mtl_backward(list(losses_of(features, heads).values()), features)
    jac_to_grad(trunk.parameters(), reference(name))
    expected = [g.clone() for g in gradients(trunk, heads)]

    trunk, heads = network()
    losses = losses_of(trunk(INPUT), heads)
    torch.manual_seed(2)
    objective = GRADIENT_METHODS[name]()(losses, shared=trunk.parameters())
    objective.backward()
    assert objective.item() == pytest.approx(sum(loss.item() for loss in losses.values()), rel=1e-5)
    for found, wanted in zip(gradients(trunk, heads), expected, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem")
@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_at_the_features_their_gradient_is_the_aggregate(name: str) -> None:
    trunk, heads = network()
    features = trunk(INPUT)
    losses = losses_of(features, heads)
    rows = torch.stack(
        [torch.autograd.grad(loss, features, retain_graph=True)[0].flatten() for loss in losses.values()]
    )
    torch.manual_seed(2)
    aggregate = reference(name)(rows).view_as(features)
    expected = torch.autograd.grad(features, list(trunk.parameters()), aggregate, retain_graph=True)
    torch.manual_seed(2)
    GRADIENT_METHODS[name]()(losses, shared=features).backward()
    for found, wanted in zip(gradients(trunk), expected, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_the_sum_of_the_rows_is_the_plain_sum() -> None:
    trunk, heads = network()
    sum(losses_of(trunk(INPUT), heads).values()).backward()  # type: ignore[union-attr]
    expected = [g.clone() for g in gradients(trunk, heads)]
    for at_features in (False, True):
        trunk, heads = network()
        features = trunk(INPUT)
        weighting = GradientAggregation(TASKS, lambda rows: rows.sum(0))
        weighting(losses_of(features, heads), shared=features if at_features else trunk.parameters()).backward()
        for found, wanted in zip(gradients(trunk, heads), expected, strict=True):
            assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_frozen_parameters_are_left_out() -> None:
    trunk, heads = network()
    trunk[0].requires_grad_(False)
    seen = []

    def aggregator(rows: Tensor) -> Tensor:
        seen.append(rows.shape)
        return rows.mean(0)

    weighting = GradientAggregation(TASKS, aggregator)
    weighting(losses_of(trunk(INPUT), heads), shared=trunk.parameters()).backward()
    assert seen == [(3, 6 * 5 + 5)]
    assert trunk[0].weight.grad is None
    assert trunk[2].weight.grad is not None
    trunk.requires_grad_(False)
    with pytest.raises(MultisigmaError, match="all frozen"):
        weighting(losses_of(trunk(INPUT), heads), shared=trunk.parameters())


def test_absent_tasks_have_no_row() -> None:
    trunk, heads = network()
    seen = []
    weighting = GradientAggregation(TASKS, lambda rows: (seen.append(len(rows)), rows.sum(0))[1])
    losses = losses_of(trunk(INPUT), heads)
    weighting({"a": losses["a"], "c": losses["c"]}, shared=trunk.parameters()).backward()
    assert seen == [2]
    weighting({"b": losses_of(trunk(INPUT), heads)["b"]}, shared=trunk.parameters()).backward()
    # A single row is its own aggregate.
    assert seen == [2]


def test_a_gradient_scaler_scales_the_aggregate_too() -> None:
    found = []
    for scale in (1.0, 1024.0):
        trunk, heads = network()
        objective = GradientAggregation(TASKS, "upgrad")(losses_of(trunk(INPUT), heads), shared=trunk.parameters())
        (scale * objective).backward()
        found.append([g / scale for g in gradients(trunk, heads)])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-7)


def test_without_gradients_it_is_the_sum() -> None:
    trunk, heads = network()
    with torch.no_grad():
        losses = losses_of(trunk(INPUT), heads)
        assert GradientAggregation(TASKS)(losses).item() == pytest.approx(sum(v.item() for v in losses.values()))


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MultisigmaError, match="Found 'nonsense'"):
        GradientAggregation(TASKS, "nonsense")
    with pytest.raises(MultisigmaError, match="Found nothing"):
        GradientAggregation(TASKS)({"a": torch.ones((), requires_grad=True)})
    with pytest.raises(MultisigmaError, match="'a': its loss has no graph"):
        GradientAggregation(TASKS)({"a": torch.ones(())}, shared=torch.ones(2, requires_grad=True))

    def missing(name: str) -> object:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MultisigmaError, match=r"multisigma\[gradients\]"):
        GradientAggregation(TASKS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_within_autocast(name: str, dtype: torch.dtype) -> None:
    """The solvers take no half precision, and autocast would hand it to them."""
    trunk, heads = network()
    with torch.autocast("cpu", dtype=dtype):
        losses = losses_of(trunk(INPUT), heads)
        objective = GRADIENT_METHODS[name]()(losses, shared=trunk.parameters())
    objective.backward()
    found = torch.cat([g.flatten() for g in gradients(trunk)])
    assert found.isfinite().all()
    assert found.any()


@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_gradients_that_are_all_zero(name: str) -> None:
    x = torch.zeros(3, requires_grad=True)
    GRADIENT_METHODS[name]()(dict(zip(TASKS, x.square().unbind(), strict=True)), shared=x).backward()
    assert not x.grad.any()  # type: ignore[union-attr]


def test_a_gradient_with_zeros_is_aggregated_like_any_other() -> None:
    x = torch.ones(3, requires_grad=True)
    losses = {TASKS[0]: x[0] - x[1], TASKS[1]: x[1] + 0.5 * x[2], TASKS[2]: x[2] - x[0]}
    GradientAggregation(TASKS, "upgrad")(losses, shared=x).backward()
    rows = torch.tensor([[1.0, -1.0, 0.0], [0.0, 1.0, 0.5], [-1.0, 0.0, 1.0]])
    assert x.grad is not None
    assert torch.allclose(x.grad, aggregation.UPGrad()(rows), atol=1e-5)
    assert not torch.allclose(x.grad, rows.sum(0), atol=0.1)


def test_large_features_in_half_precision_do_not_overflow() -> None:
    features = torch.full((100_000,), 100.0, dtype=torch.float16, requires_grad=True)
    weighting = GradientAggregation(["a", "b"], "mgda")
    objective = weighting({"a": features.float().mean(), "b": 2 * features.float().sum()}, shared=features)
    assert objective.isfinite()


@pytest.mark.parametrize("make", [lambda: GradientAggregation(TASKS, "mgda"), lambda: GradNorm(TASKS)])
def test_parameters_beside_features_are_an_error(make: Callable[[], Weighting]) -> None:
    x, parameter = torch.ones(3, requires_grad=True), nn.Parameter(torch.ones(3))
    with pytest.raises(MultisigmaError, match="Found both"):
        make()(dict(zip(TASKS, (x * parameter).square().unbind(), strict=True)), shared=[x, parameter])


@pytest.mark.parametrize("make", [lambda: GradientAggregation(TASKS, "mgda"), lambda: GradNorm(TASKS)])
def test_shared_tensors_that_no_loss_depends_on_are_an_error(make: Callable[[], Weighting]) -> None:
    x, other = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    with pytest.raises(MultisigmaError, match="no loss depends on any of the 1 tensors"):
        make()(dict(zip(TASKS, x.square().unbind(), strict=True)), shared=other)
