"""Counting pairs of integers over pixels, and sums that do not depend on their order."""

import numpy as np
import torch
from numba import njit
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from multisigma.errors import MultisigmaError

# The fraction's step; a sum of 2^19 of them stays in 63 bits, and so do 2^16 whole numbers up to the largest.
_STEP = 2.0**-44
_LARGEST = 2.0**47


@njit(cache=True)
def _count_pairs(rows: NDArray[np.integer], columns: NDArray[np.integer], table: NDArray[np.int64]) -> None:
    height, width = rows.shape
    for y in range(height):
        for x in range(width):
            table[rows[y, x], columns[y, x]] += 1


def count_pairs(
    rows: NDArray[np.integer], columns: NDArray[np.integer], row_count: int, column_count: int
) -> NDArray[np.int64]:
    """How often each pair of values meets in a pixel.

    Args:
        rows: Integers from 0 to row_count - 1, shape (H, W).
        columns: Integers from 0 to column_count - 1, shape (H, W).
        row_count: Rows of the result.
        column_count: Columns of the result.

    Returns:
        Counts of shape (row_count, column_count).

    Raises:
        MultisigmaError: If shapes differ or a value is out of its range.
    """
    if rows.shape != columns.shape or rows.ndim != 2:
        raise MultisigmaError(
            f"Prediction and truth of a frame should have the same shape (H, W). Found {columns.shape} and "
            f"{rows.shape}."
        )
    table = np.zeros((row_count, column_count), np.int64)
    if rows.size:
        for what, values, count in (("true", rows, row_count), ("predicted", columns, column_count)):
            if values.min() < 0 or values.max() >= count:
                raise MultisigmaError(
                    f"Every {what} value should lie in 0 to {count - 1}. Found {values.min()} to {values.max()}."
                )
        _count_pairs(rows, columns, table)
    return table


def number_ids(ids: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The ids that occur, ascending, and each pixel's place among them.

    Args:
        ids: Integers from 0 to 65535, shape (H, W).
    """
    present = np.flatnonzero(np.bincount(ids.ravel()))
    place = np.zeros(65536, np.int32)
    place[present] = np.arange(len(present))
    return present, place[ids]


def exactly(values: ArrayLike) -> Tensor:
    """Numbers as integers, so that their sums are the same in any order and over any number of processes.

    Args:
        values: Numbers of shape (...). Those that are not finite, or at least 2^47 in size, count as not finite.

    Returns:
        Whole part, fraction in steps of 2^-44, and whether it is not finite; int64 of shape (..., 3).
    """
    numbers = np.asarray(values, dtype=np.float64)
    finite = np.abs(numbers) < _LARGEST
    numbers = np.where(finite, numbers, 0.0)
    whole = np.floor(numbers)
    fraction = np.rint((numbers - whole) / _STEP)
    return torch.from_numpy(np.stack((whole, fraction, ~finite), axis=-1).astype(np.int64))


def value(total: Tensor) -> NDArray[np.float64]:
    """The numbers of a sum of what `exactly` gave, shape (...); infinite where a term was not finite."""
    whole, fraction, infinite = np.moveaxis(total.cpu().numpy(), -1, 0)
    return np.where(infinite > 0, np.inf, whole + fraction * _STEP)
