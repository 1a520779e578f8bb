"""Holding a whole Cityscapes root against every rule of the format, and listing all faults at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from multisigma.data.cityscapes import (
    EXTRAS,
    IMAGE,
    PARTNERS,
    FrameFiles,
    find_splits,
    inspect_frame,
    is_folder,
    list_files,
    list_folders,
    read_disparity,
    read_image,
    require_size,
    scan_split,
)
from multisigma.data.problems import DataError, Problem

__all__ = ["CheckReport", "SplitCounts", "check_root"]


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """How many frames a split has, and how many of them with each kind of label.

    Args:
        frames: Images.
        labels: Frames with label ids.
        instances: Frames with instance ids.
        disparity: Frames with disparity.
        camera: Frames with a camera.
    """

    frames: int
    labels: int
    instances: int
    disparity: int
    camera: int


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a root holds and what is wrong with it.

    Args:
        splits: Counts of every split by its name.
        problems: All faults, sorted by path; none if the root is sound.
    """

    splits: dict[str, SplitCounts]
    problems: list[Problem]

    def table(self) -> Table:
        """The counts as a table for the terminal, one row per split."""
        table = Table("split", title="frames and those with each kind of label")
        for column in fields(SplitCounts):
            table.add_column(column.name, justify="right")
        for split, counts in self.splits.items():
            table.add_row(split, *map(str, astuple(counts)))
        return table


def check_root(root: Path, progress: bool = True) -> CheckReport:
    """Hold every file of every split of a root against the rules of the format.

    Beyond what `list_frames` and `read_frame` demand of what they read, this covers right images and exact disparity,
    and labels that have no image.

    Args:
        root: Folder that holds `leftImg8bit/`.
        progress: Whether to show a progress bar, on standard error.

    Returns:
        Counts per split, and all faults.
    """
    try:
        names = find_splits(root)
    except DataError as error:
        return CheckReport({}, list(error.problems))
    problems: list[Problem] = []
    frames: list[FrameFiles] = []
    splits: dict[str, SplitCounts] = {}
    for split in names:
        found, faults = scan_split(root, split, PARTNERS + EXTRAS)
        frames += found
        problems += faults
        splits[split] = SplitCounts(
            len(found), **{kind.field: sum(getattr(f, kind.field) is not None for f in found) for kind in PARTNERS}
        )
    problems += _orphans(root, {frame.name for frame in frames})
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for faults in track(
            pool.map(_faults_of, frames),
            description="Checking",
            total=len(frames),
            console=Console(stderr=True),
            disable=not progress,
        ):
            problems += faults
    return CheckReport(splits, sorted(problems, key=lambda problem: (problem.path, problem.rule)))


def _faults_of(files: FrameFiles) -> list[Problem]:
    frame, problems = inspect_frame(files)
    for path, read in ((files.right, read_image), (files.disparity_exact, read_disparity)):
        if path is None:
            continue
        try:
            array = read(path)
            if frame is not None:
                require_size(path, array, files.image, frame.image)
        except DataError as error:
            problems.extend(error.problems)
    return problems


def _orphans(root: Path, names: set[str]) -> Iterator[Problem]:
    """Labels without an image: a whole split's or city's folder as one problem, else file by file.

    A folder without any label, such as the scripts' gtFine/cityscapes_panoptic_train/, needs no images.
    """
    rule = "labels must belong to an image"
    remedy = "Restore the image, or remove the labels."
    for folder in sorted({kind.folder for kind in PARTNERS + EXTRAS}):
        endings = tuple(kind.ending for kind in PARTNERS + EXTRAS if kind.folder == folder)
        if not is_folder(root / folder):
            continue
        for split in list_folders(root / folder):
            labels = {
                city: [file for file in list_files(root / folder / split / city) if file.endswith(endings)]
                for city in list_folders(root / folder / split)
            }
            if not is_folder(root / IMAGE.folder / split):
                if any(labels.values()):
                    yield Problem(root / folder / split, rule, f"no folder {IMAGE.folder}/{split}/", remedy)
                continue
            for city, files in labels.items():
                if not is_folder(root / IMAGE.folder / split / city):
                    if files:
                        found = f"no folder {IMAGE.folder}/{split}/{city}/"
                        yield Problem(root / folder / split / city, rule, found, remedy)
                    continue
                for file in files:
                    name = next(file.removesuffix(ending) for ending in endings if file.endswith(ending))
                    if name not in names:
                        image = IMAGE.path(root, split, city, name)
                        yield Problem(root / folder / split / city / file, rule, f"no {image}", remedy)
