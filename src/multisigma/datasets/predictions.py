"""A system's predictions as files, written and read, in the layout that the Cityscapes benchmark wants.

Other data sets use the same layout, with their own names of frames and their own ids.

    PREDICTIONS/semantic/**/CITY_SEQUENCE_FRAME*.png     8-bit raw label ids
    PREDICTIONS/instance/**/CITY_SEQUENCE_FRAME*.txt     a line for each object: MASK LABEL_ID CONFIDENCE
    PREDICTIONS/disparity/**/CITY_SEQUENCE_FRAME*.png    16-bit, (p - 1) / 256 px

A mask is a grey PNG, not zero where the object is, named relative to its text file. Each folder is what one official
script takes as its results; a folder that is not there is not evaluated.

Source: the headers of `evalPixelLevelSemanticLabeling.py` and `evalInstanceLevelSemanticLabeling.py` of the Cityscapes
scripts (Cordts et al., 2016).
"""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.cityscapes import read_disparity, read_labels
from multisigma.datasets.folders import is_folder
from multisigma.datasets.images import encode_disparity, read_png, write_png
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.problems import DataError, Problem
from multisigma.datasets.scene import PredictedClasses, PredictedDisparity, PredictedInstances, SceneInstance
from multisigma.files import read_text, write_text

__all__ = ["ENDINGS", "PredictionFiles", "inspect_prediction", "list_predictions", "write_predictions"]

ENDINGS: Final = {"semantic": ".png", "instance": ".txt", "disparity": ".png"}
"""The ending of a prediction's file in each folder."""

_NAME = re.compile(r"(?P<name>.+?_\d{6}_\d{6}).*")
# The stored format ends there.
_LARGEST_DISPARITY: Final = 255.99


@dataclass(frozen=True, slots=True)
class PredictionFiles:
    """Where the predictions for one frame are; a kind that the system does not predict is None.

    Args:
        name: Name of the frame.
        semantic: Label ids.
        instance: The list of objects.
        disparity: Disparity.
    """

    name: str
    semantic: Path | None = None
    instance: Path | None = None
    disparity: Path | None = None


def write_predictions(
    folder: Path, name: str, scene: Mapping[str, Any], size: tuple[int, int], labels: LabelSpace = CITYSCAPES
) -> None:
    """Write a frame's scene into `semantic/`, `instance/` and `disparity/`.

    Args:
        folder: Folder of the predictions; it must exist.
        name: Name of the frame.
        scene: Each task's result by task name. Written are `ids` of 'semantic', `regions` of 'instance', and
            `disparity` of 'depth', those above 255.99 px as that; what is missing or None is left out.
        size: Height and width of the frame.
        labels: The classes of the scene.
    """
    ids, regions, disparity = (
        getattr(scene.get(task), part, None)
        for task, part in (("semantic", "ids"), ("instance", "regions"), ("depth", "disparity"))
    )
    if ids is not None:
        write_png(_folder(folder, "semantic") / f"{name}_labelIds.png", ids)
    if disparity is not None:
        stored = encode_disparity(np.clip(disparity, 0, _LARGEST_DISPARITY).astype(np.float32))
        write_png(_folder(folder, "disparity") / f"{name}_disparity.png", stored)
    if regions is not None:
        masks = _folder(folder, "instance/masks")
        lines = []
        # Of a model's classes, the data may lack some.
        known = [instance for instance in regions if instance.class_id in labels.by_id]
        for number, instance in enumerate(known):
            mask = np.zeros(size, np.uint8)
            height, width = instance.mask.shape
            mask[instance.top : instance.top + height, instance.left : instance.left + width] = instance.mask * 255
            # The list separates its columns by spaces.
            file = f"{name}_{number:03d}_{labels.by_id[instance.class_id].name.replace(' ', '-')}.png"
            file = re.sub(r"[\s%]", lambda found: quote(found[0]), file)
            write_png(masks / file, mask)
            lines.append(f"masks/{file} {instance.class_id} {float(instance.confidence)!r}\n")
        write_text(folder / "instance" / f"{name}.txt", "".join(lines))


def _folder(root: Path, name: str) -> Path:
    path = root / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def list_predictions(root: Path, names: Sequence[str]) -> tuple[list[PredictionFiles], list[Problem]]:
    """Find the predictions for the frames of a split, and every fault of the layout.

    Args:
        root: Folder that holds any of `semantic/`, `instance/` and `disparity/`.
        names: Names of the frames of the split.

    Returns:
        The files for each frame, in the order of the frames; and the faults found.

    Raises:
        DataError: If there is none of the folders, or one that cannot be read.
    """
    folders = [root / kind for kind in ENDINGS if is_folder(root / kind)]
    if not folders:
        there = ", ".join(sorted(p.name for p in root.iterdir())[:5]) if root.is_dir() else ""
        raise DataError(
            Problem(
                root,
                f"predictions must stand in any of the folders {', '.join(f'{kind}/' for kind in ENDINGS)}",
                there or "none of them",
                "Put the files that one official script takes into one folder.",
            )
        )
    problems = [
        Problem(root / kind, "predictions must be in a folder of this name", "a file", "Remove it, or make a folder.")
        for kind in ENDINGS
        if (root / kind).exists() and root / kind not in folders
    ]
    found: dict[str, dict[str, Path]] = {name: {} for name in names}
    for folder in folders:
        files: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(folder.rglob(f"*{ENDINGS[folder.name]}")):
            if name := _frame_of(path, found):
                if _is_inside(path, root):
                    files[name].append(path)
                else:
                    rule, remedy = "a prediction must lie in the folder of the predictions", "Copy it there."
                    problems.append(Problem(path, rule, f"a link to {os.path.realpath(path)}", remedy))
        for name, paths in files.items():
            if name not in found:
                rule, remedy = "a prediction must belong to a frame of the split", "Remove it, or name the right split."
                problems += [Problem(path, rule, f"no frame {name}", remedy) for path in paths]
            elif len(paths) > 1:
                others = ", ".join(str(path.relative_to(folder)) for path in paths)
                problems.append(Problem(folder, f"there must be one prediction for {name}", others, "Leave one."))
            else:
                found[name][folder.name] = paths[0]
        for name in found.keys() - files.keys():
            pattern = f"{name}*{ENDINGS[folder.name]}"
            problems.append(
                Problem(folder, "every frame must have a prediction", f"no {pattern}", "Predict it, an empty one too.")
            )
    return [PredictionFiles(name, **paths) for name, paths in found.items()], sorted(problems, key=str)


def _is_inside(path: Path, root: Path) -> bool:
    """Return whether a file lies in a folder, links followed."""
    # `Path.resolve` raises for links in a circle.
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def _frame_of(path: Path, names: Collection[str]) -> str | None:
    """The frame whose name a file begins with; None for other files. A name of the Cityscapes form may be unknown."""
    for end in range(len(path.stem), 0, -1):
        # After 'frame_1', 'frame_10' goes on with a digit, and 'frame_1_labelIds' does not.
        if path.stem[:end] in names and not path.stem[end : end + 1].isalnum():
            return path.stem[:end]
    match = _NAME.fullmatch(path.name)
    return match["name"] if match else None


def inspect_prediction(
    files: PredictionFiles, root: Path, size: tuple[int, int] | None, labels: LabelSpace = CITYSCAPES
) -> tuple[dict[str, Any], list[Problem]]:
    """Read the predictions for a frame and collect their faults.

    Args:
        files: The frame's files.
        root: Folder that holds the predictions; a mask must not lie outside of it.
        size: Height and width of the frame; None if nothing is labelled, and then any size will do.
        labels: The classes of the data.

    Returns:
        What could be read, as `write_predictions` takes it; and the faults found.
    """
    problems: list[Problem] = []

    def sized(path: Path, pixels: NDArray[np.generic]) -> bool:
        if size is None or pixels.shape == size:
            return True
        rule = "a prediction must have the size of its frame (height x width)"
        found = f"{pixels.shape[0]}x{pixels.shape[1]} for a frame of {size[0]}x{size[1]}"
        problems.append(Problem(path, rule, found, "Resize the prediction: label ids and masks by nearest neighbour."))
        return False

    scene: dict[str, Any] = {}
    try:
        if files.semantic:
            pixels = read_labels(files.semantic, labels)
            if sized(files.semantic, pixels):
                scene["semantic"] = PredictedClasses(pixels)
    except DataError as error:
        problems += error.problems
    try:
        if files.disparity:
            values = read_disparity(files.disparity)
            if sized(files.disparity, values):
                scene["depth"] = PredictedDisparity(values)
            if np.isnan(values).any():
                found = f"{np.count_nonzero(np.isnan(values))} pixels without one"
                problems.append(
                    Problem(
                        files.disparity, "every pixel must have a disparity", found, "Fill them; 0 px is stored as 1."
                    )
                )
    except DataError as error:
        problems += error.problems
    if files.instance:
        regions = []
        for mask_path, class_id, confidence in _read_list(files.instance, root, labels, problems):
            try:
                mask = read_png(mask_path, "grey") != 0
            except DataError as error:
                problems += error.problems
                continue
            if sized(mask_path, mask):
                left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
                mask = mask[top : top + height, left : left + width].copy()
                regions.append(SceneInstance(class_id, confidence, top, left, mask))
        scene["instance"] = PredictedInstances(regions)
    return scene, problems


def _read_list(path: Path, root: Path, labels: LabelSpace, problems: list[Problem]) -> list[tuple[Path, int, float]]:
    """Mask, label id and confidence from each line of a list of objects; faults go to `problems`."""
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(path, "the list of objects must be readable text", str(error), "Write it again."))
        return []
    objects: dict[Path, tuple[Path, int, float]] = {}
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields:
            continue

        def fault(rule: str, remedy: str, found: str = line, number: int = number) -> None:
            problems.append(Problem(path, f"line {number}: {rule}", repr(found), remedy))

        if len(fields) != 3 or "\0" in line:
            fault("an object must be written as MASK LABEL_ID CONFIDENCE", "A mask's path has no spaces.")
            continue
        mask, class_id, confidence = path.parent / fields[0], _number(fields[1]), _number(fields[2])
        if Path(fields[0]).is_absolute() or not _is_inside(mask, root):
            fault("a mask must lie in the folder of the predictions", "Name it relative to its list.", fields[0])
        elif (place := Path(os.path.realpath(mask))) in objects:
            fault("each mask must be named once", "Write a file for each object.", fields[0])
        elif class_id not in labels.by_id:
            fault(
                f"a label id must be one of the label space '{labels.name}'",
                "Use raw ids, not training ids.",
                fields[1],
            )
        elif not math.isfinite(confidence):
            fault("a confidence must be a finite number", "Write a number.", fields[2])
        else:
            objects[place] = (mask, int(class_id), confidence)
    return list(objects.values())


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
