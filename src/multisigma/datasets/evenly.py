"""A few items of many, spread over the whole."""

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["evenly"]

_Item = TypeVar("_Item")


def evenly(items: Sequence[_Item], most: int | None) -> list[_Item]:
    """Return at most `most` items, evenly spread over the sequence; all of them for None.

    Example:
        >>> evenly(range(10), 4)
        [0, 2, 5, 7]
    """
    if most is None or len(items) <= most:
        return list(items)
    return [items[i * len(items) // most] for i in range(most)]
