"""The results of a model for one image."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from multisigma.datasets import fields
from multisigma.datasets.frame import Camera, Frame
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.predictions import write_predictions
from multisigma.errors import MultisigmaError
from multisigma.files import write_bytes, write_text
from multisigma.tasks import DepthResult, InstanceResult, SemanticResult, Task, TaskResult
from multisigma.visualization.point_cloud import PointCloud, sight_angles

__all__ = ["MAX_ANGLE", "ScenePrediction"]

MAX_ANGLE = 88.0
"""Degrees; at larger angles between the line of sight and a surface, most points float between two objects."""


class ScenePrediction(Mapping[str, Any]):
    """The result of each task for one image, by task name, at the size of the image.

    `scene["semantic"]` is a `SemanticResult`, `scene["instance"]` an `InstanceResult` and `scene["depth"]` a
    `DepthResult`; the result of a user's own task is a `DenseResult` or of a type of the user.

    Args:
        image: The image as RGB, shape (H, W, 3).
        results: Each task's result, by task name.
        tasks: The tasks, which draw their results.
        labels: The label space.
        camera: The camera at the size of the image; None if not known.
    """

    def __init__(
        self,
        image: NDArray[np.uint8],
        results: Mapping[str, TaskResult],
        tasks: Sequence[Task],
        labels: LabelSpace,
        camera: Camera | None = None,
    ) -> None:
        self.image, self.tasks, self.labels, self.camera = image, list(tasks), labels, camera
        self._results = dict(results)

    def __getitem__(self, name: str) -> Any:
        if name not in self._results:
            raise KeyError(f"{name!r}; the tasks of this model are {', '.join(self._results)}")
        return self._results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"ScenePrediction of {height}x{width} pixels: {', '.join(self)}"

    def draw(self, width: int = 640) -> Image.Image:
        """Return a picture: the image and each task's pictures side by side, with their titles.

        Classes are also drawn over the image, with a legend of their colours at the bottom.

        Args:
            width: Largest width of each picture in pixels.
        """
        share = min(1.0, width / self.image.shape[1])
        size = max(1, round(self.image.shape[1] * share)), max(1, round(self.image.shape[0] * share))
        small = np.asarray(Image.fromarray(self.image).resize(size, Image.Resampling.BOX))
        results = {name: result.resized(size[1], size[0]) for name, result in self._results.items()}
        frame = Frame("image", {"image": fields.Image(small)}, labels=self.labels)
        drawn = [picture for task in self.tasks for picture in task.visualize(frame, results)]
        pictures = [("Image", small)]
        pictures += [(picture.title, picture.prediction) for picture in drawn if picture.prediction is not None]
        pictures += [
            (f"{picture.title} over the image", ((picture.prediction.astype(int) + small) // 2).astype(np.uint8))
            for picture in drawn
            if picture.prediction is not None and picture.legend
        ]
        columns = math.ceil(math.sqrt(len(pictures)))
        rows = math.ceil(len(pictures) / columns)
        text = max(11, size[0] // 40)
        gap, cell = 4, (size[0] + 4, size[1] + 2 * text)
        font = ImageFont.load_default(text)
        sheet_width = columns * cell[0] + gap
        legend = dict(entry for picture in drawn for entry in picture.legend)
        places = _legend_places([3 * text + math.ceil(font.getlength(name)) for name in legend], sheet_width)
        legend_rows = 1 + places[-1][1] if places else 0
        below = rows * cell[1] + gap
        sheet = Image.new("RGB", (sheet_width, below + 2 * text * legend_rows), "white")
        pen = ImageDraw.Draw(sheet)
        for (name, colour), (left, row) in zip(legend.items(), places, strict=True):
            top = below + 2 * text * row + text // 4
            pen.rectangle((left + gap, top, left + gap + text, top + text), fill=colour, outline="black")
            pen.text((left + gap + text + text // 2, top), name, fill="black", font=font)
        for number, (title, pixels) in enumerate(pictures):
            left, top = number % columns * cell[0] + gap, number // columns * cell[1]
            pen.text((left, top + text // 2), title, fill="black", font=font)
            sheet.paste(Image.fromarray(pixels), (left, top + 2 * text))
        return sheet

    def annotate(self) -> NDArray[np.uint8]:
        """Return the image with the results drawn over it, and each task's panel below; beside it in upright images.

        Colours mean the same in each image: `draw` is for one image, this for the frames of a video.

        Returns:
            RGB, of the image's size or larger.
        """
        picture = self.image
        for task in self.tasks:
            picture = task.annotate(picture, self._results)
        panels = [panel for task in self.tasks if (panel := task.video_panel(self._results)) is not None]
        return np.concatenate([picture, *panels], 0 if self.image.shape[1] >= self.image.shape[0] else 1)

    def replaced(self, name: str, result: TaskResult) -> ScenePrediction:
        """Return the prediction with another result of a task."""
        return ScenePrediction(self.image, self._results | {name: result}, self.tasks, self.labels, self.camera)

    def _repr_png_(self) -> bytes:
        return _png(self.draw())

    def summary(self) -> dict[str, Any]:
        """Return size, camera and each task's summary as values that JSON can hold."""
        height, width = self.image.shape[:2]
        return {
            "height": height,
            "width": width,
            "camera": self.camera and asdict(self.camera),
            "label_space": self.labels.name,
            "tasks": {name: result.summary() for name, result in self._results.items()},
        }

    def point_cloud(
        self, *, interval: float | None = None, farthest: float | None = 80.0, max_angle: float | None = MAX_ANGLE
    ) -> PointCloud:
        """Return the pixels as labelled points in space.

        Pixels of the sky, and those without a finite depth, have no point.

        Args:
            interval: Probability of an interval of each point's depth, such as 0.9; None for no interval.
            farthest: Largest depth in metres of a point; None for any.
            max_angle: Largest angle in degrees between the line of sight and the normal of a surface. Where one object
                ends before another, disparity changes from one to the other over some pixels; their points, which
                would float between the objects, have larger angles. None keeps them.

        Raises:
            MultisigmaError: The model has no task depth, or the prediction no camera; or `interval` is not from 0 to
                below 1, or the model has no scale for it.

        Example:
            scene.point_cloud(interval=0.9).write_ply("street.ply")
        """
        depth: DepthResult | None = self._results.get("depth")  # type: ignore[assignment]
        if depth is None or depth.camera is None:
            missing = "task 'depth' in the model" if depth is None else "camera"
            raise MultisigmaError(
                f"A point cloud must have depth in metres. Found no {missing}. Give a camera file or a field of view, "
                "and a model with the task 'depth'."
            )
        shape = depth.disparity.shape
        semantic: SemanticResult | None = self._results.get("semantic")  # type: ignore[assignment]
        instance: InstanceResult | None = self._results.get("instance")  # type: ignore[assignment]
        class_ids = np.zeros(shape, np.uint8) if semantic is None else semantic.ids
        scores = np.ones(shape, np.float32) if semantic is None else semantic.probability.astype(np.float32)
        instance_ids = np.zeros(shape, np.int32)
        if instance is not None and instance.regions is not None:
            instance_ids = instance.ids().astype(np.int32)
            of_objects = np.array([0.0, *(region.confidence for region in instance.regions)], np.float32)
            scores = np.where(instance_ids > 0, of_objects[instance_ids], scores)
        metres = depth.metres
        kept = np.isfinite(metres) & (class_ids != (-1 if self.labels.sky is None else self.labels.sky))
        if farthest is not None:
            kept &= metres <= farthest
        if max_angle is not None:
            kept &= sight_angles(depth.disparity, depth.camera.fx) <= max_angle
        rows, columns = np.nonzero(kept)
        nearest, beyond = (None, None) if interval is None else (bound[kept] for bound in depth.interval(interval))
        classes = [self.labels.by_id[i] for i in np.unique(class_ids[kept]).tolist() if i in self.labels.by_id]
        return PointCloud(
            depth.camera.back_project(metres)[kept],
            self.image[kept],
            np.stack([columns, rows], -1).astype(np.int32),
            class_ids[kept],
            instance_ids[kept],
            scores[kept],
            nearest,
            beyond,
            (f"scale of the metres from: {depth.scale_from}", *(f"class {label.id} {label.name}" for label in classes)),
        )

    def save(self, folder: str | Path, name: str) -> None:
        """Write the prediction as files; `evaluate --predictions FOLDER` reads the first three kinds.

            FOLDER/semantic/NAME_labelIds.png      8-bit ids of the label space
            FOLDER/instance/NAME.txt               a line for each object: MASK LABEL_ID SCORE
            FOLDER/disparity/NAME_disparity.png    16-bit, (p - 1) / 256 px; at most 255.99 px
            FOLDER/arrays/NAME_TASK_ARRAY.npy      such as `NAME_depth_disparity.npy`
            FOLDER/pictures/NAME.png               the picture that `draw` makes
            FOLDER/scenes/NAME.json                `summary()`

        Args:
            folder: The folder; it is made if it does not exist.
            name: Name of the image, such as its file name without the ending.

        Raises:
            MultisigmaError: If a file cannot be written, or the name is empty or holds a slash.
        """
        if not name or "/" in name or "\\" in name:
            raise MultisigmaError(f"Parameter `name` must be a file name without a folder. Found {name!r}.")
        folder = Path(folder)
        try:
            for subfolder in ("arrays", "pictures", "scenes"):
                (folder / subfolder).mkdir(parents=True, exist_ok=True)
            write_predictions(folder, name, self, self.image.shape[:2], self.labels)
        except OSError as error:
            raise MultisigmaError(f"{folder}: cannot be written: {error.strerror or error}. Choose another.") from error
        for task, result in self._results.items():
            for array, values in result.arrays().items():
                content = io.BytesIO()
                np.save(content, values, allow_pickle=False)
                write_bytes(folder / "arrays" / f"{name}_{task}_{array}.npy", content.getvalue())
        write_bytes(folder / "pictures" / f"{name}.png", self._repr_png_())
        summary = json.dumps(self.summary(), indent=1, ensure_ascii=False, allow_nan=False)
        write_text(folder / "scenes" / f"{name}.json", summary)


def _legend_places(widths: Sequence[int], width: int) -> list[tuple[int, int]]:
    """Return the left edge and the row of each legend entry.

    Args:
        widths: Width of each entry in pixels.
        width: Width of a row in pixels.
    """
    places: list[tuple[int, int]] = []
    left = row = 0
    for entry in widths:
        if left and left + entry > width:
            left, row = 0, row + 1
        places.append((left, row))
        left += entry
    return places


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()
