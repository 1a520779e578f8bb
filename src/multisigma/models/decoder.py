"""One task's decoder: section 4 and appendix A. And finer features for all decoders, which the paper does not have."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multisigma.errors import MultisigmaError
from multisigma.models.aspp import convolution


def make_decoder(
    inputs: int, outputs: int, channels: int = 256, kernel: int = 3, separable: bool = False
) -> nn.Sequential:
    """A convolution to `channels` features with batch normalisation and ReLU, then a 1x1 convolution to the outputs.

    Args:
        inputs: Channels of the shared representation.
        outputs: The task's output channels.
        channels: Features between the two convolutions.
        kernel: Kernel of the first convolution: 3 (section 4) or 1 (appendix A).
        separable: Whether a first convolution of kernel 3 is separable.

    Raises:
        MultisigmaError: The kernel is neither 1 nor 3.
    """
    if kernel not in (1, 3):
        raise MultisigmaError(f"Parameter `decoder_kernel` must be 3 (section 4) or 1 (appendix A); found {kernel}.")
    return nn.Sequential(convolution(inputs, channels, kernel, separable=separable), nn.Conv2d(channels, outputs, 1))


class Skip(nn.Module):
    """Join the encoder's fine features to the ASPP's coarse ones: the decoder of DeepLabV3+ (Chen et al., ECCV 2018).

    Args:
        coarse: Channels of the ASPP.
        fine: Channels of the encoder's features at stride 4.
        channels: Channels to which the coarse features are brought.
        skip_channels: Channels to which the fine features are brought.
    """

    def __init__(self, coarse: int, fine: int, channels: int, skip_channels: int) -> None:
        super().__init__()
        self.coarse = convolution(coarse, channels)
        self.fine = convolution(fine, skip_channels)
        self.channels = channels + skip_channels

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return features of shape (B, self.channels, H/4, W/4), from (B, coarse, h, w) and (B, fine, H/4, W/4)."""
        upsampled = F.interpolate(self.coarse(coarse), size=fine.shape[2:], mode="bilinear", align_corners=False)
        return torch.cat([upsampled, self.fine(fine)], dim=1)
