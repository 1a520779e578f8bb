"""A saved state is taken up by the tasks' names, in any file format, wherever the module was made."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed import checkpoint
from torch.optim.swa_utils import AveragedModel

from multisigma import (
    FAMO,
    GLS,
    IMTLL,
    DynamicWeightAverage,
    EqualWeighting,
    FixedWeighting,
    Gaussian,
    GradNorm,
    Laplace,
    MultisigmaError,
    SmoothTchebycheff,
    UncertaintyWeighting,
    Weighting,
)
from tests.weighting.methods import EVERY, METHODS, TASKS

LIKELIHOODS = {"a": Gaussian(), "b": Laplace(), "c": Laplace(), "d": Gaussian()}
BY_TASK = {
    "uncertainty": lambda tasks: UncertaintyWeighting({name: LIKELIHOODS[name] for name in tasks}),
    "closed form": lambda tasks: UncertaintyWeighting({name: LIKELIHOODS[name] for name in tasks}, closed_form=True),
    "fixed": lambda tasks: FixedWeighting({name: 0.1 + ord(name) - ord("a") for name in tasks}),
    "dwa": lambda tasks: DynamicWeightAverage(tasks, steps_per_epoch=1),
    "geometric": GLS,
    "famo": FAMO,
    "gradnorm": GradNorm,
    "stch": lambda tasks: SmoothTchebycheff(tasks, preferences={n: 1 + ord(n) - ord("a") for n in tasks}),
}


def trained(name: str, tasks: Iterable[str], steps: int = 4) -> Weighting:
    weighting = BY_TASK[name](tasks)
    optimizer = torch.optim.SGD([*weighting.parameters(), torch.nn.Parameter(torch.zeros(()))], lr=0.1)
    for step in range(1, steps + 1):
        x = torch.ones((), requires_grad=True)
        losses = {n: x * (1 + ord(n) - ord("a")) ** 2 / (step if n == "a" else 1) for n in weighting.tasks}
        weighting(losses, shared=x).backward()
        optimizer.step()
    return weighting


def values(weighting: Weighting) -> dict[str, float]:
    """The gradient of each task's loss at the next step, by name."""
    leaves = {name: torch.tensor(2.0, requires_grad=True) for name in weighting.tasks}
    x = torch.ones((), requires_grad=True)
    weighting({name: leaf * x for name, leaf in leaves.items()}, shared=x).backward()
    return {name: leaf.grad.item() for name, leaf in leaves.items()}  # type: ignore[union-attr]


@pytest.mark.parametrize("name", BY_TASK)
def test_tasks_in_another_order(name: str) -> None:
    saved, other = trained(name, list("abc")), BY_TASK[name](list("cab"))
    other.load_state_dict(saved.state_dict())
    assert other.weights == saved.weights
    assert values(other) == pytest.approx(values(saved), rel=1e-6)


@pytest.mark.parametrize("name", BY_TASK)
def test_other_tasks_are_an_error(name: str) -> None:
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\).*tasks \('a', 'b', 'c'\).*has \('a', 'b', 'd'\)"):
        BY_TASK[name](list("abd")).load_state_dict(trained(name, list("abc")).state_dict())


@pytest.mark.parametrize("name", EVERY)
def test_a_state_in_safetensors(name: str, tmp_path: Path) -> None:
    saved, x = EVERY[name](), torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    saved(dict(zip(TASKS, x.square().unbind(), strict=True)), shared=x)
    save_file(saved.state_dict(), tmp_path / "state.safetensors")
    fresh = EVERY[name]()
    fresh.load_state_dict(load_file(tmp_path / "state.safetensors"))
    assert fresh.weights == saved.weights
    for key, value in saved.state_dict().items():
        assert torch.equal(fresh.state_dict()[key].nan_to_num(), value.nan_to_num())


@pytest.mark.parametrize("name", METHODS)
def test_a_state_of_inference_mode_can_be_written_to(name: str) -> None:
    """As FAMO's second look at a batch may be taken there."""
    weighting, x = METHODS[name](), torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    losses = dict(zip(TASKS, x.square().unbind(), strict=True))
    if name != "gradnorm":
        with torch.inference_mode():
            weighting(losses)
    weighting(losses, shared=x).backward()
    weighting.load_state_dict(METHODS[name]().state_dict())


@pytest.mark.parametrize("name", EVERY)
def test_averages_of_models_take_it(name: str) -> None:
    averaged = AveragedModel(weighting := EVERY[name](), use_buffers=True)
    x, weights = torch.tensor([1.0, 2.0, 3.0], requires_grad=True), []
    for _ in range(3):
        weighting(dict(zip(TASKS, x.square().unbind(), strict=True)), shared=x)
        averaged.update_parameters(weighting)
        weights.append(list(weighting.weights.values()))
    assert list(averaged.module.weights.values()) == pytest.approx(torch.tensor(weights).mean(0).tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("tasks", "words"),
    [("abc", "Found a string"), (["a", "b", "a"], "Found 'a' twice"), ([1], "Found 1"), ([], "at least one")],
)
@pytest.mark.parametrize("kind", [EqualWeighting, GLS, IMTLL])
def test_names(kind: type[Weighting], tasks: Iterable[str], words: str) -> None:
    with pytest.raises(MultisigmaError, match=words):
        kind(tasks)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", EVERY)
def test_a_distributed_checkpoint(name: str, tmp_path: Path) -> None:
    """It reads into the tensors that are there."""
    saved, x = EVERY[name](), torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    for _ in range(2):
        saved(dict(zip(TASKS, x.square().unbind(), strict=True)), shared=x)
    checkpoint.save(saved.state_dict(), checkpoint_id=tmp_path)
    fresh = EVERY[name]()
    state = fresh.state_dict()
    checkpoint.load(state, checkpoint_id=tmp_path)
    fresh.load_state_dict(state)
    for key, value in saved.state_dict().items():
        assert torch.equal(fresh.state_dict()[key].nan_to_num(), value.nan_to_num()), key


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_a_state_that_was_cast_as_a_whole(kind: torch.dtype) -> None:
    saved = trained("closed form", list("abc"))
    fresh = BY_TASK["closed form"](list("cab"))
    fresh.load_state_dict({key: value.to(kind) for key, value in saved.state_dict().items()})
    assert fresh.sigma == pytest.approx(saved.sigma, rel=1e-2)


def test_the_state_is_of_tensors_alone() -> None:
    for make in EVERY.values():
        assert all(isinstance(value, Tensor) for value in make().state_dict().values())
