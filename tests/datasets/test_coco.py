"""COCO's formats, as pycocotools reads them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from multisigma.datasets.coco import CocoWriter, encode_mask
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.scene import SceneInstance
from tests.scenes import scene_of

oracle = pytest.importorskip("pycocotools.mask", reason="pycocotools is in the group 'dev'")
COCO = pytest.importorskip("pycocotools.coco").COCO


@given(arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.booleans()))
def test_run_lengths_are_those_of_pycocotools(mask: np.ndarray) -> None:
    expected = oracle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert encode_mask(mask) == expected


def test_long_runs_are_those_of_pycocotools() -> None:
    mask = np.zeros((300, 500), bool)
    mask[20:290, 30:33] = mask[100:105, 200:480] = True
    assert encode_mask(mask) == oracle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, np.ndarray, list[SceneInstance]]:
    rng = np.random.default_rng(0)
    ids = rng.choice([7, 11, 26], (40, 60)).astype(np.uint8)
    car = SceneInstance(26, 0.75, 5, 10, rng.random((12, 20)) < 0.6)
    person = SceneInstance(24, 0.5, 30, 50, np.ones((10, 10), bool))
    writer = CocoWriter(tmp_path, CITYSCAPES)
    writer.add("empty", "empty.jpg", scene_of(np.full((4, 6), 7, np.uint8), []))
    writer.add("street", "a folder/street.jpg", scene_of(ids, [car, person]))
    writer.write()
    return tmp_path, ids, [car, person]


def test_objects_load(written: tuple[Path, np.ndarray, list[SceneInstance]]) -> None:
    folder, ids, regions = written
    coco = COCO(folder / "instances.json")
    assert [image["file_name"] for image in coco.loadImgs([1, 2])] == ["empty.jpg", "a folder/street.jpg"]
    assert len(coco.getCatIds()) == 19
    assert coco.getAnnIds([1]) == []
    found = coco.loadAnns(coco.getAnnIds([2]))
    for annotation, region in zip(found, regions, strict=True):
        whole = np.zeros(ids.shape, bool)
        rows, columns = region.mask.shape
        whole[region.top : region.top + rows, region.left : region.left + columns] = region.mask
        np.testing.assert_array_equal(coco.annToMask(annotation) > 0, whole)
        assert annotation["area"] == region.mask.sum()
        assert annotation["bbox"] == [region.left, region.top, columns, rows]
        assert (annotation["category_id"], annotation["score"]) == (region.class_id, region.confidence)
    # The same list serves as results.
    assert len(coco.loadRes(found).anns) == 2


def test_panoptic_maps_hold_each_segment(written: tuple[Path, np.ndarray, list[SceneInstance]]) -> None:
    folder, ids, (car, _) = written
    content = json.loads((folder / "panoptic.json").read_text())
    things = {category["name"] for category in content["categories"] if category["isthing"]}
    assert "car" in things
    assert "road" not in things
    entry = content["annotations"][1]
    colours = cv2.imread(str(folder / "panoptic" / entry["file_name"]))[..., ::-1].astype(int)
    segments = colours @ [1, 256, 65536]
    assert {segment["id"] for segment in entry["segments_info"]} == set(np.unique(segments)) - {0}
    for segment in entry["segments_info"]:
        assert segment["area"] == (segments == segment["id"]).sum()
    by_category = {segment["category_id"]: segment["id"] for segment in entry["segments_info"]}
    assert set(by_category) == {7, 11, 24, 26}
    assert (segments[5:17, 10:30][car.mask] == by_category[26]).all()
    assert (segments[30:40, 50:60] == by_category[24]).all()
    # Pixels of the class car outside the car have no segment.
    assert (segments[0:5][ids[0:5] == 26] == 0).all()
