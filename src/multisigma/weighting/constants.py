"""Settings of a constructor as tensors.

They are no buffers of the module, so that nothing which loads, moves or casts a model can change them.
"""

import torch
from torch import Tensor

_CONSTANTS: dict[tuple[tuple[float, ...], torch.device], Tensor] = {}


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return numbers as a float32 tensor, which is made once: a copy to an accelerator takes time."""
    known = _CONSTANTS.get((values, device))
    if known is None:
        with torch.inference_mode(False):  # autograd cannot save a tensor that is made in inference mode
            known = torch.tensor(values, dtype=torch.float32, device=device)
        if type(known) is Tensor:  # the tensors of torch.export hold no numbers
            _CONSTANTS[values, device] = known
    return known
