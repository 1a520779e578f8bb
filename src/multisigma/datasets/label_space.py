"""The table of classes of a data set or a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.labels import IGNORE, LABELS, Label
from multisigma.errors import MultisigmaError

__all__ = ["CITYSCAPES", "LabelSpace"]


@dataclass(frozen=True)
class LabelSpace:
    """A table of classes.

    Args:
        name: Name of the table, such as 'cityscapes'.
        classes: All classes. Those that are evaluated have the training ids 0, 1, 2, ...
        sky: Id of the class that is infinitely far; None without such a class.

    Raises:
        MultisigmaError: If two classes share an id or a name (see `onto`), an id is out of its range, training ids have
            gaps, or `sky` is the id of no class. Ids lie in -1 to 255, those of evaluated classes in 0 to 254, and
            those of classes with instances in 1 to 64: an instance's id is class id * 1000 + number, in 16 bits.

    Example:
        >>> CITYSCAPES.by_id[26].name
        'car'
        >>> CITYSCAPES.ids_of_train_ids[[0, 13]].tolist()
        [7, 26]
    """

    name: str
    classes: tuple[Label, ...]
    sky: int | None = None

    def __post_init__(self) -> None:
        for one, other in combinations(self.classes, 2):
            if one.id == other.id:
                raise MultisigmaError(
                    f"Label space {self.name!r}: ids must differ. Found {one.id} of {one.name!r} and {other.name!r}."
                )
            if _plain(one.name) == _plain(other.name):
                raise MultisigmaError(
                    f"Label space {self.name!r}: names must differ, also without capitals and hyphens. Found "
                    f"{one.name!r} of id {one.id} and {other.name!r} of id {other.id}."
                )
        for label in self.classes:
            kind, low, high = (
                ("classes with instances", 1, 64)
                if label.has_instances
                else ("ignored classes", -1, 255)
                if label.ignore_in_eval
                else ("evaluated classes", 0, 254)
            )
            if not low <= label.id <= high:
                raise MultisigmaError(
                    f"Label space {self.name!r}: ids of {kind} must lie in {low} to {high}. "
                    f"Found {label.id} of {label.name!r}."
                )
        train_ids = [label.train_id for label in self.train_classes]
        if train_ids != list(range(len(train_ids))) or not train_ids:
            raise MultisigmaError(
                f"Label space {self.name!r}: the training ids of evaluated classes must be 0, 1, 2, ... "
                f"Found {train_ids}."
            )
        if self.sky is not None and self.sky not in self.by_id:
            raise MultisigmaError(f"Label space {self.name!r}: `sky` must be the id of a class. Found {self.sky}.")

    @cached_property
    def by_id(self) -> Mapping[int, Label]:
        """Each class by its id."""
        return {label.id: label for label in self.classes}

    @cached_property
    def train_classes(self) -> tuple[Label, ...]:
        """The classes that are trained and evaluated; entry i has training id i."""
        return tuple(sorted((c for c in self.classes if not c.ignore_in_eval), key=lambda label: label.train_id))

    @cached_property
    def instance_classes(self) -> tuple[Label, ...]:
        """The classes that are evaluated instance by instance, in the order of training ids."""
        return tuple(label for label in self.train_classes if label.has_instances)

    @cached_property
    def instance_ids(self) -> tuple[int, ...]:
        """Ids of the `instance_classes`."""
        return tuple(label.id for label in self.instance_classes)

    @cached_property
    def void(self) -> int:
        """Id of pixels without a label: the first class that is not evaluated; 255 if all are evaluated."""
        return next((label.id for label in self.classes if label.ignore_in_eval and label.id >= 0), IGNORE)

    @cached_property
    def ids_of_train_ids(self) -> NDArray[np.uint8]:
        """Id of each training id; shape (classes,)."""
        return np.array([label.id for label in self.train_classes], np.uint8)

    @cached_property
    def train_ids_of_ids(self) -> NDArray[np.uint8]:
        """Training id of each id, or 255 (`IGNORE`); shape (256,)."""
        table = np.full(256, IGNORE, np.uint8)
        table[self.ids_of_train_ids] = np.arange(len(self.train_classes))
        return table

    @cached_property
    def colors(self) -> NDArray[np.uint8]:
        """RGB of each evaluated class by its id, black for all other ids; shape (256, 3)."""
        table = np.zeros((256, 3), np.uint8)
        table[self.ids_of_train_ids] = [label.color for label in self.train_classes]
        return table

    def onto(self, other: LabelSpace) -> NDArray[np.uint8]:
        """Return the table that translates ids of this label space to another, such as from a model's to a data set's.

        Classes correspond by name; capitals, spaces, hyphens and underscores do not matter. A class that
        `other` lacks becomes its `void`, which is a wrong prediction wherever a class is labelled.

        Args:
            other: The label space to translate to.

        Returns:
            Id of `other` for each id of this one, shape (256,).

        Example:
            >>> CITYSCAPES.onto(CITYSCAPES)[[7, 26]].tolist()
            [7, 26]
        """
        ids = {_plain(label.name): label.id for label in other.classes if label.id >= 0}
        table = np.full(256, other.void, np.uint8)
        for label in self.classes:
            if label.id >= 0:
                table[label.id] = ids.get(_plain(label.name), other.void)
        return table

    def common(self, other: LabelSpace) -> list[str]:
        """Return this table's names of the evaluated classes that `other` evaluates too, compared as by `onto`."""
        names = {_plain(label.name) for label in other.train_classes}
        return [label.name for label in self.train_classes if _plain(label.name) in names]

    def to_json(self) -> dict[str, Any]:
        """Return the table as values that JSON can hold; `from_json` reads them."""
        classes = [
            {
                "id": label.id,
                "name": label.name,
                "color": list(label.color),
                "train_id": label.train_id,
                "category": label.category,
                "category_id": label.category_id,
                "evaluated": not label.ignore_in_eval,
                "has_instances": label.has_instances,
            }
            for label in self.classes
        ]
        return {"name": self.name, "sky": self.sky, "classes": classes}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> LabelSpace:
        """Build the table from the values that `to_json` returned.

        Raises:
            MultisigmaError: If a field is missing or of the wrong type.
        """
        try:
            classes = tuple(
                Label(
                    name=_typed(row["name"], str),
                    id=_typed(row["id"], int),
                    train_id=_typed(row["train_id"], int),
                    category=_typed(row["category"], str),
                    category_id=_typed(row["category_id"], int),
                    has_instances=_typed(row["has_instances"], bool),
                    ignore_in_eval=not _typed(row["evaluated"], bool),
                    color=_color(row["color"]),
                )
                for row in content["classes"]
            )
            sky = content["sky"]
            return cls(_typed(content["name"], str), classes, None if sky is None else _typed(sky, int))
        except KeyError as error:
            raise MultisigmaError(f"A label space must have the field {error}. Found none.") from error
        except (TypeError, ValueError) as error:
            raise MultisigmaError(f"A label space must hold a table of classes. Found a fault: {error}.") from error


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.strip()).casefold()


def _typed(value: Any, expected: type) -> Any:
    if type(value) is not expected:
        raise TypeError(f"{value!r} is no {expected.__name__}")
    return value


def _color(value: Any) -> tuple[int, int, int]:
    red, green, blue = (_typed(part, int) for part in value)
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        raise ValueError(f"the colour {value} must lie in 0 to 255")
    return red, green, blue


CITYSCAPES: Final = LabelSpace("cityscapes", LABELS, next(label.id for label in LABELS if label.name == "sky"))
"""The Cityscapes table: 35 classes, of which 19 are trained and evaluated, 8 of these instance by instance."""
