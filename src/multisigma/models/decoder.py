"""One task's decoder: section 4 and appendix A."""

from torch import nn

from multisigma.errors import MultisigmaError
from multisigma.models.aspp import convolution


def make_decoder(inputs: int, outputs: int, channels: int = 256, kernel: int = 3) -> nn.Sequential:
    """A convolution to `channels` features with batch normalisation and ReLU, then a 1x1 convolution to the outputs.

    Args:
        inputs: Channels of the shared representation.
        outputs: The task's output channels.
        channels: Features between the two convolutions.
        kernel: Kernel of the first convolution: 3 (section 4) or 1 (appendix A).

    Raises:
        MultisigmaError: The kernel is neither 1 nor 3.
    """
    if kernel not in (1, 3):
        raise MultisigmaError(f"Parameter `decoder_kernel` must be 3 (section 4) or 1 (appendix A); found {kernel}.")
    return nn.Sequential(convolution(inputs, channels, kernel), nn.Conv2d(channels, outputs, 1))
