"""Counting integers and pairs of integers over pixels, and shares of counts."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from multisigma.errors import MultisigmaError


@njit(cache=True)
def _count(values: NDArray[np.integer], counts: NDArray[np.int64]) -> None:
    for row in values:
        begin = 0
        # Neighbours are mostly equal: a count for each run, not for each pixel.
        for x in range(1, len(row) + 1):
            if x == len(row) or row[x] != row[begin]:
                counts[row[begin]] += x - begin
                begin = x


@njit(cache=True)
def _count_pairs(
    rows: NDArray[np.integer], columns: NDArray[np.integer], place: NDArray[np.int32], table: NDArray[np.int64]
) -> None:
    for y in range(len(rows)):
        row, column = rows[y], columns[y]
        begin = 0
        for x in range(1, len(row) + 1):
            if x == len(row) or row[x] != row[begin] or column[x] != column[begin]:
                table[place[row[begin]], column[begin]] += x - begin
                begin = x


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of a frame.

    Args:
        present: Those that occur, ascending; shape (K,).
        pixels: The size of each; shape (K,).
        place: The place among them of any id that occurs, else 0; shape (65536,).
    """

    present: NDArray[np.int64]
    pixels: NDArray[np.int64]
    place: NDArray[np.int32]


def find_ids(ids: NDArray[np.integer]) -> Ids:
    """Find the ids that occur in a map.

    Args:
        ids: Integers from 0 to 65535, shape (H, W).

    Raises:
        MultisigmaError: If an id is out of this range.
    """
    _check_range("true id", ids, 65536)
    counts = np.zeros(65536, np.int64)
    _count(ids, counts)
    present = np.flatnonzero(counts)
    place = np.zeros(65536, np.int32)
    place[present] = np.arange(len(present))
    return Ids(present, counts[present], place)


def count_pairs(
    ids: NDArray[np.integer], place: NDArray[np.int32], rows: int, values: NDArray[np.integer], columns: int
) -> NDArray[np.int64]:
    """How often true ids and predicted values meet in a pixel.

    Args:
        ids: True ids, shape (H, W).
        place: The row of each id, as in `Ids`; shape (ids,).
        rows: The number of rows.
        values: Predicted integers from 0 to columns - 1, shape (H, W).
        columns: The number of columns.

    Returns:
        Counts of shape (rows, columns).

    Raises:
        MultisigmaError: If shapes differ or a value is out of its range.
    """
    if ids.shape != values.shape or ids.ndim != 2:
        raise MultisigmaError(
            f"Prediction and truth of a frame should have the same shape (H, W). Found {values.shape} and {ids.shape}."
        )
    _check_range("true id", ids, len(place))
    _check_range("predicted value", values, columns)
    table = np.zeros((rows, columns), np.int64)
    _count_pairs(ids, values, place, table)
    return table


@njit(cache=True)
def count_in_mask(
    mask: NDArray[np.bool_], ids: NDArray[np.integer], place: NDArray[np.int32], count: int
) -> NDArray[np.int64]:
    """The pixels of each id in a mask of the same shape (h, w); `place` as in `Ids`, `count` the number of ids."""
    counts = np.zeros(count, np.int64)
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if mask[y, x]:
                counts[place[ids[y, x]]] += 1
    return counts


def _check_range(what: str, values: NDArray[np.integer], count: int) -> None:
    if values.size and (values.min() < 0 or values.max() >= count):
        raise MultisigmaError(f"Every {what} should lie in 0 to {count - 1}. Found {values.min()} to {values.max()}.")


def ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    """Divide, elementwise; nan where the whole is zero."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole == 0, np.nan, part / whole)


def finite_sum(values: NDArray[np.floating]) -> float:
    """Sum in 64 bits; infinite if a value is not finite, so that a diverged prediction is not hidden."""
    total = float(values.sum(dtype=np.float64))
    return total if np.isfinite(total) else np.inf
