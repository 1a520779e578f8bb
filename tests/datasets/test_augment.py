"""The paired transform: properties that hold for every frame and every transform."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from multisigma.datasets.augment import AugmentSettings, Transform, apply_transform, draw_transform
from multisigma.datasets.frame import Camera, Frame, instance_centroids, instance_vectors
from multisigma.errors import MultisigmaError

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
    return Frame(
        name="aachen_000000_000019",
        image=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        labels=np.where(instances >= 1000, instances // 1000, instances).astype(np.uint8),
        instances=instances,
        centroids=instance_centroids(instances),
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
    height, width = frame.image.shape[:2]
    index = np.arange(1, height * width + 1, dtype=np.int32).reshape(height, width)
    moved = apply_transform(replace(frame, instances=index, centroids={}), transform).instances
    assert moved is not None
    return moved - 1


@given(frames(), transforms)
def test_vectors_point_at_the_transformed_centroid(frame: Frame, transform: Transform) -> None:
    height, width = frame.image.shape[:2]
    moved = apply_transform(frame, transform)
    assert frame.centroids is not None
    assert moved.instances is not None
    vectors = instance_vectors(moved)
    assert vectors.shape == (2, transform.crop_height, transform.crop_width)
    assert vectors.dtype == np.float32
    for row, column in np.ndindex(*moved.instances.shape):
        instance = int(moved.instances[row, column])
        if instance not in frame.centroids:
            assert np.isnan(vectors[:, row, column]).all()
            continue
        # Pixel edges, unlike pixel centres, scale about the image's corner.
        x_edge = (frame.centroids[instance][0] + 0.5) / width
        y_edge = (frame.centroids[instance][1] + 0.5) / height
        x = ((1 - x_edge) if transform.flip else x_edge) * transform.width - 0.5 - transform.left
        y = y_edge * transform.height - 0.5 - transform.top
        assert vectors[:, row, column] + (column, row) == pytest.approx((x, y), abs=1e-4)


@given(frames(), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_centroids_are_those_of_the_enlarged_pixels(frame: Frame, down: int, right: int, flip: bool) -> None:
    # Enlarging by whole numbers repeats every pixel alike, so the pixels themselves tell the centroid.
    height, width = frame.image.shape[:2]
    moved = apply_transform(frame, whole(height * down, width * right, flip))
    assert moved.instances is not None
    assert moved.centroids is not None
    expected = instance_centroids(moved.instances)
    assert moved.centroids.keys() == expected.keys()
    for instance, centroid in expected.items():
        assert moved.centroids[instance] == pytest.approx(centroid)


@given(frames(), transforms)
def test_centroids_are_kept_for_what_the_crop_shows(frame: Frame, transform: Transform) -> None:
    moved = apply_transform(frame, transform)
    assert frame.centroids is not None
    assert moved.centroids is not None
    assert moved.instances is not None
    assert moved.centroids.keys() == frame.centroids.keys() & set(moved.instances.ravel().tolist())


@given(frames())
def test_flip_twice_is_the_identity(frame: Frame) -> None:
    height, width = frame.image.shape[:2]
    flip = whole(height, width, flip=True)
    once = apply_transform(frame, flip)
    twice = apply_transform(once, flip)
    assert frame.labels is not None
    assert once.labels is not None
    np.testing.assert_array_equal(once.labels, np.fliplr(frame.labels))
    for field in ("image", "labels", "instances", "disparity"):
        np.testing.assert_array_equal(getattr(twice, field), getattr(frame, field))
    assert frame.centroids is not None
    assert twice.centroids is not None
    assert twice.centroids.keys() == frame.centroids.keys()
    for instance, centroid in frame.centroids.items():
        assert twice.centroids[instance] == pytest.approx(centroid)
    assert frame.camera is not None
    assert twice.camera is not None
    assert twice.camera.u0 == pytest.approx(frame.camera.u0)


@given(frames(), transforms)
def test_all_labels_come_from_one_and_the_nearest_pixel(frame: Frame, transform: Transform) -> None:
    height, width = frame.image.shape[:2]
    moved = apply_transform(frame, transform)
    source = traced(frame, transform)
    padded = source < 0
    assert frame.labels is not None
    assert frame.instances is not None
    assert frame.disparity is not None
    np.testing.assert_array_equal(moved.labels, np.where(padded, 0, frame.labels.ravel()[source]))
    np.testing.assert_array_equal(moved.instances, np.where(padded, 0, frame.instances.ravel()[source]))
    ratios = np.where(padded, np.nan, frame.disparity.ravel()[source] / width)
    assert moved.disparity is not None
    np.testing.assert_allclose(moved.disparity / transform.width, ratios, rtol=1e-5)
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
    for field in ("labels", "instances"):
        assert set(getattr(moved, field).ravel()) <= set(getattr(frame, field).ravel()) | {0}


@given(frames(), transforms)
def test_image_and_labels_stay_aligned(frame: Frame, transform: Transform) -> None:
    # Every pixel's colour tells its place: red 10 times its column, green 10 times its row.
    height, width = frame.image.shape[:2]
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[:, :, 0] = 10 * np.arange(width)
    image[:, :, 1] = 10 * np.arange(height)[:, None]
    source = traced(frame, transform)
    moved = apply_transform(replace(frame, image=image), transform).image[source >= 0].astype(float)
    source = source[source >= 0]
    assert np.all(np.abs(moved[:, 0] / 10 - source % width) <= 0.5 + 0.1)
    assert np.all(np.abs(moved[:, 1] / 10 - source // width) <= 0.5 + 0.1)


def test_shrinking_averages_the_image() -> None:
    # Stripes finer than the new pixels become grey; taken by nearest or bilinearly they would stay striped.
    image = np.zeros((8, 64, 3), dtype=np.uint8)
    image[:, ::4] = 255
    frame = Frame("x", image, None, None, None, None, None)
    assert np.unique(apply_transform(frame, whole(2, 16)).image).tolist() == [64]


@given(frames(), transforms, st.floats(-20, 20), st.floats(-20, 20), st.floats(0.5, 50))
def test_camera_projects_points_to_where_their_pixels_went(
    frame: Frame, transform: Transform, x: float, y: float, z: float
) -> None:
    height, width = frame.image.shape[:2]
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
    for field, dtype in (("image", np.uint8), ("labels", np.uint8), ("instances", np.int32), ("disparity", np.float32)):
        array = getattr(moved, field)
        assert array.shape[:2] == (transform.crop_height, transform.crop_width)
        assert array.flags.c_contiguous
        assert array.dtype == dtype
        assert not np.shares_memory(array, getattr(frame, field))
    np.testing.assert_array_equal(frame.image, image)


@given(frames(), transforms)
def test_what_is_not_labelled_stays_so(frame: Frame, transform: Transform) -> None:
    bare = Frame(frame.name, frame.image, None, None, None, None, None)
    moved = apply_transform(bare, transform)
    np.testing.assert_array_equal(moved.image, apply_transform(frame, transform).image)
    assert moved == Frame(frame.name, moved.image, None, None, None, None, None)
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
