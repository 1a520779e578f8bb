"""Generated truths and predictions with every kind of fault, small enough to evaluate hundreds of them."""

from collections.abc import Callable

import numpy as np
import pytest

from multisigma.datasets.frame import Camera, Frame
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.scene import SceneInstance
from tests.frames import class_ids, frame_of, instance_ids
from tests.frames import disparity as disparity_of
from tests.scenes import Scene, scene_of

HEIGHT, WIDTH = 72, 128
CAMERA = Camera(0.2, 280.0, 280.0, 64.0, 36.0)
THINGS = (24, 25, 26, 27, 28, 31, 32, 33)
KINDS = (
    "perfect",
    "noisy",
    "shifted",
    "split",
    "merged",
    "duplicate",
    "overlapping",
    "wrong class",
    "empty",
    "void predictions",
)


def shape(rng: np.random.Generator, smallest: int = 3, largest: int = 45) -> np.ndarray:
    """An ellipse or a rectangle somewhere, perhaps beyond the edge."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    cy, cx = rng.uniform(0, HEIGHT), rng.uniform(0, WIDTH)
    ry, rx = rng.uniform(smallest, largest, 2) / 2
    if rng.random() < 0.5:
        return ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1
    return (abs(y - cy) <= ry) & (abs(x - cx) <= rx)


def make_truth(seed: int) -> Frame:
    """Regions of every label, single objects (of ignored classes too), groups, and a disparity with holes."""
    rng = np.random.default_rng(seed)
    stuff = [label.id for label in CITYSCAPES.train_classes if not label.has_instances]
    classes = rng.permutation(stuff)[: rng.integers(1, 6)]
    instances = np.full((HEIGHT, WIDTH), int(rng.choice(classes)), np.int32)
    disparity = rng.uniform(0.1, 8, (HEIGHT, WIDTH)).astype(np.float32)
    for _ in range(rng.integers(0, 6)):
        instances[shape(rng)] = rng.choice([*classes, *range(7)])
    present = rng.permutation([*THINGS, 29, 30])[: rng.integers(1, 4)]
    for number in range(rng.integers(0, 12)):
        class_id, mask = int(rng.choice(present)), shape(rng)
        instances[mask] = class_id if rng.random() < 0.15 else class_id * 1000 + number
        # Some 190, 70 or 30 m away.
        disparity[mask] = rng.choice([0.3, 0.8, 2.0]) * rng.uniform(0.8, 1.2, mask.sum())
        disparity[mask & (rng.random(mask.shape) < rng.choice([0.1, 0.6]))] = np.nan
    if rng.random() < 0.3:
        instances[5:12, 5:14] = 26  # a group below the smallest size
    if rng.random() < 0.1:
        instances[:] = rng.integers(0, 7)  # only ignored
    labels = np.where(instances < 1000, instances, instances // 1000).astype(np.uint8)
    return frame_of(f"town_{seed:06d}_000019", None, labels, instances, disparity, CAMERA)


def whole(mask: np.ndarray, class_id: int, confidence: float) -> SceneInstance:
    return SceneInstance(class_id, confidence, 0, 0, mask)


def make_scene(truth: Frame, kind: str, seed: int) -> Scene:
    """A prediction of one kind."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    ids = [int(i) for i in np.unique(instance_ids(truth)) if i >= 1000]
    masks = [(instance_ids(truth) == i, i // 1000) for i in ids]
    labels = class_ids(truth).copy()
    disparity = (np.nan_to_num(disparity_of(truth)) * rng.uniform(0.5, 2, labels.shape)).astype(np.float32)
    if kind == "empty":
        return scene_of(np.zeros_like(labels), [], disparity)
    if kind in ("noisy", "overlapping"):
        labels[rng.random(labels.shape) < 0.2] = rng.integers(0, 34)
        for index, (mask, class_id) in enumerate(masks):
            changed = mask & (rng.random(mask.shape) > rng.choice([0.05, 0.2, 0.45]))
            masks[index] = (changed | (shape(rng, 2, 12) if rng.random() < 0.5 else changed), class_id)
    if kind == "shifted":
        step = (int(rng.integers(-4, 5)), int(rng.integers(-4, 5)))
        labels = np.roll(labels, step, (0, 1))
        masks = [(np.roll(mask, step, (0, 1)), class_id) for mask, class_id in masks]
    if kind == "split":
        middle = rng.integers(0, WIDTH, len(masks))
        left = np.arange(WIDTH) < middle[:, None]
        parts = [(mask & left[i], mask & ~left[i], c) for i, (mask, c) in enumerate(masks)]
        masks = [(part, c) for first, second, c in parts for part in (first, second)]
    if kind == "merged":
        masks = [(np.any([m for m, other in masks if other == c], 0), c) for c in {c for _, c in masks}]
    if kind == "duplicate":
        masks = [masks[i] for i in rng.integers(0, len(masks), 2 * len(masks))] if masks else []
    if kind == "wrong class":
        labels[rng.random(labels.shape) < 0.5] = rng.choice(THINGS)
        masks = [(mask, int(rng.choice(THINGS))) for mask, _ in masks]
    if kind == "void predictions":
        labels[shape(rng)] = rng.integers(0, 7)
        masks += [(shape(rng), int(rng.choice([*THINGS, 0, 7, 29, -1]))) for _ in range(4)]
        masks += [(instance_ids(truth) < 7, 26), (instance_ids(truth) == 26, 26), (np.zeros_like(masks[0][0]), 24)]
        few = np.zeros_like(labels, bool)
        few[5:12, 5:26] = True
        masks.append((few, 26))
        # One half void, to the pixel.
        void, other = (
            np.flatnonzero(instance_ids(truth) < 7),
            np.flatnonzero((instance_ids(truth) >= 7) & (labels < 24)),
        )
        half = np.zeros(labels.size, bool)
        half[void[:200]] = half[other[: len(void[:200])]] = True
        masks.append((half.reshape(labels.shape), masks[0][1]))
    if kind == "overlapping":
        masks += [(mask | shape(rng, 2, 20), class_id) for mask, class_id in masks]
    # Few distinct confidences, so that there are ties.
    levels = rng.choice([3, 1000])
    scene = [whole(mask, c, 1.0 if kind == "perfect" else rng.integers(1, levels + 1) / levels) for mask, c in masks]
    return scene_of(labels, scene, disparity)


@pytest.fixture(scope="session")
def make_case() -> Callable[[int, list[str]], list[tuple[Scene, Frame]]]:
    """Makes frames with a prediction of each of the given kinds, by seed."""

    def make(seed: int, kinds: list[str]) -> list[tuple[Scene, Frame]]:
        truths = [make_truth(1000 * seed + index) for index in range(len(kinds))]
        return [(make_scene(truth, kind, seed), truth) for truth, kind in zip(truths, kinds, strict=True)]

    return make


@pytest.fixture(scope="session")
def kinds() -> tuple[str, ...]:
    """Every kind of prediction."""
    return KINDS
