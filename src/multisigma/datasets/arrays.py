"""Labels as people store them: maps of ids or colours, numbers of objects, depth, vectors."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import UnidentifiedImageError

from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.limits import require_size, stored_size
from multisigma.datasets.photographs import open_picture, read_photograph
from multisigma.datasets.problems import DataError, Problem
from multisigma.errors import MultisigmaError
from multisigma.files import read_bytes

__all__ = ["Encoding", "class_ids", "instance_ids", "load_npy", "read_map", "read_rgb", "read_values", "unit_vectors"]

Encoding = Literal["number", "class*1000+number", "class*256+number"]
"""The coding of objects in an instance file.

- 'number': 0 off the objects, else any number per object; its class is that of most of its pixels.
- 'class*1000+number': as in Cityscapes; a value below 1000 is a class without a single object.
- 'class*256+number': as in KITTI; number 0 is a class without a single object.
"""

_GREY: Final = ("1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N")


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image of any common format as RGB, shape (H, W, 3). Raises `DataError`."""
    try:
        return read_photograph(path)
    except MultisigmaError as error:
        found = str(error).removeprefix(f"{path}: ")
        raise DataError(Problem(path, "the image must be readable", found, "Restore it.")) from error


def read_map(path: Path) -> NDArray[Any]:
    """Read a map of ids or colours: integers of shape (H, W), or RGB of shape (H, W, 3).

    Files with a palette hold ids, the indices of the palette. `.npy` files hold either. Raises `DataError`.
    """
    if path.suffix.lower() == ".npy":
        values = load_npy(path)
    else:
        try:
            with open_picture(path) as picture:
                if picture.format == "JPEG":
                    remedy = "Save labels as PNG; JPEG changes ids and colours."
                    raise DataError(Problem(path, "a map of labels must be stored without loss", "a JPEG", remedy))
                values = np.asarray(picture if picture.mode in _GREY else picture.convert("RGB"))
        except DataError:
            raise
        except Exception as error:
            # A decoder raises whatever its format makes it stumble over.
            raise _unreadable(path, error) from error
    if values.dtype == bool:
        values = values.astype(np.uint8)
    right_shape = values.ndim in (2, 3) and values.shape[2:] in ((), (3,)) and values.size
    if not np.issubdtype(values.dtype, np.integer) or not right_shape:
        rule = "a map of labels must hold integers of shape (H, W), or RGB"
        found = f"{values.dtype} of shape {values.shape}"
        raise DataError(Problem(path, rule, found, "Save ids as a grey PNG of 8 or 16 bits."))
    return values


def read_values(path: Path) -> NDArray[Any]:
    """Read an array of numbers as stored, 16 bits and floats too: `.npy`, TIFF, PFM, or what Pillow knows.

    Returns:
        Shape (H, W) or (H, W, 3), the latter as RGB; any type.

    Raises:
        DataError: The file cannot be read.
    """
    if path.suffix.lower() == ".npy":
        return load_npy(path)
    try:
        content = read_bytes(path)
        try:
            # Only for its size.
            with open_picture(path):
                pass
        except UnidentifiedImageError:
            # OpenCV reads types of pixels that Pillow does not, such as three floats.
            size = stored_size(content)
            if size is None or content.startswith(b"\x89PNG"):
                raise
            require_size(*size)
        values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except Exception as error:
        raise _unreadable(path, error) from error
    if values is None:
        raise _unreadable(path, ValueError("another kind of file, or a corrupt one"))
    return np.ascontiguousarray(values[..., 2::-1]) if values.ndim == 3 else values


def class_ids(path: Path, stored: NDArray[Any], ids_of: dict[int, int], labels: LabelSpace) -> NDArray[np.uint8]:
    """Return the ids of a label space from what a file holds.

    Args:
        path: The file, for errors.
        stored: Values of shape (H, W), or colours of shape (H, W, 3).
        ids_of: Id of each value that may occur.
        labels: The label space; it tells the colours.

    Raises:
        DataError: A value or a colour is not in the class table.
    """
    if stored.ndim == 3:
        red, green, blue = (stored[..., channel].astype(np.int32) for channel in range(3))
        stored = (red << 16) + (green << 8) + blue
        ids_of = {(r << 16) + (g << 8) + b: c.id for c in labels.classes if c.id >= 0 for r, g, b in [c.color]}
    known = np.array(sorted(ids_of))
    place = np.searchsorted(known, stored).clip(max=len(known) - 1)
    wrong = known[place] != stored
    if wrong.any():
        values, counts = np.unique(stored[wrong], return_counts=True)
        colours = len(ids_of) and max(ids_of) > 65535
        shown = ", ".join(
            f"{(int(v) >> 16, int(v) >> 8 & 255, int(v) & 255) if colours else int(v)} ({n} pixels)"
            for v, n in list(zip(values, counts, strict=True))[:5]
        )
        kind = "colours" if colours else "ids"
        rule = f"{kind} of pixels must be those of the class table `classes`, or `ignore`"
        more = f" and {len(values) - 5} more" if len(values) > 5 else ""
        raise DataError(Problem(path, rule, shown + more, f"Add the class, or the {kind} to ignore, to the YAML file."))
    return np.array([ids_of[int(value)] for value in known], np.uint8)[place]


def instance_ids(
    path: Path,
    stored: NDArray[Any],
    encoding: Encoding,
    classes: NDArray[np.uint8] | None,
    ids_of: dict[int, int],
    labels: LabelSpace,
) -> NDArray[np.int32]:
    """Return instance ids, class id * 1000 + number, from what a file holds.

    Args:
        path: The file, for errors.
        stored: Values of shape (H, W); or colours, whose number is R + 256 G + 65536 B.
        encoding: What a value means.
        classes: Class id of each pixel, shape (H, W); needed for 'number'.
        ids_of: Class id of each class value that may occur.
        labels: The label space; objects of classes without instances become those classes' pixels.

    Raises:
        DataError: A class is unknown, or one has more than 1000 objects.
    """
    if stored.ndim == 3:
        stored = stored.astype(np.int64) @ np.array([1, 256, 65536])
    values, inverse = np.unique(stored.astype(np.int64), return_inverse=True)
    inverse = inverse.reshape(stored.shape)
    if encoding == "number":
        assert classes is not None
        # The commonest class of each object comes last; of equally common ones, that of the lowest id.
        pairs, counts = np.unique(inverse.ravel() * 256 + classes.ravel(), return_counts=True)
        objects, pair_classes = np.divmod(pairs, 256)
        order = np.lexsort((-pair_classes, counts, objects))
        class_of, is_object = np.zeros(len(values), np.int64), values != 0
        class_of[objects[order]] = pair_classes[order]
        rest = classes.astype(np.int32)
    else:
        divisor = 1000 if encoding == "class*1000+number" else 256
        whole = values if divisor == 256 else np.where(values < 1000, values * 1000, values)
        found = class_ids(path, (whole // divisor)[inverse], ids_of, labels)
        class_of = np.zeros(len(values), np.int64)
        class_of[inverse.ravel()] = found.ravel()
        is_object = values >= 1000 if divisor == 1000 else values % 256 > 0
        rest = found.astype(np.int32)
    things = [label.id for label in labels.classes if label.has_instances]
    is_object &= np.isin(class_of, things)
    ids = np.zeros(len(values), np.int32)
    for class_id in np.unique(class_of[is_object]).tolist():
        mine = np.flatnonzero(is_object & (class_of == class_id))
        if len(mine) > 1000:
            rule, name = "a frame must have at most 1000 objects of a class", labels.by_id[class_id].name
            raise DataError(Problem(path, rule, f"{len(mine)} of '{name}'", "Check the key `instance.encoding`."))
        ids[mine] = class_id * 1000 + np.arange(len(mine))
    return np.where(is_object[inverse], ids[inverse], rest)


def unit_vectors(path: Path, stored: NDArray[Any], axes: Sequence[str]) -> NDArray[np.float32]:
    """Return unit vectors from a file of directions.

    Args:
        path: The file, for errors.
        stored: Shape (H, W, 3): floats, or 8- or 16-bit integers that reach from -1 at 0 to 1 at the largest value.
        axes: What each channel is, of 'x' (right), 'y' (down) and 'z' (forward), with a '-' where it is reversed.

    Returns:
        Shape (H, W, 3); NaN where the stored vector is shorter than one half or not finite.

    Raises:
        DataError: The file has another shape.
    """
    if stored.ndim != 3 or stored.shape[2] != 3:
        rule = "directions must have three channels"
        raise DataError(Problem(path, rule, f"the shape {stored.shape}", "Save x, y and z as R, G and B."))
    values = stored.astype(np.float32)
    if np.issubdtype(stored.dtype, np.integer):
        values = values * np.float32(2 / np.iinfo(stored.dtype).max) - 1
        values[(stored == 0).all(2)] = 0
    vectors = np.empty_like(values)
    for channel, axis in enumerate(axes):
        vectors[..., "xyz".index(axis[-1])] = -values[..., channel] if axis.startswith("-") else values[..., channel]
    length = np.linalg.norm(vectors, axis=2, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(length >= 0.5, vectors / np.maximum(length, np.float32(0.5)), np.float32(np.nan))


def load_npy(path: Path, mode: Literal["r", "c"] = "r") -> NDArray[Any]:
    """Map a `.npy` file; mode "c" lets the array, not the file, be written to. Raises `DataError`."""
    try:
        if not path.is_file():
            raise FileNotFoundError(errno.ENOENT, "no such file")
        # Mapped, because reading allocates whatever size the header asks for.
        values = np.load(path, mmap_mode=mode, allow_pickle=False)
    except Exception as error:
        # numpy parses the header as Python.
        raise _unreadable(path, error) from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "buif":
        found = f"values of {values.dtype}" if isinstance(values, np.ndarray) else "an archive"
        raise DataError(Problem(path, "the file must hold one array of real numbers", found, "Save it by `np.save`."))
    return np.asarray(values)


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return DataError(Problem(path, "the file must be readable", reason, "Restore it."))
