"""PNG files in and out, and the uint16 encoding of disparity in the Cityscapes format."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from multisigma.datasets.limits import MOST_INFLATED, MOST_PIXELS
from multisigma.datasets.problems import DataError, Problem
from multisigma.files import read_bytes, write_bytes

__all__ = ["PngFormat", "decode_disparity", "encode_disparity", "read_png", "write_png"]

# Frames are read by several processes, and OpenCV's thread pool does not survive the fork that starts them.
cv2.setNumThreads(1)

PngFormat = Literal["8-bit RGB", "8-bit grey", "16-bit grey", "grey"]

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES: Final = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
# Orientation tags and transparency must not change what the pixels hold.
_DECODE_FLAGS: Final[dict[PngFormat, int]] = {
    "8-bit RGB": cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
    "8-bit grey": cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION,
    "16-bit grey": cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION,
    "grey": cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION,
}


def read_png(path: Path, expected: PngFormat) -> NDArray[Any]:
    """Read a PNG that must be whole and of one exact format.

    The checksum of every chunk is verified before decoding, because decoders differ in what they do with a damaged
    file: some warn and return a partly grey image.

    Args:
        path: The file.
        expected: '8-bit RGB', '8-bit grey', '16-bit grey', or 'grey' for any depth.

    Returns:
        Pixels, shape (H, W, 3) for RGB, in this order, or (H, W); uint8 or uint16.

    Raises:
        DataError: If the file cannot be read, is no PNG, is of another format, truncated or corrupt.
    """
    try:
        data = read_bytes(path)
    except OSError as error:
        raise _error(path, "the file must be readable", error.strerror or str(error), "Restore the file.") from error

    if not data.startswith(_SIGNATURE):
        kind = "an empty file" if not data else "a JPEG" if data.startswith(b"\xff\xd8\xff") else "another kind of file"
        raise _error(path, "the file must be a PNG", kind, "Restore the file, or save it as PNG.")

    compressed, damage = _pixel_data(data)
    if damage is not None:
        raise _error(path, "the PNG must be whole", damage, "Restore the file, for example by unpacking it again.")

    width, height, bits, color_type, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    found = f"{bits}-bit {_COLOR_TYPES.get(color_type, 'of unknown colour type')}"
    if found != expected and not (expected == "grey" and color_type == 0):
        raise _error(
            path,
            f"the PNG must be {expected}",
            found,
            f"Save it as {expected}; check that it is not another kind of file under this name.",
        )

    if width * height > MOST_PIXELS:
        rule = f"an image must have at most {MOST_PIXELS // 10**6} million pixels"
        raise _error(path, rule, f"{width} x {height}", "Check that it is the right file.")

    pixels: NDArray[Any] | None
    if color_type == 0 and bits in (8, 16) and not interlaced:
        pixels = _decode_grey(compressed, height, width, bits // 8)
    else:
        pixels = None
        if width * height * bits <= 8 * MOST_INFLATED * len(compressed):
            with suppress(cv2.error):
                pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), _DECODE_FLAGS[expected])
    if pixels is None or pixels.shape[:2] != (height, width):
        raise _error(
            path,
            "the PNG must be whole",
            "pixel data that cannot be decoded",
            "Restore the file, for example by unpacking it again.",
        )
    if expected == "8-bit RGB":
        cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
    return pixels


def write_png(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write a PNG; the file appears whole or not at all.

    Args:
        path: The file; its folder must exist.
        pixels: Shape (H, W, 3), RGB, uint8; or shape (H, W), uint8 or uint16.

    Raises:
        MultisigmaError: If the file cannot be written.
    """
    encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels)[1]
    write_bytes(path, encoded.tobytes())


def decode_disparity(stored: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Disparity in pixels from its stored form: 0 is invalid, else (p - 1) / 256.

    Args:
        stored: Values p of a `*_disparity.png`, shape (H, W).

    Returns:
        Disparity in pixels, shape (H, W); NaN where invalid.
    """
    return _DISPARITY_OF[stored]


def encode_disparity(disparity: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Stored form of disparity: round(256 d) + 1, and 0 where it is NaN; the inverse of `decode_disparity`.

    Args:
        disparity: Disparity in pixels, shape (H, W); NaN where invalid.

    Returns:
        Values for a `*_disparity.png`, shape (H, W).

    Raises:
        ValueError: If a disparity is negative or above 255.99, which the format cannot hold.
    """
    stored = np.rint(disparity * np.float32(256)) + 1
    if np.any((stored < 1) | (stored > 65535)):
        raise ValueError(
            "Disparity must lie in 0 to 255.99 px to be stored. "
            f"Found {np.nanmin(disparity)} to {np.nanmax(disparity)} px."
        )
    return np.where(np.isnan(stored), 0, stored).astype(np.uint16)


_DISPARITY_OF: Final = ((np.arange(65536) - 1) / 256).astype(np.float32)
_DISPARITY_OF[0] = np.nan
_DISPARITY_OF.setflags(write=False)


def _decode_grey(compressed: bytes, height: int, width: int, depth: int) -> NDArray[Any] | None:
    """Pixels (H, W) of `depth` bytes each from the pixel data of a grey PNG; None if they cannot be decoded.

    Label maps and masks are nearly empty files of many pixels, where OpenCV takes ten times as long.
    """
    size = height * (1 + width * depth)
    if size > MOST_INFLATED * len(compressed):
        return None
    try:
        # At most so many bytes, and one more of a stream that is too long.
        stream = zlib_ng.decompressobj()
        filtered = stream.decompress(compressed, size + 1)
    except zlib_ng.error:  # type: ignore[misc]  # its stub declares an instance
        return None
    if len(filtered) != size or not stream.eof:
        return None
    pixels = np.zeros((height, width * depth), np.uint8)
    if not _unfilter(np.frombuffer(filtered, np.uint8).reshape(height, -1), depth, pixels):
        return None
    return pixels if depth == 1 else pixels.view(">u2").astype(np.uint16)


@njit(cache=True)
def _unfilter(rows: NDArray[np.uint8], step: int, pixels: NDArray[np.uint8]) -> bool:
    """Undoes the filters of a PNG (section 9 of its specification); false where there is an unknown one.

    Args:
        rows: Each row's filter, then its filtered bytes; shape (H, 1 + bytes).
        step: Bytes of a pixel.
        pixels: Takes the bytes of each row, zeros before; shape (H, bytes).
    """
    height, width = pixels.shape
    for y in range(height):
        kind, row, out = rows[y, 0], rows[y, 1:], pixels[y]
        if kind > 4:
            return False
        up = pixels[y - 1] if y > 0 else np.zeros(width, np.uint8)
        if kind == 0:
            out[:] = row
        elif kind == 1:
            # Most rows of a mask are empty; a running sum over them would be most of the time.
            some = np.uint8(0)
            for x in range(width):
                some |= row[x]
            if some:
                for first in range(step):
                    left = 0
                    for x in range(first, width, step):
                        left += row[x]
                        out[x] = left
        elif kind == 2:
            for x in range(width):
                out[x] = row[x] + up[x]
        else:
            for x in range(width):
                a = int(out[x - step]) if x >= step else 0
                b = int(up[x])
                if kind == 3:
                    guess = (a + b) // 2
                else:
                    c = int(up[x - step]) if x >= step else 0
                    to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
                    guess = a if to_a <= to_b and to_a <= to_c else b if to_b <= to_c else c
                out[x] = row[x] + guess
    return True


def _pixel_data(data: bytes) -> tuple[bytes, str | None]:
    """The compressed pixels of a PNG whose signature is right, and what is wrong with its chunks, if anything."""
    parts: list[memoryview] = []
    view = memoryview(data)
    position = len(_SIGNATURE)
    while True:
        if position + 12 > len(data):
            return b"", f"a file cut off after {len(data)} bytes"
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        kind = data[position + 4 : position + 8]
        if position == len(_SIGNATURE) and (kind != b"IHDR" or length != 13):
            return b"", "a corrupt header"
        if end > len(data):
            return b"", f"a file cut off after {len(data)} bytes"
        if struct.pack(">I", zlib.crc32(view[position + 4 : end - 4])) != data[end - 4 : end]:
            return b"", f"a wrong checksum near byte {position}"
        if kind == b"IDAT":
            parts.append(view[position + 8 : end - 4])
        if kind == b"IEND":
            return b"".join(parts), None
        position = end


def _error(path: Path, rule: str, found: str, remedy: str) -> DataError:
    return DataError(Problem(path, rule, found, remedy))
