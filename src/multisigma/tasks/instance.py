"""Instance segmentation by centroid votes: a vector from each pixel to its instance's centroid, L1 loss, section 4."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.fields import InstanceMap
from multisigma.datasets.frame import Camera, Frame, instance_vectors
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.scene import SceneInstance, cut_instances
from multisigma.errors import MultisigmaError
from multisigma.instances import VoteSettings, instances_from_votes
from multisigma.metrics import (
    AveragePrecision,
    IntervalCoverage,
    Metric,
    PanopticQuality,
    ScoreReliability,
    VectorErrors,
)
from multisigma.metrics.instance import median_distance
from multisigma.tasks.base import Noise, RegressionTask, Task, mirrored_x
from multisigma.tasks.baselines import ZeroVectors
from multisigma.tasks.depth import DepthResult
from multisigma.tasks.results import PostprocessContext, TaskResult, calibrate_scores, finite, resize
from multisigma.tasks.semantic import SemanticResult
from multisigma.visualization.colours import colour_error, colour_instances, colour_vectors, error_scale
from multisigma.visualization.objects import draw_objects
from multisigma.visualization.picture import Picture

if TYPE_CHECKING:
    from torch import Tensor

Votes = Literal["default", "paper"]
"""How votes are clustered: the settings that we measured to be best, or those that the paper describes."""
VOTES: tuple[Votes, ...] = get_args(Votes)
"""The ways from votes to instances, by name: ours, and the paper's."""


@dataclass(frozen=True, slots=True)
class PredictedInstance:
    """One object of an image.

    Args:
        region: Its class, score, and mask within its box.
        class_name: Name of its class.
        size: Height and width of the image.
        centre: Centroid (x, y) of the whole object in pixels, as its pixels predict it. Hidden parts count, so it may
            lie outside the mask. Pixel centres lie at integers.
        distance: Median distance of its pixels in metres; None without depth or camera.
        track: Number that it keeps from frame to frame, from 1; None outside videos.
    """

    region: SceneInstance
    class_name: str
    size: tuple[int, int]
    centre: tuple[float, float]
    distance: float | None = None
    track: int | None = None

    @property
    def class_id(self) -> int:
        """Id of its class in the label space."""
        return self.region.class_id

    @property
    def score(self) -> float:
        """Confidence, above 0 and at most 1.

        If the model was calibrated on validation frames, it is the probability that the object overlaps a true one of
        its class with an intersection over union above one half.
        """
        return self.region.confidence

    @property
    def box(self) -> tuple[int, int, int, int]:
        """First column, first row, column after the last, row after the last."""
        height, width = self.region.mask.shape
        return self.region.left, self.region.top, self.region.left + width, self.region.top + height

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Whether each pixel of the image belongs to it; shape (H, W)."""
        mask = np.zeros(self.size, bool)
        left, top, right, bottom = self.box
        mask[top:bottom, left:right] = self.region.mask
        return mask

    def resized(self, height: int, width: int) -> PredictedInstance | None:
        """Return the object in the image at another size; None if no pixel is left."""
        x, y = width / self.size[1], height / self.size[0]
        left, top, right, bottom = self.box
        first_column, first_row = math.floor(left * x), math.floor(top * y)
        columns, rows = math.ceil(right * x) - first_column, math.ceil(bottom * y) - first_row
        # Both grids share their outer corner, not the centre of their first pixel: hence the shifts by 0.5.
        to_source = np.array(
            [
                [1 / x, 0, (first_column + 0.5) / x - 0.5 - left],
                [0, 1 / y, (first_row + 0.5) / y - 0.5 - top],
            ]
        )
        share = cv2.warpAffine(
            self.region.mask.astype(np.float32),
            to_source,
            (columns, rows),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        mask = share > 0.5
        used_rows, used_columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(used_rows):
            return None
        mask = mask[used_rows[0] : used_rows[-1] + 1, used_columns[0] : used_columns[-1] + 1].copy()
        region = replace(
            self.region, top=first_row + int(used_rows[0]), left=first_column + int(used_columns[0]), mask=mask
        )
        centre = ((self.centre[0] + 0.5) * x - 0.5, (self.centre[1] + 0.5) * y - 0.5)
        return replace(self, region=region, size=(height, width), centre=centre)

    def summary(self) -> dict[str, Any]:
        """Return what is saved as JSON."""
        return {
            "class": self.class_name,
            "id": self.class_id,
            "score": round(self.score, 4),
            "box": list(self.box),
            "centre": [round(value, 2) for value in self.centre],
            "pixels": int(self.region.mask.sum()),
            "distance_m": finite(self.distance),
            **({} if self.track is None else {"track": self.track}),
        }


class InstanceResult(TaskResult, Sequence[PredictedInstance]):
    """The objects of an image, and the vectors whose votes were clustered.

    Args:
        vectors: Vector (x, y) in pixels from each pixel to its instance's centroid; shape (2, H, W).
        instances: The objects; None if the network has no semantic task, without which votes cannot be clustered.
        labels: The label space.
        noise_scale: Scale of the errors of the vectors over validation frames, pixels; None if not measured.
        sigma: Scale of the noise that training has learned, pixels; None outside evaluation.
        noise: The distribution of the errors.
    """

    def __init__(
        self,
        vectors: NDArray[np.float32],
        instances: Sequence[PredictedInstance] | None,
        labels: LabelSpace = CITYSCAPES,
        noise_scale: float | None = None,
        sigma: float | None = None,
        noise: Noise = "laplace",
    ) -> None:
        self.vectors, self.instances, self.labels = vectors, instances, labels
        self.noise_scale, self.sigma, self.noise = noise_scale, sigma, noise

    @property
    def values(self) -> NDArray[np.float32]:
        """The same as `vectors`, under the name that metrics use."""
        return self.vectors

    @property
    def regions(self) -> list[SceneInstance] | None:
        """Class, score and mask of each object, for metrics and files; None if `instances` is None."""
        return None if self.instances is None else [instance.region for instance in self.instances]

    def _found(self) -> Sequence[PredictedInstance]:
        if self.instances is None:
            raise MultisigmaError(
                "Instances must be found from the classes of pixels and their vectors. Found a model without the task "
                "'semantic'. Train it with --tasks semantic,instance."
            )
        return self.instances

    def __len__(self) -> int:
        return len(self._found())

    @overload
    def __getitem__(self, index: int) -> PredictedInstance: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PredictedInstance]: ...
    def __getitem__(self, index: int | slice) -> PredictedInstance | Sequence[PredictedInstance]:
        return self._found()[index]

    def __iter__(self) -> Iterator[PredictedInstance]:
        return iter(self._found())

    def ids(self) -> NDArray[np.int32]:
        """Return the map of instances: i + 1 for instance i, 0 where there is none; shape (H, W)."""
        ids = np.zeros(self.vectors.shape[1:], np.int32)
        for number, instance in enumerate(self, 1):
            left, top, right, bottom = instance.box
            ids[top:bottom, left:right][instance.region.mask] = number
        return ids

    def resized(self, height: int, width: int) -> InstanceResult:
        if self.vectors.shape[1:] == (height, width):
            return self
        ratio = np.array([width, height], np.float32) / self.vectors.shape[:0:-1]
        vectors = resize(self.vectors, height, width) * ratio.astype(np.float32)[:, None, None]
        instances = None
        if self.instances is not None:
            resized = [instance.resized(height, width) for instance in self.instances]
            instances = [instance for instance in resized if instance]
        x = width / self.vectors.shape[2]
        scales = self.noise_scale and self.noise_scale * x, self.sigma and self.sigma * x
        return InstanceResult(vectors, instances, self.labels, *scales, self.noise)

    def tracked(self, numbers: Sequence[int]) -> InstanceResult:
        """Return the result with the number that each object keeps from frame to frame, which `Tracker` gives."""
        instances = [replace(instance, track=number) for instance, number in zip(self, numbers, strict=True)]
        return InstanceResult(self.vectors, instances, self.labels, self.noise_scale, self.sigma, self.noise)

    def with_distances(self, depth: DepthResult) -> InstanceResult:
        """Return the result with the distance of each object by a depth map, if that has a camera."""
        if depth.camera is None:
            return self
        instances = [
            replace(instance, distance=_distance(instance.region, depth.disparity, depth.camera)) for instance in self
        ]
        return InstanceResult(self.vectors, instances, self.labels, self.noise_scale, self.sigma, self.noise)

    def summary(self) -> Any:
        """Return the objects in the order in which their masks are saved."""
        return None if self.instances is None else [instance.summary() for instance in self.instances]


class Instance(RegressionTask):
    """Vectors (x, y) in pixels, shape (2, H, W); targets are NaN outside instances.

    Args:
        votes: How votes become instances. 'default' clusters each class by itself with `VoteSettings.for_height`;
            'paper' clusters the pixels of all instance classes together with `VoteSettings.paper`.
        likelihood: 'laplace' for absolute errors of the vectors, 'gaussian' for squared errors.
    """

    name = "instance"
    unit = "px"
    dimension = 2
    fields = ("instance",)
    requires = ("semantic", "depth")

    def __init__(self, votes: Votes = "default", likelihood: Noise = "laplace") -> None:
        super().__init__(likelihood)
        self.votes = votes

    def target(self, frame: Frame) -> Tensor:
        import torch

        if frame.get("instance") is None:
            return torch.full((2, *frame.size), torch.nan)
        return torch.from_numpy(instance_vectors(frame))

    def metrics(self, labels: LabelSpace) -> Sequence[Metric]:
        true_values = self.true_values()
        return [
            VectorErrors(self.name, true_values),
            AveragePrecision(labels),
            PanopticQuality(labels),
            ScoreReliability(labels),
            IntervalCoverage(self.name, true_values),
        ]

    def score_samples(
        self, scene: Mapping[str, Any], frame: Frame
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
        return ScoreReliability(frame.labels).samples(scene, frame)

    def postprocess(
        self, output: NDArray[np.float32], scene: Mapping[str, TaskResult], context: PostprocessContext
    ) -> InstanceResult:
        return self.cluster(output, scene, context, self.votes)

    def cluster(
        self, vectors: NDArray[np.float32], scene: Mapping[str, TaskResult], context: PostprocessContext, votes: Votes
    ) -> InstanceResult:
        """Return the instances of a frame.

        Args:
            vectors: The network's output for this task, shape (2, H, W).
            scene: The results of the tasks semantic and depth, if the network has them.
            context: The model's classes, and the camera.
            votes: How votes become instances.
        """
        semantic = cast(SemanticResult | None, scene.get("semantic"))
        scales = context.noise_scales.get(self.name), context.sigmas.get(self.name), self.noise
        if semantic is None:
            return InstanceResult(vectors, None, context.labels, *scales)
        classes = [label.id for label in context.labels.instance_classes]
        height, width = semantic.ids.shape
        settings = vote_settings(votes, height)
        found = instances_from_votes(vectors, semantic.ids, classes, semantic.probability, settings)
        confidence, calibration = found.confidence, context.score_calibrations.get(self.name)
        if calibration is not None:
            confidence = calibrate_scores(confidence, *calibration)
        regions = cut_instances(found.ids, found.class_ids.tolist(), confidence.tolist())
        centres = found.centres[found.pixels > 0].tolist()
        depth = cast(DepthResult | None, scene.get("depth"))
        instances = [
            PredictedInstance(region, context.labels.by_id[region.class_id].name, (height, width), (x, y))
            for region, (x, y) in zip(regions, centres, strict=True)
        ]
        result = InstanceResult(vectors, instances, context.labels, *scales)
        return result if depth is None else result.with_distances(depth)

    def mirrored(self, output: Tensor) -> Tensor:
        return mirrored_x(output)

    def annotate(self, picture: NDArray[np.uint8], scene: Mapping[str, TaskResult]) -> NDArray[np.uint8]:
        result = cast(InstanceResult, scene[self.name])
        if result.instances is None:
            return picture
        drawn = [
            (
                instance.region,
                number if instance.track is None else instance.track,
                " ".join(
                    [
                        instance.class_name,
                        *([] if instance.track is None else [str(instance.track)]),
                        *([] if instance.distance is None else [f"{instance.distance:.0f} m"]),
                    ]
                ),
            )
            for number, instance in enumerate(result, 1)
        ]
        return draw_objects(picture, drawn)

    def baseline(self) -> ZeroVectors:
        return ZeroVectors()

    def visualize(self, frame: Frame, scene: Mapping[str, TaskResult]) -> list[Picture]:
        result = cast(InstanceResult, scene[self.name])
        instances = frame.get("instance", InstanceMap)
        truth = None if instances is None else instance_vectors(frame)
        longest = max(frame.size[1] / 16, 0.0 if truth is None else float(np.nanmax(np.hypot(*truth), initial=0.0)))
        true_instances = None
        if instances is not None:
            known = np.isin(instances.ids, list(instances.centroids))
            true_instances = colour_instances(np.where(known, instances.ids, 0))
        semantic = cast(SemanticResult | None, scene.get("semantic"))
        if semantic is None:
            return [self._picture(result.vectors, truth, longest)]
        classes = [label.id for label in result.labels.instance_classes]
        shown = np.where(np.isin(semantic.ids, classes), result.vectors, np.nan)
        return [
            self._picture(shown, truth, longest),
            Picture("Instances", colour_instances(result.ids()), true_instances),
        ]

    def _picture(self, vectors: NDArray[np.float32], truth: NDArray[np.float32] | None, longest: float) -> Picture:
        prediction = colour_vectors(vectors, longest)
        if truth is None:
            return Picture("Instance vectors", prediction, None)
        # A quarter of the range, so that small errors are seen too.
        error = colour_error(np.abs(vectors - truth).sum(0), longest / 4)
        scale = error_scale("error of vectors (L1), px", longest / 4)
        return Picture("Instance vectors", prediction, colour_vectors(truth, longest), error, error_scale=scale)


def _distance(region: SceneInstance, disparity: NDArray[np.float32], camera: Camera) -> float | None:
    """Return the median distance of an object's pixels in metres."""
    rows, columns = region.mask.shape
    part = disparity[region.top : region.top + rows, region.left : region.left + columns]
    return median_distance(part[region.mask], camera)


def choose_votes(tasks: Sequence[Task], votes: Votes) -> None:
    """Set the option `votes` of the instance task, if it is among the tasks."""
    for task in tasks:
        if isinstance(task, Instance):
            task.votes = votes


def vote_settings(votes: Votes, height: int) -> VoteSettings:
    """Return the clustering settings of an option `votes` for frames of a height in pixels."""
    return VoteSettings.paper(height) if votes == "paper" else VoteSettings.for_height(height)
