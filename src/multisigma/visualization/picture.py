"""Pictures of a frame: what a prediction looks like beside its truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Picture:
    """A prediction and its truth, in colours.

    Args:
        title: What is shown, such as 'Semantic segmentation'; the same in every frame.
        prediction: RGB of shape (H, W, 3); None where there is none.
        truth: RGB of shape (H, W, 3); None where the frame is not labelled, and for the image itself.
    """

    title: str
    prediction: NDArray[np.uint8] | None
    truth: NDArray[np.uint8] | None


@dataclass(frozen=True, slots=True)
class Sample:
    """The pictures of one frame, in the order in which they are shown."""

    frame: str
    pictures: list[Picture]
