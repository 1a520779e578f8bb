"""IoU against scikit-learn, over any split into batches; the Cityscapes rules pixel by pixel."""

from collections import Counter, defaultdict
from itertools import pairwise
from math import isnan
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, jaccard_score

from multisigma.datasets.frame import Frame
from multisigma.datasets.labels import LABELS, TRAIN_CLASSES, TRAIN_ID_OF
from multisigma.datasets.scene import Scene
from multisigma.errors import MultisigmaError
from multisigma.metrics import CityscapesIoU, ClassIoU
from tests.frames import class_ids, frame_of, instance_ids

# Of the Cityscapes script, in the order of the labels.
SIZES = {
    "person": 3462.4756337644,
    "rider": 3930.4788056518,
    "car": 12794.0202738185,
    "truck": 27855.1264367816,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "motorcycle": 6298.7200839748,
    "bicycle": 4672.3249222261,
}
NAMES = ["road", "sky", "car", "person"]


def maps(seed: int, classes: int = 4, frames: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Prediction and target with ignored pixels; the last class absent for odd seeds."""
    rng = np.random.default_rng(seed)
    prediction = rng.integers(0, classes - seed % 2, (frames, 5, 7))
    target = rng.integers(0, classes - seed % 2, (frames, 5, 7))
    target[rng.random(target.shape) < 0.2] = 255
    return torch.from_numpy(prediction), torch.from_numpy(target)


def counted(*batches: tuple[torch.Tensor, torch.Tensor]) -> ClassIoU:
    metric = ClassIoU(NAMES)
    for prediction, target in batches:
        metric.update(prediction, target)
    return metric


@pytest.mark.parametrize("seed", range(8))
def test_equals_scikit_learn(seed: int) -> None:
    prediction, target = maps(seed)
    metric = counted((prediction, target))
    labelled = target.numpy() != 255
    truth, guess = target.numpy()[labelled], prediction.numpy()[labelled]
    present = np.union1d(truth, guess)
    result = metric.compute()

    assert np.array_equal(metric.confusion.numpy(), confusion_matrix(truth, guess, labels=range(4)))
    assert result["iou_class"] == pytest.approx(jaccard_score(truth, guess, labels=present, average="macro"), abs=1e-12)
    for index, oracle in zip(present, jaccard_score(truth, guess, labels=present, average=None), strict=True):
        assert result["iou_per_class"][NAMES[index]] == pytest.approx(oracle, abs=1e-12)
    for index in set(range(4)) - set(present.tolist()):
        assert isnan(result["iou_per_class"][NAMES[index]])


@given(seed=st.integers(0, 999), cuts=st.lists(st.integers(0, 6), max_size=4))
@settings(max_examples=30, deadline=None)
def test_any_split_into_batches_counts_the_same(seed: int, cuts: list[int]) -> None:
    prediction, target = maps(seed)
    edges = [0, *sorted(cuts), 6]
    parts = [(prediction[a:b], target[a:b]) for a, b in pairwise(edges)]
    one, many = counted((prediction, target)), counted(*parts)
    merged = counted(parts[0])
    for part in parts[1:]:
        merged.merge_state(counted(part))

    assert torch.equal(one.confusion, many.confusion)
    assert torch.equal(one.confusion, merged.confusion)


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    result = counted((torch.tensor([[[0, 2]]]), torch.tensor([[[0, 0]]]))).compute()
    assert result["iou_per_class"]["car"] == 0.0
    assert result["iou_class"] == 0.25


def test_nothing_labelled_is_nan() -> None:
    result = counted((torch.zeros(1, 2, 2, dtype=torch.int64), torch.full((1, 2, 2), 255))).compute()
    assert isnan(result["iou_class"])
    assert all(isnan(value) for value in result["iou_per_class"].values())


def test_small_integer_types_do_not_overflow() -> None:
    names = [str(index) for index in range(19)]
    metric = ClassIoU(names)
    everything = torch.arange(19, dtype=torch.uint8).reshape(1, 1, 19)
    metric.update(everything, everything)
    assert metric.compute()["iou_class"] == 1.0


@pytest.mark.parametrize(
    ("prediction", "target", "found"),
    [
        (torch.zeros(1, 2, 2, dtype=torch.int64), torch.zeros(1, 2, 3, dtype=torch.int64), r"\(1, 2, 3\)"),
        (torch.full((1, 1, 1), 4), torch.zeros(1, 1, 1, dtype=torch.int64), "Found 4"),
        (torch.full((1, 1, 1), -1), torch.zeros(1, 1, 1, dtype=torch.int64), "Found -1"),
        (torch.zeros(1, 1, 1, dtype=torch.int64), torch.full((1, 1, 1), 33), "Found 33"),
    ],
)
def test_bad_input_is_named(prediction: torch.Tensor, target: torch.Tensor, found: str) -> None:
    with pytest.raises(MultisigmaError, match=found):
        ClassIoU(NAMES).update(prediction, target)


def pixel_by_pixel(case: list[tuple[Scene, Frame]]) -> dict[str, dict[str, float]]:
    """IoU and iIoU of classes and categories, one pixel after the other, from the label table alone."""
    by_id = {label.id: label for label in LABELS}
    hits, union = defaultdict(float), defaultdict(float)
    weighted_hits, weighted_union = defaultdict(float), defaultdict(float)
    for scene, truth in case:
        instances = instance_ids(truth).ravel().tolist()
        sizes = Counter(instances)
        for true, guess, instance in zip(
            class_ids(truth).ravel().tolist(),
            scene.labels.ravel().tolist(),
            instance_ids(truth).ravel().tolist(),
            strict=True,
        ):
            t, g = by_id[true], by_id[guess]
            if not t.ignore_in_eval:
                for field in ("name", "category"):
                    a, b = getattr(t, field), getattr(g, field)
                    # A label that is not evaluated is predicted for nothing, in its category too.
                    right = a == b and not g.ignore_in_eval
                    hits[a] += right
                    union[a] += 1
                    if not right and not g.ignore_in_eval:
                        union[b] += 1
                    # Objects: any label of a category counts, caravans and trailers too.
                    if a != b:
                        weighted_union[b] += 1
            if instance > 1000 and not t.ignore_in_eval:
                weight = SIZES[t.name] / sizes[instance]
                for field in ("name", "category"):
                    a, b = getattr(t, field), getattr(g, field)
                    weighted_hits[a] += weight * (a == b)
                    weighted_union[a] += weight
    objects = ["human", "vehicle", *SIZES]
    return {
        "iou": {name: hits[name] / union[name] for name in union},
        "iiou": {name: weighted_hits[name] / weighted_union[name] for name in objects if weighted_union[name]},
    }


@pytest.mark.parametrize("seed", range(2))
def test_cityscapes_rules_pixel_by_pixel(make_case: Any, kinds: tuple[str, ...], seed: int) -> None:
    case = make_case(seed, list(kinds))
    metric = CityscapesIoU()
    for scene, truth in case:
        metric.update(scene, truth)
    result, expected = metric.compute(), pixel_by_pixel(case)
    for kind in ("iou", "iiou"):
        found = {**result[f"{kind}_per_class"], **result[f"{kind}_per_category"]}
        found = {name: score for name, score in found.items() if not isnan(score)}
        assert found == pytest.approx(expected[kind], abs=1e-12)
        for level in ("class", "category"):
            scores = [score for score in result[f"{kind}_per_{level}"].values() if not isnan(score)]
            assert result[f"{kind}_{level}"] == pytest.approx(np.mean(scores), abs=1e-12)
    assert result["iiou_class"] != result["iou_class"]


def test_the_scene_and_the_task_agree(make_case: Any) -> None:
    """Without predictions of ignored labels the IoU in training ids is the IoU in raw ids, to the last digit."""
    names = [label.name for label in TRAIN_CLASSES]
    task, whole = ClassIoU(names), CityscapesIoU()
    raw = np.array([label.id for label in TRAIN_CLASSES], np.uint8)
    for seed in range(4):
        ((_, truth),) = make_case(seed, ["perfect"])
        guess = np.random.default_rng(seed).integers(0, 19, class_ids(truth).shape)
        task.update(torch.from_numpy(guess)[None], torch.from_numpy(TRAIN_ID_OF[class_ids(truth)])[None])
        whole.update(Scene(raw[guess]), truth)
    assert repr(task.compute()["iou_per_class"]) == repr(whole.compute()["iou_per_class"])
    assert task.compute()["iou_class"] == whole.compute()["iou_class"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.full((72, 128), 34, np.uint8), "predicted value should lie in 0 to 33. Found 34 to 34"),
        (np.zeros((72, 127), np.uint8), r"\(72, 127\) and \(72, 128\)"),
    ],
)
def test_bad_labels_are_named(make_case: Any, labels: np.ndarray, words: str) -> None:
    ((_, truth),) = make_case(0, ["perfect"])
    with pytest.raises(MultisigmaError, match=words):
        CityscapesIoU().update(Scene(labels), truth)
    if labels.max() == 34:
        with pytest.raises(MultisigmaError, match="true id should lie in 0 to 33"):
            CityscapesIoU().update(Scene(class_ids(truth)), frame_of("x", None, labels, None, None, None))
