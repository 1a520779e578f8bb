"""The scene-understanding network of section 4 and appendix A: a shared encoder and ASPP, a decoder for each task."""

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multisigma.errors import MultisigmaError
from multisigma.models.aspp import ASPP
from multisigma.models.decoder import Skip, make_decoder
from multisigma.models.encoder import make_encoder, modules_up_to, split_encoder


class SceneNetwork(nn.Module):
    """DeepLabV3 with one decoder per task; one image in, every task's output at the image's size out.

    Args:
        outputs: Each task's output channels, by task name.
        encoder: The timm encoder's name, with or without the tag of its pretrained weights.
        encoder_weights: 'none', 'packaged', 'hub' or the path of a file; see `make_encoder`.
        output_stride: The encoder's output stride: 8, 16 or 32.
        aspp_channels: Channels of each of the ASPP's five branches.
        dilations: Dilations of the ASPP's convolutions.
        decoder_channels: Features between a decoder's two convolutions.
        decoder_kernel: Kernel of a decoder's first convolution, 3 or 1.
        skip_channels: Channels of the encoder's features at stride 4 that join the ASPP's, as in DeepLabV3+. 0 for
            none, as in the paper.
        separable: Whether the 3x3 convolutions of ASPP and decoders are separable, as in DeepLabV3+; not in the paper.
        shared_stages: Stages of the encoder that the tasks share, from 1 for the stem; each task has the other stages
            and the ASPP for itself. None to share all, as in the paper.
        mean: Mean of red, green and blue that normalises an image, on the scale 0 to 255; None for the encoder's own.
        std: Standard deviation likewise.

    Raises:
        MultisigmaError: There is no task, the encoder or a kernel is not to be had, or `shared_stages` does not go with
            it or with `skip_channels`.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        outputs: Mapping[str, int],
        encoder: str = "resnet101.tv_in1k",
        encoder_weights: str = "hub",
        output_stride: int = 8,
        aspp_channels: int = 256,
        dilations: Sequence[int] = (1, 12, 24, 36),
        decoder_channels: int = 256,
        decoder_kernel: int = 3,
        skip_channels: int = 0,
        separable: bool = False,
        shared_stages: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not outputs:
            raise MultisigmaError("The network needs at least one task; found none.")
        made = make_encoder(encoder, output_stride, encoder_weights, fine=skip_channels > 0)
        self.encoder, self.fine = made.module, made.fine
        aspp = partial(ASPP, made.channels, aspp_channels, dilations, separable)
        self.aspp: ASPP | None = None
        self.skip: Skip | None = None
        self.branches: nn.ModuleDict | None = None
        if shared_stages is None:
            self.aspp = aspp()
            channels = self.aspp.channels
            if skip_channels:
                self.skip = Skip(channels, made.fine_channels, aspp_channels, skip_channels)
                channels = self.skip.channels
        else:
            if skip_channels:
                raise MultisigmaError(
                    "Parameter `shared_stages` must be None with `skip_channels`, which joins features that all tasks "
                    f"share. Found {shared_stages}. Take --skip-channels 0, or leave --shared-stages out."
                )
            self.encoder, own = split_encoder(made.module, shared_stages)
            branches = {name: nn.Sequential(*copy.deepcopy(own), aspp()) for name in outputs}
            self.branches = nn.ModuleDict(branches)
            channels = cast(ASPP, next(iter(branches.values()))[-1]).channels
        self.decoders = nn.ModuleDict(
            {
                name: make_decoder(channels, n, decoder_channels, decoder_kernel, separable)
                for name, n in outputs.items()
            }
        )
        self.frozen: list[nn.Module] = []
        # They follow from the encoder, so that no checkpoint holds them.
        self.register_buffer("mean", torch.tensor(made.mean if mean is None else mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(made.std if std is None else std)[:, None, None], persistent=False)
        # Convolutions on a CPU, and in half precision on a GPU, are fastest with the channels last in memory.
        self.to(memory_format=torch.channels_last)

    def forward(self, rgb: Tensor) -> dict[str, Tensor]:
        """
        Args:
            rgb: RGB from 0 to 255 of any type, shape (B, 3, H, W), any H and W. It is normalised here.

        Returns:
            Each task's output of shape (B, channels, H, W), by task name.
        """
        return self.forward_decoders(self.forward_features(rgb), rgb.shape[2:])

    def forward_features(self, rgb: Tensor) -> Tensor:
        """Return the shared representation of shape (B, channels, h, w), where the network splits into tasks."""
        image = (rgb.to(self.mean.dtype) - self.mean) / self.std
        features = self.encoder(image.contiguous(memory_format=torch.channels_last))
        if self.aspp is None:
            return cast(Tensor, features)
        shared: Tensor = self.aspp(features[-1])
        if self.skip is not None:
            shared = self.skip(shared, features[self.fine])
        return shared

    def forward_decoders(self, shared: Tensor, size: Sequence[int]) -> dict[str, Tensor]:
        """Return each task's output at the size (H, W), from the shared representation."""
        outputs = {}
        for name, decoder in self.decoders.items():
            features = shared if self.branches is None else self.branches[name](shared)
            outputs[name] = F.interpolate(decoder(features), size=size, mode="bilinear", align_corners=False)
        return outputs

    def freeze(self, stride: int) -> None:
        """Keep the encoder's weights and statistics up to its last features of a stride.

        Raises:
            MultisigmaError: The encoder has no features of this stride or a smaller one, or each task has its own.
        """
        if self.branches is not None:
            raise MultisigmaError(
                "Parameter `frozen_stride` must be 0 with `shared_stages`, where no encoder is whole. Found "
                f"{stride}. Take --frozen-stride 0, or leave --shared-stages out."
            )
        self.frozen = modules_up_to(self.encoder, stride)
        for module in self.frozen:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self.frozen:
            module.training = False
        return self
