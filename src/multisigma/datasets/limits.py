"""Limits of what is decoded: a small file can hold, or claim, a picture that would take all memory."""

import struct
from typing import Final

from multisigma.errors import MultisigmaError

__all__ = ["MOST_INFLATED", "MOST_PIXELS", "require_size", "stored_size"]

MOST_INFLATED: Final = 1032
"""Deflate packs no better than this; a header of another size must not ask for the memory."""
MOST_PIXELS: Final = 120_000_000
"""The largest image that is decoded."""

_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
# A TIFF's number of 1, 2 or 4 bytes, by its type.
_TIFF_NUMBERS: Final = {1: "B", 3: "H", 4: "I"}


def require_size(width: int, height: int) -> None:
    """Raise `MultisigmaError` for an image of more than `MOST_PIXELS` pixels."""
    if width * height > MOST_PIXELS:
        raise MultisigmaError(
            f"An image must have at most {MOST_PIXELS // 10**6} million pixels. Found {width} x {height}. Make it "
            "smaller, or cut it into parts."
        )


def stored_size(content: bytes) -> tuple[int, int] | None:
    """Return the width and the height that OpenCV finds in the header of a PNG, a TIFF or a float map.

    Pillow may find others in a damaged file, or not know the type of pixels.

    Args:
        content: The file.

    Returns:
        The size in pixels; the largest that a damaged TIFF names. None if the format is another one, or the header is
        damaged.
    """
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack_from(">II", content, 16)
            return width, height
        if content[:4] in (b"II*\0", b"MM\0*"):
            return _tiff_size(content)
        if content[:2] in (b"PF", b"Pf"):
            numbers = content[:200].split(maxsplit=3)[1:3]
            return int(numbers[0]), int(numbers[1])
    except (struct.error, ValueError, IndexError):
        pass
    return None


def _tiff_size(content: bytes) -> tuple[int, int] | None:
    order = "<" if content.startswith(b"II") else ">"
    (place,) = struct.unpack_from(f"{order}I", content, 4)
    (entries,) = struct.unpack_from(f"{order}H", content, place)
    sizes: dict[int, int] = {}
    for start in range(place + 2, place + 2 + 12 * entries, 12):
        tag, kind = struct.unpack_from(f"{order}HH", content, start)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT) and kind in _TIFF_NUMBERS:
            (number,) = struct.unpack_from(f"{order}{_TIFF_NUMBERS[kind]}", content, start + 8)
            sizes[tag] = max(number, sizes.get(tag, 0))
    return (sizes[_TIFF_WIDTH], sizes[_TIFF_HEIGHT]) if len(sizes) == 2 else None
