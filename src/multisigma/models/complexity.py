"""Parameters and multiply-adds of the network's parts."""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from multisigma.models.scene_network import SceneNetwork


@dataclass(frozen=True)
class PartComplexity:
    """One part of the network: its name, number of parameters, and multiply-adds for one image."""

    part: str
    parameters: int
    multiply_adds: int


def complexity(network: SceneNetwork, height: int, width: int) -> list[PartComplexity]:
    """Counts parameters and the multiply-adds of convolutions, without computing anything.

    Args:
        network: The network; it is left as it is.
        height: Height of the input image.
        width: Width of the input image.

    Returns:
        The encoder, the ASPP, the skip connection if there is one, and each task's decoder; where tasks have encoder
        stages and an ASPP of their own, these as their branches.
    """
    shadow = copy.deepcopy(network).to("meta").eval()
    parts: dict[str, tuple[str, nn.Module]] = {"encoder": ("encoder", shadow.encoder)}
    if shadow.aspp is not None:
        parts["aspp"] = ("aspp", shadow.aspp)
    if shadow.skip is not None:
        parts["skip"] = ("skip", shadow.skip)
    for name, branch in (shadow.branches or nn.ModuleDict()).items():
        parts[f"branch: {name}"] = (f"branches.{name}", branch)
    for name, decoder in shadow.decoders.items():
        parts[f"decoder: {name}"] = (f"decoders.{name}", decoder)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shadow(torch.zeros(1, 3, height, width, device="meta"))
    flops = counter.get_flop_counts()
    prefix = type(shadow).__name__
    return [
        PartComplexity(part, sum(p.numel() for p in module.parameters()), sum(flops[f"{prefix}.{path}"].values()) // 2)
        for part, (path, module) in parts.items()
    ]
