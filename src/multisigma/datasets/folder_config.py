"""The YAML file that describes a user's own data: the files of each kind of label, and the classes.

`docs/data.md` explains the keys by example.
"""

from __future__ import annotations

import colorsys
import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar, get_args

import yaml

from multisigma.datasets.arrays import Encoding
from multisigma.datasets.cameras import DEFAULT_BASELINE, camera_from_numbers
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.labels import IGNORE, Label
from multisigma.datasets.problems import DataError, Problem
from multisigma.errors import MultisigmaError
from multisigma.files import read_text, read_yaml

__all__ = ["FolderConfig", "Numbers", "read_config"]

_T = TypeVar("_T")
_FIELDS: Final = ("image", "semantic", "instance", "disparity", "depth", "normals")
_KEYS: Final = ("root", *_FIELDS, "camera", "classes", "ignore", "splits")
# More could take for ever to match.
_MOST_STARS: Final = 4
_NO_CLASSES: Final = LabelSpace("none", (Label("scene", 0, 0, "scene", 0, False, False, (128, 128, 128)),))


@dataclass(frozen=True, slots=True)
class Numbers:
    """Conversion of stored numbers to disparity or depth: stored * scale + offset.

    Args:
        scale: Pixels or metres per stored unit.
        offset: Pixels or metres to add.
        invalid: Stored value that marks pixels without a measurement; None if no value does.
    """

    scale: float = 1.0
    offset: float = 0.0
    invalid: float | None = 0.0


@dataclass(frozen=True, slots=True)
class FolderConfig:
    """The content of the YAML file: where each field's files are, and how to read them.

    Args:
        path: The YAML file, or the root, which error messages name.
        root: Folder that the patterns are relative to.
        files: Pattern of each key's files, with `{name}` and `{split}`.
        labels: The classes.
        ids_of: Class id by the value that files store.
        encoding: How a pixel of an instance file encodes class and number.
        numbers: Conversion of the stored numbers of 'disparity' or 'depth'.
        axes: Axis of each channel of stored normals, such as 'x' or '-y'.
        camera: The camera of all frames as the file gives it; None if each frame has its own file, or none.
        splits: Names of the frames of each split; None if the file patterns have the splits.
    """

    path: Path
    root: Path
    files: Mapping[str, str]
    labels: LabelSpace
    ids_of: Mapping[int, int]
    encoding: Encoding = "number"
    numbers: Numbers = Numbers()
    axes: tuple[str, ...] = ("x", "y", "z")
    camera: Mapping[str, Any] | None = None
    splits: Mapping[str, Sequence[str]] | None = None


def read_config(path: Path) -> FolderConfig:
    """Read the YAML file of a data set.

    Raises:
        DataError: The file cannot be read, or a key is unknown, missing or of the wrong kind; the error names it.
    """
    table = _Table(path, "", _content(path), _KEYS)
    files: dict[str, str] = {}
    options: dict[str, _Table] = {}
    for key in (*_FIELDS, "camera"):
        value = table.content.get(key)
        if isinstance(value, Mapping) and not (key == "camera" and "files" not in value):
            options[key] = _Table(path, f"{key}.", value, ("files", *_OPTIONS.get(key, ())))
            files[key] = options[key].get("files", str)
        elif isinstance(value, str):
            files[key], options[key] = value, _Table(path, f"{key}.", {}, ())
        elif value is not None and key != "camera":
            table.fail(key, "must be a pattern of files such as `folder/{split}`, or a table with the key `files`")
    for key, pattern in files.items():
        if wrong := re.search(r"\{[^{}]*\}?|\}", re.sub(r"\{(name|split)\}", "", pattern)):
            similar = difflib.get_close_matches(wrong[0], ("{name}", "{split}"), 1)
            remedy = f"Did you mean `{similar[0]}`?" if similar else "Remove it."
            table.fail(key, "must have no placeholders but `{name}` and `{split}`", remedy, f"`{wrong[0]}`")
        # The one camera file of all frames may stand anywhere.
        if Path(pattern).is_absolute() and (key != "camera" or "{name}" in pattern):
            table.fail(key, "must be relative to the key `root`", "Write the first folders there.", pattern[:80])
        if pattern.count("*") > _MOST_STARS:
            table.fail(key, f"must have at most {_MOST_STARS} `*`", "Write a simpler pattern.", pattern[:80])
    if not any(key in files for key in _FIELDS):
        table.fail("image", f"must be there, or another of {', '.join(_FIELDS[1:])}")
    if "disparity" in files and "depth" in files:
        table.fail("depth", "must not stand beside `disparity`", "Leave one of them out.")
    if "classes" not in table.content and ("semantic" in files or "instance" in files):
        table.fail("classes", "must list the classes of `semantic` and `instance`", "Write their names as a list.")
    labels, ids_of = _classes(table)
    numbers = options.get("disparity") or options.get("depth") or table
    camera = table.content.get("camera")
    inline = dict(camera) if isinstance(camera, Mapping) and "files" not in camera else None
    if inline is not None:
        camera_from_numbers(inline, (1, 1), path, "camera.")
    elif camera is not None and "camera" not in files:
        table.fail("camera", "must be a file, a pattern of files, or a table with the key `fx`")
    if "depth" in files and camera is None:
        remedy = (
            f"Add `camera: {{fx: 500}}`, the focal length in pixels; `baseline` is {DEFAULT_BASELINE} m unless given."
        )
        table.fail("camera", "must be there to make inverse depth of `depth`", remedy)
    encodings: tuple[Encoding, ...] = get_args(Encoding)
    encoding = options["instance"].choice("encoding", encodings, "number") if "instance" in files else "number"
    if "instance" in files and encoding == "number" and "semantic" not in files:
        remedy = "Add `semantic`, or give `instance.encoding` one of the other forms."
        table.fail("semantic", "must be there to tell the class of each object", remedy)
    return FolderConfig(
        path,
        path.parent / table.get("root", str, "."),
        files,
        labels,
        ids_of,
        encoding,
        Numbers(
            scale=numbers.number("scale", 1.0),
            offset=numbers.number("offset", 0.0),
            invalid=None if numbers.content.get("invalid", 0) is None else numbers.number("invalid", 0.0),
        ),
        _axes(options["normals"]) if "normals" in files else ("x", "y", "z"),
        inline,
        _splits(table),
    )


_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "instance": ("encoding",),
    "disparity": ("scale", "offset", "invalid"),
    "depth": ("scale", "offset", "invalid"),
    "normals": ("axes",),
}
_CLASS_KEYS: Final = ("name", "id", "value", "color", "category", "instances", "evaluated", "sky")


class _Table:
    """A table of the YAML file. Its errors name the full key, such as `depth.scale`."""

    def __init__(self, path: Path, prefix: str, content: Mapping[str, Any], keys: Sequence[str]) -> None:
        self.path, self.prefix, self.content = path, prefix, content
        for key in content:
            if key not in keys:
                similar = difflib.get_close_matches(str(key), keys, 1)
                remedy = f"Did you mean `{similar[0]}`?" if similar else "Remove it."
                self.fail(str(key), f"must be one of {', '.join(keys)}", remedy, "an unknown key")

    def fail(self, key: str, rule: str, remedy: str = "Correct it.", found: str | None = None) -> NoReturn:
        """Raise `DataError` about a key."""
        value = self.content.get(key)
        shown = found or ("none" if value is None else repr(value)[:80])
        raise DataError(Problem(self.path, f"the key `{self.prefix}{key}` {rule}", shown, remedy))

    def get(self, key: str, kind: type[_T], default: _T | None = None) -> _T:
        value = self.content.get(key, default)
        # A bool is an int to `isinstance`.
        if not isinstance(value, kind) or type(value) is not kind:
            names = {str: "a text", int: "a whole number", bool: "true or false", list: "a list"}
            self.fail(key, f"must be {names.get(kind, kind.__name__)}")
        return value

    def number(self, key: str, default: float) -> float:
        """Return a number, also one written as a fraction such as 1/256."""
        value = self.content.get(key, default)
        try:
            top, _, bottom = str(value).replace(" ", "").partition("/")
            number = float(top) / float(bottom or 1)
        except (ValueError, ZeroDivisionError):
            number = math.nan
        if not math.isfinite(number):
            self.fail(key, "must be a number, or a fraction such as 1/256")
        return number

    def choice(self, key: str, choices: Sequence[_T], default: _T) -> _T:
        value = self.content.get(key, default)
        if value not in choices:
            self.fail(key, f"must be one of {', '.join(map(str, choices))}")
        return value


def _content(path: Path) -> dict[str, Any]:
    try:
        content = read_yaml(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(Problem(path, "the file must be readable as UTF-8", reason, "Check the path.")) from error
    except yaml.YAMLError as error:
        found = " ".join(str(error).split())
        raise DataError(Problem(path, "the file must be YAML", found, "Check the indents, and quote `{`.")) from error
    if not isinstance(content, dict):
        found, remedy = repr(content)[:60], "Write at least `image: folder` and `semantic: folder`."
        raise DataError(Problem(path, "the file must be a table of keys", found, remedy))
    if text := next((text for text in _texts(content) if "\0" in text), None):
        # No path may have one.
        raise DataError(Problem(path, "a text must have no NUL character", repr(text)[:60], "Remove it."))
    return content


def _texts(tree: Any) -> Iterator[str]:
    """Yield all texts of a tree of values."""
    if isinstance(tree, str):
        yield tree
    for part in [*tree, *tree.values()] if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _texts(part)


def _classes(table: _Table) -> tuple[LabelSpace, dict[int, int]]:
    """Return the label space, and the class id of each stored value."""
    ignored = table.content.get("ignore", IGNORE)
    ignored = ignored if isinstance(ignored, list) else [ignored]
    if not all(type(value) is int and -(2**63) <= value < 2**63 for value in ignored):
        table.fail("ignore", "must be a whole number, or a list of them")
    if "classes" not in table.content:
        return _NO_CLASSES, {}
    rows: list[_Table] = []
    for position, row in enumerate(table.get("classes", list)):
        if isinstance(row, str):
            row = {"name": row}
        if not isinstance(row, Mapping):
            table.fail("classes", "must be a list of names, or of tables with the key `name`", found=repr(row)[:60])
        rows.append(_Table(table.path, f"classes[{position}].", row, _CLASS_KEYS))
    known = {label.name: label for label in CITYSCAPES.classes}
    labels: list[Label] = []
    ids_of: dict[int, int] = {}
    name_of: dict[int, str] = {}
    categories: dict[str, int] = {}
    sky = None
    for position, row in enumerate(rows):
        name = row.get("name", str)
        like = known.get(name.casefold())
        value = row.get("value", int, row.content.get("id", position))
        if not -(2**63) <= value < 2**63:
            row.fail("value", "must be a whole number of 64 bits")
        class_id = row.get("id", int, value)
        if value in name_of:
            found = f"{value} of {name_of[value]!r} and {name!r}"
            row.fail("value", "must differ from those of the other classes", "Give each class its own.", found)
        ids_of[value], name_of[value] = class_id, name
        evaluated = row.get("evaluated", bool, True)
        category = row.get("category", str, like.category if like else name)
        train_id = sum(not label.ignore_in_eval for label in labels) if evaluated else IGNORE
        labels.append(
            Label(
                name,
                class_id,
                train_id,
                category,
                categories.setdefault(category, len(categories)),
                row.get("instances", bool, False),
                not evaluated,
                _color(row) if "color" in row.content else like.color if like else color_of_position(position),
            )
        )
        if row.get("sky", bool, name.casefold() == "sky"):
            sky = class_id
    try:
        space = LabelSpace(table.path.stem, tuple(labels), sky)
    except MultisigmaError as error:
        remedy = "Give each class its own `name` and `id`, and `value` for what files hold if that is another."
        table.fail("classes", "must make a label space", remedy, str(error).rstrip("."))
    if "ignore" in table.content and (both := next((value for value in ignored if value in ids_of), None)) is not None:
        remedy = "Remove it here, or write `evaluated: false` at the class."
        table.fail("ignore", "must hold no value of a class", remedy, f"{both}, the value of {name_of[both]!r}")
    ids_of |= {value: space.void for value in ignored if value not in ids_of}
    return space, ids_of


def _color(row: _Table) -> tuple[int, int, int]:
    color = row.content["color"]
    if not (isinstance(color, list) and len(color) == 3 and all(type(c) is int and 0 <= c <= 255 for c in color)):
        row.fail("color", "must be a list [red, green, blue] of 0 to 255")
    return color[0], color[1], color[2]


def color_of_position(position: int) -> tuple[int, int, int]:
    """Return a colour by position. Hues advance by the golden ratio, so that neighbours differ clearly."""
    red, green, blue = colorsys.hsv_to_rgb((0.13 + 0.618034 * position) % 1, 0.55 + 0.25 * (position % 2), 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


def _axes(table: _Table) -> tuple[str, ...]:
    axes = table.content.get("axes", ["x", "y", "z"])
    if not isinstance(axes, list) or sorted(str(axis).removeprefix("-") for axis in axes) != ["x", "y", "z"]:
        table.fail("axes", "must be a list of x, y and z, each with a `-` where it is reversed")
    return tuple(axes)


def _splits(table: _Table) -> dict[str, Sequence[str]] | None:
    content = table.content.get("splits")
    if content is None:
        return None
    if not isinstance(content, Mapping) or not content:
        table.fail("splits", "must be a table of lists of names, or of text files with a name in each line")
    named: dict[str, Sequence[str]] = {}
    row = _Table(table.path, "splits.", content, tuple(content))
    for split, value in content.items():
        if isinstance(value, str):
            file = table.path.parent / table.get("root", str, ".") / value
            try:
                value = [line.strip() for line in read_text(file).splitlines() if line.strip()]
            except (OSError, UnicodeDecodeError) as error:
                row.fail(split, "must name a readable text file", "Check the path.", f"{file}: {error}")
        if not isinstance(value, list) or not value:
            row.fail(split, "must be a list of names, or a text file with a name in each line")
        named[str(split)] = [str(name) for name in value]
    return named
