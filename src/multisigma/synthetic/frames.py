"""One frame of the procedural streets: the scene seen by a calibrated stereo pair, with all its labels."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.frame import Camera
from multisigma.errors import MultisigmaError
from multisigma.synthetic import materials as m
from multisigma.synthetic.camera import exposure, photograph
from multisigma.synthetic.drive import Moment, drive
from multisigma.synthetic.lighting import OPENNESS_SIZE, OPENNESS_TEXEL, SUN_DIRECTION, shade
from multisigma.synthetic.render import draw_ellipsoids, draw_shadows, draw_triangles, invert
from multisigma.synthetic.scene import Scene, make_scene
from multisigma.synthetic.shapes import LABEL_ID, Mesh
from multisigma.synthetic.stereo import match

Floats = NDArray[np.float64]
Split = Literal["train", "val"]

#: Which streets a seed makes: raised whenever a seed's pictures or labels change.
GENERATOR_VERSION = 2
SPLIT_CODES = {"train": 0, "val": 1}
MIN_SIZE = (64, 128)
MAX_SIZE = (1024, 2048)
#: Metres between the two cameras, about that of the Cityscapes car.
BASELINE = 0.22
# Focal length and principal point of the Cityscapes camera as shares of the image's width and height.
FOCAL_SHARE = 2262.0 / 2048
U0_SHARE = 1096.0 / 2048
V0_SHARE = 513.0 / 1024

SHADOW_SIZE = 768
#: What stands lower than this hides the sky from its foot alone (cars, people, walls), metres.
LOW = 3.2


@dataclass(frozen=True)
class StreetSettings:
    """What a set of frames shares.

    Args:
        height: Height of the images, pixels, 64 to 1024.
        width: Width of the images, pixels, 128 to 2048.
        seed: Seed of everything random, non-negative.
        matching: Whether `disparity` is computed by semi-global matching; without, it is all NaN.

    Raises:
        MultisigmaError: If a value is out of its range.
    """

    height: int = 256
    width: int = 512
    seed: int = 0
    matching: bool = True

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("height", self.height, MIN_SIZE[0], MAX_SIZE[0]),
            ("width", self.width, MIN_SIZE[1], MAX_SIZE[1]),
        ):
            if not low <= value <= high:
                raise MultisigmaError(
                    f"The {name} of the street images should be {low} to {high} pixels. Found {value}. "
                    "Choose a size from "
                    f"{MIN_SIZE[0]}x{MIN_SIZE[1]} to {MAX_SIZE[0]}x{MAX_SIZE[1]}."
                )
        if self.seed < 0:
            raise MultisigmaError(f"The seed of the street generator should be non-negative. Found {self.seed}.")


@dataclass(frozen=True)
class StreetFrame:
    """A rendered frame.

    Args:
        left: RGB image (H, W, 3).
        right: RGB image (H, W, 3) from the camera `camera.baseline` metres to the right.
        labels: Raw Cityscapes label ids (H, W) of the left image's pixel centres.
        instances: Raw instance ids (H, W): label id * 1000 + number, or the label id alone for stuff and groups.
        disparity: Disparity (H, W) by semi-global matching, pixels, NaN where there is none and on the car's own
            bonnet.
        exact_disparity: Disparity (H, W) from the geometry at the pixel centres, pixels, NaN in the sky.
        camera: The left camera, at this size.
        height: Height of the camera above the road, metres.
        pitch: Its upward tilt, radians.
        roll: Its tilt to the side, radians.
        yaw: Its turn to the right, radians.
        position: Its position in the world of the scene (x right, y up, z along the street), metres; shape (3,).
    """

    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    instances: NDArray[np.int32]
    disparity: NDArray[np.float32]
    exact_disparity: NDArray[np.float32]
    camera: Camera
    height: float
    pitch: float
    roll: float
    yaw: float
    position: Floats


def camera_of(settings: StreetSettings) -> Camera:
    """The left camera: that of Cityscapes, scaled to the images' width."""
    focal = FOCAL_SHARE * settings.width
    return Camera(BASELINE, focal, focal, U0_SHARE * settings.width, V0_SHARE * settings.height)


def _turn(pitch: float, roll: float, yaw: float) -> Floats:
    """Rotation (3, 3) from camera axes (y down, z forward) to world axes (y up, z along the street)."""
    cp, sp, cr, sr, cy, sy = (f(a) for a in (pitch, roll, yaw) for f in (math.cos, math.sin))
    flip = np.diag([1.0, -1.0, 1.0])
    rolled = np.array([[cr, -sr, 0.0], [sr, cr, 0.0], [0.0, 0.0, 1.0]])
    pitched = np.array([[1.0, 0.0, 0.0], [0.0, cp, sp], [0.0, -sp, cp]])
    turned = np.array([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]])
    return np.asarray(turned @ pitched @ rolled @ flip)


class View:
    """A mesh seen by a pinhole camera at `position` (3,), turned by `to_world` (3, 3)."""

    def __init__(self, mesh: Mesh, camera: Camera, position: Floats, to_world: Floats, size: tuple[int, int]) -> None:
        self.mesh = mesh
        self.camera = camera
        self.position = position
        self.to_world = to_world
        self.size = size
        self.triangles = np.ascontiguousarray((mesh.triangles - position) @ to_world)
        self.inverse: Floats = np.empty_like(self.triangles)
        invert(self.triangles, self.inverse)
        self.centres = np.ascontiguousarray((mesh.centres - position) @ to_world)
        self.axes = np.ascontiguousarray(to_world.T @ mesh.axes)
        self.to_unit: Floats = np.asarray(np.linalg.inv(self.axes), np.float64)

    def visible(self, samples: int, whole: bool = False) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Inverse depth and the index of the primitive seen, -1 in the sky, on a grid of `samples` per pixel side.

        With `whole`, fences, wheels and crowns have an outline and no holes, as in the labels of Cityscapes.
        """
        height, width = self.size
        shape = (height * samples, width * samples)
        inverse_depth = np.zeros(shape)
        ids = np.full(shape, -1, np.int32)
        # The centre of pixel (0, 0) is the middle of its samples.
        shift = (samples - 1) / 2
        lens = (self.camera.fx * samples, self.camera.u0 * samples + shift, self.camera.v0 * samples + shift)
        count = len(self.triangles)
        mesh = self.mesh
        draw_triangles(
            self.triangles,
            self.inverse,
            mesh.st,
            mesh.material[:count],
            mesh.parameters[:count],
            *lens,
            whole,
            inverse_depth,
            ids,
        )
        draw_ellipsoids(
            self.centres, self.axes, self.to_unit, mesh.material[count:], mesh.parameters[count:],
            self.to_world, self.position, count, *lens, whole, inverse_depth, ids,
        )  # fmt: skip
        return inverse_depth, ids


@dataclass(frozen=True)
class _Shadows:
    basis: Floats
    origin: Floats
    texel: float
    height: NDArray[np.float32]


def _shadows(scene: Scene, mesh: Mesh, size: int, way: float = 0.0) -> _Shadows:
    """The shadow map of the part of the street that is near enough for shadows to be seen on a way of some metres."""
    sun = scene.light[SUN_DIRECTION : SUN_DIRECTION + 3]
    across = np.cross([0.0, 0.0, 1.0], sun)
    across /= np.linalg.norm(across)
    basis = np.stack([across, np.cross(sun, across), sun])
    corners = np.array([[x, y, z] for x in (-20.0, 20.0) for y in (0.0, 7.0) for z in (2.0, 75.0 + way)]) @ basis[:2].T
    origin = corners.min(0)
    texel = float((corners.max(0) - origin).max()) / size
    height = np.full((size, size), -1e9, np.float32)
    count = len(mesh.triangles)
    to_unit = np.asarray(np.linalg.inv(mesh.axes), np.float64)
    draw_shadows(
        mesh.triangles, mesh.st, mesh.material[:count], mesh.parameters[:count],
        mesh.centres, mesh.axes, to_unit, mesh.material[count:], mesh.parameters[count:],
        basis, origin, texel, height,
    )  # fmt: skip
    return _Shadows(basis, origin, texel, height)


def _openness(mesh: Mesh) -> NDArray[np.float32]:
    """Compute how far low things (0) and tall ones (1) hide the sky from each place near the street, (2, N, N)."""
    height = np.full((OPENNESS_SIZE, OPENNESS_SIZE), -1e9, np.float32)
    count = len(mesh.triangles)
    origin = np.array([-OPENNESS_SIZE * OPENNESS_TEXEL / 2, 0.0])
    draw_shadows(
        mesh.triangles, mesh.st, mesh.material[:count], mesh.parameters[:count],
        mesh.centres, mesh.axes, np.asarray(np.linalg.inv(mesh.axes), np.float64), mesh.material[count:],
        mesh.parameters[count:], np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), origin,
        OPENNESS_TEXEL, height,
    )  # fmt: skip
    low = ((height > 0.35) & (height < LOW)).astype(np.float32)
    tall = np.clip(height / 12.0, 0.0, 1.0)
    return np.stack(
        [cv2.GaussianBlur(low, (0, 0), 0.4 / OPENNESS_TEXEL), cv2.GaussianBlur(tall, (0, 0), 2.5 / OPENNESS_TEXEL)]
    )


def _with_bonnet(mesh: Mesh, position: Floats, to_world: Floats, rng: np.random.Generator) -> Mesh:
    """The mesh with the bonnet of the camera's own car, which moves with the camera."""
    drop, ahead = rng.uniform(0.5, 0.53), rng.uniform(1.25, 1.35)
    centre = position + to_world @ np.array([rng.uniform(-0.05, 0.15), drop + 0.02, ahead])
    axes = to_world * np.array([0.95, 0.22, 0.95])
    paint = np.full(3, rng.uniform(0.01, 0.12))
    one = np.ones(1, np.int32)
    return Mesh(
        triangles=mesh.triangles,
        normals=mesh.normals,
        st=mesh.st,
        centres=np.concatenate([mesh.centres, centre[None]]),
        axes=np.concatenate([mesh.axes, axes[None]]),
        material=np.concatenate([mesh.material, m.PAINT * one]),
        colour=np.concatenate([mesh.colour, paint[None]]),
        parameters=np.concatenate([mesh.parameters, np.zeros((1, m.PARAMETERS))]),
        objects=np.concatenate([mesh.objects, len(mesh.object_label) * one]),
        object_label=np.append(mesh.object_label, np.uint8(LABEL_ID["ego vehicle"])),
        object_is_instance=np.append(mesh.object_is_instance, False),
    )


def _light(view: View, scene: Scene, shadows: _Shadows, openness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear light (H, W, 3) seen by a view."""
    mesh, camera = view.mesh, view.camera
    _, ids = view.visible(2)
    image = np.empty((*view.size, 3), np.float32)
    shade(
        ids, camera.fx, camera.u0, camera.v0, view.position, view.to_world, view.inverse, mesh.st, mesh.normals,
        view.centres, view.to_unit, mesh.material, mesh.colour, mesh.parameters, scene.light,
        shadows.basis, shadows.origin, shadows.texel, shadows.height, openness, image,
    )  # fmt: skip
    return image


def _number(objects: NDArray[np.int32], mesh: Mesh, known: dict[int, int]) -> NDArray[np.int32]:
    """Raw instance ids from object indices: the instances of each class are counted from 0, as they are first seen.

    `known` has the ids of the objects that were seen in frames before, and gets those of this frame.
    """
    raw = mesh.object_label.astype(np.int32)
    seen = np.unique(objects[objects >= 0])
    for index in seen[mesh.object_is_instance[seen]].tolist():
        label = int(mesh.object_label[index])
        if index not in known:
            known[index] = label * 1000 + sum(other // 1000 == label for other in known.values())
        raw[index] = known[index]
    return np.where(objects >= 0, raw[objects], LABEL_ID["sky"]).astype(np.int32)


def _frame_edge(labels: NDArray[np.uint8], instances: NDArray[np.int32]) -> None:
    """Mark the rim that rectification leaves, as in the real frames: some pixels in 2048."""
    height, width = labels.shape
    rim = max(1, round(5 * width / 2048))
    for name, edge in (
        ("out of roi", np.s_[:, :rim]),
        ("out of roi", np.s_[:, width - rim :]),
        ("rectification border", np.s_[height - rim :, :]),
    ):
        labels[edge] = LABEL_ID[name]
        instances[edge] = LABEL_ID[name]


@dataclass(frozen=True)
class StreetLabels:
    """The labels of a frame, without its pictures.

    Args:
        labels: Raw Cityscapes label ids (H, W) of the pixel centres.
        instances: Raw instance ids (H, W): label id * 1000 + number, or the label id alone for stuff and groups.
        exact_disparity: Disparity (H, W) from the geometry at the pixel centres, pixels, NaN in the sky.
    """

    labels: NDArray[np.uint8]
    instances: NDArray[np.int32]
    exact_disparity: NDArray[np.float32]


def make_labels(settings: StreetSettings, split: str, index: int) -> StreetLabels:
    """The labels of `make_frame` in a fraction of its time, for what needs no pictures.

    Args:
        settings: Size and seed.
        split: 'train' or 'val'.
        index: Which frame of the split, from 0.

    Raises:
        MultisigmaError: If the split is unknown or the index negative.
    """
    rng, scene = _start(settings, split, index)
    return _look(settings, scene, _still(scene), scene.mesh, rng, {})[1]


def _start(settings: StreetSettings, split: str, index: int) -> tuple[np.random.Generator, Scene]:
    """Make a scene. The generator is left for what the pictures need."""
    if split not in SPLIT_CODES:
        raise MultisigmaError(f"The split of a street frame should be one of {sorted(SPLIT_CODES)}. Found {split!r}.")
    if index < 0:
        raise MultisigmaError(f"The index of a street frame should be non-negative. Found {index}.")
    rng = np.random.default_rng(np.random.SeedSequence([settings.seed, SPLIT_CODES[split], index]))
    return rng, make_scene(rng)


def _look(
    settings: StreetSettings,
    scene: Scene,
    moment: Moment,
    mesh: Mesh,
    rng: np.random.Generator,
    known: dict[int, int],
) -> tuple[View, StreetLabels]:
    """See a scene by the left camera."""
    camera = camera_of(settings)
    to_world = _turn(moment.pitch, moment.roll, moment.yaw)
    if scene.bonnet:
        mesh = _with_bonnet(mesh, moment.position, to_world, rng)
    left = View(mesh, camera, moment.position, to_world, (settings.height, settings.width))
    inverse_depth, ids = left.visible(1, whole=True)
    objects = np.where(ids >= 0, mesh.objects[ids], -1).astype(np.int32)
    labels = np.where(objects >= 0, mesh.object_label[objects], LABEL_ID["sky"]).astype(np.uint8)
    instances = _number(objects, mesh, known)
    exact = np.where(ids >= 0, camera.fx * camera.baseline * inverse_depth, np.nan).astype(np.float32)
    _frame_edge(labels, instances)
    return left, StreetLabels(labels, instances, exact)


def _still(scene: Scene) -> Moment:
    return Moment(np.array([0.0, scene.camera_height, 0.0]), scene.pitch, scene.roll, scene.yaw, np.zeros((0, 3)))


def _picture(
    settings: StreetSettings,
    scene: Scene,
    moment: Moment,
    left: View,
    seen: StreetLabels,
    shadows: _Shadows,
    openness: NDArray[np.float32],
    rng: np.random.Generator,
    gain: float | None,
) -> tuple[StreetFrame, float]:
    """Return the frame that a view shows, and the exposure that its own light asks for."""
    camera, to_world, size = left.camera, left.to_world, left.size
    right = View(left.mesh, camera, left.position + to_world[:, 0] * camera.baseline, to_world, size)
    lights = [_light(view, scene, shadows, openness) for view in (left, right)]
    own = exposure(lights[0])
    seeds = rng.integers(1 << 24, size=2).tolist()
    # One exposure for both cameras.
    pictures = [
        photograph(light, scene.response, own if gain is None else gain, seed)
        for light, seed in zip(lights, seeds, strict=True)
    ]
    disparity = match(pictures[0], pictures[1]) if settings.matching else np.full(size, np.nan, np.float32)
    # The car's own bonnet is nearer than the matcher searches: what it finds there is not to be believed.
    disparity[seen.labels == LABEL_ID["ego vehicle"]] = np.nan
    frame = StreetFrame(
        left=pictures[0],
        right=pictures[1],
        labels=seen.labels,
        instances=seen.instances,
        disparity=disparity,
        exact_disparity=seen.exact_disparity,
        camera=camera,
        height=scene.camera_height,
        pitch=moment.pitch,
        roll=moment.roll,
        yaw=moment.yaw,
        position=moment.position,
    )
    return frame, own


def make_frame(settings: StreetSettings, split: str, index: int) -> StreetFrame:
    """Render a frame, a pure function of its arguments.

    Args:
        settings: Size and seed.
        split: 'train' or 'val'.
        index: Which frame of the split, from 0.

    Raises:
        MultisigmaError: If the split is unknown or the index negative.
    """
    rng, scene = _start(settings, split, index)
    moment = _still(scene)
    left, seen = _look(settings, scene, moment, scene.mesh, rng, {})
    shadows, openness = _shadows(scene, scene.mesh, SHADOW_SIZE), _openness(scene.mesh)
    return _picture(settings, scene, moment, left, seen, shadows, openness, rng, None)[0]


def make_sequence(settings: StreetSettings, split: str, index: int, frames: int) -> Iterator[StreetFrame]:
    """Yield consecutive frames of a drive through the street of `make_frame`, `1 / RATE` seconds apart.

    The camera drives along the street; cars, riders and people move. An object has the same instance id in all frames.
    The labels of the first frame are those of `make_frame`.

    Args:
        settings: Size and seed.
        split: 'train' or 'val'.
        index: Which street of the split, from 0.
        frames: The number of frames.

    Raises:
        MultisigmaError: If the split is unknown, or a number is out of its range.

    Example:
        >>> from multisigma.synthetic import StreetSettings, make_sequence
        >>> frames = list(make_sequence(StreetSettings(64, 128), "val", 0, frames=2))
        >>> [frame.left.shape for frame in frames]
        [(64, 128, 3), (64, 128, 3)]
    """
    if frames < 1:
        raise MultisigmaError(f"Parameter `frames` must be positive. Found {frames}.")
    rng, scene = _start(settings, split, index)
    speeds = np.random.default_rng(np.random.SeedSequence([settings.seed, SPLIT_CODES[split], index, 1]))
    moments = drive(scene, frames, speeds)
    way = float(moments[-1].position[2])
    known: dict[int, int] = {}
    gain: float | None = None
    for moment in moments:
        mesh = scene.geometry.mesh(scene.bend, scene.slope, moment.shifts)
        # The bonnet takes its chance from a copy: it is the same in each frame.
        left, seen = _look(settings, scene, moment, mesh, copy.deepcopy(rng), known)
        size = round(SHADOW_SIZE * (1 + way / 75))
        shadows, openness = _shadows(scene, mesh, size, way), _openness(mesh)
        frame, own = _picture(settings, scene, moment, left, seen, shadows, openness, speeds, gain)
        # Automatic exposure follows slowly.
        gain = own if gain is None else gain * (own / gain) ** 0.1
        yield frame
