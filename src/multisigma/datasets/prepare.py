"""Smaller copies of a Cityscapes root, such as the paper's Tiny Cityscapes (128x256)."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from multisigma.datasets.augment import Transform, apply_transform
from multisigma.datasets.cityscapes import (
    EXTRAS,
    KINDS,
    PARTNERS,
    FrameFiles,
    find_splits,
    read_disparity,
    read_frame,
    read_image,
    require_size,
    scan_split,
)
from multisigma.datasets.frame import Camera, Frame
from multisigma.datasets.images import encode_disparity, write_png
from multisigma.datasets.problems import DataError, Problem
from multisigma.files import new_folder

__all__ = ["prepare"]


def prepare(root: Path, out: Path, height: int, width: int, progress: bool = True) -> None:
    """Write a copy of every split of a root at a smaller size.

    Images are averaged by area; label ids and instance ids take the nearest pixel; disparity takes the nearest pixel
    and is multiplied by the ratio of widths, so that holes stay holes and nothing is averaged across them. Cameras are
    scaled, right images and exact disparity copied likewise. The aspect ratio may change.

    The copy is built in a temporary folder beside `out` and appears whole or not at all.

    Args:
        root: Folder that holds `leftImg8bit/`.
        out: Folder to write; must not exist, or be empty, and lie outside `root`.
        height: Height of the copies, pixels.
        width: Width of the copies, pixels.
        progress: Whether to show a progress bar, on standard error.

    Raises:
        MultisigmaError: If `out` is not free, the root is malformed, or a frame is smaller than the size asked for.
    """
    if height < 1 or width < 1:
        rule = "the size of the copy must be at least 1x1 (height x width)"
        raise DataError(Problem(out, rule, f"{height}x{width}", "Give a size such as 128x256."))
    frames = _list_everything(root)
    if out.resolve().is_relative_to(root.resolve()):
        rule = f"the copy must lie outside of its source {root}"
        raise DataError(Problem(out, rule, "a folder inside it", "Choose another folder."))
    with new_folder(out) as temporary, ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            jobs = [pool.submit(_shrink, files, temporary, height, width) for files in frames]
            for job in track(jobs, description="Preparing", console=Console(stderr=True), disable=not progress):
                job.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _list_everything(root: Path) -> list[FrameFiles]:
    frames: list[FrameFiles] = []
    problems: list[Problem] = []
    for split in find_splits(root):
        found, faults = scan_split(root, split, PARTNERS + EXTRAS)
        frames += found
        problems += faults
    if problems:
        raise DataError(*problems)
    return frames


def _shrink(files: FrameFiles, out: Path, height: int, width: int) -> None:
    frame = read_frame(files)
    original_height, original_width = frame.image.shape[:2]
    if height > original_height or width > original_width:
        found = f"{original_height}x{original_width}, smaller than {height}x{width}"
        raise DataError(
            Problem(
                files.image,
                "images must not be enlarged (height x width)",
                found,
                "Ask for a size that no frame falls below.",
            )
        )
    transform = Transform(False, height, width, 0, 0, height, width)
    small = apply_transform(frame, transform)

    def path(field: str) -> Path:
        path = KINDS[field].path(out, files.split, files.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    write_png(path("image"), small.image)
    if small.labels is not None:
        write_png(path("labels"), small.labels)
    if small.instances is not None:
        write_png(path("instances"), small.instances.astype(np.uint16))
    if small.disparity is not None:
        write_png(path("disparity"), encode_disparity(small.disparity))
    if files.camera is not None and small.camera is not None:
        path("camera").write_text(_camera_json(files.camera, small.camera), encoding="utf-8")

    right = None if files.right is None else read_image(files.right)
    exact = None if files.disparity_exact is None else read_disparity(files.disparity_exact)
    for file, array in ((files.right, right), (files.disparity_exact, exact)):
        if file is not None and array is not None:
            require_size(file, array, files.image, frame.image)
    other_image = frame.image if right is None else right
    other = Frame(files.name, other_image, labels=None, instances=None, centroids=None, disparity=exact, camera=None)
    small_other = apply_transform(other, transform)
    if right is not None:
        write_png(path("right"), small_other.image)
    if small_other.disparity is not None:
        write_png(path("disparity_exact"), encode_disparity(small_other.disparity))


def _camera_json(original: Path, camera: Camera) -> str:
    """The original file's content, with the intrinsics at the new size."""
    content = json.loads(original.read_text(encoding="utf-8"))
    content["intrinsic"] |= {"fx": camera.fx, "fy": camera.fy, "u0": camera.u0, "v0": camera.v0}
    return json.dumps(content, indent=4)
