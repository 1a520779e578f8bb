"""Smaller copies of a Cityscapes root, such as the paper's Tiny Cityscapes (128x256)."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from multisigma.datasets.augment import apply_transform
from multisigma.datasets.cityscapes.layout import EXTRAS, KINDS, PARTNERS, FrameFiles, find_splits, scan_split
from multisigma.datasets.cityscapes.reading import read_disparity, read_frame, read_image, require_size
from multisigma.datasets.fields import ClassMap, Disparity, Image, InstanceMap
from multisigma.datasets.frame import Camera
from multisigma.datasets.images import encode_disparity, write_png
from multisigma.datasets.problems import DataError, Problem
from multisigma.datasets.transform import Transform
from multisigma.files import new_folder
from multisigma.progress import SILENT, Progress

__all__ = ["shrink_root"]


def shrink_root(
    root: Path, out: Path, height: int, width: int, progress: Progress = SILENT, record: Path | None = None
) -> None:
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
        progress: Takes how many frames are done.
        record: File of the source to copy too, if it exists.

    Raises:
        MultisigmaError: If `out` is not free, the root is malformed, or a frame is smaller than the size asked for.
    """
    frames = _list_everything(root)
    with new_folder(out) as temporary, ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            jobs = [pool.submit(_shrink, root, files, temporary, height, width) for files in frames]
            for job in progress.track(jobs, "preparing"):
                job.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        if record is not None and record.is_file():
            shutil.copyfile(record, temporary / record.name)


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


def _shrink(root: Path, files: FrameFiles, out: Path, height: int, width: int) -> None:
    if files.image is None:
        rule, remedy = "a root to copy must hold images", f"Unzip {KINDS['image'].package} into {root}."
        raise DataError(Problem(root / KINDS["image"].folder, rule, "labels alone", remedy))
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
    if semantic := small.get("semantic", ClassMap):
        write_png(path("semantic"), semantic.ids)
    if instance := small.get("instance", InstanceMap):
        write_png(path("instance"), instance.ids.astype(np.uint16))
    if disparity := small.get("disparity", Disparity):
        write_png(path("disparity"), encode_disparity(disparity.values))
    if files.camera is not None and small.camera is not None:
        path("camera").write_text(_camera_json(files.camera, small.camera), encoding="utf-8")

    if files.right is not None:
        right = read_image(files.right)
        require_size(files.right, right, files.image, frame.image)
        write_png(path("right"), Image(right).warp(transform).pixels)
    if files.disparity_exact is not None:
        exact = read_disparity(files.disparity_exact)
        require_size(files.disparity_exact, exact, files.image, frame.image)
        write_png(path("disparity_exact"), encode_disparity(Disparity(exact).warp(transform).values))


def _camera_json(original: Path, camera: Camera) -> str:
    """The original file's content, with the intrinsics at the new size."""
    content = json.loads(original.read_text(encoding="utf-8"))
    content["intrinsic"] |= {"fx": camera.fx, "fy": camera.fy, "u0": camera.u0, "v0": camera.v0}
    return json.dumps(content, indent=4)
