"""Camera files as other programs write them."""

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from multisigma.datasets.cameras import read_camera_file
from multisigma.datasets.frame import Camera
from multisigma.datasets.problems import DataError

SIZE = (48, 64)
MATRIX = np.array([[70.0, 0, 30.5], [0, 71.0, 22.5], [0, 0, 1]])
EXPECTED = Camera(0.3, 70.0, 71.0, 30.5, 22.5)

ROS = """\
image_width: 64
image_height: 48
camera_name: front
camera_matrix:
  rows: 3
  cols: 3
  data: [90, 0, 30, 0, 90, 20, 0, 0, 1]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.1, 0.01, 0, 0, 0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
projection_matrix:
  rows: 3
  cols: 4
  data: [70, 0, 30.5, 0, 0, 71, 22.5, 0, 0, 0, 1, 0]
"""
# As `ros2 topic echo` prints it.
ROS_TOPIC = """\
header:
  frame_id: front
height: 48
width: 64
distortion_model: plumb_bob
d: [0.0, 0.0, 0.0, 0.0, 0.0]
k: [70.0, 0.0, 30.5, 0.0, 71.0, 22.5, 0.0, 0.0, 1.0]
p: [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
"""
KITTI_OBJECT = """\
P0: 721 0 609 0 0 721 172 0 0 0 1 0
P2: 700 0 30.5 45 0 710 22.5 -0.3 0 0 1 0.005
P3: 700 0 30.5 -333 0 710 22.5 2 0 0 1 0.003
R0_rect: 1 0 0 0 1 0 0 0 1
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", ["yml", "json"])
def test_opencv_writes_it(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"camera.{ending}"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 64)
    storage.write("image_height", 48)
    storage.write("camera_matrix", MATRIX)
    storage.write("distortion_coefficients", np.zeros((1, 5)))
    storage.release()
    assert read_camera_file(path, SIZE, 0.3) == EXPECTED


@pytest.mark.parametrize("text", [ROS, ROS_TOPIC])
def test_ros(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """The projection is that of the rectified image; one of zeros means that there is none."""
    assert read_camera_file(write(tmp_path / "camera.yaml", text), SIZE, 0.3) == EXPECTED
    assert not caplog.records


def test_a_distorted_lens_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "camera.yaml", ROS.split("rectification")[0])
    with caplog.at_level(logging.WARNING):
        assert read_camera_file(path, SIZE).fx == 90
    assert "the lens is distorted (-0.1, 0.01, 0, 0, 0), which is not corrected" in caplog.text


def test_kitti_object(tmp_path: Path) -> None:
    assert read_camera_file(write(tmp_path / "000000.txt", KITTI_OBJECT), SIZE) == Camera(0.54, 700, 710, 30.5, 22.5)


def test_a_matrix_and_a_baseline(tmp_path: Path) -> None:
    path = write(tmp_path / "camera.json", json.dumps({"K": MATRIX.tolist(), "baseline": 0.3}))
    assert read_camera_file(path, SIZE, 9.0) == EXPECTED
    flat = write(tmp_path / "flat.json", json.dumps({"K": MATRIX.ravel().tolist()}))
    assert read_camera_file(flat, SIZE, 0.3) == EXPECTED
    numbers = write(tmp_path / "numbers.yaml", "fx: 70\nfy: 71\nu0: 30.5\nv0: 22.5\n")
    assert read_camera_file(numbers, SIZE, 0.3) == EXPECTED


def test_it_follows_the_size_of_the_image(tmp_path: Path) -> None:
    path = write(tmp_path / "camera.yaml", ROS)
    assert read_camera_file(path, (96, 128), 0.3) == EXPECTED.resized(2, 2)
    # 64x48 to a width of 27 is a height of 20.25.
    assert read_camera_file(path, (20, 27), 0.3) == EXPECTED.resized(27 / 64, 20 / 48)
    with pytest.raises(DataError, match="the shape of 64 columns and 64 rows; found 64 columns"):
        read_camera_file(path, (64, 64))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("K: [1, 2, 3]", "`k` must be a matrix of 9 numbers"),
        ("K: [a, 0, 0, 0, 1, 0, 0, 0, 1]", "`k` must be a matrix of 9 numbers"),
        ("K: [0, 0, 0, 0, 1, 0, 0, 0, 1]", "`fx` must be a positive number"),
        ("K: {data: [.inf, 0, 0, 0, 1, 0, 0, 0, 1]}", "`k` must be a matrix of 9 numbers"),
        ("P: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]", "the camera must have a matrix `K`"),
        ("K: 5", "`k` must be a matrix of 9 numbers"),
        ("K: [1, 0, 0, 0, 1, 0, 0, 0, 1]\nbaseline: -1", "`baseline` must be a positive number"),
        (
            "width: 1000001\nheight: 1\nK: [1, 0, 0, 0, 1, 0, 0, 0, 1]",
            "at most 1,000,000 columns and rows; found 1000001",
        ),
        ("width: 8\nheight: 6\nK: [1.0e+308, 0, 0, 0, 1, 0, 0, 0, 1]", "`fx` must be a positive number, at most 1e12"),
        ("P2: 1e-320 0 0 1 0 1 0 0 0 0 1 0\nP3: 1 0 0 -9 0 1 0 0 0 0 1 0\n", "`baseline` must be a positive number"),
        ("P2: 1 0 0 1 0 -1 0 0 0 0 1 0\nP3: 1 0 0 -9 0 1 0 0 0 0 1 0\n", "`fy` must be a positive number"),
        ("P2: 1 2 3\n", "must have the line P2 with 12 numbers"),
        ("%YAML:1.0\n---\nK: !!opencv-matrix [\n", "must be JSON, YAML or KITTI's text"),
        ("K: !!python/object/apply:os.system ['true']", "must be JSON, YAML or KITTI's text"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path / "camera.yaml", text)
    with pytest.raises(DataError) as caught:
        read_camera_file(path, SIZE)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
