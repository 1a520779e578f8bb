"""Any timm encoder as the front of the network; ResNet-101 (He et al., CVPR 2016) at output stride 8 is the paper's."""

from pathlib import Path
from typing import Any

import timm
from torch import nn

from multisigma.errors import MultisigmaError


def make_encoder(
    name: str = "resnet101.tv_in1k", output_stride: int = 8, pretrained: bool = True, weights: Path | None = None
) -> tuple[nn.Module, int]:
    """Make a timm encoder that returns a list with its last feature map alone.

    Args:
        name: The timm model's name, with or without the tag of its pretrained weights, such as 'resnet101.tv_in1k'; or
            a hub id such as 'hf-hub:timm/resnet101.a1h_in1k'. Without a tag, timm's default weights.
        output_stride: Input size over feature size: 8, 16 or 32. Strides beyond it become dilations.
        pretrained: Fetch the pretrained weights; random weights only when this is false and `weights` is None.
        weights: A local file of pretrained weights for this encoder, used instead of fetching them.

    Returns:
        The encoder, and the channels of its feature map.

    Raises:
        MultisigmaError: The encoder is unknown, does not support the output stride, or its weights cannot be had.
    """
    if output_stride not in (8, 16, 32):
        raise MultisigmaError(f"Parameter `output_stride` must be 8, 16 or 32; found {output_stride}.")
    if not name.startswith("hf-hub:") and not timm.is_model(name):
        close = timm.list_models(f"{name[:6]}*")[:5]
        raise MultisigmaError(
            f"Parameter `encoder` must be the name of a timm model; found {name!r}."
            + (f" Names alike: {', '.join(close)}." if close else " `timm.list_models()` lists them.")
        )
    architecture, _, tag = name.partition(".")
    if tag and not name.startswith("hf-hub:") and name not in (tagged := timm.list_pretrained(f"{architecture}.*")):
        raise MultisigmaError(
            f"Parameter `encoder`: timm has no pretrained weights {name!r}. "
            f"Take one of {', '.join(tagged) or 'none'}, or {architecture!r}."
        )
    overlay = None
    if weights is not None:
        if not weights.is_file():
            raise MultisigmaError(f"Parameter `encoder_weights`: there is no file {weights}.")
        overlay = {"file": str(weights)}
    try:
        encoder = timm.create_model(
            name,
            pretrained=pretrained or weights is not None,
            pretrained_cfg_overlay=overlay,
            features_only=True,
            out_indices=(-1,),
            output_stride=output_stride,
        )
    except (NotImplementedError, TypeError, AssertionError) as error:
        raise MultisigmaError(f"Encoder {name!r} cannot be built at output stride {output_stride}: {error}") from error
    except Exception as error:
        if not pretrained and weights is None:
            raise
        source = str(weights) if weights is not None else "the model hub"
        raise MultisigmaError(
            f"The pretrained weights of encoder {name!r} could not be loaded from {source}: {error}\n"
            "Give a local file with --encoder-weights FILE, or ask for random weights with --pretrained false."
        ) from error
    info: Any = encoder.feature_info
    reduction = info.reduction()[-1]
    if reduction != output_stride:
        raise MultisigmaError(
            f"Encoder {name!r} does not support output stride {output_stride}; its last features have {reduction}."
        )
    return encoder, info.channels()[-1]
