"""Surface normals: the direction that each pixel's surface faces, in the camera's coordinates.

Not a task of the paper. Its loss is the negative log likelihood of a von Mises-Fisher distribution on the sphere, whose
concentration uncertainty weighting learns; see `Normals`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.fields import Directions, Disparity
from multisigma.datasets.frame import Camera, Frame
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.scene import Scene
from multisigma.metrics import Counts, Measurement, Metric
from multisigma.metrics.base import SumMetric
from multisigma.metrics.counting import ratio
from multisigma.tasks.base import Task, mirrored_x
from multisigma.tasks.results import PostprocessContext, TaskResult, resize
from multisigma.visualization.picture import Picture

if TYPE_CHECKING:
    from torch import Tensor

    from multisigma.weighting import Likelihood

__all__ = ["AngularErrors", "Normals", "NormalsResult", "normals_of_disparity"]

# A window whose disparity lies this far off its plane (root mean square) holds an edge or a curve: a share of the
# disparity, and in any case the error of stereo matching in pixels.
_OFF_PLANE_SHARE, _OFF_PLANE_PIXELS = 0.02, 0.1


@dataclass(frozen=True, slots=True)
class NormalsResult(TaskResult):
    """The unit normal of each pixel's surface, turned towards the camera.

    Args:
        vectors: (x right, y down, z forward), shape (3, H, W).
    """

    vectors: NDArray[np.float32]

    def resized(self, height: int, width: int) -> NormalsResult:
        """Interpolate linearly, then bring the vectors back to length 1."""
        if self.vectors.shape[1:] == (height, width):
            return self
        return NormalsResult(_unit(resize(self.vectors, height, width)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"vectors": self.vectors}

    def summary(self) -> Any:
        """Return the mean direction."""
        return {"mean": [round(float(value), 3) for value in self.vectors.mean((1, 2))]}


class Normals(Task):
    r"""Unit normals (x right, y down, z forward), turned towards the camera; targets are NaN without a label.

    The target is the field "normals" of the frame, and without it follows from its disparity and camera.

    The loss is $L = 1 - \cos\theta$ of the angle between output and target. Under a von Mises-Fisher distribution of
    concentration $\kappa$ its negative log likelihood is $\kappa (1 - \cos\theta) - \log\kappa$, up to a constant and
    to $\log(1 - e^{-2\kappa})$, which vanishes for all but the noisiest directions. With $\kappa = e^{-s}$ that is
    $e^{-s} L + s$: the likelihood `Exponential`.
    """

    name = "normals"
    fields = ("normals", "disparity")

    @property
    def likelihood(self) -> Likelihood:
        from multisigma.weighting import Exponential

        return Exponential()

    def channels(self, labels: LabelSpace) -> int:
        return 3

    def target(self, frame: Frame) -> Tensor:
        import torch

        vectors = _labels(frame)
        return torch.full((3, *frame.size), torch.nan) if vectors is None else torch.from_numpy(vectors)

    def loss(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        from torch.nn import functional as F

        labelled = target.isfinite().all(1)  # (B, H, W)
        # Masked before the product: NaN times zero would still be NaN in the gradient. The bound on the length keeps
        # the gradient of an output near zero finite.
        cosine = (F.normalize(output.float(), dim=1, eps=1e-3) * target.where(labelled[:, None], 0.0)).sum(1)
        return ((1 - cosine) * labelled).sum(), labelled.sum()

    def postprocess(
        self, output: NDArray[np.float32], scene: Mapping[str, TaskResult], context: PostprocessContext
    ) -> NormalsResult:
        return NormalsResult(_unit(output))

    def mirrored(self, output: Tensor) -> Tensor:
        return mirrored_x(output)

    def metrics(self, labels: LabelSpace) -> Sequence[Metric]:
        return [AngularErrors()]

    def visualize(self, frame: Frame, scene: Mapping[str, TaskResult]) -> list[Picture]:
        truth = _labels(frame)
        prediction = _colour(cast(NormalsResult, scene[self.name]).vectors)
        return [Picture("Surface normals", prediction, None if truth is None else _colour(truth))]


class AngularErrors(SumMetric):
    """The angle between predicted and true normals over the labelled pixels of all frames.

    Mean, median, and the share of pixels within 11.25, 22.5 and 30 degrees, as Fouhey, Gupta and Hebert (ICCV 2013)
    introduced them. Angles are counted in bins of 1/8 degree; the median is interpolated within its bin.
    """

    within = (11.25, 22.5, 30.0)
    bins_per_degree = 8

    def blanks(self) -> list[Measurement]:
        of_all = "the angle between predicted and true normal over the labelled pixels of all frames"
        return [
            Measurement("normals_mean_deg", math.nan, "deg", False, f"Mean of {of_all}.", name="Normals: mean angle"),
            Measurement(
                "normals_median_deg",
                math.nan,
                "deg",
                False,
                f"Median of {of_all}.",
                name="Normals: median angle",
                is_main=True,
            ),
            *(
                Measurement(
                    f"normals_within_{degrees:g}",
                    math.nan,
                    "%",
                    True,
                    f"Share of the labelled pixels of all frames whose normal is less than {degrees:g} degrees off.",
                    name=f"Normals within {degrees:g} degrees",
                )
                for degrees in self.within
            ),
        ]

    def zeros(self) -> Counts:
        return {"degrees": np.zeros(()), "bins": np.zeros(180 * self.bins_per_degree, np.int64)}

    def count(self, scene: Scene, frame: Frame) -> Counts:
        """Count a frame by `scene["normals"].vectors` and the frame's own normals."""
        result: NormalsResult | None = scene.get("normals")
        truth = _labels(frame)
        if result is None or truth is None:
            return {}
        vectors = result.vectors
        labelled = np.isfinite(truth).all(0)
        one, other = vectors[:, labelled].astype(np.float64), truth[:, labelled].astype(np.float64)
        # The arc cosine would lose the small angles to rounding.
        degrees = np.degrees(np.arctan2(np.linalg.norm(np.cross(one, other, axis=0), axis=0), (one * other).sum(0)))
        # A prediction that is not finite is as wrong as can be.
        degrees = np.nan_to_num(degrees, nan=180.0)
        if not degrees.size:
            return {}
        last = 180 * self.bins_per_degree
        bins = np.minimum((degrees * self.bins_per_degree).astype(np.int64), last - 1)
        return {"degrees": np.asarray(degrees.sum()), "bins": np.bincount(bins, minlength=last)}

    def scores(self, totals: Counts) -> dict[str, NDArray[np.float64]]:
        below = np.concatenate([np.zeros((len(totals["bins"]), 1)), totals["bins"].cumsum(1)], axis=1)
        pixels = below[:, -1]
        edges = np.arange(below.shape[1]) / self.bins_per_degree
        # Where bins are empty several edges have the same count: the first one is taken.
        medians = [np.interp(row[-1] / 2, *_rising(row, edges)) if row[-1] else math.nan for row in below]
        shares = {f"normals_within_{d:g}": below[:, round(d * self.bins_per_degree)] for d in self.within}
        return {
            "normals_mean_deg": ratio(totals["degrees"], pixels),
            "normals_median_deg": np.array(medians),
            **{key: ratio(count, pixels) for key, count in shares.items()},
        }


def _rising(counts: NDArray[np.float64], edges: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the edges at which a cumulative count rises, and those just before, for interpolation between them."""
    rises = np.flatnonzero(np.diff(counts))
    kept = np.unique(np.concatenate([rises, rises + 1]))
    return counts[kept], edges[kept]


def _labels(frame: Frame) -> NDArray[np.float32] | None:
    """Return the frame's normals, shape (3, H, W); None if it has neither them nor disparity with a camera."""
    stored = frame.get("normals", Directions)
    if stored is not None:
        return np.ascontiguousarray(stored.vectors.transpose(2, 0, 1))
    disparity = frame.get("disparity", Disparity)
    if disparity is None or frame.camera is None:
        return None
    return normals_of_disparity(disparity.values, frame.camera)


def normals_of_disparity(disparity: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """Return the normals of the surfaces that a disparity map shows.

    The disparity of a plane is linear in the pixel's column u and row v. Its slopes a and b give the normal
    -(a fx, b fy, d - a (u - u0) - b (v - v0)), up to its length. The slopes are those of the least-squares plane of a
    square window, which grows with the focal length: 23 pixels wide in full Cityscapes frames, at least 5. Far surfaces
    are as noisy as the disparity, which hardly changes there.

    Args:
        disparity: Pixels at the frame's size, shape (H, W); NaN where invalid.
        camera: The camera at the frame's size. Its baseline does not matter.

    Returns:
        Unit vectors (x right, y down, z forward) towards the camera, shape (3, H, W); NaN where the window leaves the
        frame, holds an invalid pixel, or is not plane.

    Example:
        >>> wall = np.full((5, 5), 8, np.float32)
        >>> normals_of_disparity(wall, Camera(0.2, 100, 100, 2, 2))[:, 2, 2].tolist()
        [-0.0, -0.0, -1.0]
    """
    height, width = disparity.shape
    # The focal length stays in a crop, and grows with a scaled frame.
    reach = max(2, round(camera.fx / 200))
    offsets = np.arange(-reach, reach + 1, dtype=np.float64)
    ones, count = np.ones_like(offsets), len(offsets) ** 2
    spread = float((offsets**2).sum()) * len(offsets)  # of the squared column offsets over the window
    valid = np.isfinite(disparity)
    values = np.where(valid, disparity, 0).astype(np.float64)

    def window_sum(pixels: NDArray[np.float64], columns: NDArray[np.float64], rows: NDArray[np.float64]) -> Any:
        return cv2.sepFilter2D(pixels, cv2.CV_64F, columns, rows, borderType=cv2.BORDER_CONSTANT)

    whole = window_sum(valid.astype(np.float64), ones, ones) > count - 0.5
    mean = window_sum(values, ones, ones) / count
    a, b = window_sum(values, offsets, ones) / spread, window_sum(values, ones, offsets) / spread
    off_plane = window_sum(values**2, ones, ones) / count - mean**2 - (a**2 + b**2) * spread / count
    plane = np.sqrt(np.maximum(off_plane, 0)) <= np.maximum(_OFF_PLANE_SHARE * mean, _OFF_PLANE_PIXELS)
    v, u = np.mgrid[:height, :width]
    vectors = -np.stack([a * camera.fx, b * camera.fy, mean - a * (u - camera.u0) - b * (v - camera.v0)])
    with np.errstate(invalid="ignore"):
        unit = _unit(vectors)
    return np.where(whole & plane & (mean > 0), unit, np.float32(np.nan))


def _unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Return vectors of shape (3, H, W) at length 1."""
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=0), 1e-12)).astype(np.float32)


def _colour(vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Show x as red, up as green and towards the camera as blue, from -1 to 1; no label is black."""
    x, y, z = vectors
    return np.nan_to_num(255 * (np.stack([x, -y, -z], -1) + 1) / 2).round().astype(np.uint8)
