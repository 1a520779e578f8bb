"""Checks of what a user hands over, with errors that name it, the rule, what was found and what to do."""

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from multisigma.errors import MultisigmaError


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
        # torch takes no dot in a parameter's name; the state keeps the names as lines.
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


def check_count(name: str, count: Any) -> Tensor | float:
    """Return the count as a number, or as a tensor where reading it would wait for a device."""
    if torch.compiler.is_compiling():
        return count.detach() if isinstance(count, Tensor) else count
    if isinstance(count, Tensor) and count.numel() == 1:
        if not count.is_cpu:
            return count.detach().reshape(())
        count = count.item()
    if not (isinstance(count, Real) and 0 <= float(count) < math.inf):
        found = f"shape {tuple(count.shape)}" if isinstance(count, Tensor) else repr(count)
        raise MultisigmaError(f"Task {name!r}: a count must be one number, finite and not negative. Found {found}.")
    return float(count)


def check_shared(shared: Tensor | Iterable[Tensor] | None) -> tuple[Tensor, ...]:
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
    return ("task " if len(names) == 1 else "tasks ") + ", ".join(map(repr, names))
