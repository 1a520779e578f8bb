"""Open a data set of any layout, from a path or the name of a class."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from multisigma.class_paths import import_class
from multisigma.datasets.cityscapes import CityscapesDataset, list_frames
from multisigma.datasets.cityscapes import find_splits as find_cityscapes_splits
from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.folder import list_folder, list_splits
from multisigma.datasets.folder_config import read_config
from multisigma.datasets.kitti import find_kitti_splits, is_kitti, open_kitti
from multisigma.datasets.nyuv2 import SPLITS as NYUV2_SPLITS
from multisigma.datasets.nyuv2 import is_nyuv2, open_nyuv2
from multisigma.datasets.packed import INDEX, find_packed_splits, open_packed
from multisigma.errors import MultisigmaError

__all__ = ["Layout", "find_splits", "layout_of", "open_dataset"]

Layout = Literal["class", "folder", "packed", "nyuv2", "kitti", "cityscapes"]
"""The layouts of data sets that `open_dataset` knows."""

_CLASS_PATH = re.compile(r"([^\W\d]\w*\.)+[^\W\d]\w*")

_YAML = (".yaml", ".yml")


def layout_of(data: str | Path) -> Layout:
    """Return which layout a path or a name means.

    Args:
        data: A class as 'package.module.Class', a YAML file that describes folders, or the root of a packed copy, of
            KITTI 2015 or of NYU Depth V2. Any other path is taken as a root in the Cityscapes format.
    """
    path = Path(data)
    if _CLASS_PATH.fullmatch(str(data)) and not path.exists() and path.suffix.lower() not in _YAML:
        return "class"
    if path.suffix.lower() in _YAML and not path.is_dir():
        return "folder"
    if (path / INDEX).is_file():
        return "packed"
    if is_nyuv2(path):
        return "nyuv2"
    return "kitti" if is_kitti(path) else "cityscapes"


def open_dataset(
    data: str | Path, split: str, missing_labels: Literal["error", "unlabelled"] = "error"
) -> SceneDataset:
    """Open one split of a data set.

    Args:
        data: As for `layout_of`; a class is called with the split.
        split: Name of the split, such as 'train'.
        missing_labels: What to do if only some frames have a label file: 'error' raises, 'unlabelled' takes the others
            as unlabelled. Packed copies and own classes ignore it.

    Raises:
        MultisigmaError: There is no such data set or split, or it is malformed.
    """
    match layout_of(data):
        case "class":
            return _own_class(str(data))(split)
        case "folder":
            return list_folder(read_config(Path(data)), split, missing_labels)
        case "packed":
            return open_packed(Path(data), split)
        case "nyuv2":
            return open_nyuv2(Path(data), split)
        case "kitti":
            return open_kitti(Path(data), split, missing_labels)
        case "cityscapes":
            return CityscapesDataset(Path(data), split, list_frames(Path(data), split, missing_labels))


def find_splits(data: str | Path) -> list[str]:
    """Return the names of the splits of a data set, sorted.

    A class names them by its attribute `splits`; without it, 'train' and 'val' are taken to exist.

    Args:
        data: As for `layout_of`.

    Raises:
        MultisigmaError: There is no such data set.
    """
    match layout_of(data):
        case "class":
            return sorted(getattr(_own_class(str(data)), "splits", ("train", "val")))
        case "folder":
            return list_splits(read_config(Path(data)))
        case "packed":
            return find_packed_splits(Path(data))
        case "nyuv2":
            return sorted(NYUV2_SPLITS)
        case "kitti":
            return find_kitti_splits(Path(data))
        case "cityscapes":
            return find_cityscapes_splits(Path(data))


def _own_class(text: str) -> Callable[[str], SceneDataset]:
    """Return the class that a class path names. Raises `MultisigmaError`."""
    try:
        # The base class is abstract, which a type may not be for mypy.
        return import_class(text, SceneDataset, "--data")  # type: ignore[type-abstract]
    except MultisigmaError as error:
        if error.__cause__ is None:
            raise
        # A class path may also be a mistyped path of a file.
        raise MultisigmaError(
            f"Option --data must be a folder, a YAML file, or a class as 'package.module.Class'. Found {text!r}. No "
            f"such file exists, and it cannot be imported ({error.__cause__}). Check the path, or the Python path of "
            "the module."
        ) from error.__cause__
