"""The paired transform: properties that hold for every frame and every transform."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from multisigma.datasets.augment import AugmentSettings, apply_transform, draw_transform
from multisigma.datasets.fields import InstanceMap, instance_centroids
from multisigma.datasets.frame import Camera, Frame, instance_vectors
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.transform import Transform
from multisigma.errors import MultisigmaError
from tests.frames import array, centroids, class_ids, disparity, frame_of, instance_ids

sizes = st.tuples(st.integers(2, 24), st.integers(2, 24))


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """A frame with a few rectangles as instances, of which later ones cover and split earlier ones."""
    height, width = draw(sizes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    instances = rng.choice(np.array([0, 7, 26], dtype=np.int32), (height, width))
    for instance in (26000, 26001, 24000, 29000):
        top, bottom = sorted(rng.integers(0, height + 1, 2))
        left, right = sorted(rng.integers(0, width + 1, 2))
        instances[top:bottom, left:right] = instance
    disparity = rng.uniform(0, 100, (height, width)).astype(np.float32)
    disparity[rng.random((height, width)) < 0.2] = np.nan
    return frame_of(
        name="aachen_000000_000019",
        image=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        labels=np.where(instances >= 1000, instances // 1000, instances).astype(np.uint8),
        instances=instances,
        disparity=disparity,
        camera=Camera(baseline=0.2, fx=30, fy=31, u0=width / 2, v0=height / 3),
    )


transforms = st.builds(
    Transform,
    flip=st.booleans(),
    height=st.integers(1, 48),
    width=st.integers(1, 48),
    top=st.integers(-40, 50),
    left=st.integers(-40, 50),
    crop_height=st.integers(1, 40),
    crop_width=st.integers(1, 40),
)


def whole(height: int, width: int, flip: bool = False) -> Transform:
    """A transform without crop."""
    return Transform(flip, height, width, 0, 0, height, width)


def traced(frame: Frame, transform: Transform) -> np.ndarray:
    """For every pixel of the result, the flat index of its source pixel; -1 in padding."""
    height, width = frame.size
    index = np.arange(1, height * width + 1, dtype=np.int32).reshape(height, width)
    return instance_ids(apply_transform(Frame("x", {"instance": InstanceMap(index, {})}), transform)) - 1


@given(frames(), transforms)
def test_vectors_point_at_the_transformed_centroid(frame: Frame, transform: Transform) -> None:
    height, width = frame.size
    moved = apply_transform(frame, transform)
    vectors = instance_vectors(moved)
    assert vectors.shape == (2, transform.crop_height, transform.crop_width)
    assert vectors.dtype == np.float32
    for row, column in np.ndindex(*instance_ids(moved).shape):
        instance = int(instance_ids(moved)[row, column])
        if instance not in centroids(frame):
            assert np.isnan(vectors[:, row, column]).all()
            continue
        # Pixel edges, unlike pixel centres, scale about the image's corner.
        x_edge = (centroids(frame)[instance][0] + 0.5) / width
        y_edge = (centroids(frame)[instance][1] + 0.5) / height
        x = ((1 - x_edge) if transform.flip else x_edge) * transform.width - 0.5 - transform.left
        y = y_edge * transform.height - 0.5 - transform.top
        assert vectors[:, row, column] + (column, row) == pytest.approx((x, y), abs=1e-4)


@given(frames(), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_centroids_are_those_of_the_enlarged_pixels(frame: Frame, down: int, right: int, flip: bool) -> None:
    # Enlarging by whole numbers repeats every pixel alike, so the pixels themselves tell the centroid.
    height, width = frame.size
    moved = apply_transform(frame, whole(height * down, width * right, flip))
    expected = instance_centroids(instance_ids(moved), CITYSCAPES.instance_ids)
    assert centroids(moved).keys() == expected.keys()
    for instance, centroid in expected.items():
        assert centroids(moved)[instance] == pytest.approx(centroid)


@given(frames(), transforms)
def test_centroids_are_kept_for_what_the_crop_shows(frame: Frame, transform: Transform) -> None:
    moved = apply_transform(frame, transform)
    assert centroids(moved).keys() == centroids(frame).keys() & set(instance_ids(moved).ravel().tolist())


@given(frames())
def test_flip_twice_is_the_identity(frame: Frame) -> None:
    height, width = frame.size
    flip = whole(height, width, flip=True)
    once = apply_transform(frame, flip)
    twice = apply_transform(once, flip)
    np.testing.assert_array_equal(class_ids(once), np.fliplr(class_ids(frame)))
    for field in frame.fields:
        np.testing.assert_array_equal(array(twice, field), array(frame, field))
    assert centroids(twice).keys() == centroids(frame).keys()
    for instance, centroid in centroids(frame).items():
        assert centroids(twice)[instance] == pytest.approx(centroid)
    assert frame.camera is not None
    assert twice.camera is not None
    assert twice.camera.u0 == pytest.approx(frame.camera.u0)


@given(frames(), transforms)
def test_all_labels_come_from_one_and_the_nearest_pixel(frame: Frame, transform: Transform) -> None:
    height, width = frame.size
    moved = apply_transform(frame, transform)
    source = traced(frame, transform)
    padded = source < 0
    np.testing.assert_array_equal(class_ids(moved), np.where(padded, 0, class_ids(frame).ravel()[source]))
    np.testing.assert_array_equal(instance_ids(moved), np.where(padded, 0, instance_ids(frame).ravel()[source]))
    ratios = np.where(padded, np.nan, disparity(frame).ravel()[source] / width)
    np.testing.assert_allclose(disparity(moved) / transform.width, ratios, rtol=1e-5)
    assert (moved.image[padded] == (124, 116, 104)).all()

    for row, column in np.ndindex(*source.shape):
        y, x = row + transform.top, column + transform.left
        assert padded[row, column] == (not (0 <= y < transform.height and 0 <= x < transform.width))
        if not padded[row, column]:
            x = transform.width - 1 - x if transform.flip else x
            for position, size, scaled, chosen in (
                (y, height, transform.height, source[row, column] // width),
                (x, width, transform.width, source[row, column] % width),
            ):
                assert abs((position + 0.5) * size / scaled - (chosen + 0.5)) <= 0.5 + 1e-9


@given(frames(), transforms)
def test_labels_are_a_subset(frame: Frame, transform: Transform) -> None:
    moved = apply_transform(frame, transform)
    for field in ("semantic", "instance"):
        assert set(array(moved, field).ravel()) <= set(array(frame, field).ravel()) | {0}


@given(frames(), transforms)
def test_image_and_labels_stay_aligned(frame: Frame, transform: Transform) -> None:
    # Every pixel's colour tells its place: red 10 times its column, green 10 times its row.
    height, width = frame.size
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[:, :, 0] = 10 * np.arange(width)
    image[:, :, 1] = 10 * np.arange(height)[:, None]
    source = traced(frame, transform)
    moved = apply_transform(frame_of(image=image), transform).image[source >= 0].astype(float)
    source = source[source >= 0]
    assert np.all(np.abs(moved[:, 0] / 10 - source % width) <= 0.5 + 0.1)
    assert np.all(np.abs(moved[:, 1] / 10 - source // width) <= 0.5 + 0.1)


def test_shrinking_averages_the_image() -> None:
    # Stripes finer than the new pixels become grey; taken by nearest or bilinearly they would stay striped.
    image = np.zeros((8, 64, 3), dtype=np.uint8)
    image[:, ::4] = 255
    frame = frame_of(image=image)
    assert np.unique(apply_transform(frame, whole(2, 16)).image).tolist() == [64]


@given(frames(), transforms, st.floats(-20, 20), st.floats(-20, 20), st.floats(0.5, 50))
def test_camera_projects_points_to_where_their_pixels_went(
    frame: Frame, transform: Transform, x: float, y: float, z: float
) -> None:
    height, width = frame.size
    camera, moved = frame.camera, apply_transform(frame, transform).camera
    assert camera is not None
    assert moved is not None
    u, v = camera.fx * x / z + camera.u0, camera.fy * y / z + camera.v0
    u_edge, v_edge = (u + 0.5) / width, (v + 0.5) / height
    mirror = -1 if transform.flip else 1
    u_edge = 1 - u_edge if transform.flip else u_edge
    assert moved.fx * mirror * x / z + moved.u0 == pytest.approx(u_edge * transform.width - 0.5 - transform.left)
    assert moved.fy * y / z + moved.v0 == pytest.approx(v_edge * transform.height - 0.5 - transform.top)
    # Depth is baseline * fx / disparity; both factors scale alike.
    assert moved.baseline * moved.fx / transform.width == pytest.approx(camera.baseline * camera.fx / width)


@given(frames(), transforms)
def test_arrays_are_contiguous_and_typed_and_the_source_untouched(frame: Frame, transform: Transform) -> None:
    image = frame.image.copy()
    moved = apply_transform(frame, transform)
    for field, dtype in (
        ("image", np.uint8),
        ("semantic", np.uint8),
        ("instance", np.int32),
        ("disparity", np.float32),
    ):
        after = array(moved, field)
        assert after.shape[:2] == (transform.crop_height, transform.crop_width)
        assert after.flags.c_contiguous
        assert after.dtype == dtype
        assert not np.shares_memory(after, array(frame, field))
    np.testing.assert_array_equal(frame.image, image)


@given(frames(), transforms)
def test_what_is_not_labelled_stays_so(frame: Frame, transform: Transform) -> None:
    bare = frame_of(frame.name, frame.image)
    moved = apply_transform(bare, transform)
    np.testing.assert_array_equal(moved.image, apply_transform(frame, transform).image)
    assert list(moved.fields) == ["image"]
    assert moved.camera is None
    with pytest.raises(ValueError, match="no instance labels"):
        instance_vectors(moved)


class TestDrawing:
    @given(sizes, sizes, st.floats(0.1, 3), st.floats(0.1, 3), st.integers(0, 2**32))
    def test_crop_lies_in_the_frame_or_the_frame_in_the_crop(
        self, size: tuple[int, int], crop: tuple[int, int], low: float, high: float, seed: int
    ) -> None:
        assume(low <= high)
        drawn = draw_transform(AugmentSettings(0.5, (low, high), crop), *size, np.random.default_rng(seed))
        assert drawn == draw_transform(AugmentSettings(0.5, (low, high), crop), *size, np.random.default_rng(seed))
        assert (drawn.crop_height, drawn.crop_width) == crop
        for old, new, begin, length in (
            (size[0], drawn.height, drawn.top, drawn.crop_height),
            (size[1], drawn.width, drawn.left, drawn.crop_width),
        ):
            assert max(math.floor(old * low), 1) <= new <= math.ceil(old * high)
            assert min(0, new - length) <= begin <= max(0, new - length)
            assert length > new or begin >= 0

    def test_without_crop_the_whole_frame_is_kept(self) -> None:
        drawn = draw_transform(AugmentSettings(0, (2, 2)), 10, 20, np.random.default_rng(0))
        assert drawn == Transform(False, 20, 40, 0, 0, 20, 40)

    @pytest.mark.parametrize("crop", [(6, 6), (14, 14)])
    def test_positions_and_flips_are_uniform(self, crop: tuple[int, int]) -> None:
        rng = np.random.default_rng(0)
        drawn = [draw_transform(AugmentSettings(0.25, (1, 1), crop), 10, 10, rng) for _ in range(5000)]
        assert np.mean([transform.flip for transform in drawn]) == pytest.approx(0.25, abs=0.03)
        for offsets in ([transform.top for transform in drawn], [transform.left for transform in drawn]):
            values, counts = np.unique(offsets, return_counts=True)
            assert values.tolist() == ([0, 1, 2, 3, 4] if crop == (6, 6) else [-4, -3, -2, -1, 0])
            assert counts / 5000 == pytest.approx(0.2, abs=0.03)

    def test_scale_is_uniform(self) -> None:
        rng = np.random.default_rng(0)
        widths = [draw_transform(AugmentSettings(), 1000, 1000, rng).width for _ in range(5000)]
        assert np.quantile(widths, [0, 0.25, 0.5, 0.75, 1]) == pytest.approx([700, 1025, 1350, 1675, 2000], abs=30)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"flip": 1.1}, "flip"),
            ({"flip": math.nan}, "flip"),
            ({"scale": (2.0, 0.7)}, "scale"),
            ({"scale": (0.0, 1.0)}, "scale"),
            ({"scale": (1.0, math.inf)}, "scale"),
            ({"crop": (0, 256)}, "crop"),
        ],
    )
    def test_values_out_of_range(self, arguments: dict[str, object], message: str) -> None:
        with pytest.raises(MultisigmaError, match=f"`{message}` must be .* Found"):
            AugmentSettings(**arguments)  # type: ignore[arg-type]
