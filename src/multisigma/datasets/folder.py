"""A user's own data: folders of images and labels that a YAML file describes."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.arrays import class_ids, instance_ids, read_map, read_rgb, read_values, unit_vectors
from multisigma.datasets.cameras import camera_from_numbers, read_camera_file
from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.fields import ClassMap, Directions, Disparity, Field, Image, InstanceMap, instance_centroids
from multisigma.datasets.folder_config import FolderConfig
from multisigma.datasets.frame import Camera, Frame
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.problems import DataError, Problem

__all__ = ["FolderDataset", "find_names", "list_folder", "list_splits"]

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
# Endings that are tried where a pattern has none.
_ENDINGS: Final = "png|jpe?g|bmp|tiff?|webp|ppm|pgm|pfm|gif|npy|json|ya?ml|txt"


@dataclass(frozen=True)
class FolderDataset(SceneDataset):
    """One split of a data set in folders.

    Args:
        config: What the YAML file says.
        names: Names of the frames.
        files: Each frame's files by key of the configuration.
    """

    config: FolderConfig
    names: Sequence[str]
    files: Sequence[Mapping[str, Path]]

    @property
    def labels(self) -> LabelSpace:
        """The classes of the YAML file."""
        return self.config.labels

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        """Return the name of a frame, with `_` for each slash."""
        return _frame_name(self.names[i])

    def label_counts(self) -> dict[str, int]:
        """Return the number of frames that have a file for each field; the files are not opened."""
        counts = {_field_of(key): sum(key in files for files in self.files) for key in self.config.files}
        counts.pop("image", None)
        return counts | ({} if self.config.camera is None else {"camera": len(self)})

    def subset(self, indices: Sequence[int]) -> FolderDataset:
        """Return the data set of some frames, in the order of the indices."""
        return replace(self, names=[self.names[i] for i in indices], files=[self.files[i] for i in indices])

    def remedy(self, field: str) -> str:
        """Return where files of a field are expected."""
        for key, pattern in self.config.files.items():
            if _field_of(key) == field:
                return f"Add the files {self.config.root / pattern}, which the key `{key}` names."
        key = "disparity` or `depth" if field == "disparity" else field
        return f"Add the key `{key}` to {self.config.path}."

    def read(self, i: int, only: Collection[str] | None = None) -> Frame:
        """Read a frame.

        Raises:
            DataError: Files of the frame are at fault; the error names all of them.
        """
        config, files = self.config, self.files[i]
        problems: list[Problem] = []
        first: tuple[Path, NDArray[Any]] | None = None
        size: tuple[int, int] | None = None

        def attempt(key: str, read: Callable[[Path], _T]) -> _T | None:
            nonlocal first, size
            if key not in files:
                return None
            try:
                value = read(files[key])
                if isinstance(value, np.ndarray):
                    first = first or (files[key], value)
                    size = (first[1].shape[0], first[1].shape[1])
                    _require_size(files[key], value, *first)
                return value
            except DataError as error:
                problems.extend(error.problems)
                return None

        def wanted(field: str) -> bool:
            return only is None or field in only

        fields: dict[str, Field] = {}
        void = self.labels.void
        image = attempt("image", read_rgb) if wanted("image") else None
        if image is not None:
            fields["image"] = Image(image)
        elif "image" not in files and only is not None and "image" in only:
            rule = "the key `image` must be there to train or to predict"
            problems.append(Problem(config.path, rule, "none", "Name the files of the images."))
        needs_classes = wanted("instance") and "instance" in files and config.encoding == "number"
        semantic = attempt("semantic", self._read_semantic) if wanted("semantic") or needs_classes else None
        if semantic is not None and wanted("semantic"):
            fields["semantic"] = ClassMap(semantic, void)
        if wanted("instance") and not (needs_classes and semantic is None):
            ids = attempt("instance", lambda path: self._read_instances(path, files.get("semantic"), semantic))
            if ids is not None:
                fields["instance"] = InstanceMap(ids, instance_centroids(ids, self.labels.instance_ids), void)
        camera = None
        near = attempt("disparity", self._read_numbers) if wanted("disparity") else None
        far = attempt("depth", self._read_numbers) if wanted("disparity") else None
        vectors = attempt("normals", self._read_normals) if wanted("normals") else None
        if size is not None:
            frame_size = size
            camera = attempt("camera", lambda path: read_camera_file(path, frame_size))
            if config.camera is not None:
                camera = camera_from_numbers(config.camera, size, config.path, "camera.")
        if near is not None:
            fields["disparity"] = Disparity(np.where(near >= 0, near, np.float32(np.nan)))
        if far is not None and camera is not None:
            fields["disparity"] = Disparity(_disparity_of(far, camera))
        elif far is not None and "camera" not in files:
            rule = "a frame with depth must have a camera, to convert depth to disparity"
            problems.append(Problem(files["depth"], rule, "none", "Add its camera file, or an inline `camera`."))
        if vectors is not None:
            fields["normals"] = Directions(vectors)
        if problems:
            raise DataError(*problems)
        return Frame(self.name(i), fields, camera, self.labels)

    def _read_semantic(self, path: Path) -> NDArray[np.uint8]:
        stored = read_map(path)
        if stored.ndim == 3:
            _require_colours_to_differ(self.config)
        return class_ids(path, stored, dict(self.config.ids_of), self.labels)

    def _read_instances(
        self, path: Path, classes_path: Path | None, classes: NDArray[np.uint8] | None
    ) -> NDArray[np.int32]:
        stored, config = read_map(path), self.config
        if classes is not None and classes_path is not None:
            _require_size(path, stored, classes_path, classes)
        return instance_ids(path, stored, config.encoding, classes, dict(config.ids_of), self.labels)

    def _read_numbers(self, path: Path) -> NDArray[np.float32]:
        """Read disparity or depth, shape (H, W); NaN where invalid."""
        stored, numbers = read_values(path), self.config.numbers
        if stored.ndim != 2:
            rule, remedy = "disparity or depth must have one channel", "Save it as 16-bit grey PNG, TIFF or .npy."
            raise DataError(Problem(path, rule, f"the shape {stored.shape}", remedy))
        values = stored.astype(np.float32) * np.float32(numbers.scale) + np.float32(numbers.offset)
        valid = np.isfinite(values) if numbers.invalid is None else np.isfinite(values) & (stored != numbers.invalid)
        return np.where(valid, values, np.float32(np.nan))

    def _read_normals(self, path: Path) -> NDArray[np.float32]:
        return unit_vectors(path, read_values(path), self.config.axes)


def _require_colours_to_differ(config: FolderConfig) -> None:
    """Raise `DataError` if two classes have one colour, unless both are ignored."""
    for one, other in combinations(config.labels.classes, 2):
        if one.color == other.color and not (one.ignore_in_eval and other.ignore_in_eval):
            rule = "classes must differ in colour where files hold colours"
            found = f"{list(one.color)} of {one.name!r} and {other.name!r}"
            raise DataError(Problem(config.path, rule, found, "Correct the `color` of one of them."))


def _frame_name(name: str) -> str:
    return name.replace("/", "_")


def list_folder(
    config: FolderConfig, split: str, missing_labels: Literal["error", "unlabelled"] = "error"
) -> FolderDataset:
    """List the frames of a split.

    If no frame of the split has a file for a key, the field is unlabelled. If only some have one, that is an error.

    Args:
        config: Where the files are.
        split: Name of the split.
        missing_labels: What to do if only some frames have a file of a key: 'error' raises, 'unlabelled' takes the
            others as unlabelled.

    Raises:
        DataError: There is no such split, it is empty, or a file is missing.
    """
    splits = list_splits(config)
    if split not in splits:
        rule = f"the split '{split}' must exist"
        raise DataError(Problem(config.path, rule, f"the splits {', '.join(splits)}", "Choose one of these."))
    first, *others = config.files
    found = find_names(config, first, split)
    names = sorted(found) if config.splits is None else _chosen(config, split, found)
    if twice := [name for name, count in Counter(map(_frame_name, names)).items() if count > 1]:
        rule, remedy = "names of frames must be unique after each slash becomes `_`", "Rename a file."
        raise DataError(*(Problem(config.path, rule, f"{name!r} more than once", remedy) for name in twice))
    files: list[dict[str, Path]] = [{first: found[name]} for name in names]
    problems: list[Problem] = []
    for key in others:
        pattern = config.files[key]
        if "{name}" not in pattern and key == "camera":
            shared = config.root / pattern.replace("{split}", split)
            files = [entry | {key: shared} for entry in files]
            continue
        paths = find_names(config, key, split)
        if not paths and not ("{split}" in pattern and find_names(config, key, None)):
            rule = f"the key `{key}` must name files"
            remedy = f"Correct the pattern {pattern}, or remove the key."
            problems.append(Problem(config.path, rule, f"none that matches {config.root / pattern}", remedy))
        missing = [name for name in names if name not in paths]
        if paths and len(missing) == len(names) and ("{split}" in pattern or config.splits is None):
            rule = f"files of the key `{key}` must have the names of frames"
            found_name, remedy = f"{next(iter(paths))!r}, and no frame of this name", f"Correct the pattern {pattern}."
            problems.append(Problem(config.path, rule, found_name, remedy))
        if missing and len(missing) < len(names) and missing_labels == "error":
            rule = f"if one frame of a split has a file of the key `{key}`, all must"
            remedy = "Restore it. To train without it, pass --missing-labels unlabelled."
            place = config.root / pattern.replace("{split}", split)
            problems += [Problem(place, rule, f"none for the frame {name}", remedy) for name in missing]
        for name, entry in zip(names, files, strict=True):
            if name in paths:
                entry[key] = paths[name]
    problems += _objects_without_classes(config, files, split, missing_labels)
    for key, pattern in config.files.items():
        if skipped := _other_endings(config.root, pattern, split) if key != "camera" else ():
            _log.warning(
                "%s: %d files in the place of the key `%s` are left out, because they do not end as images or arrays. "
                "Such as %s.",
                config.path,
                len(skipped),
                key,
                min(skipped),
            )
    if problems:
        raise DataError(*problems)
    return FolderDataset(config, names, files)


def _objects_without_classes(
    config: FolderConfig, files: Sequence[dict[str, Path]], split: str, missing_labels: Literal["error", "unlabelled"]
) -> list[Problem]:
    """Return the problems of objects whose classes nothing tells; with 'unlabelled', leave them out and warn."""
    lost = [entry for entry in files if config.encoding == "number" and "instance" in entry and "semantic" not in entry]
    if missing_labels == "unlabelled":
        for entry in lost:
            del entry["instance"]
        if lost:
            _log.warning(
                "%s: the objects of %d frames of the split '%s' are taken as unlabelled, because these frames have no "
                "file of the key `semantic`, which tells the classes.",
                config.path,
                len(lost),
                split,
            )
        return []
    if any("semantic" in entry for entry in files):
        # The missing files are problems already.
        return []
    rule = "a file of objects by number must have one of the key `semantic` beside it, which tells their classes"
    remedy = "Add it. To train without these objects, pass --missing-labels unlabelled."
    return [Problem(entry["instance"], rule, "none", remedy) for entry in lost]


def list_splits(config: FolderConfig) -> list[str]:
    """Return the names of the splits, sorted: those of the key `splits`, those of the folders, or 'train' alone.

    Raises:
        DataError: There is no file.
    """
    if config.splits is not None:
        return sorted(config.splits)
    first = next(iter(config.files))
    pattern = config.files[first]
    splits = sorted({split for split, _, _ in _walk(config.root, pattern, None)})
    if not splits:
        rule = f"the key `{first}` must name files"
        place = config.root / pattern
        raise DataError(Problem(config.path, rule, f"none that matches {place}", "Correct the pattern or the root."))
    return splits if "{split}" in pattern else ["train"]


def find_names(config: FolderConfig, key: str, split: str | None) -> dict[str, Path]:
    """Return the files of a key by name of their frame, or by SPLIT/NAME if `split` is None.

    Args:
        config: Where the files are.
        key: Key of the configuration, such as 'semantic'.
        split: The split; None for all.

    Raises:
        DataError: Two files have one name.
    """
    found: dict[str, Path] = {}
    for in_split, name, path in _walk(config.root, config.files[key], split):
        if split is not None and name in found:
            rule, remedy = f"each frame must have one file of the key `{key}`", "Remove one, or narrow the pattern."
            raise DataError(Problem(path, rule, f"{found[name].name} too", remedy))
        found[name if split is not None else f"{in_split}/{name}"] = path
    return found


def _chosen(config: FolderConfig, split: str, found: Collection[str]) -> list[str]:
    """Return the frames that the configuration lists for a split. A listed name may have a file's ending."""
    assert config.splits is not None
    names, problems = [], []
    for name in config.splits[split]:
        bare = re.sub(rf"\.({_ENDINGS})$", "", name, flags=re.IGNORECASE)
        if name in found or bare in found:
            names.append(name if name in found else bare)
        else:
            rule, remedy = f"the key `splits.{split}` must hold names of frames", "Correct the list."
            like = next(iter(sorted(found)), "no file at all")
            problems.append(Problem(config.path, rule, f"{name!r}, where names are such as {like!r}", remedy))
    if problems:
        raise DataError(*problems)
    return names


def _walk(root: Path, pattern: str, split: str | None) -> list[tuple[str, str, Path]]:
    """The files that match a pattern, sorted, as (split, name, path)."""
    if split is not None:
        pattern = pattern.replace("{split}", split)
    pattern = _with_name(pattern)
    expression = ""
    for part in re.split(r"(\{name\}|\{split\}|\*)", pattern):
        group = part.strip("{}")
        if part == "*":
            expression += "[^/]*"
        elif part in ("{name}", "{split}"):
            first_time = f"(?P<{group}>" not in expression
            kind = ".+?" if group == "name" else "[^/]+"
            expression += f"(?P<{group}>{kind})" if first_time else f"(?P={group})"
        else:
            expression += re.escape(part)
    if _any_ending(pattern):
        expression += rf"\.({_ENDINGS})"
    matcher = re.compile(expression, re.IGNORECASE if pattern.isascii() else 0)
    fixed = re.split(r"[{*]", pattern)[0].rpartition("/")[0]
    found = []
    for folder, folders, files in os.walk(root / fixed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in files:
            path = Path(folder, file)
            match = None if file.startswith(".") else matcher.fullmatch(path.relative_to(root).as_posix())
            if match:
                found.append((match.groupdict().get("split") or split or "train", match["name"], path))
    return sorted(found)


def _with_name(pattern: str) -> str:
    return pattern if "{name}" in pattern else f"{pattern.rstrip('/')}/{{name}}"


def _any_ending(pattern: str) -> bool:
    """Whether a pattern with a name takes any of the common endings."""
    return "." not in pattern.rpartition("/")[2] and not pattern.endswith("*")


def _other_endings(root: Path, pattern: str, split: str) -> set[Path]:
    """The files in the place of a pattern that it does not take because of their ending, or for want of one."""
    pattern = _with_name(pattern)
    if not _any_ending(pattern):
        return set()
    everything, taken = ({path for *_, path in _walk(root, each, split)} for each in (f"{pattern}*", pattern))
    return everything - taken


def _field_of(key: str) -> str:
    """The field of a frame that a key's files become."""
    return "disparity" if key == "depth" else key


def _disparity_of(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(depth > 0, np.float32(camera.baseline * camera.fx) / depth, np.float32(np.nan))


def _require_size(path: Path, array: NDArray[Any], other_path: Path, other: NDArray[Any]) -> None:
    if array.shape[:2] != other.shape[:2]:
        rule = "all files of a frame must have the same size (height x width)"
        found = f"{array.shape[0]}x{array.shape[1]} beside {other.shape[0]}x{other.shape[1]} of {other_path}"
        raise DataError(Problem(path, rule, found, "Make the files of the frame from the same image."))
