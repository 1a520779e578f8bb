"""The scene-understanding network of section 4 and appendix A: a shared encoder and ASPP, a decoder for each task."""

from collections.abc import Mapping, Sequence
from pathlib import Path

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
        pretrained: Fetch the encoder's pretrained weights; false is the only way to random weights.
        encoder_weights: A local file of pretrained encoder weights, used instead of fetching them.
        output_stride: The encoder's output stride: 8, 16 or 32.
        aspp_channels: Channels of each of the ASPP's five branches.
        dilations: Dilations of the ASPP's convolutions.
        decoder_channels: Features between a decoder's two convolutions.
        decoder_kernel: Kernel of a decoder's first convolution, 3 or 1.

    Raises:
        MultisigmaError: There is no task, or the encoder or a kernel is not to be had.
    """

    def __init__(
        self,
        outputs: Mapping[str, int],
        encoder: str = "resnet101.tv_in1k",
        pretrained: bool = True,
        encoder_weights: Path | None = None,
        output_stride: int = 8,
        aspp_channels: int = 256,
        dilations: Sequence[int] = (1, 12, 24, 36),
        decoder_channels: int = 256,
        decoder_kernel: int = 3,
    ) -> None:
        super().__init__()
        if not outputs:
            raise MultisigmaError("The network needs at least one task; found none.")
        self.encoder, features = make_encoder(encoder, output_stride, pretrained, encoder_weights)
        self.aspp = ASPP(features, aspp_channels, dilations)
        self.decoders = nn.ModuleDict(
            {name: make_decoder(self.aspp.channels, n, decoder_channels, decoder_kernel) for name, n in outputs.items()}
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """
        Args:
            image: Normalised RGB of shape (B, 3, H, W), any H and W.

        Returns:
            Each task's output of shape (B, channels, H, W), by task name.
        """
        return self.forward_decoders(self.forward_features(image), image.shape[2:])

    def forward_features(self, image: Tensor) -> Tensor:
        """Return the shared representation of shape (B, aspp.channels, h, w), where the network splits into tasks."""
        shared: Tensor = self.aspp(self.encoder(image)[-1])
        return shared

    def forward_decoders(self, shared: Tensor, size: Sequence[int]) -> dict[str, Tensor]:
        """Return each task's output at the size (H, W), from the shared representation."""
        return {
            name: F.interpolate(decoder(shared), size=size, mode="bilinear", align_corners=False)
            for name, decoder in self.decoders.items()
        }
