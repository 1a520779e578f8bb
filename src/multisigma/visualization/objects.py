"""Objects over a frame of a video, each in the colour of its number."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from multisigma.datasets.scene import SceneInstance
from multisigma.visualization.colours import number_colours


def draw_objects(picture: NDArray[np.uint8], objects: Sequence[tuple[SceneInstance, int, str]]) -> NDArray[np.uint8]:
    """Return a picture with the masks, outlines and names of objects.

    Args:
        picture: RGB of shape (H, W, 3).
        objects: Mask, number and name of each. The number chooses the colour. Small objects have no name.
    """
    picture = picture.copy()
    height = picture.shape[0]
    thick = max(1, height // 256)
    named = []
    colours = number_colours(np.array([number for _, number, _ in objects], np.int64))
    for (region, _, name), colour in zip(objects, colours, strict=True):
        rows, columns = region.mask.shape
        part = picture[region.top : region.top + rows, region.left : region.left + columns]
        part[region.mask] = (0.45 * part[region.mask] + 0.55 * colour).astype(np.uint8)
        outlines, _ = cv2.findContours(region.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, colour.tolist(), thick, offset=(region.left, region.top))
        if np.count_nonzero(region.mask) > (height / 16) ** 2:
            named.append((region.left, region.top, name, colour))
    sheet = Image.fromarray(picture)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(max(9, height // 32))
    for left, top, name, colour in named:
        box = pen.textbbox((left, max(0, top - height // 28)), name, font=font)
        pen.rectangle((box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1), fill=tuple(colour.tolist()))
        pen.text((left, max(0, top - height // 28)), name, fill="black", font=font)
    return np.asarray(sheet)
