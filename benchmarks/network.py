"""The scene network beside segmentation_models.pytorch's DeepLabV3 with three heads, on one core.

python benchmarks/network.py [--rounds 8] [--size 256x512] > benchmarks/results/network.json

All have a ResNet-18 at output stride 8 and an ASPP of 256 channels, with random weights. `one network, three heads` is
their DeepLabV3 with two more heads on its decoder; a head is one convolution, where each of our decoders has two.
`three networks` is their DeepLabV3 once for each task. In every round each has one prediction of an image, and one
forward and backward pass of a batch of two crops of half its size. Times are processor time; ratios are within a round.
The package must be installed: `make bench` does it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from multisigma import Laplace, Softmax, UncertaintyWeighting
from multisigma.models.scene_network import SceneNetwork
from multisigma.training.environment import describe_environment

OUTPUTS = {"semantic": 19, "instance": 2, "depth": 1}
ENCODER = "resnet18"


class ThreeHeads(nn.Module):
    """Their DeepLabV3 with a head for each task on one decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.base: Any = deeplab(1)
        heads: dict[str, Any] = {name: deeplab(channels).segmentation_head for name, channels in OUTPUTS.items()}
        self.heads = nn.ModuleDict(heads)

    def forward(self, rgb: Tensor) -> dict[str, Tensor]:
        shared = self.base.decoder(self.base.encoder(rgb))
        return {name: head(shared) for name, head in self.heads.items()}


class ThreeNetworks(nn.Module):
    """Their DeepLabV3 for each task alone."""

    def __init__(self) -> None:
        super().__init__()
        self.networks = nn.ModuleDict({name: deeplab(channels) for name, channels in OUTPUTS.items()})

    def forward(self, rgb: Tensor) -> dict[str, Tensor]:
        return {name: network(rgb) for name, network in self.networks.items()}


def deeplab(classes: int) -> nn.Module:
    """Return their DeepLabV3."""
    network: nn.Module = smp.DeepLabV3(ENCODER, encoder_weights=None, encoder_output_stride=8, classes=classes)
    return network


def training_step(network: nn.Module, rgb: Tensor) -> Callable[[], None]:
    """Return a function that makes a forward and backward pass with learned weights of three losses."""
    weighting = UncertaintyWeighting({"semantic": Softmax(), "instance": Laplace(dimension=2), "depth": Laplace()})
    target = torch.randint(19, (len(rgb), *rgb.shape[2:]))

    def step() -> None:
        outputs = network(rgb)
        network.zero_grad()
        losses = {
            "semantic": nn.functional.cross_entropy(outputs["semantic"], target),
            "instance": outputs["instance"].abs().sum(1).mean(),
            "depth": outputs["depth"].abs().mean(),
        }
        weighting(losses).backward()

    return step


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--size", default="256x512")
    arguments = parser.parse_args()
    height, width = map(int, arguments.size.split("x"))
    torch.set_num_threads(1)
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "multisigma": SceneNetwork(OUTPUTS, ENCODER, "none", dilations=(1, 12, 24, 36)),
        "one network, three heads": ThreeHeads(),
        "three networks": ThreeNetworks(),
    }
    image, crops = torch.rand(1, 3, height, width) * 255, torch.rand(2, 3, height // 2, width // 2) * 255

    def prediction(network: nn.Module) -> Callable[[], None]:
        def predict() -> None:
            network.eval()
            with torch.inference_mode():
                network(image)
            network.train()

        return predict

    calls = {
        (what, name): make(network)
        for name, network in networks.items()
        for what, make in (("prediction", prediction), ("training step", lambda n: training_step(n, crops)))
    }
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    for number in range(arguments.rounds + 1):
        for key, call in calls.items():
            begin = time.process_time()
            call()
            if number:  # the first round warms up
                taken[key].append(time.process_time() - begin)
    result = {
        "size": arguments.size,
        "rounds": arguments.rounds,
        "encoder": ENCODER,
        "environment": describe_environment() | {"segmentation_models_pytorch": version("segmentation_models_pytorch")},
        "parameters": {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()},
    }
    for what in ("prediction", "training step"):
        result[what] = {
            name: {
                "milliseconds": round(1000 * float(np.median(taken[what, name])), 1),
                "ours to this": round(float(np.median(np.divide(taken[what, "multisigma"], taken[what, name]))), 3),
            }
            for name in networks
        }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
