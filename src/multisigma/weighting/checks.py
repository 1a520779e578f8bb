"""Checks of what a user passes in. Errors name the parameter or task, the rule, the value found, and what to do."""

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from multisigma.errors import MultisigmaError
from multisigma.weighting.likelihoods import Likelihood


def check_names(tasks: Iterable[str]) -> tuple[str, ...]:
    """Return the tasks' names.

    Raises:
        MultisigmaError: There is no task, or a name is not a string, is empty, has a dot or a line break, or is
            repeated.
    """
    if isinstance(tasks, str):
        raise MultisigmaError(f"Parameter `tasks` must be a list of names. Found a string. Write [{tasks!r}].")
    names = tuple(tasks)
    if not names:
        raise MultisigmaError("A weighting needs at least one task. Found none.")
    for name in names:
        # torch forbids dots in the names of parameters. The saved names are joined by line breaks.
        if not isinstance(name, str) or not name or "." in name or "\n" in name:
            raise MultisigmaError(
                f"A task's name must be a non-empty string without a dot or a line break. Found {name!r}."
            )
        if names.count(name) > 1:
            raise MultisigmaError(f"A task's name must not be repeated. Found {name!r} twice.")
    return names


def values_by_task(
    tasks: tuple[str, ...], parameter: str, values: float | Mapping[str, float], default: float
) -> list[float]:
    """Return a finite value for each task, from one number or from a dictionary with a default.

    Raises:
        MultisigmaError: A name is unknown, or a value is not finite.
    """
    chosen = values if isinstance(values, Mapping) else dict.fromkeys(tasks, values)
    if unknown := [name for name in chosen if name not in tasks]:
        raise MultisigmaError(f"Parameter `{parameter}` names unknown tasks {unknown}. There are {list(tasks)}.")
    for name, value in chosen.items():
        if not (isinstance(value, Real) and math.isfinite(value)):
            raise MultisigmaError(
                f"Parameter `{parameter}` must be a finite number. Found {value!r} for task {name!r}."
            )
    return [float(chosen.get(name, default)) for name in tasks]


def check_positive(parameter: str, value: float) -> None:
    """Raise `MultisigmaError` if the parameter's value is not positive and finite."""
    if not (isinstance(value, Real) and 0 < float(value) < math.inf):
        raise MultisigmaError(f"Parameter `{parameter}` must be a number, positive and finite. Found {value!r}.")


def check_interval(parameter: str, value: Any) -> None:
    """Raise `MultisigmaError` if the parameter's value is not (lowest, highest)."""
    pair = isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(end, Real) for end in value)
    if not (pair and value[0] < value[1]):
        raise MultisigmaError(f"Parameter `{parameter}` must be (lowest, highest). Found {value!r}.")


def check_likelihoods(likelihoods: Any) -> None:
    """Raise `MultisigmaError` if these are not likelihoods by task name."""
    if not isinstance(likelihoods, Mapping):
        raise MultisigmaError(
            "Parameter `likelihoods` must be a dictionary such as {'depth': Laplace()}. "
            f"Found {type(likelihoods).__name__}."
        )
    for name, likelihood in likelihoods.items():
        if not isinstance(likelihood, Likelihood):
            raise MultisigmaError(
                f"Task {name!r}: a likelihood must be an object such as Gaussian(), Laplace() or Softmax(). "
                f"Found {likelihood!r}."
            )


def check_loss(name: str, loss: Any, device: torch.device) -> Tensor:
    """Return the loss.

    Raises:
        MultisigmaError: It is not a real scalar tensor on the weighting's device.
    """
    if not (isinstance(loss, Tensor) and loss.ndim == 0 and loss.is_floating_point()):
        found = f"shape {tuple(loss.shape)} of {loss.dtype}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        raise MultisigmaError(
            f"Task {name!r}: the loss must be a real scalar tensor or a pair (sum, count). Found {found}."
        )
    if loss.device != device:
        raise MultisigmaError(
            f"Task {name!r}: the loss is on {loss.device} and the weighting on {device}. Move the weighting with "
            f"`.to({str(loss.device)!r})`."
        )
    return loss


def check_pair(name: str, pair: tuple[Any, ...]) -> tuple[Any, Tensor | float]:
    """Return the sum and the count. The count is a number, or a tensor if it is on an accelerator.

    Raises:
        MultisigmaError: The pair has not two values, or the count is negative, not finite or not a single number.
    """
    if len(pair) != 2:
        raise MultisigmaError(f"Task {name!r}: a pair must be (sum, count). Found {len(pair)} values.")
    total, count = pair
    if torch.compiler.is_compiling():
        return total, count.detach() if isinstance(count, Tensor) else count
    if isinstance(count, Tensor) and count.numel() == 1:
        if not count.is_cpu:
            return total, count.detach().reshape(())
        count = count.item()
    if not (isinstance(count, Real) and 0 <= float(count) < math.inf):
        found = f"shape {tuple(count.shape)}" if isinstance(count, Tensor) else repr(count)
        raise MultisigmaError(f"Task {name!r}: a count must be one number, finite and not negative. Found {found}.")
    return total, float(count)


def check_shared(shared: Tensor | Iterable[Tensor] | None) -> tuple[Tensor, ...]:
    """Return the shared tensors.

    Raises:
        MultisigmaError: They are not tensors.
    """
    if shared is None:
        return ()
    tensors = (shared,) if isinstance(shared, Tensor) else tuple(shared) if isinstance(shared, Iterable) else (shared,)
    if not all(isinstance(tensor, Tensor) for tensor in tensors):
        raise MultisigmaError(
            "Parameter `shared` must be tensors: model.encoder.parameters(), or the features. "
            f"Found {type(shared).__name__}."
        )
    return tensors


def listed(names: list[str]) -> str:
    """Return "task 'a'" or "tasks 'a', 'b'", for messages."""
    return ("task " if len(names) == 1 else "tasks ") + ", ".join(map(repr, names))
