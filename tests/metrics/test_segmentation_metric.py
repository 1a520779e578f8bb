"""IoU against scikit-learn, over any split into batches and processes."""

from itertools import pairwise
from math import isnan

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, jaccard_score

from multisigma.errors import MultisigmaError
from multisigma.metrics import ClassIoU

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
