"""Atrous spatial pyramid pooling: Chen et al., 'Rethinking Atrous Convolution' (2017), with the paper's dilations."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that takes its running statistics where the batch holds a single value per channel.

    This is the pooled branch of a batch of one frame, which has no variance to normalise by.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training and input.shape[0] * input.shape[2] * input.shape[3] == 1:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


def convolution(
    inputs: int, outputs: int, kernel: int = 1, dilation: int = 1, separable: bool = False
) -> nn.Sequential:
    """Convolution, batch normalisation and ReLU at unchanged size.

    A separable one with a kernel above 1 filters each channel by itself, then mixes the channels by a 1x1 convolution
    (Chen et al., ECCV 2018).
    """
    if separable and kernel > 1:
        padding = dilation * (kernel // 2)
        filters = nn.Conv2d(inputs, inputs, kernel, padding=padding, dilation=dilation, groups=inputs, bias=False)
        return nn.Sequential(filters, *convolution(inputs, outputs))
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False),
        BatchNorm(outputs),
        nn.ReLU(inplace=True),
    )


class ASPP(nn.Module):
    """Parallel convolutions of several dilations and global average pooling, concatenated: appendix A.

    Their concatenation, 1,280 features in the paper, is the shared representation.

    Args:
        inputs: Channels of the encoder's feature map.
        channels: Channels of each of the five branches.
        dilations: Dilations of the convolutions; dilation 1 has a 1x1 kernel, the others 3x3.
        separable: Whether the 3x3 convolutions are separable.
    """

    def __init__(
        self,
        inputs: int,
        channels: int = 256,
        dilations: Sequence[int] = (1, 12, 24, 36),
        separable: bool = False,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            convolution(inputs, channels, 1 if d == 1 else 3, d, separable) for d in dilations
        )
        self.pool = convolution(inputs, channels)
        self.channels = channels * (len(dilations) + 1)

    def forward(self, x: Tensor) -> Tensor:
        """
        Args:
            x: Features of shape (B, inputs, h, w).

        Returns:
            The shared representation of shape (B, self.channels, h, w).
        """
        pooled = self.pool(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        return torch.cat([*(branch(x) for branch in self.branches), pooled], dim=1)
