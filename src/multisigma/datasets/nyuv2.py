"""NYU Depth V2: the labelled set of 1,449 indoor frames, as its authors publish it.

    ROOT/nyu_depth_v2_labeled.mat   images, raw labels of 894 classes, instances, depth; MATLAB 7.3, which is HDF5
    ROOT/splits.mat                 `trainNdxs` and `testNdxs`, from 1: 795 frames to train, 654 to test
    ROOT/classMapping40.mat         `mapClass`: one of 40 classes for each of the 894 (Gupta et al., CVPR 2013)
    ROOT/class13Mapping.mat         `classMapping13`: one of 13 classes for each of the 40 (Couprie et al., ICLR 2013)

A path to ROOT or to `classMapping40.mat` means 40 classes, a path to `class13Mapping.mat` means 13. The official
training frames are the split 'train', the official test frames the split 'val', on which published numbers are
measured.

Source: Silberman, Hoiem, Kohli and Fergus, "Indoor segmentation and support inference from RGBD images", ECCV 2012,
with its toolbox.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.cameras import DEFAULT_BASELINE
from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.fields import ClassMap, Disparity, Field, Image, InstanceMap, instance_centroids
from multisigma.datasets.folder_config import color_of_position
from multisigma.datasets.frame import Camera, Frame
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.labels import IGNORE, Label
from multisigma.datasets.problems import DataError, Problem
from multisigma.errors import MultisigmaError

if TYPE_CHECKING:
    import h5py

__all__ = ["NYUV2_13", "NYUV2_40", "NYUv2Dataset", "is_nyuv2", "open_nyuv2"]

LABELLED_FILE: Final = "nyu_depth_v2_labeled.mat"
SPLITS_FILE: Final = "splits.mat"
MAPPING_40: Final = "classMapping40.mat"
MAPPING_13: Final = "class13Mapping.mat"

SPLITS: Final = {"train": "trainNdxs", "val": "testNdxs"}
"""Variable of `splits.mat` by split."""

CAMERA: Final = Camera(DEFAULT_BASELINE, 518.857901, 519.469611, 325.582449 - 1, 253.736166 - 1)
"""The colour camera of the toolbox's `camera_params.m`, whose pixels count from 1. There is no second camera."""

_STUFF: Final = ("wall", "floor", "ceiling")


def _label_space(name: str, classes: str) -> LabelSpace:
    """Return the table of classes with commas between them; their ids count from 1, and 0 is unlabelled."""
    labels = [Label("unlabelled", 0, IGNORE, "void", 0, False, True, (0, 0, 0))]
    for i, each in enumerate(classes.split(", "), start=1):
        labels.append(Label(each, i, i - 1, each, i, each not in _STUFF, False, color_of_position(i)))
    return LabelSpace(name, tuple(labels))


NYUV2_40: Final = _label_space(
    "nyuv2-40",
    "wall, floor, cabinet, bed, chair, sofa, table, door, window, bookshelf, picture, counter, blinds, desk, shelves, "
    "curtain, dresser, pillow, mirror, floor mat, clothes, ceiling, books, refridgerator, television, paper, towel, "
    "shower curtain, box, whiteboard, person, night stand, toilet, sink, lamp, bathtub, bag, otherstructure, "
    "otherfurniture, otherprop",
)
"""The 40 classes of `classMapping40.mat`, in its spelling. All but wall, floor and ceiling have instances."""

NYUV2_13: Final = _label_space(
    "nyuv2-13", "bed, books, ceiling, chair, floor, furniture, objects, picture, sofa, table, tv, wall, window"
)
"""The 13 classes of `class13Mapping.mat`. All but wall, floor and ceiling have instances."""


def is_nyuv2(path: Path) -> bool:
    """Whether a path is the folder of the labelled set, or one of the two mappings in it."""
    folder = path.parent if path.name in (MAPPING_40, MAPPING_13) else path
    return (folder / LABELLED_FILE).is_file()


def open_nyuv2(path: Path, split: str) -> NYUv2Dataset:
    """Open a split of the labelled set.

    Args:
        path: The folder, for 40 classes; or one of the two mappings in it.
        split: 'train' for the official training frames, 'val' for the official test frames.

    Raises:
        MultisigmaError: h5py is not installed.
        DataError: There is no such split; a file is missing or does not hold what it should.
    """
    if split not in SPLITS:
        rule = f"the split '{split}' of NYU Depth V2 must exist"
        raise DataError(Problem(path, rule, f"the splits {', '.join(SPLITS)}", "Choose one of these."))
    root = path.parent if path.name in (MAPPING_40, MAPPING_13) else path
    file = root / SPLITS_FILE
    indices = _numbers(file, _load(file), SPLITS[split]) - 1
    file = root / MAPPING_40
    mapping = np.concatenate([[0], _numbers(file, _load(file), "mapClass")])
    space = NYUV2_40
    _require_range(file, "mapClass", mapping, space)
    if path.name == MAPPING_13:
        # A structure whose first field holds the numbers.
        structure = _load(path).get("classMapping13")
        first = structure[0, 0][0] if isinstance(structure, np.ndarray) and structure.dtype.names else None
        mapping_13 = np.concatenate([[0], _numbers(path, {"classMapping13": first}, "classMapping13")])
        space = NYUV2_13
        _require_range(path, "classMapping13", mapping_13, space)
        if len(mapping_13) <= mapping.max():
            rule = f"`classMapping13` must have the {mapping.max()} classes of {MAPPING_40}"
            raise DataError(Problem(path, rule, str(len(mapping_13) - 1), "Restore the file."))
        mapping = mapping_13[mapping]
    dataset = NYUv2Dataset(root / LABELLED_FILE, indices.tolist(), space, mapping.astype(np.uint8))
    frames = len(dataset.file["images"])
    if len(indices) == 0 or indices.min() < 0 or indices.max() >= frames:
        rule = f"`{SPLITS[split]}` must hold numbers of frames, from 1 to {frames}"
        found = f"{indices.min() + 1} to {indices.max() + 1}" if len(indices) else "none"
        raise DataError(Problem(root / SPLITS_FILE, rule, found, "Take the splits.mat of this data set."))
    return dataset


@dataclass(frozen=True)
class NYUv2Dataset(SceneDataset):
    """One split of the labelled set.

    Depth is the Kinect's own, `rawDepths`: pixels that it did not measure are unlabelled, and not filled in. The
    network learns inverse depth, as a disparity with the baseline `DEFAULT_BASELINE`; metres do not depend on it.

    Args:
        path: The labelled file.
        indices: Index in the file of each frame, from 0.
        space: The classes.
        mapping: Id in `space` of each raw label, shape (895,).
    """

    path: Path
    indices: Sequence[int]
    space: LabelSpace
    mapping: NDArray[np.uint8]

    @property
    def labels(self) -> LabelSpace:
        return self.space

    def __len__(self) -> int:
        return len(self.indices)

    def name(self, i: int) -> str:
        """Return the number of a frame in the file, from 1."""
        return f"{self.indices[i] + 1:06d}"

    def label_counts(self) -> dict[str, int]:
        """Return the number of frames with each field: all of them have all."""
        return dict.fromkeys(("semantic", "instance", "disparity", "camera"), len(self))

    def subset(self, indices: Sequence[int]) -> NYUv2Dataset:
        return replace(self, indices=[self.indices[i] for i in indices])

    @cached_property
    def file(self) -> h5py.File:
        """The open file; each process opens its own."""
        try:
            import h5py
        except ModuleNotFoundError as error:
            raise MultisigmaError(
                "NYU Depth V2 needs the extra 'nyuv2' (found no h5py): pip install 'multisigma[nyuv2]'"
            ) from error
        try:
            file = h5py.File(self.path, "r")
        except OSError as error:
            rule, remedy = "must be a MATLAB 7.3 file", "Download it again."
            raise DataError(Problem(self.path, rule, str(error), remedy)) from error
        # MATLAB's axes are reversed: (H, W, 3, N) becomes (N, 3, W, H).
        frames = len(file["images"]) if "images" in file else 0
        for name, dimensions in (("images", 4), ("labels", 3), ("instances", 3), ("rawDepths", 3)):
            shape: tuple[int, ...] = file[name].shape if name in file else ()
            if len(shape) != dimensions or len(shape) < 3 or shape[0] != frames:
                rule = f"the variable `{name}` must have {dimensions} axes, the last one for the frames"
                raise DataError(Problem(self.path, rule, str(shape[::-1]) if shape else "none", "Download it again."))
        return file

    def __getstate__(self) -> dict[str, Any]:
        # An open file cannot be sent to another process.
        return {key: value for key, value in vars(self).items() if key != "file"}

    def read(self, i: int, only: Collection[str] | None = None) -> Frame:
        index = self.indices[i]

        def stored(name: str) -> NDArray[Any]:
            try:
                array: NDArray[Any] = self.file[name][index].T
            except OSError as error:
                rule, remedy = f"the variable `{name}` of frame {index + 1} must be readable", "Download it again."
                raise DataError(Problem(self.path, rule, str(error), remedy)) from error
            return array

        def wanted(name: str) -> bool:
            return only is None or name in only

        fields: dict[str, Field] = {}
        if wanted("image"):
            fields["image"] = Image(np.ascontiguousarray(stored("images")))
        if wanted("semantic") or wanted("instance"):
            raw = stored("labels")
            if raw.max() >= len(self.mapping):
                rule = f"labels of frame {index + 1} must lie in 0 to {len(self.mapping) - 1}"
                raise DataError(Problem(self.path, rule, str(raw.max()), f"Take the {MAPPING_40} of this file."))
            classes = self.mapping[raw]
            if wanted("semantic"):
                fields["semantic"] = ClassMap(np.ascontiguousarray(classes), self.space.void)
            if wanted("instance"):
                ids = _instance_ids(classes, raw, stored("instances"), self.space)
                fields["instance"] = InstanceMap(ids, instance_centroids(ids, self.space.instance_ids), self.space.void)
        if wanted("disparity"):
            depth = np.ascontiguousarray(stored("rawDepths"), np.float32)
            with np.errstate(divide="ignore"):
                disparity = np.where(depth > 0, np.float32(CAMERA.baseline * CAMERA.fx) / depth, np.float32(np.nan))
            fields["disparity"] = Disparity(disparity)
        return Frame(self.name(i), fields, CAMERA, self.space)


def _instance_ids(
    classes: NDArray[np.uint8], raw: NDArray[Any], numbers: NDArray[Any], space: LabelSpace
) -> NDArray[np.int32]:
    """Return class id * 1000 + number, or the class id alone; shapes (H, W).

    The file counts instances anew for each raw label, and several raw labels become one class. So numbers are given
    anew here, from 1 for each class.
    """
    ids = classes.astype(np.int32)
    has_number = (numbers > 0) & np.isin(classes, space.instance_ids)
    keys = np.stack([classes[has_number], raw[has_number], numbers[has_number]], axis=1).astype(np.int64)
    if not len(keys):
        return ids
    instances, inverse = np.unique(keys, axis=0, return_inverse=True)
    # Sorted by class, so that the first row of a class is where its numbers begin.
    number = np.arange(len(instances)) - np.searchsorted(instances[:, 0], instances[:, 0]) + 1
    ids[has_number] = (instances[:, 0] * 1000 + number)[inverse.reshape(-1)]
    return ids


def _load(path: Path) -> Mapping[str, Any]:
    """Read a small MATLAB file. Raises `DataError`."""
    from scipy.io import loadmat

    try:
        with path.open("rb") as file:
            return dict(loadmat(file))
    # Damaged files raise whatever the reader stumbles on.
    except Exception as error:
        rule = "the file must be there and readable"
        remedy = f"Put it beside {LABELLED_FILE}; docs/data.md says where it comes from."
        raise DataError(Problem(path, rule, f"{type(error).__name__}: {error}", remedy)) from error


def _numbers(path: Path, content: Mapping[str, Any], name: str) -> NDArray[np.int64]:
    """Return a variable's whole numbers as one axis. Raises `DataError`."""
    array = content.get(name)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf" or not array.size:
        raise DataError(Problem(path, f"the variable `{name}` must hold numbers", "none", "Restore the file."))
    return array.reshape(-1).astype(np.int64)


def _require_range(path: Path, name: str, mapping: NDArray[np.int64], space: LabelSpace) -> None:
    highest = len(space.train_classes)
    if mapping[1:].min() < 1 or mapping.max() > highest:
        found = f"{mapping[1:].min()} to {mapping.max()}"
        raise DataError(Problem(path, f"`{name}` must lie in 1 to {highest}", found, "Restore the file."))
