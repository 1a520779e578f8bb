"""Writing a Cityscapes-format root of procedural streets, on all cores."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from multisigma import __version__
from multisigma.datasets.images import encode_disparity, write_png
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.errors import MultisigmaError
from multisigma.files import new_folder, write_text
from multisigma.progress import SILENT, Progress
from multisigma.synthetic.drive import RATE
from multisigma.synthetic.frames import GENERATOR_VERSION, StreetFrame, StreetSettings, make_frame, make_sequence
from multisigma.synthetic.samples import write_samples_page

CITIES = {
    "train": ("altmark", "brunnau", "dorfelden", "eichstadt", "falkenrode", "grundheim", "hollerbach", "kirchwald"),
    "val": ("lindenau", "mittelbruck", "rosenfurt"),
}
_FOLDERS = ("leftImg8bit", "rightImg8bit", "gtFine", "disparity", "disparity_exact", "camera")
# The stored format ends at 255.99 pixels; only the camera's own car is nearer.
_LARGEST_DISPARITY = 255.0


def frame_name(split: str, index: int, total: int, number: int = 19) -> str:
    """City, sequence and frame number: 'altmark_000003_000019' is of the fourth street of its city."""
    cities = CITIES[split]
    per_city = max(4, -(-total // len(cities)))
    return f"{cities[index // per_city]}_{index % per_city:06d}_{number:06d}"


def generate(
    root: Path,
    train: int,
    val: int,
    height: int,
    width: int,
    seed: int,
    processes: int | None = None,
    progress: Progress = SILENT,
    samples_page: bool = True,
    frames: int = 1,
) -> None:
    """Generate a data set in the Cityscapes format, with the exact disparity beside that of stereo matching.

    The root appears whole when everything is written, or not at all. The files depend on the size, the seed and the
    counts, and not on the number of processes.

    Args:
        root: Folder to make; it must not exist, or be empty.
        train: Number of training streets.
        val: Number of validation streets.
        height: Height of the images, pixels.
        width: Width of the images, pixels.
        seed: Seed of everything random.
        processes: Processes to use; all cores by default.
        progress: Takes how many frames are written.
        samples_page: Whether to write `samples.html`, pictures and statistics of the data, into the root.
        frames: Frames of each street. More than 1 makes sequences of a drive, with the same instance id for an object
            in all frames; see `make_sequence`. They are numbered from 0.

    Raises:
        MultisigmaError: If a number is out of its range, or `root` holds something already.
    """
    for name, count in (("train", train), ("val", val)):
        if count < 0:
            raise MultisigmaError(f"The number of {name} frames should be non-negative. Found {count}.")
    if train + val == 0:
        raise MultisigmaError(
            "There is nothing to generate: the numbers of train and val frames are both 0. Ask for at least one."
        )
    if processes is not None and processes < 1:
        raise MultisigmaError(f"The number of processes should be positive. Found {processes}.")
    if not 1 <= frames <= 1000:
        raise MultisigmaError(f"The number of frames of a street should be 1 to 1000. Found {frames}.")
    settings = StreetSettings(height, width, seed)
    with new_folder(root) as temporary:
        totals = {"train": train, "val": val}
        _write_frames(temporary, settings, totals, frames, processes or _cores(), progress)
        if samples_page:
            write_samples_page(temporary, temporary / "samples.html")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write_frames(
    root: Path, settings: StreetSettings, totals: dict[str, int], frames: int, processes: int, progress: Progress
) -> None:
    jobs = [(split, index, total) for split, total in totals.items() for index in range(total)]
    for split, index, total in jobs:
        city = frame_name(split, index, total).split("_")[0]
        for folder in _FOLDERS:
            (root / folder / split / city).mkdir(parents=True, exist_ok=True)
    counts = np.zeros(256, np.int64)
    for of_frame in progress.track(_frame_counts(root, settings, jobs, frames, processes), "generating", len(jobs)):
        counts += of_frame
    frequencies = class_frequencies(counts)
    record = {
        "generator": "multisigma streets",
        "generator_version": GENERATOR_VERSION,
        "version": __version__,
        "settings": {**asdict(settings), **totals, **({} if frames == 1 else {"frames": frames, "rate": RATE})},
        "class_frequencies": {
            label.name: round(float(f), 6) for label, f in zip(CITYSCAPES.train_classes, frequencies, strict=True)
        },
    }
    write_text(root / "streets.json", json.dumps(record, indent=2) + "\n")


def _frame_counts(
    root: Path, settings: StreetSettings, jobs: Sequence[tuple[str, int, int]], frames: int, processes: int
) -> Iterator[NDArray[np.int64]]:
    """Write the frames of all streets, in any order, and yield the pixel counts of each street."""
    if processes == 1 or len(jobs) == 1:
        for job in jobs:
            yield write_street(root, settings, *job, frames)
        return
    # The first street compiles the renderer into its cache, so that the workers need not each do so.
    yield write_street(root, settings, *jobs[0], frames)
    pool = ProcessPoolExecutor(
        min(processes, len(jobs) - 1), multiprocessing.get_context("spawn"), initializer=_start_worker
    )
    try:
        for future in as_completed([pool.submit(write_street, root, settings, *job, frames) for job in jobs[1:]]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def class_frequencies(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each of the 19 training classes in the evaluated pixels, from pixel counts (256,) of raw ids."""
    known = CITYSCAPES.train_ids_of_ids != 255
    totals = np.bincount(CITYSCAPES.train_ids_of_ids[known], counts[known], 19)
    return np.asarray(totals / max(totals.sum(), 1))


def _start_worker() -> None:
    # One frame per process keeps the cores busy; threads inside would only compete.
    cv2.setNumThreads(1)
    # The parent ends the pool when it is interrupted.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # If it is killed, it cannot.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def write_street(
    root: Path, settings: StreetSettings, split: str, index: int, total: int, frames: int
) -> NDArray[np.int64]:
    """Render one frame of a street, or a sequence, and write the files; return the pixel counts (256,) of raw ids."""
    if frames == 1:
        return _write_frame(root, split, frame_name(split, index, total), make_frame(settings, split, index))
    counts = np.zeros(256, np.int64)
    for number, frame in enumerate(make_sequence(settings, split, index, frames)):
        counts += _write_frame(root, split, frame_name(split, index, total, number), frame)
    return counts


def _write_frame(root: Path, split: str, name: str, frame: StreetFrame) -> NDArray[np.int64]:
    city = name.split("_")[0]

    def path(folder: str, ending: str) -> Path:
        return root / folder / split / city / f"{name}_{ending}"

    exact = np.where(frame.exact_disparity <= _LARGEST_DISPARITY, frame.exact_disparity, np.float32(np.nan))
    write_png(path("leftImg8bit", "leftImg8bit.png"), frame.left)
    write_png(path("rightImg8bit", "rightImg8bit.png"), frame.right)
    write_png(path("gtFine", "gtFine_labelIds.png"), frame.labels)
    write_png(path("gtFine", "gtFine_instanceIds.png"), frame.instances.astype(np.uint16))
    write_png(path("disparity", "disparity.png"), encode_disparity(frame.disparity))
    write_png(path("disparity_exact", "disparity.png"), encode_disparity(exact))
    write_text(path("camera", "camera.json"), json.dumps(_camera_record(frame), indent=4) + "\n")
    return np.bincount(frame.labels.ravel(), minlength=256).astype(np.int64)


def _camera_record(frame: StreetFrame) -> dict[str, dict[str, float]]:
    camera = frame.camera
    return {
        "extrinsic": {
            "baseline": camera.baseline,
            "pitch": -frame.pitch,
            "roll": frame.roll,
            "x": 1.7,
            "y": camera.baseline / 2,
            "yaw": -frame.yaw,
            "z": frame.height,
        },
        "intrinsic": {"fx": camera.fx, "fy": camera.fy, "u0": camera.u0, "v0": camera.v0},
    }
