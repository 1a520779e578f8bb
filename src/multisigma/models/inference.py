"""How a network sees an image: whole or in tiles, mirrored, at several sizes, in half precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from multisigma.errors import MultisigmaError
from multisigma.tasks import Task

__all__ = ["Inference", "network_outputs"]

_LEAST_TILE = 64
# Share of a tile that it has in common with the next one.
_OVERLAP = 0.25

Network = Callable[[Tensor], Mapping[str, Tensor]]
"""From RGB of shape (B, 3, H, W) to each task's output of shape (B, channels, H, W)."""


@dataclass(frozen=True, slots=True)
class Inference:
    """How a network sees an image. The defaults are one look at the whole image.

    Args:
        flip: Whether to average with the outputs for the mirrored image.
        scales: Sizes at which the image is seen, as shares of the working size; their outputs are averaged.
        tile: Side in pixels of the square tiles that a larger working image is cut into; None for whole images. Tiles
            overlap by a quarter, and their outputs are blended there. Memory then depends on the tile, and an object
            should fit into it.
        half: Whether to compute in bfloat16 where the operations allow it.

    Raises:
        MultisigmaError: A value is out of its range.

    Example:
        scene = model.predict("street.jpg", inference=Inference(flip=True, scales=(0.75, 1.0, 1.25)))
    """

    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    tile: int | None = None
    half: bool = False

    def __post_init__(self) -> None:
        if not self.scales or not all(math.isfinite(scale) and 0.1 <= scale <= 4 for scale in self.scales):
            raise MultisigmaError(f"Parameter `scales` must be numbers from 0.1 to 4. Found {self.scales}.")
        if self.tile is not None and self.tile < _LEAST_TILE:
            raise MultisigmaError(f"Parameter `tile` must be {_LEAST_TILE} px or more. Found {self.tile}.")


def network_outputs(network: Network, rgb: Tensor, tasks: Sequence[Task], inference: Inference) -> dict[str, Tensor]:
    """Return the outputs of a network, averaged over all looks at the images.

    Args:
        network: The network.
        rgb: Images from 0 to 255, shape (B, 3, H, W).
        tasks: Its tasks, which know how their outputs are mirrored and scaled.
        inference: The looks.

    Returns:
        Each task's output of shape (B, channels, H, W) in single precision, by task name.
    """
    height, width = rgb.shape[2:]
    looks: list[dict[str, Tensor]] = []
    with torch.autocast(rgb.device.type, torch.bfloat16) if inference.half else nullcontext():
        for scale in inference.scales:
            size = max(1, round(scale * height)), max(1, round(scale * width))
            seen = rgb if size == (height, width) else _resized(rgb.float(), size)
            for mirrored in (False, True) if inference.flip else (False,):
                outputs = _tiled(network, seen.flip(-1) if mirrored else seen, inference.tile)
                looks.append(
                    {
                        task.name: _restored(task, outputs[task.name].float(), mirrored, (height, width))
                        for task in tasks
                    }
                )
    if len(looks) == 1:
        return looks[0]
    return {name: torch.stack([look[name] for look in looks]).mean(0) for name in looks[0]}


def _restored(task: Task, output: Tensor, mirrored: bool, size: tuple[int, int]) -> Tensor:
    """Return a look's output as that of the image itself."""
    if mirrored:
        output = task.mirrored(output)
    if output.shape[2:] != size:
        # Lengths in pixels grow with the image.
        ratio = size[1] / output.shape[3] if task.unit == "px" else 1.0
        output = _resized(output, size) * ratio
    return output


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    shrinks = size[0] < images.shape[2]
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=shrinks)


def _tiled(network: Network, rgb: Tensor, tile: int | None) -> Mapping[str, Tensor]:
    """Return the network's outputs, in tiles if the images are larger than one."""
    height, width = rgb.shape[2:]
    if tile is None or max(height, width) <= tile:
        return network(rgb)
    rows, columns = _starts(height, tile), _starts(width, tile)
    sums: dict[str, Tensor] = {}
    weights = torch.zeros(height, width)
    for top in rows:
        for left in columns:
            part = rgb[:, :, top : top + tile, left : left + tile]
            weight = _ramp(part.shape[2], tile)[:, None] * _ramp(part.shape[3], tile)
            area = (slice(top, top + part.shape[2]), slice(left, left + part.shape[3]))
            weights[area] += weight
            for name, output in network(part).items():
                if name not in sums:
                    # On the host: a huge image's outputs need not fit on the device.
                    sums[name] = torch.zeros(*output.shape[:2], height, width)
                sums[name][:, :, *area] += output.float().cpu() * weight
    return {name: total / weights for name, total in sums.items()}


def _starts(length: int, tile: int) -> list[int]:
    """Return where tiles begin, evenly over a length, so that neighbours overlap by a quarter or more."""
    if length <= tile:
        return [0]
    count = math.ceil((length - tile) / (tile * (1 - _OVERLAP))) + 1
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def _ramp(length: int, tile: int) -> Tensor:
    """Return weights that rise from both ends of a tile over its overlap, shape (length,)."""
    steps = torch.arange(1, length + 1, dtype=torch.float32)
    return torch.minimum(steps, steps.flip(0)).clamp(max=max(1.0, tile * _OVERLAP))
