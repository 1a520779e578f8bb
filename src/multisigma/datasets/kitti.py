"""KITTI 2015: the semantic and the scene flow benchmark, unzipped into one folder.

    ROOT/training/image_2/NNNNNN_10.png               8-bit RGB, the left colour camera
    ROOT/training/semantic/NNNNNN_10.png              8-bit label ids, those of Cityscapes
    ROOT/training/instance/NNNNNN_10.png              16-bit, label id * 256 + number, 0 where there is no single object
    ROOT/training/disp_occ_0/NNNNNN_10.png            16-bit, 0 invalid, else p / 256 px; sparse
    ROOT/training/disp_noc_0/NNNNNN_10.png            the same without occluded pixels, read if there is no disp_occ_0/
    ROOT/training/calib_cam_to_cam/NNNNNN.txt         projection matrices
    ROOT/testing/image_2/NNNNNN_10.png                images without labels

Every fifth of the 200 training frames, from the fifth on, is the split 'val'; the others are 'train'. The frames of
`testing/` are 'test'.

Source: the development kits of the KITTI 2015 benchmarks (Menze and Geiger, 2015; Alhaija et al., 2018).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from multisigma.datasets.folder import FolderDataset, find_names, list_folder
from multisigma.datasets.folder_config import FolderConfig, Numbers
from multisigma.datasets.folders import is_folder
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.labels import IGNORE
from multisigma.datasets.problems import DataError, Problem

__all__ = ["find_kitti_splits", "is_kitti", "open_kitti"]

VAL_EVERY: Final = 5
"""One of so many labelled frames is the split 'val'."""

_FOLDERS: Final = ("image_2", "semantic", "instance", "disp_occ_0", "disp_noc_0")


def is_kitti(root: Path) -> bool:
    """Whether a folder has KITTI's `training/` or `testing/`."""
    return any(is_folder(root / part / folder) for part in ("training", "testing") for folder in _FOLDERS)


def find_kitti_splits(root: Path) -> list[str]:
    """Return the names of the splits that there are. Raises `DataError`."""
    splits = []
    if any(is_folder(root / "training" / folder) for folder in _FOLDERS):
        splits = ["train", "val"]
    return ["test", *splits] if is_folder(root / "testing" / "image_2") else splits


def open_kitti(root: Path, split: str, missing_labels: Literal["error", "unlabelled"] = "error") -> FolderDataset:
    """Open a split of KITTI 2015.

    Labels whose folder is not there leave all frames unlabelled.

    Args:
        root: Folder that holds `training/`.
        split: 'train', 'val' or 'test'.
        missing_labels: 'unlabelled' lets frames with a single missing file pass as unlabelled for that field.

    Raises:
        DataError: There is no such split, or a file is missing.
    """
    if split not in (splits := find_kitti_splits(root)):
        rule = f"the split '{split}' of KITTI must exist"
        raise DataError(Problem(root, rule, f"the splits {', '.join(splits)}", "Choose one of these."))
    config = _config(root, "testing" if split == "test" else "training")
    names = sorted(find_names(config, next(iter(config.files)), split))
    last = VAL_EVERY - 1
    chosen = {
        "train": [name for i, name in enumerate(names) if i % VAL_EVERY != last],
        "val": names[last::VAL_EVERY],
        "test": names,
    }
    if not chosen[split]:
        rule = f"the split '{split}' must have frames: one of {VAL_EVERY} is 'val', the others are 'train'"
        raise DataError(Problem(root, rule, f"{len(names)} frames in all", "Unzip the benchmark's files here."))
    return list_folder(replace(config, splits=chosen), split, missing_labels)


def _config(root: Path, part: str) -> FolderConfig:
    disparity = "disp_occ_0" if is_folder(root / part / "disp_occ_0") else "disp_noc_0"
    patterns = {
        "image": "image_2/{name}_10.png",
        "semantic": "semantic/{name}_10.png",
        "instance": "instance/{name}_10.png",
        "disparity": f"{disparity}/{{name}}_10.png",
        "camera": "calib_cam_to_cam/{name}.txt",
    }
    files = {
        key: f"{part}/{pattern}" for key, pattern in patterns.items() if is_folder(root / part / pattern.split("/")[0])
    }
    ids_of = {label.id: label.id for label in CITYSCAPES.classes if label.id >= 0} | {IGNORE: CITYSCAPES.void}
    numbers = Numbers(scale=1 / 256)
    return FolderConfig(root, root, files, CITYSCAPES, ids_of, "class*256+number", numbers)
