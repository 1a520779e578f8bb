"""Each compiled loop against the same function run by Python itself, and against numpy."""

import numpy as np

from multisigma.datasets import fields
from multisigma.datasets.cityscapes import reading
from multisigma.datasets.scene import boxes
from multisigma.metrics import counting, instance

IDS = np.array([[3, 3, 0], [1, 3, 3], [0, 0, 3]], np.int32)
VALUES = np.array([[1, 1, 1], [0, 1, 0], [2, 2, 1]], np.uint8)
MASK = np.array([[True, False, True], [True, True, False], [False, False, True]])
PLACE = np.array([0, 1, 9, 2], np.int32)
CLASS_OF = np.array([2, 0, 0, 1], np.uint8)


def test_counts() -> None:
    for count in (counting._count, counting._count.py_func):
        counts = np.zeros(4, np.int64)
        count(IDS, counts)
        assert counts.tolist() == [3, 1, 0, 5]
    for count_pairs in (counting._count_pairs, counting._count_pairs.py_func):
        table, expected = np.zeros((3, 3), np.int64), np.zeros((3, 3), np.int64)
        count_pairs(IDS, VALUES, PLACE, table)
        np.add.at(expected, (PLACE[IDS], VALUES), 1)
        np.testing.assert_array_equal(table, expected)
    for count_in_mask in (counting.count_in_mask, counting.count_in_mask.py_func):
        assert count_in_mask(MASK, IDS, PLACE, 3).tolist() == [1, 1, 3]


def test_areas_under_curves() -> None:
    """Two predictions of one frame, right and wrong; then one of another frame, right; the second draw lacks it."""
    right, is_point = np.array([True, False, True]), np.array([True, True, True])
    frames, weights = np.array([0, 0, 1]), np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 1.0]])
    for areas in (instance._areas, instance._areas.py_func):
        found = areas(right, is_point, frames, np.array([4.0, 2.0, 0.0]), weights)
        # Precision 1, 1/2, 2/3 at recall 1/4, 1/4, 1/2; then 1, 1/2 at recall 1, 1.
        np.testing.assert_allclose(found, [0.25 + 0.25 * (1 / 2 + 2 / 3) / 2, 1.0, np.nan])


def test_boxes() -> None:
    for around in (boxes, boxes.py_func):
        assert around(IDS, 4).tolist() == [[0, 3, 0, 3], [1, 2, 0, 1], [0, 0, 0, 0], [0, 3, 0, 3]]


def test_rules_of_labels() -> None:
    for known in (reading._are_known, reading._are_known.py_func):
        assert known(IDS, np.array([True, True, False, True]))
        assert not known(IDS, np.array([True, False, True, True]))
    for agree in (reading._agree, reading._agree.py_func):
        assert agree(CLASS_OF[IDS], IDS, CLASS_OF)
        assert not agree(VALUES, IDS, CLASS_OF)


def test_sums_of_instances() -> None:
    ids = IDS + 1000 * (IDS > 0)
    for sums in (fields._sums, fields._sums.py_func):
        counts, x_sums, y_sums = sums(ids, 1004)
        assert [(int(a[1001]), int(a[1003])) for a in (counts, x_sums, y_sums)] == [(1, 5), (0, 6), (1, 4)]
        assert counts[:1000].sum() == 0
