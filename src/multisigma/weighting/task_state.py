"""A weighting saves its tasks' names, so that a weighting with the same tasks in another order can load its state."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multisigma.weighting.likelihoods import at_least_float32

if TYPE_CHECKING:
    from multisigma.weighting.base import Weighting


def names_as_tensor(names: tuple[str, ...]) -> Tensor:
    """Return the tasks' names as UTF-8 bytes, because safetensors and others store only tensors."""
    return torch.tensor(list("\n".join(names).encode()), dtype=torch.uint8, device="cpu")


def match_tasks(weighting: "Weighting", state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Put the buffers of a saved state in the weighting's order of tasks.

    torch calls this before it loads a state. If the saved tasks differ, the saved buffers are dropped. torch then
    reports them as missing. Values in half precision become float32.
    """
    _metadata, _strict, _missing_keys, unexpected_keys, _errors = rest
    tasks, names = weighting.tasks, state_dict.get(f"{prefix}_extra_state")
    saved = tasks if names is None else tuple(bytes(names.to("cpu", torch.uint8).tolist()).decode().split("\n"))
    same_tasks = set(saved) == set(tasks)
    if not same_tasks:
        unexpected_keys.append(f"{prefix}tasks {saved} of the saved state; this weighting has {tasks}")
    for key, value in state_dict.items():
        if key.startswith(prefix) and isinstance(value, Tensor) and value.is_floating_point():
            state_dict[key] = at_least_float32(value)
    for name, buffer in weighting.named_buffers(prefix.removesuffix(".")):
        if buffer.ndim and name in state_dict:
            value = state_dict.pop(name)
            if same_tasks:
                state_dict[name] = value[..., [saved.index(task) for task in tasks]]
