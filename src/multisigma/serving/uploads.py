"""Read a visitor's upload. Its size in bytes and in pixels is checked before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from multisigma.datasets.photographs import read_photograph
from multisigma.errors import MultisigmaError

__all__ = ["Limits", "read_upload"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest upload that is read.

    Args:
        megabytes: Largest size of a file.
        megapixels: Largest number of pixels of a picture, in millions.
    """

    megabytes: float = 30
    megapixels: float = 30


def read_upload(path: Path, limits: Limits) -> NDArray[np.uint8]:
    """Read an uploaded picture as RGB of shape (H, W, 3).

    The number of pixels is read from the header, so a small file that would decode to gigabytes is refused unread.

    Raises:
        MultisigmaError: It is too large, or no picture. The message names no folder of this machine.
    """
    try:
        megabytes = path.stat().st_size / 1e6
    except OSError as error:
        raise MultisigmaError("The file could not be read. Send it again.") from error
    if megabytes > limits.megabytes:
        raise MultisigmaError(f"A file must have at most {limits.megabytes:g} MB. Found {megabytes:.1f} MB.")
    try:
        with Image.open(path) as picture:
            megapixels = picture.width * picture.height / 1e6
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MultisigmaError("The file must be a picture, such as JPEG or PNG. Found another format.") from error
    if megapixels > limits.megapixels:
        raise MultisigmaError(
            f"A picture must have at most {limits.megapixels:g} million pixels. Found {megapixels:.1f}."
        )
    try:
        return read_photograph(path)
    except MultisigmaError as error:
        raise MultisigmaError(str(error).replace(f"{path.parent}/", "")) from error
