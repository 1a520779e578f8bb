"""IoU against scikit-learn; the Cityscapes rules pixel by pixel."""

from collections import Counter, defaultdict
from dataclasses import replace
from math import isnan
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, jaccard_score

from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.labels import LABELS, Label
from multisigma.errors import MultisigmaError
from multisigma.metrics import IoU
from tests.frames import class_ids, frame_of, instance_ids
from tests.scenes import Scene, numbers, scene_of

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
IGNORED = 4
FOUR = LabelSpace(
    "four",
    (
        *(Label(name, i, i, name, i, False, False, (i, 0, 0)) for i, name in enumerate(NAMES)),
        Label("void", IGNORED, 255, "void", 9, False, True, (0, 0, 0)),
    ),
)


def maps(seed: int, classes: int = 4, frames: int = 6) -> list[tuple[Scene, Frame]]:
    """Predictions and truths with ignored pixels; the last class absent for odd seeds."""
    rng = np.random.default_rng(seed)
    prediction = rng.integers(0, classes - seed % 2, (frames, 5, 7)).astype(np.uint8)
    target = rng.integers(0, classes - seed % 2, (frames, 5, 7)).astype(np.uint8)
    target[rng.random(target.shape) < 0.2] = IGNORED
    return [
        (scene_of(p), replace(frame_of(str(i), None, t), labels=FOUR))
        for i, (p, t) in enumerate(zip(prediction, target, strict=True))
    ]


def one(prediction: list[int], target: list[int]) -> dict[str, Any]:
    """The numbers of a frame of one row."""
    truth = replace(frame_of("f", None, np.array([target], np.uint8)), labels=FOUR)
    return numbers(IoU(FOUR), [(scene_of(np.array([prediction], np.uint8)), truth)])


@pytest.mark.parametrize("seed", range(8))
def test_equals_scikit_learn(seed: int) -> None:
    case = maps(seed)
    true = np.concatenate([class_ids(frame).ravel() for _, frame in case])
    guess = np.concatenate([scene["semantic"].ids.ravel() for scene, _ in case])[true != IGNORED]
    true = true[true != IGNORED]
    present = np.union1d(true, guess)
    result = numbers(IoU(FOUR), case)
    counts = [IoU(FOUR).count(scene, frame) for scene, frame in case]
    (iou,) = (m for m in IoU(FOUR).summarise(counts) if m.key == "iou_class")

    assert np.array_equal(iou.details["confusion"], confusion_matrix(true, guess, labels=range(4)))
    assert result["iou_class"] == pytest.approx(jaccard_score(true, guess, labels=present, average="macro"), abs=1e-12)
    for index, oracle in zip(present, jaccard_score(true, guess, labels=present, average=None), strict=True):
        assert result["iou_class_per_class"][NAMES[index]] == pytest.approx(oracle, abs=1e-12)
    for index in set(range(4)) - set(present.tolist()):
        assert isnan(result["iou_class_per_class"][NAMES[index]])


def test_what_a_label_space_lacks_is_not_measured() -> None:
    """Each class its own category, and no class with instances."""
    assert set(one([0, 1], [0, 1])) == {"iou_class", "iou_class_per_class"}


def test_a_category_with_a_class_without_instances_has_no_instances() -> None:
    labels = (
        Label("fence", 0, 0, "vehicle", 1, False, False, (0, 0, 0)),
        Label("car", 1, 1, "vehicle", 1, True, False, (1, 0, 0)),
        Label("void", IGNORED, 255, "void", 9, False, True, (0, 0, 0)),
    )
    found = {blank.key for blank in IoU(LabelSpace("two", labels)).blanks()}
    assert "iiou_class" in found
    assert "iiou_category" not in found


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    result = one([0, 2], [0, 0])
    assert result["iou_class_per_class"]["car"] == 0.0
    assert result["iou_class"] == 0.25


def test_a_predicted_id_that_is_not_evaluated_is_a_miss() -> None:
    metric = IoU(FOUR)
    truth = replace(frame_of("f", None, np.array([[0, 0]], np.uint8)), labels=FOUR)
    (iou,) = metric.summarise([metric.count(scene_of(np.array([[0, IGNORED]], np.uint8)), truth)])
    assert iou.value == 50
    assert iou.details["predicted_other"] == [1, 0, 0, 0]


def test_where_every_class_is_evaluated_a_foreign_prediction_is_a_miss() -> None:
    two = LabelSpace("two", tuple(label for label in FOUR.classes if label.id < 2))
    truth = replace(frame_of("f", None, np.array([[0, 0, 1, 255]], np.uint8)), labels=two)
    predicted = FOUR.onto(two)[np.array([[0, 3, 1, 1]], np.uint8)]
    assert predicted[0, 1] == two.void == 255
    assert numbers(IoU(two), [(scene_of(predicted), truth)])["iou_class_per_class"] == {"road": 0.5, "sky": 1.0}


def test_nothing_labelled_is_nan() -> None:
    result = one([0, 1], [IGNORED, IGNORED])
    assert isnan(result["iou_class"])
    assert all(isnan(value) for value in result["iou_class_per_class"].values())


def pixel_by_pixel(case: list[tuple[Scene, Frame]]) -> dict[str, dict[str, float]]:
    """IoU and iIoU of classes and categories, one pixel after the other, from the label table alone."""
    by_id = {label.id: label for label in LABELS}
    sums: list[defaultdict[str, float]] = [defaultdict(float) for _ in range(4)]
    hits, union, weighted_hits, weighted_union = sums
    for scene, truth in case:
        instances = instance_ids(truth).ravel().tolist()
        sizes = Counter(instances)
        for true, guess, instance in zip(
            class_ids(truth).ravel().tolist(),
            scene["semantic"].ids.ravel().tolist(),
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
    result, expected = numbers(IoU(CITYSCAPES), case), pixel_by_pixel(case)
    for kind in ("iou", "iiou"):
        found = {**result[f"{kind}_class_per_class"], **result[f"{kind}_category_per_class"]}
        found = {name: score for name, score in found.items() if not isnan(score)}
        assert found == pytest.approx(expected[kind], abs=1e-12)
        for level in ("class", "category"):
            scores = [score for score in result[f"{kind}_{level}_per_class"].values() if not isnan(score)]
            assert result[f"{kind}_{level}"] == pytest.approx(np.mean(scores), abs=1e-12)
    assert result["iiou_class"] != result["iou_class"]


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
        IoU(CITYSCAPES).count(scene_of(labels), truth)
    if labels.max() == 34:
        with pytest.raises(MultisigmaError, match="true id should lie in 0 to 33"):
            IoU(CITYSCAPES).count(scene_of(class_ids(truth)), frame_of("x", None, labels))
