"""The weightings' behaviour: absent tasks, pairs, gradients, groups, state, errors."""

import math
import pickle
import subprocess
import sys
from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multisigma import FixedWeighting, Gaussian, Laplace, MultisigmaError, Softmax, UncertaintyWeighting
from multisigma.weighting.losses import TaskLosses
from tests.weighting.methods import NESTED_FUNC


def make() -> UncertaintyWeighting:
    return UncertaintyWeighting(
        {"semantic": Softmax(), "depth": Laplace(), "pose": Gaussian()}, {"depth": 1.0, "pose": -0.5}
    )


@given(st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3))
def test_objective_is_the_sum_of_the_terms(values: list[float]) -> None:
    semantic, depth, pose = values
    losses = {"semantic": torch.tensor(semantic), "depth": torch.tensor(depth), "pose": torch.tensor(pose)}
    expected = semantic + (math.exp(-0.5) * depth + 0.5) + (0.5 * math.exp(0.5) * pose - 0.25)
    assert make()(losses).item() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_derivatives_by_finite_differences() -> None:
    weighting = make().double()
    names = [name for name, _ in weighting.named_parameters()]

    def objective(*values: torch.Tensor) -> torch.Tensor:
        losses = dict(zip(weighting.tasks, values[:3], strict=True))
        return torch.func.functional_call(weighting, dict(zip(names, values[3:], strict=True)), (losses,))

    losses = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.7, 3.0, 2.0)]
    # One within its bounds and one beyond each of them.
    noise = [torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in (0.3, -14.7, 31.0)]
    assert torch.autograd.gradcheck(objective, [*losses, *noise])
    assert torch.autograd.gradgradcheck(objective, [*losses, *noise])


@NESTED_FUNC
def test_transforms_of_torch_func() -> None:
    weighting = make()
    parameters = {name: parameter.detach() for name, parameter in weighting.named_parameters()}

    def objective(parameters: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        losses = {name: (i * x).square() for i, name in enumerate(weighting.tasks, 1)}
        return torch.func.functional_call(weighting, parameters, (losses,))

    x, one = torch.tensor(2.0), torch.tensor(1.0)
    slope = 2 * sum(weight * i**2 for i, weight in enumerate(weighting.weights.values(), 1))
    assert torch.func.grad(objective, 1)(parameters, x).item() == pytest.approx(slope * 2.0, rel=1e-6)
    assert torch.func.hessian(objective, 1)(parameters, x).item() == pytest.approx(slope, rel=1e-6)
    assert torch.func.jvp(lambda y: objective(parameters, y), (x,), (one,))[1].item() == pytest.approx(2 * slope)
    noise = torch.func.grad(objective)(parameters, x)
    weighting({name: (i * x).square() for i, name in enumerate(weighting.tasks, 1)}).backward()
    for name, parameter in weighting.named_parameters():
        assert torch.allclose(noise[name], parameter.grad)  # type: ignore[arg-type]


def test_a_subclass_with_a_combination_of_its_own_is_heard() -> None:
    class Doubled(UncertaintyWeighting):
        def combine(self, present: TaskLosses) -> torch.Tensor:
            return 2 * super().combine(present)

    losses = {"depth": torch.tensor(3.0)}
    expected = 2 * UncertaintyWeighting({"depth": Laplace()})(losses)
    assert torch.equal(Doubled({"depth": Laplace()})(losses), expected)


@pytest.mark.parametrize("absent", [None, "missing", (torch.tensor(0.0), torch.tensor(0)), (torch.tensor(0.0), 0)])
def test_absent_task_contributes_nothing(absent: object) -> None:
    weighting = make()
    present = {"depth": torch.tensor(2.0, requires_grad=True)}
    losses = present if absent == "missing" else {**present, "semantic": absent, "pose": None}
    objective = weighting(losses)
    alone = UncertaintyWeighting({"depth": Laplace()}, 1.0)({"depth": torch.tensor(2.0)})
    assert objective.item() == pytest.approx(alone.item())
    objective.backward()
    assert not weighting.log_variance("semantic").grad
    assert not weighting.log_variance("pose").grad
    assert weighting.log_variance("depth").grad


@pytest.mark.parametrize("weighting", [make(), FixedWeighting({"semantic": 1, "depth": 2})])
def test_all_tasks_absent_is_zero_with_a_usable_graph(weighting: UncertaintyWeighting) -> None:
    for losses in ({}, {"semantic": None}, {"depth": (torch.zeros((), requires_grad=True), torch.tensor(0))}):
        objective = weighting(losses)
        objective.backward()
        assert objective.item() == 0
    assert all(parameter.grad is None or not parameter.grad for parameter in weighting.parameters())


@pytest.mark.parametrize("others", [{}, {"semantic": torch.tensor(1.0)}])
def test_a_nan_over_nothing_is_nothing(others: dict[str, torch.Tensor]) -> None:
    assert make()({**others, "depth": (torch.tensor(math.nan), 0)}).item() == make()(others).item()


@pytest.mark.parametrize("count", [4, 4.0, torch.tensor(4), torch.tensor(4.0), torch.tensor([4]), np.int64(4)])
def test_counts_of_any_type(count: int) -> None:
    assert make()({"depth": (torch.tensor(6.0), count)}).item() == make()({"depth": torch.tensor(1.5)}).item()


def test_pair_is_the_mean() -> None:
    pair, mean = make()({"depth": (torch.tensor(6.0), torch.tensor(4))}), make()({"depth": torch.tensor(1.5)})
    assert pair.item() == mean.item()


def test_empty_loss_of_a_masked_sum_has_no_gradient_and_no_nan() -> None:
    output = torch.randn(5, requires_grad=True)
    total = (output * torch.zeros(5)).sum()
    make()({"depth": (total, torch.tensor(0))}).backward()
    assert output.grad is None or torch.equal(output.grad, torch.zeros(5))


def test_the_mean_over_nothing_of_an_absent_task_leaves_no_nan_in_shared_parameters() -> None:
    shared = torch.ones((), requires_grad=True)
    nothing = (shared * torch.zeros(3)).sum() / torch.zeros(())  # 0 / 0
    make()({"semantic": (nothing, 0), "depth": shared}).backward()
    assert shared.grad is not None
    assert shared.grad.isfinite()


def test_the_mean_over_nothing_of_the_only_task_leaves_no_nan_either() -> None:
    shared = torch.ones((), requires_grad=True)
    nothing = (shared * torch.zeros(3)).sum() / torch.zeros(())  # 0 / 0
    make()({"semantic": (nothing, 0)}).backward()
    assert shared.grad is None


def test_parameter_groups_have_no_weight_decay() -> None:
    weighting, network = make(), torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD([*weighting.param_groups(), {"params": network.parameters()}], lr=0.1, weight_decay=0.5)
    before = {name: weighting.log_variance(name).item() for name in weighting.tasks}
    for parameter in [*weighting.parameters(), *network.parameters()]:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert before == {name: weighting.log_variance(name).item() for name in weighting.tasks}
    assert weighting.param_groups(lr=0.3)[0]["lr"] == 0.3
    assert FixedWeighting({"a": 1.0}).param_groups() == []


def test_weights_and_sigma_for_logs() -> None:
    weighting = make()
    assert weighting.sigma == pytest.approx({"semantic": 1.0, "depth": math.exp(0.5), "pose": math.exp(-0.25)})
    assert weighting.weights == pytest.approx({"semantic": 1.0, "depth": math.exp(-0.5), "pose": 0.5 * math.exp(0.5)})
    fixed = FixedWeighting({"semantic": 0.89, "instance": 0.01, "depth": 0.1})
    assert fixed.weights == {"semantic": 0.89, "instance": 0.01, "depth": 0.1}
    assert fixed.sigma == {}
    losses = {"semantic": torch.tensor(1.0), "instance": torch.tensor(10.0), "depth": torch.tensor(2.0)}
    assert fixed(losses).item() == pytest.approx(0.89 + 0.1 + 0.2)


def test_state_copy_and_pickle() -> None:
    weighting = make()
    other = UncertaintyWeighting({"semantic": Softmax(), "depth": Laplace(), "pose": Gaussian()})
    other.load_state_dict(weighting.state_dict())
    assert other.sigma == weighting.sigma == deepcopy(weighting).sigma == pickle.loads(pickle.dumps(weighting)).sigma


@pytest.mark.parametrize(
    ("make_it", "words"),
    [
        (lambda: UncertaintyWeighting({}), "at least one task"),
        (lambda: UncertaintyWeighting({"a.b": Laplace()}), "'a.b'"),
        (lambda: UncertaintyWeighting({"": Laplace()}), "non-empty"),
        (lambda: UncertaintyWeighting({"a": Laplace}), "must be an object such as"),  # type: ignore[dict-item]
        (lambda: UncertaintyWeighting({"a": "laplace"}), "'a'"),  # type: ignore[dict-item]
        (lambda: UncertaintyWeighting({"a": Laplace()}, math.nan), "finite"),
        (lambda: UncertaintyWeighting({"a": Laplace()}, {"b": 1.0}), "'b'"),
        (lambda: FixedWeighting({"a": -1.0}), "must be a finite number from 0. Found -1"),
        (lambda: FixedWeighting({"a": math.inf}), "finite"),
        (lambda: UncertaintyWeighting({"a": Laplace()})({"b": torch.tensor(1.0)}), "unknown tasks"),
        (lambda: UncertaintyWeighting({"a": Laplace()})({"a": torch.tensor(1.0), "b": None}), "unknown tasks"),
        (lambda: UncertaintyWeighting({"a": Laplace()})({"a": torch.ones(3)}), "scalar"),
        (
            lambda: make()(dict.fromkeys(("semantic", "depth"), torch.ones((), device="meta"))),
            "'semantic': the loss is on meta.*on cpu",
        ),
        (
            lambda: make().to("meta")(dict.fromkeys(("semantic", "depth"), torch.tensor(1.0))),
            r"the loss is on cpu.*on meta",
        ),
        (
            lambda: make()({"semantic": torch.ones((), device="meta"), "depth": torch.tensor(1.0)}),
            "Task 'semantic': the loss is on meta",
        ),
        (lambda: make().param_groups(lr=-1.0), "`lr`"),
        (lambda: make()([torch.tensor(1.0)]), "dictionary by task name. Found list"),  # type: ignore[arg-type]
        (lambda: make()({"depth": torch.tensor(1j)}), "Task 'depth'.*real scalar.*complex64"),
        (lambda: make()({"depth": (torch.tensor(1.0), 2, 3)}), "Found 3 values"),  # type: ignore[dict-item]
        (lambda: make()({"depth": (torch.tensor(1.0), -1)}), "'depth'.*Found -1"),
        (lambda: make()({"depth": (torch.tensor(1.0), torch.tensor(-1))}), "'depth'.*Found -1"),
        (lambda: make()({"depth": (torch.tensor(1.0), math.inf)}), "'depth'.*Found inf"),
        (lambda: make()({"depth": (torch.tensor(1.0), math.nan)}), "'depth'.*Found nan"),
        (lambda: make()({"depth": (torch.tensor(1.0), torch.ones(2))}), r"'depth'.*Found shape \(2,\)"),
        (lambda: make()({"depth": (torch.tensor(1.0), "8")}), "'depth'.*Found '8'"),  # type: ignore[dict-item]
        (lambda: make()({"depth": torch.tensor(1.0)}, shared=torch.nn.Linear(1, 1)), "`shared`.*Linear"),  # type: ignore[arg-type]
        (lambda: make()({"depth": torch.tensor(1.0)}, shared=[("name", torch.ones(1))]), "`shared`.*list"),  # type: ignore[list-item]
        (lambda: make().log_variance("normals"), "no task 'normals'"),
        (lambda: UncertaintyWeighting(["a"]), "`likelihoods`.*Found list"),  # type: ignore[arg-type]
        (lambda: UncertaintyWeighting({"a": Laplace()}, bounds=None), "`bounds`.*None"),  # type: ignore[arg-type]
        (lambda: UncertaintyWeighting({"a": Laplace()}, bounds=("a", "b")), "`bounds`.*'a'"),  # type: ignore[arg-type]
    ],
)
def test_errors_name_the_parameter_and_the_value(make_it, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MultisigmaError, match=words):
        make_it()


def test_import_needs_torch_alone() -> None:
    code = (
        "import sys, multisigma; "
        "heavy = {'timm', 'lightning', 'cv2', 'torchvision', 'torchmetrics', 'sklearn', 'numba', 'matplotlib'}; "
        "found = heavy & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
