"""Any picture that a person may hand in, as an array of RGB: a file, a Pillow image, an array or a tensor."""

from __future__ import annotations

import io
import logging
import os
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from multisigma.datasets.limits import MOST_INFLATED, MOST_PIXELS, require_size, stored_size
from multisigma.datasets.videos import VIDEO_ENDINGS
from multisigma.errors import MultisigmaError
from multisigma.files import read_bytes

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["AnyImage", "find_inputs", "read_photograph"]

AnyImage: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor"
"""The types of image that `read_photograph` accepts."""

# Of a pixel in a PNG, by Pillow's mode; 8 for all others.
_LEAST_BITS: Final = {"1": 1, "P": 1, "L": 1, "I": 16, "I;16": 16, "I;16B": 16, "LA": 16, "RGB": 24, "RGBA": 32}
# Formats whose header does not tell the size of what is decoded; Pillow has Ghostscript run the programs of EPS files.
_REFUSED: Final = ("CUR", "EPS", "ICNS", "ICO", "WMF")

# A progressive JPEG has about ten. Each takes the time of the whole picture, and an empty one few bytes.
_JPEG_SCAN: Final = b"\xda"
_JPEG_END: Final = b"\xd9"
# The beginning of a segment. Within a scan, a zero or a restart follows the byte 255: neither begins one.
_JPEG_MARKER: Final = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])", re.DOTALL)
_MOST_SCANS: Final = 100
# Width and height of a tile, which is decoded whole, however small the picture is.
_TIFF_TILE: Final = (322, 323)

_ENDINGS = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"))
_log = logging.getLogger(__name__)
_SIXTEEN_BITS = ("I", "I;16", "I;16L", "I;16B", "I;16N")


def read_photograph(image: AnyImage) -> NDArray[np.uint8]:
    """Return any image as RGB.

    Grey, palette, CMYK and 16-bit images are converted. An image with transparency, such as RGBA, is composited on
    white: transparent pixels become white, half transparent ones a mixture. Files and Pillow images are turned upright
    by their EXIF orientation; of a file with several pictures, the first is taken.

    Args:
        image: Path of a file that Pillow reads, but no icon and no EPS; or a Pillow image; or an array of shape (H, W)
            or (H, W, channels); or a tensor of shape (H, W) or (channels, H, W); with 1, 3 or 4 channels. Integers
            reach from 0 to 255 (uint16: to 65535), floats from 0 to 1.

    Returns:
        RGB of shape (H, W, 3).

    Raises:
        MultisigmaError: If the file cannot be read or decoded, and the message names it; or an array is not as above.

    Example:
        >>> read_photograph(np.full((2, 3), 0.5)).shape
        (2, 3, 3)
    """
    if isinstance(image, str | os.PathLike):
        return _read_file(Path(image))
    if isinstance(image, Image.Image):
        try:
            return _to_rgb(image)
        except (OSError, ValueError, SyntaxError) as error:
            raise MultisigmaError(f"The Pillow image cannot be decoded. Found {error}.") from error
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if hasattr(image, "detach"):
        values = image.detach().cpu().numpy()
        return _from_array(values if values.ndim == 2 else np.moveaxis(values, 0, -1) if values.ndim == 3 else values)
    raise MultisigmaError(
        f"An image must be a path, a Pillow image, an array or a tensor. Found {type(image).__name__}."
    )


def find_inputs(inputs: Sequence[Path]) -> dict[str, Path]:
    """Name the images and videos among files and folders.

    Args:
        inputs: Files, each taken whatever its ending; and folders, searched to the bottom for files that end as images
            or videos. A warning counts the other files of a folder, hidden ones apart.

    Returns:
        The path of each image or video by its name, which is the file name without the ending. Where two would share a
        name, it is the path from the folder with `_` for each slash, ending included.

    Raises:
        MultisigmaError: If there is no image and no video, a folder has none, or names are still equal.
    """
    paths: list[tuple[str, Path]] = []
    for given in inputs:
        if not given.is_dir():
            paths.append((given.name, given))
            continue
        files = [path for path in sorted(given.rglob("*")) if path.is_file()]
        found = [path for path in files if path.suffix.lower() in _ENDINGS | VIDEO_ENDINGS]
        skipped = [path for path in files if path.suffix.lower() not in _ENDINGS | VIDEO_ENDINGS]
        if not found:
            raise MultisigmaError(
                f"{given}: the folder must hold images or videos. Found none that ends as one, such as .jpg or .mp4."
            )
        if skipped := [
            path for path in files if path.suffix.lower() not in _ENDINGS | VIDEO_ENDINGS and path.name[0] != "."
        ]:
            _log.warning(
                "%s: %d files are left out, because they do not end as images or videos, such as %s. To predict one, "
                "name it.",
                given,
                len(skipped),
                skipped[0].relative_to(given),
            )
        paths += [("_".join(path.relative_to(given).parts), path) for path in found]
    counts = Counter(path.stem for _, path in paths)
    named: dict[str, Path] = {}
    for long_name, path in paths:
        name = path.stem if counts[path.stem] == 1 else long_name
        if name in named:
            raise MultisigmaError(
                f"{path}: images and videos must differ in name. Found {named[name]} too. Predict them into different "
                "folders."
            )
        named[name] = path
    if not named:
        raise MultisigmaError("There must be at least one image or video. Found none.")
    return named


def open_picture(path: Path) -> Image.Image:
    """Open an image file without decoding it; the checksums of a PNG are verified.

    Raises:
        MultisigmaError: It has more pixels than `limits.MOST_PIXELS`, is a PNG of fewer bytes than they can be packed
            into, has two sizes, is a JPEG of many scans or a TIFF of a huge tile, or is an icon or a drawing.
        Exception: The file cannot be read, or whatever its format makes Pillow stumble over.
    """
    content = read_bytes(path)
    with warnings.catch_warnings():
        # Pillow's own limits are a warning above 89 megapixels, and an error above twice that.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        picture = Image.open(io.BytesIO(content))
        if picture.format in _REFUSED:
            raise MultisigmaError(f"An image must be no icon and no drawing. Found the format {picture.format}.")
        require_size(*picture.size)
        _require_cheap_decoding(picture, content)
        stored = stored_size(content)
        # Pillow turns the size of a TIFF that lies on its side.
        if stored is not None and sorted(stored) != sorted(picture.size):
            raise MultisigmaError(f"An image must have one size. Found {picture.size} and {stored} in its header.")
        if picture.format == "PNG":
            bits = _LEAST_BITS.get(picture.mode, 8)
            if picture.width * picture.height * bits > 8 * MOST_INFLATED * len(content):
                raise MultisigmaError(
                    f"A PNG must hold its pixels. Found {len(content)} bytes for {picture.width} x {picture.height}."
                )
            # Decoding does not look at the checksums.
            picture.verify()
            picture = Image.open(io.BytesIO(content))
    return picture


def _require_cheap_decoding(picture: Image.Image, content: bytes) -> None:
    """Require that a small file does not take the time or the memory of a large one."""
    if picture.format in ("JPEG", "MPO") and (scans := _count_scans(content)) > _MOST_SCANS:
        raise MultisigmaError(f"A JPEG must have at most {_MOST_SCANS} scans. Found {scans}.")
    if picture.format == "TIFF":
        tags = getattr(picture, "tag_v2", {})
        width, height = (tags.get(tag, 1) for tag in _TIFF_TILE)
        if width * height > MOST_PIXELS:
            raise MultisigmaError(
                f"A tile must have at most {MOST_PIXELS // 10**6} million pixels. Found {width} x {height}."
            )


def _count_scans(content: bytes) -> int:
    """Count the scans of a JPEG. What follows its end, such as the video of a moving picture, is not looked at."""
    scans, place = 0, 2
    while marker := _JPEG_MARKER.search(content, place):
        if marker[1] == _JPEG_END:
            break
        scans += marker[1] == _JPEG_SCAN
        place = marker.end() + max(int.from_bytes(content[marker.end() : marker.end() + 2]), 2)
    return scans


def _read_file(path: Path) -> NDArray[np.uint8]:
    remedy = "Restore the file, or save it again as PNG or JPEG."
    try:
        with open_picture(path) as picture:
            return _to_rgb(picture)
    except FileNotFoundError:
        raise MultisigmaError(f"{path}: there is no such file. Check the path.") from None
    except IsADirectoryError:
        raise MultisigmaError(f"{path}: an image must be a file. Found a folder.") from None
    except UnidentifiedImageError:
        found = "an empty file" if path.stat().st_size == 0 else "another kind of file, or a corrupt header"
        raise MultisigmaError(f"{path}: must be an image that Pillow can read. Found {found}. {remedy}") from None
    except MultisigmaError as error:
        raise MultisigmaError(f"{path}: {error}") from error
    except Exception as error:
        # A decoder raises whatever its format makes it stumble over.
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise MultisigmaError(f"{path}: cannot be read as an image: {reason}. {remedy}") from error


def _to_rgb(picture: Image.Image) -> NDArray[np.uint8]:
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in _SIXTEEN_BITS:
        values = np.asarray(picture)
        if values.size and not 0 <= values.min() <= values.max() <= 65535:
            raise MultisigmaError(f"Integers must lie in 0 to 65535. Found {values.min()} to {values.max()}.")
        return _from_array(values.astype(np.uint16))
    if picture.mode == "F":
        return _from_array(np.asarray(picture))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB"))
    return np.asarray(picture.convert("RGB"))


def _from_array(values: NDArray[Any]) -> NDArray[np.uint8]:
    """RGB from an array of shape (H, W) or (H, W, 1, 3 or 4)."""
    if values.ndim not in (2, 3) or 0 in values.shape or (values.ndim == 3 and values.shape[2] not in (1, 3, 4)):
        raise MultisigmaError(
            "An array must have the shape (H, W) or (H, W, channels), a tensor (H, W) or (channels, H, W), with 1, 3 "
            f"or 4 channels, and none may be empty. Found {values.shape} with the channels last."
        )
    if np.issubdtype(values.dtype, np.floating):
        lowest, highest = float(values.min()), float(values.max())
        if not 0 <= lowest <= highest <= 1:
            raise MultisigmaError(
                f"An image of floats must lie in 0 to 1. Found {lowest:g} to {highest:g}. "
                "Divide it by its largest value, or hand over 8-bit integers."
            )
        values = np.rint(255 * values).astype(np.uint8)
    elif values.dtype == np.uint16:
        values = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif np.issubdtype(values.dtype, np.integer):
        if not 0 <= values.min() <= values.max() <= 255:
            raise MultisigmaError(
                f"An image of integers must lie in 0 to 255. Found {values.min()} to {values.max()}. "
                "Give uint16 for 16 bits."
            )
        values = values.astype(np.uint8)
    else:
        raise MultisigmaError(f"An image must be of integers or floats. Found {values.dtype}.")
    if values.ndim == 2:
        values = values[:, :, None]
    if values.shape[2] == 4:
        return _to_rgb(Image.fromarray(np.ascontiguousarray(values), "RGBA"))
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))
