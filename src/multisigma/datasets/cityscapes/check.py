"""Holding a whole Cityscapes root against every rule of the format, and listing all faults at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from multisigma.datasets.cityscapes.layout import (
    EXTRAS,
    IMAGE,
    PARTNERS,
    FrameFiles,
    Kind,
    count_labels,
    find_splits,
    scan_split,
    unlabelled,
)
from multisigma.datasets.cityscapes.reading import inspect_frame, read_disparity, read_image, require_size
from multisigma.datasets.folders import is_folder, list_files, list_folders
from multisigma.datasets.problems import CheckReport, DataError, Problem
from multisigma.progress import SILENT, Progress

__all__ = ["check_root"]

_PACKAGE = re.compile(
    r"(?P<folder>leftImg8bit|rightImg8bit|gtFine|gtCoarse|disparity|camera)(_(?P<part>[A-Za-z]+))?\.zip"
)
_SPLITS_OF = {"trainvaltest": ("train", "val", "test"), "trainextra": ("train_extra",), "demoVideo": ("demoVideo",)}


def check_root(root: Path, progress: Progress = SILENT) -> CheckReport:
    """Hold every file of every split of a root against the rules of the format.

    Beyond what `list_frames` and `read_frame` demand of what they read, this covers right images and exact disparity,
    and labels that have no image.

    Args:
        root: Folder that holds `leftImg8bit/`.
        progress: Takes how many frames are done.

    Returns:
        Counts per split, all faults, and warnings.
    """
    try:
        names = find_splits(root)
    except DataError as error:
        return CheckReport({}, list(error.problems), list(_zipped(root)))
    problems: list[Problem] = []
    frames: list[FrameFiles] = []
    splits: dict[str, dict[str, int]] = {}
    for split in names:
        found, faults = scan_split(root, split, PARTNERS + EXTRAS)
        frames += found
        problems += faults
        splits[split] = {"frames": len(found)} | count_labels(found)
    if is_folder(root / IMAGE.folder):
        problems += _orphans(root, {frame.name for frame in frames})
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for faults in progress.track(pool.map(_faults_of, frames), "checking", len(frames)):
            problems += faults
    problems.sort(key=lambda problem: (problem.path, problem.rule))
    return CheckReport(splits, problems, list(_warnings(root, frames)))


def _warnings(root: Path, frames: Sequence[FrameFiles]) -> Iterator[Problem]:
    """Kinds of label that a split or a city lacks and others have; no labels at all; coarse labels."""
    yield from _zipped(root)
    if frames and not any(files.image for files in frames):
        remedy = f"Unzip {IMAGE.package} to train; `evaluate --predictions DIR` needs the labels alone."
        yield Problem(root, "training needs images", f"{len(frames)} frames of labels alone", remedy)
    if is_folder(root / "gtCoarse"):
        remedy = "Unzip gtFine_trainvaltest.zip too, unless gtFine/ is here."
        yield Problem(root / "gtCoarse", "labels are read from gtFine/ alone", "coarse ones, which stay unread", remedy)
    if problem := unlabelled(root, root, frames):
        yield problem
    counts = count_labels(frames)
    expected = [kind for kind in PARTNERS if counts[kind.field]]
    for split, of_split in _grouped(frames, "split"):
        folder = root / IMAGE.folder / split
        counts = count_labels(of_split)
        yield from _lacking(root, folder, [kind for kind in expected if not counts[kind.field]], len(of_split))
        here = [kind for kind in expected if counts[kind.field]]
        for city, of_city in _grouped(of_split, "city"):
            counts = count_labels(of_city)
            yield from _lacking(root, folder / city, [kind for kind in here if not counts[kind.field]], len(of_city))


def _zipped(root: Path) -> Iterator[Problem]:
    """Official packages that lie in the root and were not unzipped."""
    if not is_folder(root):
        return
    for file in list_files(root):
        match = _PACKAGE.fullmatch(file)
        if match is None:
            continue
        splits = _SPLITS_OF.get(match["part"] or "", ("",))
        if not any(is_folder(root / match["folder"] / split) for split in splits):
            rule = "an official package must be unzipped to be read"
            yield Problem(root / file, rule, f"no {match['folder']}/{splits[0]}", f"Unzip it into {root}.")


def _grouped(frames: Sequence[FrameFiles], field: str) -> Iterator[tuple[str, list[FrameFiles]]]:
    for name in sorted({getattr(files, field) for files in frames}):
        yield name, [files for files in frames if getattr(files, field) == name]


def _lacking(root: Path, folder: Path, kinds: Sequence[Kind], frames: int) -> Iterator[Problem]:
    if kinds:
        rule = "a kind of label that others of the root have should be here too"
        found = f"{frames} images without {', '.join(kind.field for kind in kinds)}"
        packages = ", ".join(sorted({kind.package for kind in kinds}))
        yield Problem(folder, rule, found, f"Unzip {packages} into {root}, or leave them unlabelled.")


def _faults_of(files: FrameFiles) -> list[Problem]:
    fields = None if files.image else [kind.field for kind in PARTNERS]
    frame, problems = inspect_frame(files, fields)
    for path, read in ((files.right, read_image), (files.disparity_exact, read_disparity)):
        if path is None:
            continue
        try:
            array = read(path)
            if frame is not None and files.image is not None:
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
                        image = IMAGE.path(root, split, name)
                        yield Problem(root / folder / split / city / file, rule, f"no {image}", remedy)
