"""Disparity by semi-global matching (Hirschmueller, 2008), as the pseudo ground truth of Cityscapes is made."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def match(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Disparity of the left image of a rectified pair.

    Args:
        left: Image (H, W, 3), RGB.
        right: Image of the same shape from the camera to the right.

    Returns:
        Disparity (H, W) in pixels; NaN where the two matching directions disagree, texture is missing, or the partner
        lies outside.
    """
    height, width = left.shape[:2]
    # The nearest surface seen is about 3 m away, a tenth of the width.
    span = 16 * max(1, round(0.11 * width / 16))
    block = 5 if width >= 384 else 3
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=span,
        blockSize=block,
        P1=8 * block * block,
        P2=32 * block * block,
        disp12MaxDiff=1,
        uniquenessRatio=8,
        speckleWindowSize=max(width * height // 2600, 10),
        speckleRange=2,
        preFilterCap=31,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    # OpenCV leaves the first `span` columns unmatched; a border lets those with near partners be matched too.
    pair = [
        cv2.copyMakeBorder(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), 0, 0, span, 0, cv2.BORDER_REPLICATE)
        for view in (left, right)
    ]
    disparity = matcher.compute(pair[0], pair[1])[:, span:].astype(np.float32) / 16.0
    # Sixteenths of a pixel below zero mark no match; a partner left of the right image is not seen.
    outside = disparity > np.arange(width, dtype=np.float32)
    disparity[(disparity < 0.0) | outside] = np.nan
    return disparity
