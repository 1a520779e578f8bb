"""Packed copies: identical in content to their source, whatever its layout."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from multisigma.cli import main
from multisigma.datasets import fields
from multisigma.datasets.augment import AugmentSettings, apply_transform, draw_transform
from multisigma.datasets.check import check_data
from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.open import find_splits, layout_of, open_dataset
from multisigma.datasets.prepare import prepare
from multisigma.datasets.problems import DataError
from multisigma.errors import MultisigmaError
from tests.frames import array, centroids

MakeRoot = Callable[..., Path]


def assert_same(one: Frame, other: Frame) -> None:
    assert (one.name, one.camera, one.labels) == (other.name, other.camera, other.labels)
    assert list(one.fields) == list(other.fields)
    for name, field in one.fields.items():
        assert type(field) is type(other.fields[name])
        np.testing.assert_array_equal(array(one, name), array(other, name))
        assert array(one, name).dtype == array(other, name).dtype
    assert centroids(one) == centroids(other)


def test_content_is_identical_and_so_is_a_crop(make_root: MakeRoot, tmp_path: Path) -> None:
    root, copy = make_root(size=(32, 64)), tmp_path / "Straße 東京"
    assert main(["prepare", str(root), str(copy), "--packed"]) == 0
    assert layout_of(copy) == "packed"
    assert find_splits(copy) == find_splits(root) == ["train", "val"]
    for split in ("train", "val"):
        source, packed = open_dataset(root, split), open_dataset(copy, split)
        assert [packed.name(i) for i in range(len(packed))] == [source.name(i) for i in range(len(source))]
        assert packed.label_counts() == source.label_counts()
        packed = pickle.loads(pickle.dumps(packed))
        for i in range(len(source)):
            frame, other = source.read(i), packed.read(i)
            assert_same(frame, other)
            for seed in range(5):
                rng = np.random.default_rng(seed)
                transform = draw_transform(AugmentSettings(crop=(16, 24)), 32, 64, rng)
                assert_same(apply_transform(frame, transform), apply_transform(other, transform))
    assert packed.read(0, ["disparity"]).fields.keys() == {"disparity"}
    report = check_data(copy)
    assert (report.problems, report.warnings) == ([], [])
    assert report.splits["train"] == {"frames": 2, "semantic": 2, "instance": 2, "disparity": 2, "camera": 2}


def test_arrays_are_mapped_and_files_stay_as_they_are(make_root: MakeRoot, tmp_path: Path) -> None:
    prepare(make_root(), tmp_path / "copy", packed=True)
    frame = open_dataset(tmp_path / "copy", "train").read(0)
    pixels = frame.image
    base = pixels.base
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    pixels[:] = 0
    assert open_dataset(tmp_path / "copy", "train").read(0).image.any()


def test_a_packed_copy_at_a_size_is_the_smaller_root_in_content(make_root: MakeRoot, tmp_path: Path) -> None:
    root = make_root()
    prepare(root, tmp_path / "small", (8, 16))
    prepare(root, tmp_path / "packed", (8, 16), packed=True)
    small, packed = (
        open_dataset(tmp_path / "small", "train").read(0),
        open_dataset(tmp_path / "packed", "train").read(0),
    )
    for name in ("image", "semantic", "instance"):
        np.testing.assert_array_equal(array(small, name), array(packed, name))
    # The root stores disparity in steps of 1/256 px, and its centroids are those of the pixels that are left.
    np.testing.assert_allclose(array(small, "disparity"), array(packed, "disparity"), atol=1 / 512)
    assert small.camera == packed.camera
    with pytest.raises(MultisigmaError, match="must not be smaller than the copy of 99x16"):
        prepare(root, tmp_path / "large", (99, 16), packed=True)
    assert not (tmp_path / "large").exists()
    with pytest.raises(DataError, match="the copy must lie outside of its source"):
        prepare(root, root / "copy", packed=True)


def test_own_data_becomes_a_packed_copy(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    np.save(tmp_path / "labels/x.npy", np.array([[0, 1], [255, 1]], np.uint8))
    (tmp_path / "images/x.ppm").write_bytes(b"P6 2 2 255\n" + bytes(range(12)))
    (tmp_path / "own.yaml").write_text("image: images\nsemantic: labels\nclasses: [ground, sky]\n", encoding="utf-8")
    assert prepare(tmp_path / "own.yaml", tmp_path / "copy")
    shutil.rmtree(tmp_path / "labels")
    frame = open_dataset(tmp_path / "copy", "train").read(0)
    assert array(frame, "semantic").tolist() == [[0, 1], [255, 1]]
    assert [label.name for label in frame.labels.train_classes] == ["ground", "sky"]
    assert frame.labels.sky == 1
    assert frame.image[0, 1].tolist() == [3, 4, 5]


class Own(fields.Disparity):
    """A field type of a user's own."""


def test_faults(make_root: MakeRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_root(["train/aachen_000000_000019"])
    monkeypatch.setattr("multisigma.datasets.cityscapes.reading.Disparity", Own)
    with pytest.raises(MultisigmaError, match="Found 'disparity' of type Own"):
        prepare(root, tmp_path / "own", packed=True)
    monkeypatch.undo()
    copy = tmp_path / "copy"
    prepare(root, copy, packed=True)
    with pytest.raises(DataError, match="the split 'val' must exist; found the splits train"):
        open_dataset(copy, "val")
    (copy / "train/000000_semantic.npy").write_bytes(b"")
    (problem,) = check_data(copy).problems
    assert problem.path == copy / "train/000000_semantic.npy"
    (copy / "packed.json").write_text('{"format": 2}')
    with pytest.raises(DataError, match=r"packed.json: a packed copy must have the format 1, .*; found 2"):
        open_dataset(copy, "train")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("packed.json", '"train"', "3"),
        ("train/frames.json", '"fields": {', '"fields": {"x": 1, '),
        ("train/frames.json", '"ClassMap"', '"Class"'),
        ("train/frames.json", '"void": 0', '"void": "0"'),
        ("train/frames.json", '"000000_semantic.npy"', '"../train/000000_semantic.npy"'),
        ("train/frames.json", '"fx": 20.0', '"fx": null'),
        ("train/frames.json", '"centroids": {', '"centroids": {"1": [1.0], '),
        ("train/frames.json", '"centroids": {', '"centroids": [], "void": 0, "x": {'),
    ],
)
def test_a_damaged_index_is_named(make_root: MakeRoot, tmp_path: Path, file: str, old: str, new: str) -> None:
    copy = tmp_path / "copy"
    prepare(make_root(["train/aachen_000000_000019"]), copy, packed=True)
    text = (copy / file).read_text(encoding="utf-8")
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=rf"{file}: .*Pack the data again"):
        open_dataset(copy, "train")


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda path: np.save(path, np.zeros((16, 32, 2), np.uint8)), r"uint8 of shape \(16, 32, 2\)"),
        (lambda path: np.save(path, np.zeros((16, 32), np.float32)), "float32"),
        (lambda path: np.save(path, np.zeros((8, 8), np.uint8)), "16x32|8x8"),
        (lambda path: np.save(path, np.array([["a"]])), "<U1"),
        # numpy parses a header as Python.
        (lambda path: path.write_bytes(path.read_bytes().replace(b"{'descr'", b"({'descr")), "readable"),
        # A header may ask for more than there is.
        (lambda path: path.write_bytes(path.read_bytes().replace(b"(16, 32)", b"(99, 99)")), "readable"),
    ],
)
def test_a_damaged_array_is_named(
    make_root: MakeRoot, tmp_path: Path, damage: Callable[[Path], object], found: str
) -> None:
    copy = tmp_path / "copy"
    prepare(make_root(["train/aachen_000000_000019"]), copy, packed=True)
    damage(copy / "train/000000_semantic.npy")
    with pytest.raises(DataError, match=found):
        open_dataset(copy, "train").read(0)


def test_label_space_of_a_copy_is_the_sources(make_root: MakeRoot, tmp_path: Path) -> None:
    prepare(make_root(), tmp_path / "copy", packed=True)
    labels = open_dataset(tmp_path / "copy", "val").labels
    assert isinstance(labels, LabelSpace)
    assert labels == CITYSCAPES


def test_the_pages_numbers_are_the_measured_ones() -> None:
    root = Path(__file__).parents[2]
    measured = json.loads((root / "benchmarks/results/reading.json").read_text(encoding="utf-8"))
    packed, source = (
        measured["milliseconds"][name]["crop for training"] for name in ("packed copy", "Cityscapes root")
    )
    page = " ".join((root / "docs/data.md").read_text(encoding="utf-8").split())
    assert f"takes {packed:.0f} ms of processor time instead of {source:.0f}" in page
    assert f"{measured['bytes of a packed pixel']:.0f} bytes of disk a pixel" in page
