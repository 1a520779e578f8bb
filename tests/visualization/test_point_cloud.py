"""Point clouds: geometry against closed form, and the PLY file by an independent reader."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multisigma.datasets.frame import Camera
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.scene import SceneInstance
from multisigma.datasets.transform import Transform
from multisigma.errors import MultisigmaError
from multisigma.models import ScenePrediction
from multisigma.tasks import DepthResult, InstanceResult, SemanticResult
from multisigma.tasks.instance import PredictedInstance
from multisigma.visualization.point_cloud import sight_angles

CAR, ROAD, SKY = 26, 7, 23
CAMERA = Camera(0.2, 80.0, 60.0, 14.5, 3.25)
numbers = st.floats(0.5, 2)


def read_ply(content: bytes) -> np.ndarray:
    """Read a binary PLY file by its own header, as the format's description has it."""
    header, body = content.split(b"end_header\n", 1)
    lines = header.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    (count,) = (int(line.split()[2]) for line in lines if line.startswith("element vertex "))
    types = {"float": "<f4", "uchar": "|u1", "int": "<i4"}
    columns = [(line.split()[2], types[line.split()[1]]) for line in lines if line.startswith("property ")]
    assert len(body) == count * np.dtype(columns).itemsize
    return np.frombuffer(body, columns)


def scene(disparity: np.ndarray, camera: Camera | None = CAMERA, noise_scale: float | None = 0.5) -> ScenePrediction:
    """A car of 2x2 pixels at row 4, column 6, on a road below one row of sky."""
    height, width = disparity.shape
    ids = np.full((height, width), ROAD, np.uint8)
    ids[0], ids[4:6, 6:8] = SKY, CAR
    region = SceneInstance(CAR, 0.75, 4, 6, np.array([[True, True], [True, False]]))
    car = PredictedInstance(region, "car", (height, width), (6.5, 4.5))
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    results: dict[str, Any] = {
        "semantic": SemanticResult(ids, np.full((height, width), 0.9, np.float32)),
        "instance": InstanceResult(np.zeros((2, height, width), np.float32), [car]),
        "depth": DepthResult(disparity, camera, noise_scale),
    }
    return ScenePrediction(image, results, [], CITYSCAPES, camera)


def ramp(height: int = 8, width: int = 30) -> np.ndarray:
    """The disparity of a plane."""
    return np.add.outer(0.5 + 0.1 * np.arange(height), 0.01 * np.arange(width)).astype(np.float32)


def test_each_pixel_has_its_point_and_labels() -> None:
    found = scene(ramp())
    cloud = found.point_cloud(interval=0.9, farthest=None, max_angle=None)
    table = read_ply(cloud.to_ply())
    assert len(cloud) == len(table) == 7 * 30
    columns, rows = cloud.pixels.T
    # Closed form: a point lies where the line through its pixel's centre meets its depth.
    z = 0.2 * 80 / ramp()[rows, columns]
    np.testing.assert_allclose(table["z"], z, rtol=1e-6)
    np.testing.assert_allclose(table["x"], z * (columns - 14.5) / 80, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(table["y"], z * (rows - 3.25) / 60, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(
        np.stack([table[c] for c in ("red", "green", "blue")], -1), found.image[rows, columns]
    )
    car = (rows == 4) & np.isin(columns, (6, 7)) | (rows == 5) & (columns == 6)
    np.testing.assert_array_equal(table["instance"], car)
    np.testing.assert_array_equal(table["score"], np.where(car, 0.75, 0.9).astype(np.float32))
    np.testing.assert_array_equal(table["class"] == CAR, car | (rows == 5) & (columns == 7))
    nearest, farthest = found["depth"].interval(0.9)
    np.testing.assert_array_equal(table["nearest"], nearest[rows, columns])
    np.testing.assert_array_equal(table["farthest"], farthest[rows, columns])
    assert b"comment class 26 car\n" in cloud.to_ply()
    few = cloud.chosen(table["instance"] == 1)
    assert len(few) == 3
    np.testing.assert_array_equal(few.table(), table[car])


@given(
    x=numbers, y=numbers, left=st.integers(-5, 9), top=st.integers(-5, 9), u0=st.floats(-9, 40), v0=st.floats(-9, 40)
)
def test_intrinsics_follow_resize_and_crop(x: float, y: float, left: int, top: int, u0: float, v0: float) -> None:
    """A point of space falls on the pixel where resizing and cropping move its old pixel."""
    camera = Camera(0.2, 50.0, 55.0, u0, v0)
    points = camera.back_project(np.full((8, 9), 3.0) + np.arange(9)).astype(float)
    rows, columns = np.mgrid[:8, :9]
    np.testing.assert_allclose(camera.project(points), np.stack([columns, rows], -1), atol=1e-4)
    small = camera.resized(x, y).cropped(left, top)
    moved = np.stack([(columns + 0.5) * x - 0.5 - left, (rows + 0.5) * y - 0.5 - top], -1)
    np.testing.assert_allclose(small.project(points), moved, atol=1e-4)
    transform = Transform(False, 16, 27, top, left, 5, 6)
    warped = camera.warp(transform, (8, 9)).project(points)
    places = [transform.point(c, r, (8, 9)) for r, c in np.ndindex(8, 9)]
    np.testing.assert_allclose(warped.reshape(-1, 2), places, atol=1e-4)


@given(degrees=st.floats(1, 170), width=st.integers(1, 4000))
def test_field_of_view(degrees: float, width: int) -> None:
    camera = Camera.from_field_of_view(degrees, (10, width), 0.2)
    edges = (np.array([-0.5, width - 0.5]) - camera.u0) / camera.fx
    assert np.degrees(np.diff(np.arctan(edges))) == pytest.approx(degrees, rel=1e-6)
    assert camera.project(np.array([0, 0, 1])).tolist() == [(width - 1) / 2, 4.5]


@pytest.mark.parametrize("degrees", [0, 180, -5, float("nan")])
def test_field_of_view_out_of_range(degrees: float) -> None:
    with pytest.raises(MultisigmaError, match="must be above 0 and below 180"):
        Camera.from_field_of_view(degrees, (10, 10), 0.2)


def test_points_between_objects_are_left_out() -> None:
    """A pole at 5 m before a wall at 20 m, whose disparities are blurred into each other over three pixels."""
    disparity = np.full((12, 40), 4.0, np.float32)
    disparity[:, 10:14] = 16.0
    for offset, share in ((1, 0.75), (2, 0.5), (3, 0.25)):
        disparity[:, 13 + offset] = disparity[:, 10 - offset] = 4 + 12 * share
    found = scene(disparity, Camera(0.2, 400.0, 400.0, 19.5, 5.5))
    every, kept = found.point_cloud(max_angle=None), found.point_cloud()
    floating = (every.points[:, 2] > 5.01) & (every.points[:, 2] < 19.99)
    assert floating.sum() == 11 * 6
    depths = np.round(kept.points[:, 2])
    assert set(depths.tolist()) == {5, 20}
    # The pole keeps its middle, and the wall all but two columns at each side.
    assert (depths == 5).sum() == 11 * 2
    assert (depths == 20).sum() == 11 * (40 - 12)


@given(angle=st.floats(5, 88), distance=st.floats(2, 30))
def test_angle_of_a_tilted_wall(angle: float, distance: float) -> None:
    """Its normal lies in the plane of a row. In the middle column the line of sight is the camera's axis."""
    focal, baseline = 500.0, 0.2
    x = (np.arange(5) - 2) / focal
    depth = distance / (1 + x * np.tan(np.radians(angle)))
    disparity = np.tile(baseline * focal / depth, (5, 1)).astype(np.float32)
    assert sight_angles(disparity, focal)[2, 2] == pytest.approx(angle, abs=0.5)


def test_what_has_no_depth_has_no_point() -> None:
    disparity = ramp()
    disparity[2] = 0
    assert 2 not in scene(disparity).point_cloud(farthest=None, max_angle=None).pixels[:, 1]
    # 16 / 0.8 is 20 m.
    near = scene(ramp()).point_cloud(farthest=20, max_angle=None)
    assert near.points[:, 2].max() <= 20
    assert len(near) == (ramp()[1:] >= np.float32(0.8)).sum()
    assert read_ply(scene(np.zeros((8, 30), np.float32)).point_cloud().to_ply()).shape == (0,)


def test_errors() -> None:
    with pytest.raises(MultisigmaError, match=r"Found no camera\. Give a camera file or a field of view"):
        scene(ramp(), camera=None).point_cloud()
    found = scene(ramp())
    without = ScenePrediction(found.image, {"semantic": found["semantic"]}, [], CITYSCAPES, CAMERA)
    with pytest.raises(MultisigmaError, match="Found no task 'depth' in the model"):
        without.point_cloud()
    with pytest.raises(MultisigmaError, match="must have a scale that was measured"):
        scene(ramp(), noise_scale=None).point_cloud(interval=0.9)
