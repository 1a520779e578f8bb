"""Depth that does not flicker: an exponential average along the optical flow, where the picture allows it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from multisigma.errors import MultisigmaError

__all__ = ["DepthSteadier"]

# A pixel's picture has changed if its blurred grey differs by more than this, of 255.
_CHANGED = 12.0
# Largest ratio of the new disparity to the expected one that is still averaged.
_RATIO = 1.5
# Disparity below this share of the width is noise beside which no ratio counts.
_SMALL = 0.002


class DepthSteadier:
    """Average the disparity of a video over time.

    The last result is carried along the optical flow (dense inverse search; Kroeger et al. 2016). A camera that moves
    ahead by a step brings all that stands nearer: 1 / disparity falls by one constant, which is the median over the
    frame. The new disparity is averaged with the carried one where the same class or object was seen there, where the
    picture that the flow carries along is the same as the new one, and where both disparities are alike. Elsewhere the
    new one stands alone, so nothing trails behind what moves.

    Args:
        share: Share of the new frame in the average, above 0 and at most 1. The noise of independent frames falls by
            the root of share / (2 - share).

    Raises:
        MultisigmaError: `share` is out of its range.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> image = rng.integers(0, 255, (64, 64, 3), np.uint8)
        >>> steadier, labels = DepthSteadier(), np.zeros((64, 64), np.int32)
        >>> noisy = [(8 + rng.normal(0, 0.5, (64, 64))).astype(np.float32) for _ in range(20)]
        >>> steady = [steadier.update(image, disparity, labels) for disparity in noisy]
        >>> bool(steady[-1].std() < 0.5 * noisy[-1].std())
        True
    """

    def __init__(self, share: float = 0.25) -> None:
        if not 0 < share <= 1:
            raise MultisigmaError(f"Parameter `share` must be above 0 and at most 1. Found {share}.")
        self.share = share
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self.reset()

    def reset(self) -> None:
        """Forget the frames so far, for another video."""
        self._grey: NDArray[np.uint8] | None = None
        self._disparity = np.empty((0, 0), np.float32)
        self._labels = np.empty((0, 0), np.int32)

    def update(
        self, image: NDArray[np.uint8], disparity: NDArray[np.float32], labels: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Take the next frame, and return its steadied disparity.

        Args:
            image: RGB of shape (H, W, 3).
            disparity: Pixels, at least 0; shape (H, W).
            labels: Class or number of the object at each pixel, shape (H, W).

        Raises:
            MultisigmaError: The shapes differ.
        """
        if not image.shape[:2] == disparity.shape == labels.shape:
            raise MultisigmaError(
                "Parameters `image`, `disparity` and `labels` must have the same height and width. Found "
                f"{image.shape[:2]}, {disparity.shape} and {labels.shape}."
            )
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        steady = disparity
        if self._grey is not None and self._grey.shape == grey.shape:
            steady = self._average(self._grey, grey, disparity, labels)
        self._grey, self._disparity, self._labels = grey, steady, labels.astype(np.int32)
        return steady

    def _average(
        self,
        before: NDArray[np.uint8],
        grey: NDArray[np.uint8],
        disparity: NDArray[np.float32],
        labels: NDArray[np.integer],
    ) -> NDArray[np.float32]:
        height, width = grey.shape
        # Where each new pixel was, relative to where it is.
        flow = self._flow.calc(grey, before, np.zeros((height, width, 2), np.float32))
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        x, y = columns + flow[..., 0], rows + flow[..., 1]
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        carried = cv2.remap(self._disparity, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        known = cv2.remap(self._labels.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        seen = cv2.remap(_blurred(before), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        # Where all four neighbours have the label: at an edge, the carried disparity would be of both sides.
        same = inside & (np.abs(known - labels) < 5e-4) & (np.abs(seen - _blurred(grey)) < _CHANGED)
        small = np.float32(_SMALL * width)
        near = same & (carried > 2 * small) & (disparity > 2 * small)
        if np.count_nonzero(near) > 100:
            step = np.float32(np.median(1 / carried[near] - 1 / disparity[near]))
            # At most a half: a wrong step must not turn far things into the nearest.
            carried = carried / np.maximum(1 - step * carried, np.float32(0.5))
        ratio = (disparity + small) / (carried + small)
        same &= (ratio < _RATIO) & (ratio > 1 / _RATIO)
        return np.where(same, carried + np.float32(self.share) * (disparity - carried), disparity).astype(np.float32)


def _blurred(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    return cv2.GaussianBlur(grey, (5, 5), 1.2).astype(np.float32)
