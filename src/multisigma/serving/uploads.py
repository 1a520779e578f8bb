"""Read a visitor's picture or video. Its size in bytes and in pixels is checked before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from multisigma.datasets.photographs import read_photograph
from multisigma.datasets.videos import Video
from multisigma.errors import MultisigmaError

__all__ = ["Limits", "is_in", "open_video", "read_upload", "require_sent", "without_folder"]

# Pillow can decode some forty more formats, which few people use.
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest upload that is read.

    Args:
        megabytes: Largest size of a file.
        megapixels: Largest number of pixels of a picture or a frame, in millions.
        frames: Frames of a video that are read; the rest is left out.
    """

    megabytes: float = 30
    megapixels: float = 30
    frames: int = 300


def read_upload(path: Path, limits: Limits) -> NDArray[np.uint8]:
    """Read an uploaded picture as RGB of shape (H, W, 3).

    The number of pixels is read from the header, so a small file that would decode to gigabytes is refused unread.

    Raises:
        MultisigmaError: It is too large, or no picture. The message names no folder of this machine.
    """
    _require_size(path, limits)
    try:
        with Image.open(path, formats=_FORMATS) as picture:
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
        raise without_folder(error, path) from error


def require_sent(data: object, folder: Path) -> None:
    """Require that each file that a request names lies in the folder of what was sent.

    Args:
        data: The request's data, as JSON has it. A file is a dict with a path, at any depth.
        folder: The folder.

    Raises:
        MultisigmaError: A file lies elsewhere, or there is none.
    """
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
            if "path" in value and not is_in(str(value["path"]), folder):
                raise MultisigmaError("A file must be one that was sent to this page. Send it again.")
        elif isinstance(value, list):
            waiting += value


def is_in(path: str, folder: Path) -> bool:
    """Return whether a path is that of a regular file in a folder, links followed."""
    try:
        return Path(path).is_file() and Path(path).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # too long; a loop of links; a zero byte
        return False


def open_video(path: Path, limits: Limits) -> Video:
    """Open an uploaded video.

    Raises:
        MultisigmaError: It is too large, or no video. The message names no folder of this machine.
    """
    _require_size(path, limits)
    try:
        video = Video(path)
    except MultisigmaError as error:
        raise without_folder(error, path) from error
    megapixels = video.size[0] * video.size[1] / 1e6
    if megapixels > limits.megapixels:
        video.close()
        raise MultisigmaError(
            f"A video must have at most {limits.megapixels:g} million pixels a frame. Found {megapixels:.1f}."
        )
    return video


def without_folder(error: MultisigmaError, path: Path) -> MultisigmaError:
    """Return an error about a file that names no folder of this machine."""
    return MultisigmaError(str(error).replace(f"{path.parent}/", ""))


def _require_size(path: Path, limits: Limits) -> None:
    try:
        megabytes = path.stat().st_size / 1e6
    except OSError as error:
        raise MultisigmaError("The file could not be read. Send it again.") from error
    if megabytes > limits.megabytes:
        raise MultisigmaError(f"A file must have at most {limits.megabytes:g} MB. Found {megabytes:.1f} MB.")
