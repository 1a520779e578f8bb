"""Draw figure 4 of the paper: the parts of an occluded car vote for one centre and become one instance.

python -m multisigma.experiments.figure4 docs/figure4.png
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.label_space import CITYSCAPES
from multisigma.files import write_bytes
from multisigma.instances import Instances, instances_from_votes
from multisigma.tasks.instance import VOTES, vote_settings
from multisigma.visualization.colours import colour_vectors

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
    for number, (x, y, size) in enumerate(((760, 340, 0.7), (430, 360, 1.0)), start=1):
        body = np.array(
            [[-260, 0], [-260, -70], [-170, -90], [-90, -160], [90, -160], [180, -90], [260, -75], [260, 0]]
        )
        cv2.fillPoly(ids, [np.rint(body * size + (x, y)).astype(np.int32)], number)
        for wheel in (-160, 160):
            cv2.circle(ids, (round(x + wheel * size), y), round(42 * size), number, -1)
    semantic[ids > 0] = CAR
    y, x = np.mgrid[:512, :1024].astype(np.float32)
    vectors = np.zeros((2, 512, 1024), np.float32)
    for number in (1, 2):
        mask = ids == number
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
