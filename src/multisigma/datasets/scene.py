"""A system's scene, which evaluation holds against the labels of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["SceneInstance", "boxes", "cut_instances"]


@dataclass(frozen=True, slots=True)
class SceneInstance:
    """One predicted object.

    Args:
        class_id: Raw label id of its class, such as 26 for a car.
        confidence: How sure the system is, any finite number; higher is surer.
        top: First row of its mask in the frame.
        left: First column of its mask in the frame.
        mask: Which pixels are its own, from there on; shape (h, w).
    """

    class_id: int
    confidence: float
    top: int
    left: int
    mask: NDArray[np.bool_]


@njit(cache=True)
def boxes(ids: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """The smallest box around each id.

    Args:
        ids: Integers from 0 to count - 1, shape (H, W).
        count: The number of ids.

    Returns:
        First row, row after the last, first column, column after the last; shape (count, 4). Zeros for an absent id.
    """
    found = np.zeros((count, 4), np.int64)
    for y in range(len(ids)):
        row, begin = ids[y], 0
        for x in range(1, len(row) + 1):
            if x == len(row) or row[x] != row[begin]:
                box = found[row[begin]]
                if box[1] == 0:
                    box[0], box[2] = y, begin
                box[1] = y + 1
                box[2] = min(box[2], begin)
                box[3] = max(box[3], x)
                begin = x
    return found


def cut_instances(
    ids: NDArray[np.integer], class_ids: Sequence[int], confidences: Sequence[float]
) -> list[SceneInstance]:
    """The objects of a map of ids.

    Args:
        ids: Object of each pixel, i + 1 for row i of the other two, 0 where there is none; shape (H, W).
        class_ids: Raw label id of each object.
        confidences: Confidence of each object.

    Returns:
        The objects that have a pixel.
    """
    instances = []
    found = boxes(ids, len(class_ids) + 1)[1:]
    for index, (box, class_id, confidence) in enumerate(zip(found.tolist(), class_ids, confidences, strict=True), 1):
        top, bottom, left, right = box
        if bottom:
            mask = ids[top:bottom, left:right] == index
            instances.append(SceneInstance(int(class_id), float(confidence), top, left, mask))
    return instances
