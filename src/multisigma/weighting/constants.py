"""Settings of a weighting as tensors.

The settings themselves are plain numbers, not buffers. So nothing that loads, moves or casts a model changes them.
"""

import torch
from torch import Tensor

_CONSTANTS: dict[tuple[tuple[float, ...], torch.device], Tensor] = {}


def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return numbers as a float32 tensor. It is made once for each device, because copying takes time."""
    if torch.compiler.is_compiling():
        # In a compiled graph nothing is copied: each number is written on the device by the kernel that uses it.
        return torch.cat([torch.full((1,), value, dtype=torch.float32, device=device) for value in values])
    known = _CONSTANTS.get((values, device))
    if known is None:
        with torch.inference_mode(False):  # autograd cannot save a tensor that is made in inference mode
            known = torch.tensor(values, dtype=torch.float32, device=device)
        if type(known) is Tensor:  # a fake tensor holds no numbers
            _CONSTANTS[values, device] = known
    return known
