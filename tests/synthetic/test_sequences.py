"""Sequences of streets: the camera drives, things move, and each object keeps its id."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from multisigma.cli import main
from multisigma.datasets.cityscapes import list_frames, read_frame
from multisigma.errors import MultisigmaError
from multisigma.synthetic import StreetFrame, StreetSettings, make_frame, make_sequence
from multisigma.synthetic.frames import _turn

SETTINGS = StreetSettings(64, 128, matching=False)


@cache
def sequence(index: int, frames: int = 6) -> list[StreetFrame]:
    return list(make_sequence(SETTINGS, "val", index, frames))


def test_a_sequence_is_a_function_of_its_arguments_and_begins_as_the_frame() -> None:
    again = list(make_sequence(SETTINGS, "val", 1, 6))
    for one, other in zip(sequence(1), again, strict=True):
        np.testing.assert_array_equal(one.left, other.left)
        np.testing.assert_array_equal(one.instances, other.instances)
    still = make_frame(SETTINGS, "val", 1)
    np.testing.assert_array_equal(sequence(1)[0].instances, still.instances)
    np.testing.assert_array_equal(sequence(1)[0].exact_disparity, still.exact_disparity)


def test_the_camera_moves_ahead_and_the_still_world_follows_its_geometry() -> None:
    """A point of the road or of a house, taken from one frame's depth, has the depth of the next frame there."""
    checked = 0
    for index in range(4):
        first, second = sequence(index)[0], sequence(index)[-1]
        assert second.position[2] >= first.position[2]
        still = (first.instances < 1000) & np.isfinite(first.exact_disparity) & (first.exact_disparity < 20)
        still &= np.isin(first.labels, (7, 8, 11))  # road, sidewalk, building
        still &= cv2.erode(still.astype(np.uint8), np.ones((3, 3))) > 0
        rows, columns = np.nonzero(still)
        camera = first.camera
        depth = camera.fx * camera.baseline / first.exact_disparity[rows, columns]
        rays = np.stack([(columns - camera.u0) / camera.fx, (rows - camera.v0) / camera.fy, np.ones(len(rows))])
        world = _turn(first.pitch, first.roll, first.yaw) @ (rays * depth) + first.position[:, None]
        seen = _turn(second.pitch, second.roll, second.yaw).T @ (world - second.position[:, None])
        ahead = seen[2] > 2
        x = np.rint(camera.fx * seen[0, ahead] / seen[2, ahead] + camera.u0).astype(int)
        y = np.rint(camera.fy * seen[1, ahead] / seen[2, ahead] + camera.v0).astype(int)
        inside = (x >= 2) & (x < 126) & (y >= 2) & (y < 62)
        expected = camera.fx * camera.baseline / seen[2, ahead][inside]
        found = second.exact_disparity[y[inside], x[inside]]
        # Other points are hidden behind what comes nearer, or fall beside an edge.
        assert np.isclose(found, expected, rtol=0.06, atol=0.03).mean() > 0.85
        checked += int(inside.sum())
    assert checked > 2000


def test_an_object_keeps_its_id() -> None:
    """Most objects overlap themselves in the next frame, and none changes its class."""
    kept = total = 0
    for index in range(4):
        frames = sequence(index)
        for one, other in pairwise(frames):
            for i in np.unique(one.instances[one.instances >= 1000]):
                mask = one.instances == i
                if mask.sum() >= 20 and (other.instances == i).any():
                    total += 1
                    kept += bool((other.instances[mask] == i).any())
    assert total > 50
    assert kept / total > 0.9


def test_things_move_that_do_and_the_others_stand() -> None:
    moved = False
    for index in range(4):
        frames = sequence(index)
        ways = frames[-1].position[2] - frames[0].position[2]
        changed = (frames[-1].labels != frames[0].labels).mean()
        moved |= bool(changed > 0.02)
        if ways > 0:
            assert changed > 0
    assert moved


def test_a_root_of_sequences_is_read_as_cityscapes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    options = ["--train", "0", "--val", "2", "--frames", "3", "--size", "64x128", "--processes", "1"]
    assert main(["generate", str(root), *options]) == 0
    files = list_frames(root, "val")
    assert [f.name for f in files] == [f"lindenau_{s:06d}_{n:06d}" for s in range(2) for n in range(3)]
    frame = read_frame(files[5])
    expected = list(make_sequence(StreetSettings(64, 128), "val", 1, 3))[2]
    np.testing.assert_array_equal(frame.image, expected.left)


def test_a_sequence_must_have_frames(tmp_path: Path) -> None:
    with pytest.raises(MultisigmaError, match="`frames` must be positive"):
        next(make_sequence(SETTINGS, "val", 0, 0))
