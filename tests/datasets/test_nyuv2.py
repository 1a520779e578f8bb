"""NYU Depth V2, on small files in the layout of the real ones."""

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from multisigma.datasets.check import check_data
from multisigma.datasets.fields import ClassMap, Disparity, InstanceMap
from multisigma.datasets.nyuv2 import CAMERA, NYUV2_13, NYUV2_40
from multisigma.datasets.open import find_splits, layout_of, open_dataset
from multisigma.datasets.packed import pack
from multisigma.datasets.problems import DataError

FRAMES, HEIGHT, WIDTH = 5, 12, 16
# Classes of six raw labels instead of 894: chair, chair, wall, books, television, wall.
MAP_40 = [5, 5, 1, 23, 25, 1]
MAP_13 = [
    *(12, 5, 6, 1, 4, 9, 10, 12, 13, 6, 8, 6, 13, 10, 6, 13, 6, 7, 7, 5, 7, 3, 2, 6, 11),
    *(7, 7, 7, 7, 7, 7, 6, 7, 7, 7, 7, 7, 7, 6, 7),
]


def stored() -> dict[str, np.ndarray]:
    """Return the variables of the labelled file as MATLAB has them: the frames along the last axis."""
    rng = np.random.default_rng(0)
    shape = (HEIGHT, WIDTH, FRAMES)
    labels = rng.integers(0, 7, shape).astype(np.uint16)
    labels[2:4, 2:4], labels[6:8, 2:4], labels[2:4, 8:12] = 1, 1, 2
    instances = np.zeros(shape, np.uint8)
    instances[2:4, 2:4], instances[6:8, 2:4], instances[2:4, 8:12] = 1, 2, 1
    depths = rng.uniform(0.7, 9.9, shape).astype(np.float32)
    raw = np.where(rng.random(shape) < 0.3, 0, depths).astype(np.float32)
    images = rng.integers(0, 256, (HEIGHT, WIDTH, 3, FRAMES)).astype(np.uint8)
    return {"images": images, "labels": labels, "instances": instances, "depths": depths, "rawDepths": raw}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        for name, array in stored().items():
            file[name] = array.T
    savemat(tmp_path / "splits.mat", {"trainNdxs": np.array([[1], [3], [4]]), "testNdxs": np.array([[2], [5]])})
    savemat(tmp_path / "classMapping40.mat", {"mapClass": np.array([MAP_40], np.uint8)})
    names = np.array([label.name for label in NYUV2_13.train_classes], object)
    mapping: dict[str, Any] = {"labels13": np.array([MAP_13], np.uint8), "className": names}
    savemat(tmp_path / "class13Mapping.mat", {"classMapping13": mapping})
    return tmp_path


def test_frames_hold_what_the_files_hold(root: Path) -> None:
    assert layout_of(root) == "nyuv2"
    assert find_splits(root) == ["train", "val"]
    arrays = stored()
    train, val = (open_dataset(root, split) for split in ("train", "val"))
    assert [train.name(i) for i in range(len(train))] == ["000001", "000003", "000004"]
    assert [val.name(i) for i in range(len(val))] == ["000002", "000005"]
    frame = val.read(1)
    assert np.array_equal(frame.image, arrays["images"][..., 4])
    semantic, disparity = frame.get("semantic", ClassMap), frame.get("disparity", Disparity)
    assert semantic is not None
    assert disparity is not None
    assert np.array_equal(semantic.ids, np.array([0, *MAP_40])[arrays["labels"][..., 4]])
    depth = arrays["rawDepths"][..., 4]
    assert np.array_equal(np.isnan(disparity.values), depth == 0)
    metres = CAMERA.baseline * CAMERA.fx / disparity.values
    np.testing.assert_allclose(metres[depth > 0], depth[depth > 0], rtol=1e-6)
    assert frame.camera == CAMERA


def test_instances_of_raw_labels_of_one_class_are_told_apart(root: Path) -> None:
    instance = open_dataset(root, "train").read(0, ["instance"]).get("instance", InstanceMap)
    assert instance is not None
    # Three chairs: two of raw label 1, one of raw label 2 with the same number as the first.
    assert (instance.ids[2, 2], instance.ids[6, 2], instance.ids[2, 8]) == (5001, 5002, 5003)
    assert instance.centroids[5003] == (9.5, 2.5)
    assert set(np.unique(instance.ids[instance.ids < 1000])) <= {0, *MAP_40}


def test_thirteen_classes_by_the_path_of_their_mapping(root: Path) -> None:
    dataset = open_dataset(root / "class13Mapping.mat", "val")
    assert dataset.labels is NYUV2_13
    semantic = dataset.read(0, ["semantic"]).get("semantic", ClassMap)
    assert semantic is not None
    of_raw = np.array([0, *(MAP_13[number - 1] for number in MAP_40)])
    assert np.array_equal(semantic.ids, of_raw[stored()["labels"][..., 1]])
    names = [NYUV2_13.by_id[i].name for i in of_raw[1:]]
    assert names == ["chair", "chair", "wall", "books", "tv", "wall"]
    assert len(NYUV2_40.train_classes) == 40


def test_other_processes_can_read_and_copies_can_be_packed(root: Path, tmp_path: Path) -> None:
    dataset = open_dataset(root, "train")
    first = dataset.read(0)
    copy = pickle.loads(pickle.dumps(dataset))
    assert np.array_equal(copy.read(0).image, first.image)
    pack({"train": dataset.subset([2, 0])}, tmp_path / "packed", None)
    packed = open_dataset(tmp_path / "packed", "train")
    assert packed.labels == NYUV2_40
    assert np.array_equal(packed.read(1).image, first.image)
    report = check_data(root)
    assert not report.problems
    assert report.splits["val"] == {"frames": 2, "semantic": 2, "instance": 2, "disparity": 2, "camera": 2}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("splits.mat", None, r"splits\.mat: the file must be there and readable; found FileNotFoundError"),
        ("splits.mat", {"trainNdxs": [[9]]}, r"`trainNdxs` must hold numbers of frames, from 1 to 5; found 9 to 9"),
        ("splits.mat", {"other": [[1]]}, r"the variable `trainNdxs` must hold numbers; found none"),
        ("classMapping40.mat", {"mapClass": [[1, 41]]}, r"`mapClass` must lie in 1 to 40; found 1 to 41"),
        ("classMapping40.mat", {"mapClass": [[1, 2]]}, r"labels of frame 1 must lie in 0 to 2; found 6"),
        ("nyu_depth_v2_labeled.mat", b"no HDF5", r"must be a MATLAB 7.3 file"),
    ],
)
def test_faults_are_named(root: Path, file: str, content: Any, message: str) -> None:
    if content is None:
        (root / file).unlink()
    elif isinstance(content, bytes):
        (root / file).write_bytes(content)
    else:
        savemat(root / file, {name: np.array(value) for name, value in content.items()})
    with pytest.raises(DataError, match=message):
        open_dataset(root, "train").read(0)
