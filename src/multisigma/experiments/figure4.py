"""Figure 4 of the paper: the parts of an occluded object vote for one centre and become one instance.

As an experiment, with the votes of a trained network beside a watershed. As a script, the drawn scene of the documents:

python -m multisigma.experiments.figure4 docs/figure4.png
"""

from __future__ import annotations

import argparse
import heapq
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.fields import InstanceMap
from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.open import open_dataset
from multisigma.datasets.scene import in_classes_of
from multisigma.experiments.models import load, models_option
from multisigma.experiments.page import Page, number
from multisigma.experiments.study import Study
from multisigma.files import write_bytes, write_text
from multisigma.instances import Instances, instances_from_votes
from multisigma.models.model_info import SHIPPED
from multisigma.tasks.instance import VOTES, vote_settings
from multisigma.training.config import TrainConfig
from multisigma.visualization.colours import colour_vectors

SEEDS = 1

CAR, POLE, VEGETATION, ROAD, BUILDING = (
    next(label.train_id for label in CITYSCAPES.train_classes if label.name == name)
    for name in ("car", "pole", "vegetation", "road", "building")
)
COLOURS = np.array([label.color for label in CITYSCAPES.train_classes], np.uint8)


def scene(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a car that two poles and a tree split into four parts, and a second car behind it.

    Args:
        seed: Seed of the errors of the vectors.

    Returns:
        Vectors with normal errors of 8 % of their length plus half a pixel, shape (2, 512, 1024); the semantic map and
        the true instance ids, shape (512, 1024).
    """
    semantic = np.full((512, 1024), BUILDING, np.uint8)
    semantic[330:] = ROAD
    ids = np.zeros((512, 1024), np.uint8)
    for car, (x, y, size) in enumerate(((760, 340, 0.7), (430, 360, 1.0)), start=1):
        body = np.array(
            [[-260, 0], [-260, -70], [-170, -90], [-90, -160], [90, -160], [180, -90], [260, -75], [260, 0]]
        )
        cv2.fillPoly(ids, [np.rint(body * size + (x, y)).astype(np.int32)], car)
        for wheel in (-160, 160):
            cv2.circle(ids, (round(x + wheel * size), y), round(42 * size), car, -1)
    semantic[ids > 0] = CAR
    y, x = np.mgrid[:512, :1024].astype(np.float32)
    vectors = np.zeros((2, 512, 1024), np.float32)
    for car in (1, 2):
        mask = ids == car
        vectors[:, mask] = np.stack((x[mask].mean() - x[mask], y[mask].mean() - y[mask]))
    for left, right, label in ((270, 284, POLE), (600, 614, POLE), (400, 452, VEGETATION)):
        semantic[40:470, left:right] = label
    cv2.ellipse(semantic, (426, 110), (150, 100), 0, 0, 360, VEGETATION, -1)
    ids[semantic != CAR] = 0
    length = np.hypot(*vectors)
    noise = np.random.default_rng(seed).normal(size=vectors.shape) * (0.08 * length + 0.5)
    return (vectors + noise).astype(np.float32), semantic, ids


def picture(vectors: NDArray[np.float32], semantic: NDArray[np.uint8], found: Instances) -> bytes:
    """Draw classes, vectors, votes and instances; return the picture as PNG bytes."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 5.6), layout="constrained")
    cars = semantic == CAR
    y, x = np.nonzero(cars)
    instances = np.array([[0, 0, 0], [240, 180, 60], [80, 160, 240], [230, 90, 140]], np.uint8)[found.ids % 4]
    for axis, title, image in zip(
        axes.flat,
        ("Semantic classes", "Vectors", "Votes", f"Instances: {len(found.class_ids)}"),
        (
            COLOURS[semantic],
            colour_vectors(np.where(cars, vectors, np.nan).astype(np.float32), 260),
            np.full((*semantic.shape, 3), 255, np.uint8),
            instances,
        ),
        strict=True,
    ):
        axis.imshow(image)
        axis.set_title(title)
        axis.set_axis_off()
    axes[1, 0].scatter(x + vectors[0, cars], y + vectors[1, cars], s=0.05, color="0.2", rasterized=True)
    axes[1, 0].plot(*found.centres.T, "+", color="crimson", markersize=14)
    axes[1, 1].plot(*found.centres.T, "+", color="crimson", markersize=14)
    stream = io.BytesIO()
    figure.savefig(stream, dpi=90, metadata={"Software": None})
    plt.close(figure)
    return stream.getvalue()


def watershed(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Split a mask of one class into objects by the watershed of its distance transform; needs no learning.

    Args:
        mask: The pixels of the class, shape (H, W).

    Returns:
        The mask of each object. Parts that do not touch are never one object.
    """
    if not mask.any():
        return []
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    # A peak is what is within a fifth of the largest distance around.
    size = 2 * max(1, round(mask.shape[0] / 16)) + 1
    peaks = mask & (distance >= 0.8 * cv2.dilate(distance, np.ones((size, size), np.uint8)))
    count, found = cv2.connectedComponents(peaks.astype(np.uint8))
    # Flood from the peaks, the pixel of the largest distance first (Meyer, 1994). OpenCV's own function floods by
    # differences of colour, which the slopes of a distance do not have.
    queue = [(-distance[y, x], y, x) for y, x in np.argwhere(peaks).tolist()]
    heapq.heapify(queue)
    while queue:
        _, y, x = heapq.heappop(queue)
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < mask.shape[0] and 0 <= u < mask.shape[1] and mask[v, u] and not found[v, u]:
                found[v, u] = found[y, x]
                heapq.heappush(queue, (-distance[v, u], v, u))
    return [found == i for i in range(1, count)]


def parts(mask: NDArray[np.bool_], smallest: int) -> int:
    """Return the number of connected parts of a mask that have some number of pixels."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return int((stats[1:, cv2.CC_STAT_AREA] >= smallest).sum())


def best_iou(mask: NDArray[np.bool_], found: Sequence[NDArray[np.bool_]]) -> float:
    """Return the largest intersection over union of a mask with any of others."""
    return max((float((mask & other).sum() / (mask | other).sum()) for other in found), default=0.0)


def count_frame(frame: Frame, scene: Mapping[str, Any]) -> list[dict[str, float]]:
    """Return a row for each true object of a frame: its parts, and the best IoU by votes and by watershed.

    Both start from the predicted classes. Objects of fewer than 1/800 of the frame are left out.

    Args:
        frame: The labels.
        scene: The prediction.
    """
    ids = cast(InstanceMap, frame.get("instance", InstanceMap)).ids
    semantic = scene["semantic"].ids
    smallest = ids.size // 800
    rows: list[dict[str, float]] = []
    split: dict[int, list[NDArray[np.bool_]]] = {}
    for instance in np.unique(ids[ids >= 1000]).tolist():
        mask, label = ids == instance, instance // 1000
        if mask.sum() < smallest:
            continue
        if label not in split:
            split[label] = watershed(semantic == label)
        votes = []
        for region in scene["instance"].regions or ():
            if region.class_id == label:
                whole = np.zeros(ids.shape, bool)
                height, width = region.mask.shape
                whole[region.top : region.top + height, region.left : region.left + width] = region.mask
                votes.append(whole)
        row = {"parts": parts(mask, max(1, smallest // 4))}
        rows.append(row | {"votes": best_iou(mask, votes), "watershed": best_iou(mask, split[label])})
    return rows


def plan(study: Study) -> list[TrainConfig]:
    return []


def page(study: Study) -> Page:
    made = Page("Figure 4: objects in several parts")
    made.text(
        "An occluder cuts an object into parts. Votes for a centre can join them; a watershed of the predicted class, "
        "which needs no learning, cannot. Objects count as found if the IoU with any predicted one is above 50 %."
    )
    for name in study.models:
        rows = _rows(study, name)
        made.heading("The model that ships" if name == SHIPPED else name)
        made.table(
            [
                "true objects",
                "number",
                "found by votes, %",
                "by watershed, %",
                "mean IoU by votes, %",
                "by watershed, %",
            ],
            [
                [label, len(chosen), *(number(value) for value in _shares(chosen))]
                for label, chosen in (
                    ("in one part", [row for row in rows if row["parts"] < 2]),
                    ("in several parts", [row for row in rows if row["parts"] > 1]),
                )
            ],
        )
    made.heading("How it was made")
    options = models_option(study)
    made.text(f"```\nmultisigma experiment figure4 --data ROOT --out DIR{options}\n```")
    return made


def _shares(rows: Sequence[Mapping[str, float]]) -> list[float]:
    if not rows:
        return [math.nan] * 4
    found = [100 * float(np.mean([row[way] > 0.5 for row in rows])) for way in ("votes", "watershed")]
    return found + [100 * float(np.mean([row[way] for row in rows])) for way in ("votes", "watershed")]


def _rows(study: Study, name: str) -> list[dict[str, float]]:
    """Return the rows of all frames of the split 'val', from the folder of results, or by predicting."""
    path = study.folder / "models" / f"{Path(name).name}-figure4.json"
    if not path.is_file():
        if study.data is None:
            return []
        model, dataset = load(name), open_dataset(study.data, "val")
        rows = []
        for i in range(len(dataset)):
            frame = dataset.read(i)
            prediction = model.predict(frame.image, frame.camera, frame.size[0])
            rows += count_frame(frame, in_classes_of(prediction, model.info.labels, dataset.labels))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(rows))
    found: list[dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Cluster the votes of the scene and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--votes", choices=VOTES, default="default", help="how votes become instances")
    arguments = parser.parse_args()
    vectors, semantic, _ = scene()
    settings = vote_settings(arguments.votes, semantic.shape[0])
    found = instances_from_votes(vectors, semantic, (CAR,), settings=settings)
    write_bytes(arguments.picture, picture(vectors, semantic, found))


if __name__ == "__main__":
    main()
