"""Start a network from the weights of another model, with other classes or tasks too."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch

from multisigma.datasets.label_space import LabelSpace
from multisigma.errors import MultisigmaError
from multisigma.models.model_info import ModelInfo
from multisigma.models.scene_model import INFO_FILE, read_weights, require_files
from multisigma.models.scene_network import SceneNetwork

__all__ = ["Transfer", "transfer_weights"]


@dataclass(frozen=True)
class Transfer:
    """The result of `transfer_weights`.

    Args:
        loaded: Parts of the network that start from the other model, such as 'encoder' and 'decoder of depth'.
        classes: Names of the classes whose outputs start from the other model.
        fresh: Parts that start afresh, each with the reason.
    """

    loaded: list[str]
    classes: list[str]
    fresh: list[str]

    def __str__(self) -> str:
        parts = [f"loaded {', '.join(self.loaded) or 'nothing'}"]
        if self.classes:
            parts.append(f"outputs of the classes {', '.join(self.classes)}")
        return "; ".join([*parts, f"afresh start {', '.join(self.fresh) or 'no parts'}"])


@torch.no_grad()
def transfer_weights(
    network: SceneNetwork, folder: Path, encoder: str, labels: LabelSpace, per_class: Collection[str]
) -> Transfer:
    """Copy the weights of a stored model into a network, part by part, where the shapes agree.

    Parts are the encoder, the ASPP, the skip connection and each task's decoder, by task name. A decoder whose outputs
    differ takes the first convolution; of a task with an output for each class, the classes of the same name take
    theirs.

    Args:
        network: The network.
        folder: A run folder, or a saved model. None of its code runs.
        encoder: Name of the network's encoder.
        labels: Classes of the network.
        per_class: Names of the tasks that have one output for each class.

    Raises:
        MultisigmaError: There is no model or it cannot be read; or its encoder is another, or expects images that are
            normalised otherwise.
    """
    require_files(folder)
    info = ModelInfo.read(folder / INFO_FILE)
    if network.branches is not None or info.shared_stages is not None:
        raise MultisigmaError(
            "Option --init must go with networks whose tasks share the whole encoder and the ASPP. Found "
            f"--shared-stages {info.shared_stages} in {folder}. Train without --shared-stages, or without --init."
        )
    stored, own = read_weights(folder, info), network.state_dict()
    loaded: list[str] = []
    classes: list[str] = []
    fresh: list[str] = []
    here, there = ([label.name for label in space.train_classes] for space in (labels, info.labels))

    def copy(prefix: str) -> bool:
        names = [name for name in own if name.startswith(prefix)]
        fits = all(name in stored and stored[name].shape == own[name].shape for name in names)
        if fits:
            for name in names:
                own[name].copy_(stored[name])
        return fits

    if _architecture(encoder) != _architecture(info.encoder) or not copy("encoder."):
        raise MultisigmaError(
            f"Option --init: the model {folder} must have the same encoder. Found {info.encoder} there, and {encoder} "
            f"here. Take it with --encoder {info.encoder}."
        )
    _require_statistics(network, info, folder)
    loaded.append("encoder")
    shared = copy("aspp.")
    (loaded if shared else fresh).append("aspp")
    if network.skip is not None:
        shared = shared and copy("skip.")
        (loaded if shared else fresh).append("skip connection")
    for task in network.decoders:
        name, last = f"decoder of {task}", f"decoders.{task}.1."
        if task not in info.outputs:
            fresh.append(f"{name} (the model has none)")
        elif not shared or not copy(f"decoders.{task}.0."):
            fresh.append(f"{name} (of another size)")
        elif task in per_class and here != there:
            loaded.append(f"{name} but its outputs")
            for i, label in enumerate(here):
                if label in there:
                    classes.append(label)
                    for part in ("weight", "bias"):
                        own[last + part][i].copy_(stored[last + part][there.index(label)])
            fresh += [f"output of the class {label}" for label in here if label not in there]
        elif copy(last):
            loaded.append(name)
        else:
            loaded.append(f"{name} but its outputs")
            fresh.append(f"outputs of {task}")
    return Transfer(loaded, classes, fresh)


def _architecture(encoder: str) -> str:
    return encoder.rpartition("/")[2].partition(".")[0]


def _require_statistics(network: SceneNetwork, info: ModelInfo, folder: Path) -> None:
    found = [network.mean.flatten(), network.std.flatten()]
    stored = [torch.tensor(info.mean), torch.tensor(info.std)]
    if not all(torch.allclose(one, other) for one, other in zip(found, stored, strict=True)):
        raise MultisigmaError(
            f"Option --init: the encoder of {folder} expects images normalised otherwise. Found {info.encoder} there. "
            f"Take it with --encoder {info.encoder}."
        )
