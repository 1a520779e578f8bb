"""One frame: an image and the labels that it has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.fields import ClassMap, Disparity, Field, Image, InstanceMap
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.transform import Transform
from multisigma.errors import MultisigmaError

__all__ = ["Camera", "Frame", "disparity_with_sky", "instance_vectors"]

_F = TypeVar("_F", bound=Field)


@dataclass(frozen=True, slots=True)
class Camera:
    """Left camera of the rectified stereo pair: depth is `baseline * fx / disparity` metres.

    Args:
        baseline: Distance between the two cameras, metres.
        fx: Horizontal focal length, pixels at the frame's size.
        fy: Vertical focal length, pixels at the frame's size.
        u0: Column of the principal point, pixels; pixel centres lie at integers.
        v0: Row of the principal point, pixels.
    """

    baseline: float
    fx: float
    fy: float
    u0: float
    v0: float

    @classmethod
    def from_field_of_view(cls, degrees: float, size: tuple[int, int], baseline: float) -> Camera:
        """Return a camera with square pixels and its principal point in the middle of the image.

        Args:
            degrees: Horizontal field of view, from the left edge of the image to the right, above 0 and below 180.
            size: Height and width of the image.
            baseline: Distance of a second camera, metres.

        Raises:
            MultisigmaError: The angle is out of its range.

        Example:
            >>> Camera.from_field_of_view(90, (480, 640), 0.2).fx
            320.0
        """
        if not 0 < degrees < 180:
            raise MultisigmaError(f"The field of view must be above 0 and below 180 degrees. Found {degrees:g}.")
        height, width = size
        focal = round(width / 2 / math.tan(math.radians(degrees) / 2), 9)
        return cls(baseline, focal, focal, (width - 1) / 2, (height - 1) / 2)

    def back_project(self, depth: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the point in space of each pixel's centre.

        Args:
            depth: Depth of each pixel along the camera's axis, metres; shape (H, W).

        Returns:
            Metres (x right, y down, z forward), shape (H, W, 3).
        """
        height, width = depth.shape
        x, y = (np.arange(width) - self.u0) / self.fx, (np.arange(height) - self.v0) / self.fy
        with np.errstate(invalid="ignore"):  # infinity times 0
            return np.stack([x * depth, y[:, None] * depth, depth], -1).astype(np.float32)

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the pixel of each point in space; pixel centres lie at integers.

        Args:
            points: Metres (x right, y down, z forward), shape (..., 3); z must not be 0.

        Returns:
            Columns and rows, shape (..., 2).
        """
        x, y, z = np.moveaxis(np.asarray(points, np.float64), -1, 0)
        return np.stack([self.fx * x / z + self.u0, self.fy * y / z + self.v0], -1)

    def cropped(self, left: float, top: float) -> Camera:
        """Return the camera of a crop that begins at a column and a row."""
        return replace(self, u0=self.u0 - left, v0=self.v0 - top)

    def resized(self, x: float, y: float) -> Camera:
        """Return the camera of the frame at another size.

        Args:
            x: New width over old width.
            y: New height over old height.
        """
        u0, v0 = (self.u0 + 0.5) * x - 0.5, (self.v0 + 0.5) * y - 0.5
        return Camera(self.baseline, self.fx * x, self.fy * y, u0, v0)

    def warp(self, transform: Transform, size: tuple[int, int]) -> Camera:
        """Return the camera of the transformed frame.

        Args:
            transform: The transform.
            size: Height and width of the frame.
        """
        height, width = size
        u0, v0 = transform.point(self.u0, self.v0, size)
        return replace(self, fx=self.fx * transform.width / width, fy=self.fy * transform.height / height, u0=u0, v0=v0)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image and its labels, as named fields of one size.

    The names are "image", "semantic" (`ClassMap`), "instance" (`InstanceMap`), "disparity" (`Disparity`), "normals"
    (`Directions`), and a data set's own. An absent field is unlabelled.

    Args:
        name: Name such as 'aachen_000000_000019'.
        fields: The fields by name, at least one. There may be no image, if only labels were read.
        camera: Camera at the frame's size; None if unknown.
        labels: The label space of the ids in class and instance maps.

    Example:
        >>> frame = Frame("street", {"image": Image(np.zeros((4, 8, 3), np.uint8))})
        >>> frame.size, frame.get("semantic")
        ((4, 8), None)
    """

    name: str
    fields: Mapping[str, Field]
    camera: Camera | None = None
    labels: LabelSpace = CITYSCAPES

    @overload
    def get(self, name: str) -> Field | None: ...
    @overload
    def get(self, name: str, kind: type[_F]) -> _F | None: ...
    def get(self, name: str, kind: type[_F] | None = None) -> Field | _F | None:
        """Return a field; None if the frame does not have it.

        Args:
            name: Name of the field.
            kind: Type that the field must have, such as `ClassMap`; any type if None.

        Raises:
            MultisigmaError: The field has another type.
        """
        field = self.fields.get(name)
        if field is not None and kind is not None and not isinstance(field, kind):
            raise MultisigmaError(
                f"Frame {self.name!r}: the field '{name}' must be of type {kind.__name__}. "
                f"Found {type(field).__name__}. Let the data set give the type, or rename the field."
            )
        return field

    @property
    def image(self) -> NDArray[np.uint8]:
        """The RGB image, shape (H, W, 3).

        Raises:
            MultisigmaError: The frame was read without its image.
        """
        image = self.get("image", Image)
        if image is None:
            raise MultisigmaError(f"Frame {self.name!r} must have an image. Found the fields {list(self.fields)}.")
        return image.pixels

    @property
    def size(self) -> tuple[int, int]:
        """Height and width.

        Raises:
            MultisigmaError: The frame has no field.
        """
        for field in self.fields.values():
            return field.shape
        raise MultisigmaError(f"Frame {self.name!r} must have a field. Found none.")


def instance_vectors(frame: Frame) -> NDArray[np.float32]:
    """Return the vector from each pixel of an instance to the instance's centroid: the target of section 4.

    Args:
        frame: A frame with the field "instance".

    Returns:
        Vectors (x, y) in pixels, shape (2, H, W): centroid minus pixel position; NaN outside instances.

    Raises:
        ValueError: If the frame has no instance labels.
    """
    instances = frame.get("instance", InstanceMap)
    if instances is None:
        raise ValueError(f"Frame `{frame.name}` has no instance labels, so it has no instance vectors.")
    vectors = np.full((2, *instances.shape), np.nan, dtype=np.float32)
    if not instances.centroids:
        return vectors
    table = np.full((2, max(int(instances.ids.max()), *instances.centroids) + 1), np.nan)
    table[:, list(instances.centroids)] = np.array(list(instances.centroids.values())).T
    rows, columns = np.nonzero(instances.ids >= 1000)
    ids = instances.ids[rows, columns]
    vectors[0, rows, columns] = table[0, ids] - columns
    vectors[1, rows, columns] = table[1, ids] - rows
    return vectors


def disparity_with_sky(frame: Frame) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    """Return the disparity with zero on the sky, which is infinitely far (section 5 of the paper).

    Args:
        frame: A frame. Without the field "semantic", no pixel counts as sky.

    Returns:
        The disparity in pixels, NaN where invalid, and the mask of the sky, both of shape (H, W); None if the frame has
        no disparity.
    """
    disparity, semantic = frame.get("disparity", Disparity), frame.get("semantic", ClassMap)
    if disparity is None:
        return None
    if semantic is None or frame.labels.sky is None:
        return disparity.values, np.zeros(disparity.shape, bool)
    sky = semantic.ids == frame.labels.sky
    return np.where(sky, np.float32(0), disparity.values), sky
