"""The layout of a Cityscapes root.

    ROOT/leftImg8bit/SPLIT/CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png          8-bit RGB
    ROOT/gtFine/SPLIT/CITY/CITY_SEQUENCE_FRAME_gtFine_labelIds.png           8-bit label ids
    ROOT/gtFine/SPLIT/CITY/CITY_SEQUENCE_FRAME_gtFine_instanceIds.png        16-bit instance ids
    ROOT/disparity/SPLIT/CITY/CITY_SEQUENCE_FRAME_disparity.png              16-bit, 0 invalid, else (p - 1) / 256 px
    ROOT/camera/SPLIT/CITY/CITY_SEQUENCE_FRAME_camera.json                   baseline and intrinsics

CITY is the name of the folder, with underscores or without. Only the left images are needed; a root of labels alone
serves to evaluate predictions against. Beside them may stand `rightImg8bit/` and `disparity_exact/` (the true disparity
of generated scenes, named and stored as `disparity/`), which reading leaves alone.

Source: the README of the Cityscapes scripts (Cordts et al., 2016).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from multisigma.datasets.folders import is_folder, list_files, list_folders
from multisigma.datasets.problems import DataError, Problem

__all__ = ["KINDS", "FrameFiles", "Kind", "count_labels", "find_splits", "list_frames", "scan_split", "unlabelled"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file in a root.

    Args:
        field: Name of the field of `FrameFiles`.
        folder: Folder in the root.
        ending: End of the file name, after the frame's name.
    """

    field: str
    folder: str
    ending: str

    def path(self, root: Path, split: str, name: str) -> Path:
        """Where the file of frame `name` stands, whether or not it exists."""
        return root / self.folder / split / name.rsplit("_", 2)[0] / (name + self.ending)

    @property
    def package(self) -> str:
        """The official package that holds these files."""
        return f"{self.folder}_trainvaltest.zip"


IMAGE: Final = Kind("image", "leftImg8bit", "_leftImg8bit.png")
PARTNERS: Final = (
    Kind("semantic", "gtFine", "_gtFine_labelIds.png"),
    Kind("instance", "gtFine", "_gtFine_instanceIds.png"),
    Kind("disparity", "disparity", "_disparity.png"),
    Kind("camera", "camera", "_camera.json"),
)
EXTRAS: Final = (
    Kind("right", "rightImg8bit", "_rightImg8bit.png"),
    Kind("disparity_exact", "disparity_exact", "_disparity.png"),
)
KINDS: Final[dict[str, Kind]] = {kind.field: kind for kind in (IMAGE, *PARTNERS, *EXTRAS)}
"""Every kind of file by its field of `FrameFiles`, from image to disparity_exact."""

# What else lies in a folder, such as a Thumbs.db, is no image under a wrong name.
_IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"))


@dataclass(frozen=True, slots=True)
class FrameFiles:
    """Where the files of one frame are; a kind that the frame does not have is None.

    Args:
        name: Name such as 'aachen_000000_000019'.
        city: City, the name's part before both numbers and the folder of the files.
        split: Split such as 'train'.
        image: Left image; None in a root without images.
        semantic: Label ids.
        instance: Instance ids.
        disparity: Disparity, in pixels of the left image.
        camera: Camera parameters.
        right: Right image.
        disparity_exact: Exact disparity, of generated scenes.
    """

    name: str
    city: str
    split: str
    image: Path | None
    semantic: Path | None
    instance: Path | None
    disparity: Path | None
    camera: Path | None
    right: Path | None = None
    disparity_exact: Path | None = None


def find_splits(root: Path) -> list[str]:
    """Names of the splits of a root, sorted; a folder without any image is none.

    Args:
        root: Folder that holds `leftImg8bit/`, or labels alone.

    Raises:
        DataError: If the root does not exist, cannot be read or holds no split.
    """
    if not is_folder(root):
        raise DataError(
            Problem(
                root,
                "the data root must be a folder",
                "a file" if root.exists() else "nothing there",
                "Check the path.",
            )
        )
    first = _first_kind(root)
    if first is None:
        there = _enumerate(list_folders(root)) or "no folders"
        raise DataError(
            Problem(
                root,
                f"a Cityscapes root must hold the folder {IMAGE.folder}/",
                there,
                f"Give the folder that holds {IMAGE.folder}/ itself; where each package was unpacked into a folder of "
                "its own, move what they hold into one.",
            )
        )
    images = root / first.folder
    splits = [split for split in list_folders(images) if _holds(images / split, first)]
    if not splits:
        raise DataError(
            Problem(
                images,
                "there must be one folder per split with images in it, such as train/ and val/",
                "none",
                f"Put the files into {first.folder}/SPLIT/CITY/.",
            )
        )
    return splits


def scan_split(
    root: Path,
    split: str,
    kinds: tuple[Kind, ...] = PARTNERS,
    missing_labels: Literal["error", "unlabelled"] = "error",
) -> tuple[list[FrameFiles], list[Problem]]:
    """List the frames of a split, and every fault of its layout.

    A kind of which a city has no file at all is absent there, which is no fault.

    Args:
        root: Folder that holds `leftImg8bit/`; without it, the labels tell the frames.
        split: Name of the split, such as 'train'.
        kinds: Kinds of file to look for beside the image.
        missing_labels: 'unlabelled' lets frames with a single missing file pass as unlabelled for that kind.

    Returns:
        The frames, sorted by name, a missing file as None; and the faults found.

    Raises:
        DataError: If the root has no such split, or a folder cannot be read.
    """
    splits = find_splits(root)
    first = _first_kind(root) or IMAGE
    folder = root / first.folder / split
    if not is_folder(folder):
        raise DataError(
            Problem(
                folder,
                f"the split '{split}' must exist",
                f"the splits {_enumerate(splits)}",
                "Choose one of these, or add the images.",
            )
        )
    frames: list[FrameFiles] = []
    name_pattern = re.compile(r"(?P<name>(?P<city>.+)_\d{6}_\d{6})" + re.escape(first.ending))
    problems = [_misnamed(folder / file, first) for file in list_files(folder) if _is_like(file, first)]
    for city in list_folders(folder):
        files = {
            kind.folder: set(list_files(root / kind.folder / split / city))
            for kind in kinds
            if is_folder(root / kind.folder / split / city)
        }
        present = [kind for kind in kinds if any(f.endswith(kind.ending) for f in files.get(kind.folder, ()))]
        for file in list_files(folder / city):
            if not _is_like(file, first):
                continue
            match = name_pattern.fullmatch(file)
            if match is None or match["city"] != city:
                problems.append(_misnamed(folder / city / file, first))
                continue
            name = match["name"]
            found: dict[str, Path | None] = {kind.field: None for kind in PARTNERS}
            for kind in present:
                path = kind.path(root, split, name)
                if path.name in files[kind.folder]:
                    found[kind.field] = path
                elif missing_labels == "error":
                    problems.append(
                        Problem(
                            path,
                            f"every image must have its partner where {kind.folder}/{split}/{city}/ has any such file",
                            f"no such file for {folder / city / file}",
                            f"Restore it. To go on without, train with --missing-labels unlabelled; or remove every "
                            f"*{kind.ending} of the city.",
                        )
                    )
            image = folder / city / file if first is IMAGE else None
            frames.append(FrameFiles(name, city, split, image, **found))
    if not frames:
        problems.append(
            Problem(
                folder,
                "a split must hold images",
                "none",
                f"Put images into {first.folder}/{split}/CITY/, or remove the folder.",
            )
        )
    return sorted(frames, key=lambda frame: frame.name), problems


def list_frames(root: Path, split: str, missing_labels: Literal["error", "unlabelled"] = "error") -> list[FrameFiles]:
    """List the frames of a split.

    Labels of a kind (label ids, instance ids, disparity, camera) that are absent as a whole from the root, a split or a
    city leave those frames unlabelled for that kind. A single missing file is an error.

    Args:
        root: Folder that holds `leftImg8bit/`; without it, the labels tell the frames.
        split: Name of the split, such as 'train'.
        missing_labels: 'unlabelled' lets frames with a single missing file pass as unlabelled for that kind.

    Returns:
        The frames, sorted by name; at least one.

    Raises:
        DataError: If the root, the split or a partner file is missing, the split is empty, or a name is malformed.
    """
    frames, problems = scan_split(root, split, missing_labels=missing_labels)
    if problems:
        raise DataError(*problems)
    return frames


def count_labels(frames: Sequence[FrameFiles]) -> dict[str, int]:
    """How many of the frames have each kind of label, from 'semantic' to 'camera'."""
    return {kind.field: sum(getattr(files, kind.field) is not None for files in frames) for kind in PARTNERS}


def unlabelled(root: Path, folder: Path, frames: Sequence[FrameFiles]) -> Problem | None:
    """The problem that no frame of a folder has anything to learn or to be measured by; None if one has."""
    counts = count_labels(frames)
    if counts["semantic"] or counts["instance"] or counts["disparity"]:
        return None
    found = f"{len(frames)} images without label ids, instance ids or disparity"
    remedy = (
        f"Unzip {KINDS['semantic'].package} or {KINDS['disparity'].package} into {root}; "
        "`evaluate RUN --save-predictions DIR` needs none."
    )
    return Problem(folder, "training and evaluation need labels", found, remedy)


def _first_kind(root: Path) -> Kind | None:
    """Return the kind of file that tells the frames: the images, or in a root without them the first label."""
    if is_folder(root / IMAGE.folder):
        return IMAGE
    for kind in PARTNERS[:3]:
        folder = root / kind.folder
        if is_folder(folder) and any(_holds(folder / split, kind) for split in list_folders(folder)):
            return kind
    return None


def _misnamed(path: Path, kind: Kind) -> Problem:
    noun = "images" if kind is IMAGE else "labels"
    return Problem(
        path,
        f"{noun} must be named {kind.folder}/SPLIT/CITY/CITY_SEQUENCE_FRAME{kind.ending}, both numbers of six "
        "digits and CITY the name of the folder",
        "another name",
        "Rename or remove the file.",
    )


def _is_like(file: str, kind: Kind) -> bool:
    """Whether a file is of a kind, well named or not; labels of several kinds share a folder."""
    return Path(file).suffix.lower() in _IMAGE_SUFFIXES if kind is IMAGE else file.endswith(kind.ending)


def _holds(split: Path, kind: Kind) -> bool:
    """Whether there is any file of a kind in a split's folder or in those of its cities."""
    return any(any(_is_like(file, kind) for file in list_files(split / city)) for city in ("", *list_folders(split)))


def _enumerate(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
