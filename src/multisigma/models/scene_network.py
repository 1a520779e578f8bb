"""The scene-understanding network of section 4 and appendix A: a shared encoder and ASPP, a decoder for each task."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multisigma.errors import MultisigmaError
from multisigma.models.aspp import ASPP
from multisigma.models.decoder import make_decoder
from multisigma.models.encoder import make_encoder


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
        mean: Mean of red, green and blue that normalises an image, on the scale 0 to 255; None for the encoder's own.
        std: Standard deviation likewise.

    Raises:
        MultisigmaError: There is no task, or the encoder or a kernel is not to be had.
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
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not outputs:
            raise MultisigmaError("The network needs at least one task; found none.")
        made = make_encoder(encoder, output_stride, encoder_weights)
        self.encoder = made.module
        self.aspp = ASPP(made.channels, aspp_channels, dilations)
        self.decoders = nn.ModuleDict(
            {name: make_decoder(self.aspp.channels, n, decoder_channels, decoder_kernel) for name, n in outputs.items()}
        )
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
        """Return the shared representation of shape (B, aspp.channels, h, w), where the network splits into tasks."""
        image = (rgb.to(self.mean.dtype) - self.mean) / self.std
        shared: Tensor = self.aspp(self.encoder(image.contiguous(memory_format=torch.channels_last))[-1])
        return shared

    def forward_decoders(self, shared: Tensor, size: Sequence[int]) -> dict[str, Tensor]:
        """Return each task's output at the size (H, W), from the shared representation."""
        return {
            name: F.interpolate(decoder(shared), size=size, mode="bilinear", align_corners=False)
            for name, decoder in self.decoders.items()
        }
