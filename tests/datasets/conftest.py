"""Tiny roots in the Cityscapes format, written without the package's own writers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

MakeRoot = Callable[..., Path]


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


@pytest.fixture
def make_root(tmp_path: Path) -> MakeRoot:
    """Write a root: `make_root(frames, size, without, extras)`.

    `frames` holds 'split/name' strings; `without` names root folders to leave out; `extras` adds right images and exact
    disparity. The arrays are drawn from a generator seeded by the frame's index, so a test can draw them again.
    """

    def make(
        frames: Sequence[str] = (
            "train/aachen_000000_000019",
            "train/bochum_000001_000019",
            "val/lindau_000002_000019",
        ),
        size: tuple[int, int] = (16, 32),
        without: Sequence[str] = (),
        extras: bool = False,
    ) -> Path:
        root = tmp_path / "root"
        for index, frame in enumerate(frames):
            split, name = frame.split("/")
            city = name.rsplit("_", 2)[0]
            arrays = draw_arrays(index, size)
            _write(root / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png", arrays["image"][:, :, ::-1])
            if "gtFine" not in without:
                _write(root / f"gtFine/{split}/{city}/{name}_gtFine_labelIds.png", arrays["labels"])
                _write(root / f"gtFine/{split}/{city}/{name}_gtFine_instanceIds.png", arrays["instances"])
            if "disparity" not in without:
                _write(root / f"disparity/{split}/{city}/{name}_disparity.png", arrays["disparity"])
            if "camera" not in without:
                path = root / f"camera/{split}/{city}/{name}_camera.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                extrinsic = {"baseline": 0.2, "pitch": 0.03}
                intrinsic = {"fx": 20.0, "fy": 21.0, "u0": 15.5, "v0": 7.5}
                path.write_text(json.dumps({"extrinsic": extrinsic, "intrinsic": intrinsic}))
            if extras:
                _write(root / f"rightImg8bit/{split}/{city}/{name}_rightImg8bit.png", arrays["right"][:, :, ::-1])
                _write(root / f"disparity_exact/{split}/{city}/{name}_disparity.png", arrays["disparity_exact"])
        return root

    return make


def draw_arrays(index: int, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """What the files of a frame hold, as stored."""
    rng = np.random.default_rng(index)
    height, width = size
    instances = rng.choice(np.array([0, 7, 11, 23, 24, 26, 29], dtype=np.uint16), size)
    for instance in (24000, 26000, 26001, 29000, 33007):  # persons, cars, a caravan, a bicycle; 24 and 26 are groups
        top, left = rng.integers(height - 4), rng.integers(width - 4)
        instances[top : top + 4, left : left + 4] = instance
    disparity = rng.integers(1, 65536, size, dtype=np.uint16)
    disparity[rng.random(size) < 0.3] = 0
    disparity[0, 0] = 1  # a disparity of zero, which is valid
    return {
        "image": rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        "right": rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        "labels": np.where(instances >= 1000, instances // 1000, instances).astype(np.uint8),
        "instances": instances,
        "disparity": disparity,
        "disparity_exact": rng.integers(1, 65536, size, dtype=np.uint16),
    }


@pytest.fixture
def arrays_of() -> Callable[[int, tuple[int, int]], dict[str, np.ndarray]]:
    """What the files of the frame of an index hold, as stored: `arrays_of(index, size)`."""
    return draw_arrays
