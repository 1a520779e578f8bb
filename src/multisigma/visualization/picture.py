"""Pictures of a frame: what a prediction looks like beside its truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multisigma.visualization.colours import ColourScale


@dataclass(frozen=True, slots=True)
class Picture:
    """A prediction and its truth, in colours.

    Args:
        title: What is shown, such as 'Semantic segmentation'; the same in every frame.
        prediction: RGB of shape (H, W, 3); None where there is none.
        truth: RGB of shape (H, W, 3); None where the frame is not labelled, and for the image itself.
        error: RGB of shape (H, W, 3), where and how much the prediction is wrong; None where that is not shown.
        scale: What the colours of prediction and truth mean; None if a legend tells, or nothing needs to.
        error_scale: What the colours of the error mean.
        legend: Name and colour of each class that the prediction holds.
    """

    title: str
    prediction: NDArray[np.uint8] | None
    truth: NDArray[np.uint8] | None
    error: NDArray[np.uint8] | None = None
    scale: ColourScale | None = None
    error_scale: ColourScale | None = None
    legend: tuple[tuple[str, tuple[int, int, int]], ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """The pictures of one frame, in the order in which they are shown."""

    frame: str
    pictures: list[Picture]
