"""Procedural streets: one frame, and the renderer held against closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from multisigma.datasets.frame import Camera
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.labels import LABELS
from multisigma.errors import MultisigmaError
from multisigma.synthetic import StreetFrame, StreetSettings, make_frame, vegetation, vehicles
from multisigma.synthetic import materials as m
from multisigma.synthetic.camera import BRIGHTEST, STEPS, Response, exposure, photograph, random_response
from multisigma.synthetic.frames import View
from multisigma.synthetic.shapes import Geometry

ID = {label.name: label.id for label in LABELS}
SETTINGS = StreetSettings(128, 256, 0)


@cache
def frame(index: int) -> StreetFrame:
    return make_frame(SETTINGS, "train", index)


def frames() -> list[StreetFrame]:
    return [frame(index) for index in range(40)]


# One frame


def test_frame_is_a_function_of_its_arguments() -> None:
    again = make_frame(SETTINGS, "train", 3)
    for field in ("left", "right", "labels", "instances", "disparity", "exact_disparity"):
        np.testing.assert_array_equal(getattr(frame(3), field), getattr(again, field))


@pytest.mark.parametrize(("split", "index", "seed"), [("val", 3, 0), ("train", 4, 0), ("train", 3, 1)])
def test_split_index_and_seed_each_make_another_frame(split: str, index: int, seed: int) -> None:
    other = make_frame(StreetSettings(128, 256, seed, matching=False), split, index)
    assert (other.left != frame(3).left).mean() > 0.5


def test_no_frame_is_black_or_white() -> None:
    for one in frames():
        assert 25 < one.left.mean() < 230
        assert one.left.std() > 15


def test_global_random_state_is_neither_used_nor_moved() -> None:
    np.random.seed(1)  # noqa: NPY002 - the global state is the subject
    before = np.random.get_state()[1]  # noqa: NPY002
    again = make_frame(SETTINGS, "train", 3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.testing.assert_array_equal(again.left, frame(3).left)


@pytest.mark.parametrize(("height", "width"), [(64, 128), (101, 203), (300, 200)])
def test_any_size(height: int, width: int) -> None:
    f = make_frame(StreetSettings(height, width), "val", 0)
    assert f.left.shape == f.right.shape == (height, width, 3)
    assert f.left.dtype == f.right.dtype == np.uint8
    for field, dtype in (
        ("labels", np.uint8),
        ("instances", np.int32),
        ("disparity", np.float32),
        ("exact_disparity", np.float32),
    ):
        assert getattr(f, field).shape == (height, width)
        assert getattr(f, field).dtype == dtype


def test_size_does_not_change_the_scene() -> None:
    small, large = frame(5), make_frame(StreetSettings(256, 512, 0, matching=False), "train", 5)
    # Pixel (x, y) of the small image looks where (2 x, 2 y) of the large one does.
    same = small.labels == large.labels[::2, ::2]
    # Leaves and bars finer than a pixel are drawn by its size.
    assert same[4:-4, 4:-4].mean() > 0.95


def test_camera_is_that_of_cityscapes_scaled_to_the_width() -> None:
    camera = frame(0).camera
    assert camera.fx == camera.fy == pytest.approx(2262 / 8, rel=0.01)
    assert (camera.u0, camera.v0) == pytest.approx((1096 / 8, 513 / 8), rel=0.02)
    assert camera.baseline == pytest.approx(0.21, abs=0.02)
    assert all(1.1 <= f.height <= 1.7 for f in frames())
    assert len({f.height for f in frames()}) == len({f.pitch for f in frames()}) == 40


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"height": 63}, "63"),
        ({"width": 0}, "0"),
        ({"height": -5}, "-5"),
        ({"width": 4096}, "4096"),
        ({"seed": -1}, "-1"),
    ],
)
def test_silly_settings(arguments: dict[str, int], found: str) -> None:
    with pytest.raises(MultisigmaError, match=f"Found {found}"):
        StreetSettings(**arguments)  # type: ignore[arg-type]


def test_unknown_split_and_negative_index() -> None:
    with pytest.raises(MultisigmaError, match="'test'"):
        make_frame(SETTINGS, "test", 0)
    with pytest.raises(MultisigmaError, match="-1"):
        make_frame(SETTINGS, "train", -1)


# Labels


def test_every_class_occurs_and_frequencies_are_near_the_real_ones() -> None:
    counts = sum(np.bincount(CITYSCAPES.train_ids_of_ids[f.labels].ravel(), minlength=256)[:19] for f in frames())
    assert isinstance(counts, np.ndarray)
    share = dict(zip((c.name for c in CITYSCAPES.train_classes), counts / counts.sum(), strict=True))
    # The rarest are seen in one frame of ten or less: their presence in 40 frames is all that can be asked.
    assert all(value > 0 for value in share.values()), share
    real = {
        "road": 0.37,
        "sidewalk": 0.06,
        "building": 0.23,
        "vegetation": 0.16,
        "car": 0.07,
        "person": 0.012,
        "pole": 0.012,
    }
    for name, expected in real.items():
        assert expected / 3 < share[name] < expected * 3, (name, share[name])


def test_instance_ids_follow_the_raw_convention() -> None:
    carriers = [label.id for label in LABELS if label.has_instances and label.id >= 0]
    for f in frames():
        single = f.instances >= 1000
        np.testing.assert_array_equal(np.where(single, f.instances // 1000, f.instances), f.labels)
        assert np.isin(f.labels[single], carriers).all()
        for label in np.unique(f.labels[single]):
            numbers = np.unique(f.instances[single & (f.labels == label)]) % 1000
            # The rim that is painted over can hide one of them.
            assert numbers.max() <= len(numbers) + 1


def test_numbers_of_instances_vary_about_those_of_real_streets() -> None:
    counts = [len(np.unique(f.instances[f.instances >= 1000])) for f in frames()]
    assert 8 < np.mean(counts) < 28
    assert np.std(counts) > 3


def test_groups_occur_as_a_class_id_alone() -> None:
    assert any((f.instances == ID["person"]).any() for f in frames())


def test_things_in_front_split_cars() -> None:
    """Figure 4 of the paper: one instance, several parts of the image."""
    split = 0
    for f in frames():
        for number in np.unique(f.instances[f.instances // 1000 == ID["car"]]):
            parts = cv2.connectedComponentsWithStats((f.instances == number).astype(np.uint8), connectivity=8)[2][
                1:, cv2.CC_STAT_AREA
            ]
            split += (parts >= 12).sum() >= 2
    assert split >= 8


def test_rim_and_bonnet_are_void() -> None:
    bonnets = [(f.labels == ID["ego vehicle"]).mean() for f in frames()]
    for f in frames():
        assert (f.labels[:, 0] == ID["out of roi"])[:-1].all()
        assert (f.labels[-1] == ID["rectification border"]).all()
    # Not every camera sees its own car.
    assert 0.2 < np.mean(np.array(bonnets) > 0) < 0.7
    assert max(bonnets) < 0.15


def test_the_camera_changes_pictures_and_not_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = frame(3)  # before the camera is replaced: other tests share it
    grey = Response(np.full(BRIGHTEST * STEPS, 77.0), np.ones(3), 1.0, 0.0, 0.0, 0.3, 0.0)
    monkeypatch.setattr("multisigma.synthetic.scene.random_response", lambda rng: (random_response(rng), grey)[1])
    other = make_frame(SETTINGS, "train", 3)
    assert (other.left == 77).all()
    for field in ("labels", "instances", "exact_disparity"):
        np.testing.assert_array_equal(getattr(usual, field), getattr(other, field))


# Depth


def test_exact_disparity_is_nan_in_the_sky_only() -> None:
    for f in frames():
        inner = np.s_[2:-2, 2:-2]
        np.testing.assert_array_equal(np.isnan(f.exact_disparity[inner]), f.labels[inner] == ID["sky"])


def test_disparity_of_the_road_follows_height_and_pitch() -> None:
    """d = b f / Z, where the road is a plane below the camera; roll, bend and rise leave a few per cent."""
    for f in frames():
        c = f.camera
        rows, columns = np.nonzero((f.labels == ID["road"]) & (f.exact_disparity > 0.03 * f.labels.shape[1]))
        y = (rows - c.v0) / c.fy
        x = (columns - c.u0) / c.fx
        down = math.cos(f.pitch) * (math.sin(f.roll) * -x + math.cos(f.roll) * y) - math.sin(f.pitch)
        expected = c.baseline * c.fx * down / f.height
        np.testing.assert_allclose(f.exact_disparity[rows, columns], expected, rtol=0.04)


def warped(f: StreetFrame) -> NDArray[np.uint8]:
    """The right image brought onto the left one by the exact disparity."""
    height, width = f.labels.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.asarray(
        cv2.remap(f.right, x - np.nan_to_num(f.exact_disparity), y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def test_both_views_show_one_scene() -> None:
    for f in frames()[:12]:
        error = np.abs(warped(f).astype(float) - f.left).mean(-1)
        unmoved = np.abs(f.right.astype(float) - f.left).mean(-1)
        road = f.labels == ID["road"]
        # Surfaces hidden from the right camera and mirrored sky differ: the median tells of the others.
        assert np.median(error) < 6.0
        assert np.median(error[road]) < 6.0
        assert error.mean() < 0.7 * unmoved.mean()


def test_matching_has_holes_and_is_right_elsewhere() -> None:
    valid, errors = [], []
    for index in range(6):
        f = make_frame(StreetSettings(256, 512), "val", index)
        matched = np.isfinite(f.disparity) & (f.labels != ID["ego vehicle"])
        truth = np.nan_to_num(f.exact_disparity)
        valid.append(np.isfinite(f.disparity).mean())
        errors.append(np.abs(f.disparity - truth)[matched])
    error = np.concatenate(errors)
    assert 0.6 < np.mean(valid) < 0.99
    assert np.median(error) < 0.5
    assert (error > 3).mean() < 0.08


def test_no_matching_when_not_asked_for() -> None:
    assert np.isnan(make_frame(StreetSettings(64, 128, 0, matching=False), "train", 0).disparity).all()


# The renderer alone

CAMERA = Camera(0.2, 100.0, 100.0, 49.5, 29.5)


def render(geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    # Camera axes with y up, at the origin, looking along +z.
    view = View(geometry.mesh(), CAMERA, np.zeros(3), np.diag([1.0, -1.0, 1.0]), (60, 100))
    return view.visible(1)


def rays() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.mgrid[:60, :100].astype(float)
    return (x - CAMERA.u0) / CAMERA.fx, -(y - CAMERA.v0) / CAMERA.fy


def test_plane_reaching_behind_the_camera() -> None:
    g = Geometry()
    g.begin("road")
    g.quads([[[-900, -1.5, -50], [900, -1.5, -50], [900, -1.5, 4000], [-900, -1.5, 4000]]], m.PLAIN, (0.5, 0.5, 0.5))
    inverse_depth, ids = render(g)
    _, up = rays()
    below = up < -1.5 / 4000
    np.testing.assert_array_equal(ids >= 0, below)
    np.testing.assert_allclose(inverse_depth[below], (-up / 1.5)[below], rtol=1e-9)


def test_box_against_ray_casting() -> None:
    g = Geometry()
    g.begin("building")
    centre, size = np.array([0.4, -0.3, 8.0]), np.array([2.0, 1.5, 3.0])
    g.box(centre, size, m.PLAIN, (0.5, 0.5, 0.5))
    inverse_depth, ids = render(g)
    x, y = rays()
    direction = np.stack([x, y, np.ones_like(x)], -1)
    near, far = (centre - size / 2) / direction, (centre + size / 2) / direction
    enter, leave = np.minimum(near, far).max(-1), np.maximum(near, far).min(-1)
    np.testing.assert_array_equal(ids >= 0, enter <= leave)
    np.testing.assert_allclose(inverse_depth[ids >= 0], 1 / enter[ids >= 0], rtol=1e-9)


def test_ellipsoid_against_ray_casting() -> None:
    g = Geometry()
    g.begin("car")
    centre, radii = np.array([-0.5, 0.2, 6.0]), np.array([1.2, 0.6, 0.9])
    with g.place(*centre, yaw=0.7):  # type: ignore[misc]
        g.ellipsoid((0, 0, 0), radii, m.PLAIN, (0.5, 0.5, 0.5))
    inverse_depth, ids = render(g)
    x, y = rays()
    # Into the ellipsoid's axes, where it is a unit ball.
    turn = np.array([[math.cos(0.7), 0, -math.sin(0.7)], [0, 1, 0], [math.sin(0.7), 0, math.cos(0.7)]])
    d = np.stack([x, y, np.ones_like(x)], -1) @ turn.T / radii
    o = -(turn @ centre) / radii
    a, b, c = (d * d).sum(-1), d @ o, o @ o - 1
    hit = b * b - a * c >= 0
    np.testing.assert_array_equal(ids >= 0, hit)
    z = (-b[hit] - np.sqrt((b * b - a * c)[hit])) / a[hit]
    np.testing.assert_allclose(inverse_depth[hit], 1 / z, rtol=1e-9)


def test_the_nearer_surface_is_seen() -> None:
    g = Geometry()
    for label, z in (("wall", 5.0), ("car", 3.0), ("building", 9.0)):
        g.begin(label)
        size = z / 5
        g.quads([[[-size, -size, z], [size, -size, z], [size, size, z], [-size, size, z]]], m.PLAIN, (0.5, 0.5, 0.5))
    g.begin("person", instance=True)
    g.ellipsoid((0, 0, 2.0), (0.1, 0.1, 0.1), m.PLAIN, (0.5, 0.5, 0.5))
    mesh = g.mesh()
    _, ids = render(g)
    assert mesh.object_label[mesh.objects[ids[30, 50]]] == ID["person"]
    assert mesh.object_label[mesh.objects[ids[20, 50]]] == ID["car"]
    assert mesh.object_is_instance.tolist() == [False, False, False, True]


def seen(geometry: Geometry, whole: bool) -> NDArray[np.bool_]:
    """Where something is seen on samples of half a pixel."""
    view = View(geometry.mesh(), CAMERA, np.zeros(3), np.diag([1.0, -1.0, 1.0]), (60, 100))
    return view.visible(2, whole)[1] >= 0


def fence() -> Geometry:
    g = Geometry()
    g.begin("fence")
    corners = np.array([[-1, -1, 3], [1, -1, 3], [1, 1, 3], [-1, 1, 3]], float)
    g.quads([corners], m.FENCE, (0.2, 0.2, 0.2), corners[:, :2] + 1, (0.3, 0.3, 2.0, 0.0))
    return g


def wheel_of_a_bicycle() -> Geometry:
    g = Geometry()
    g.begin("bicycle", True)
    with g.place(0.0, -0.5, 2.0, math.pi / 2):
        vehicles.bicycle(g, np.random.default_rng(0), np.full(3, 0.5))
    return g


def winter_tree() -> Geometry:
    g = Geometry()
    g.begin("vegetation")
    with g.place(0.0, -3.0, 20.0):
        vegetation.bare_tree(g, np.random.default_rng(0), 8.0)
    return g


@pytest.mark.parametrize("thing", [fence, wheel_of_a_bicycle, winter_tree])
def test_what_one_sees_through_is_whole_in_the_labels(thing: Callable[[], Geometry]) -> None:
    picture, label = seen(thing(), False), seen(thing(), True)
    # Some twigs stick out of the crown's outline.
    assert (picture & ~label).sum() < 0.15 * label.sum()
    assert 0.2 * label.sum() < picture.sum() < 0.9 * label.sum()


# The camera


def neutral(**changes: object) -> Response:
    """A camera that shows light 0 to 1 as 0 to 255."""
    curve = 255.0 * np.clip(np.arange(BRIGHTEST * STEPS) / STEPS, 0.0, 1.0)
    settings = {
        "curve": curve, "gain": np.ones(3), "saturation": 1.0, "vignetting": 0.0, "noise": 0.0, "blur": 0.01,
        "sharpening": 0.0,
    }  # fmt: skip
    return Response(**(settings | changes))  # type: ignore[arg-type]


LIGHT = np.tile(np.linspace(0.05, 0.8, 40, dtype=np.float32)[:, None, None], (1, 60, 3)) * np.float32([1.0, 0.8, 0.6])


def test_neutral_camera_shows_the_light() -> None:
    np.testing.assert_allclose(photograph(LIGHT, neutral(), 1.0, 0), 255 * LIGHT, atol=1.0)
    np.testing.assert_allclose(photograph(LIGHT, neutral(), 0.5, 0), 127.5 * LIGHT, atol=1.0)


def test_camera_against_its_formulas() -> None:
    grey = LIGHT @ np.array([0.3, 0.59, 0.11])
    np.testing.assert_allclose(
        photograph(LIGHT, neutral(saturation=0.0), 1.0, 0), 255 * grey[..., None] * [1, 1, 1], atol=1.0
    )
    dark = photograph(LIGHT, neutral(vignetting=0.3), 1.0, 0)
    radius = (29.5**2 + 19.5**2) / 30**2
    np.testing.assert_allclose(dark[-1, 0], 255 * LIGHT[-1, 0] / (1 + 0.3 * radius) ** 2, atol=1.0)
    noisy = photograph(
        np.full((90, 90, 3), 0.01, np.float32), neutral(noise=3.0, curve=np.full(BRIGHTEST * STEPS, 85.0)), 1.0, 0
    )
    # At grey 85 of 255 the noise is three quarters of that in the dark.
    assert noisy.std() == pytest.approx(2.25, rel=0.05)
    assert noisy.mean() == pytest.approx(85, abs=0.3)


def test_exposure_is_the_same_for_any_strength_of_the_light() -> None:
    assert exposure(LIGHT) * 0.5 == pytest.approx(exposure(2 * LIGHT), rel=0.01)


@pytest.mark.parametrize("seed", range(20))
def test_every_camera_shows_more_light_brighter(seed: int) -> None:
    response = random_response(np.random.default_rng(seed))
    assert (np.diff(response.curve) >= 0).all()
    assert response.curve[0] < 20
    assert response.curve[-1] > 250
