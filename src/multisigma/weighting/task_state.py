"""What a weighting keeps for its tasks: by their names, in float32 or better, and whole in its `state_dict`."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Self

import torch
from torch import Tensor, nn

from multisigma.errors import MultisigmaError
from multisigma.weighting.likelihoods import at_least_single

_BLOCK = 16_384


class TaskState(nn.Module):
    """A module whose tensors hold something for each task: buffers with the tasks along their last dimension.

    A saved state brings the tasks' names along: it is taken up by name, whatever the order, and a state of other tasks
    is an error, or with `strict=False` serves those that both have. What is remembered outside tensors is of one order.

    Args:
        tasks: The tasks' names.

    Raises:
        MultisigmaError: There is no task; a name is no text, is empty, is there twice, or holds a dot (torch forbids
            dots in parameter names).
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        super().__init__()
        self.tasks = checked_names(tasks)
        self._constants: dict[str, list[float]] = {}

    def register_constants(self, values: dict[str, list[float]]) -> None:
        """Registers buffers that no checkpoint brings; where a module made on the meta device becomes real they return.

        Args:
            values: What each holds for each task, by the buffer's name.
        """
        self._constants |= values
        for name, numbers in values.items():
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float32), persistent=False)

    def memory(self) -> dict[str, Any]:
        """What is remembered outside parameters and buffers, of the types that JSON has."""
        return {}

    def remember_again(self, memory: dict[str, Any]) -> None:
        """Takes up what `memory` gave."""

    def get_extra_state(self) -> Tensor:
        """The tasks' names and the memory, as the bytes of JSON: file formats that keep tensors alone take it too."""
        memory = self.memory()
        text = json.dumps({"tasks": self.tasks, "memory": memory})
        if memory:
            # Of one length whatever the numbers are, for formats that read into what is there.
            text = text.ljust(-(-len(text) // _BLOCK) * _BLOCK)
        return torch.tensor(list(text.encode()), dtype=torch.uint8, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Takes up what `get_extra_state` gave.

        Raises:
            MultisigmaError: What is remembered is of other tasks, or of the same in another order.
        """
        content = _content(state)
        if content["memory"] and tuple(content["tasks"]) != self.tasks:
            raise MultisigmaError(
                f"The state is of the tasks {content['tasks']} in this order; make the weighting with these. Found "
                f"{list(self.tasks)}."
            )
        self.remember_again(content["memory"])

    def renew(self, name: str, value: Tensor) -> None:
        """Puts a value in a buffer's place, and not into it.

        An objective whose backward pass is still to come may be a function of what was there, and a compiled backward
        pass computes again from it. In inference mode there is none, and a new tensor could never be written to again.
        """
        if not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
            self.get_buffer(name).copy_(value)
        else:
            setattr(self, name, value)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        saved = {name: value for name, value in state_dict.items() if name.startswith(prefix)}
        tensors = {name: value for name, value in saved.items() if isinstance(value, Tensor)}
        for name, value in tensors.items():
            # A state that was cast, and is put in place of ours and not copied into it, would bring its type along.
            state_dict[name] = at_least_single(value) if value.is_floating_point() else value
        extra = prefix + "_extra_state"
        if extra in saved:
            names = tuple(_content(saved[extra])["tasks"])
            missing_keys += [f"{prefix}task {name!r}" for name in self.tasks if name not in names]
            unexpected_keys += [f"{prefix}task {name!r}" for name in names if name not in self.tasks]
            self._translate(state_dict, prefix, names)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        with suppress(ValueError):
            missing_keys.remove(extra)  # a state that somebody put together, without names, is of our tasks
        if local_metadata.get("assign_to_params_buffers") and tensors:
            homes = [value.device for value in tensors.values() if value.is_floating_point()]
            self._fill_in(homes[0] if homes else torch.device("cpu"))

    def _translate(self, state_dict: dict[str, Any], prefix: str, names: tuple[str, ...]) -> None:
        """Puts what was saved for the named tasks into our tasks' order; ours stays for those that were not saved."""
        if names == self.tasks:
            return
        common = [name for name in self.tasks if name in names]
        here, there = ([order.index(name) for name in common] for order in (self.tasks, names))
        for name, ours in self._buffers.items():
            value = state_dict.get(prefix + name)
            if ours is None or not ours.ndim or value is None:
                continue
            taken = value[..., there]
            if len(common) < len(self.tasks):
                taken = ours.clone().index_copy_(-1, torch.tensor(here, device=ours.device), taken.to(ours))
            state_dict[prefix + name] = taken

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Noise at bfloat16's two or three digits would not move by the small steps that it learns in.
        def keep(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            if tensor.is_floating_point() and moved.dtype.itemsize < 4:
                return tensor.to(moved.device, torch.float32)
            return moved

        empty = [name for name in self._constants if self.get_buffer(name).is_meta]
        super()._apply(keep, recurse)  # type: ignore[no-untyped-call]
        for name in empty:
            if not self.get_buffer(name).is_meta:
                self.get_buffer(name).copy_(torch.tensor(self._constants[name]))
        return self

    def _fill_in(self, device: torch.device) -> None:
        for name, values in self._constants.items():
            if self.get_buffer(name).is_meta:
                self._buffers[name] = torch.tensor(values, dtype=torch.float32, device=device)


def checked_names(tasks: Iterable[str]) -> tuple[str, ...]:
    """The tasks' names, if they can be.

    Raises:
        MultisigmaError: As for `TaskState`.
    """
    if isinstance(tasks, str):
        raise MultisigmaError(f"Parameter `tasks` must be several names; found one text. Write [{tasks!r}].")
    names = tuple(tasks)
    if not names:
        raise MultisigmaError("A weighting needs at least one task; found none.")
    for name in names:
        if not isinstance(name, str) or not name or "." in name:
            raise MultisigmaError(
                f"Task name {name!r}: a name must be a non-empty text without a dot; rename the task."
            )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise MultisigmaError(f"Task name {twice!r} is there twice; rename one of the two.")
    return names


def _content(state: Tensor) -> dict[str, Any]:
    try:
        # Bytes that were cast or averaged with themselves are still those bytes.
        content: dict[str, Any] = json.loads(bytes(state.round().to("cpu", torch.uint8).tolist()))
        return {"tasks": content["tasks"], "memory": content["memory"]}
    except (AttributeError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise MultisigmaError(
            f"The state's `_extra_state` must be bytes that `state_dict` gave; found {type(state).__name__}: {error}. "
            "Leave it out to take the tensors as those of this weighting's tasks in order."
        ) from error
