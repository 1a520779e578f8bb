"""Predictions as files: read as written, and every fault named, all at once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from multisigma.datasets.cityscapes import list_frames
from multisigma.datasets.images import write_png
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.labels import Label
from multisigma.datasets.predictions import inspect_prediction, list_predictions, write_predictions
from multisigma.datasets.problems import DataError
from multisigma.datasets.scene import SceneInstance, cut_instances
from multisigma.errors import MultisigmaError
from multisigma.training.evaluate_predictions import evaluate_predictions
from tests.evaluations import values
from tests.scenes import Scene, scene_of

MakeRoot = Callable[..., Path]
SIZE = (16, 32)
NAMES = ("lindau_000000_000019", "lindau_000001_000019", "lindau_000002_000019")


def names_of(data: Path) -> list[str]:
    return [files.name for files in list_frames(data, "val")]


def scene(index: int) -> Scene:
    rng = np.random.default_rng(index)
    labels = rng.integers(0, 34, SIZE, dtype=np.uint8)
    ids = rng.integers(0, 4, SIZE).astype(np.int32)
    ids[:, :8] = 0
    disparity = (rng.integers(0, 2000, SIZE) / 256).astype(np.float32)
    return scene_of(labels, cut_instances(ids, [26, 24, 33], [0.1, 1 / 3, 0.9]), disparity)


@pytest.fixture
def data(make_root: MakeRoot) -> Path:
    return make_root([f"val/{name}" for name in NAMES], SIZE)


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    root = tmp_path / "predictions"
    root.mkdir()
    for index, name in enumerate(NAMES):
        write_predictions(root, name, scene(index), SIZE)
    return root


def test_what_was_written_is_read(data: Path, predictions: Path) -> None:
    files, problems = list_predictions(predictions, names_of(data))
    assert problems == []
    for index, file in enumerate(files):
        read, problems = inspect_prediction(file, predictions, SIZE)
        expected = scene(index)
        assert problems == []
        np.testing.assert_array_equal(read["semantic"].ids, expected["semantic"].ids)
        np.testing.assert_array_equal(read["depth"].disparity, expected["depth"].disparity)
        assert len(read["instance"].regions) == len(expected["instance"].regions) == 3
        for found, wanted in zip(read["instance"].regions, expected["instance"].regions, strict=True):
            assert (found.class_id, found.confidence) == (wanted.class_id, wanted.confidence)
            assert (found.top, found.left) == (wanted.top, wanted.left)
            np.testing.assert_array_equal(found.mask, wanted.mask)


def test_a_scene_without_objects_has_an_empty_list(tmp_path: Path) -> None:
    write_predictions(tmp_path, NAMES[0], scene_of(regions=[]), SIZE)
    assert (tmp_path / "instance" / f"{NAMES[0]}.txt").read_text() == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["instance"]


def test_objects_of_a_data_sets_own_classes(tmp_path: Path) -> None:
    """They have the data's names and ids; those of classes that the data lacks are left out."""
    labels = LabelSpace("own", (Label("pallet truck", 40, 0, "x", 0, True, False, (0, 0, 0)),))
    regions = [SceneInstance(class_id, 0.5, 0, 0, np.ones((1, 1), bool)) for class_id in (255, 40)]
    write_predictions(tmp_path, NAMES[0], scene_of(regions=regions), SIZE, labels)
    found = (tmp_path / "instance" / f"{NAMES[0]}.txt").read_text(encoding="utf-8")
    assert found == f"masks/{NAMES[0]}_000_pallet-truck.png 40 0.5\n"


def test_files_may_lie_in_folders_and_have_longer_names(data: Path, predictions: Path) -> None:
    (predictions / "semantic" / "lindau").mkdir()
    for name in NAMES:
        path = predictions / "semantic" / f"{name}_labelIds.png"
        path.rename(predictions / "semantic" / "lindau" / f"{name}_leftImg8bit_mine.png")
    files, problems = list_predictions(predictions, names_of(data))
    assert problems == []
    assert all(file.semantic.parent.name == "lindau" for file in files)


def test_a_semantic_copy_of_a_root_and_a_city_with_an_underscore(make_root: MakeRoot, tmp_path: Path) -> None:
    name = "stuttgart_00_000000_000001"
    root = make_root([f"val/{name}"], SIZE, without=["disparity"])
    next(root.rglob("*_instanceIds.png")).unlink()
    write_predictions(tmp_path, name, scene(0), SIZE)
    metrics = values(evaluate_predictions(tmp_path, root).measurements)
    assert np.isfinite(metrics["iou_class"])
    assert "ap" not in metrics


def test_a_folder_that_is_not_there_is_not_evaluated(data: Path, predictions: Path) -> None:
    whole = evaluate_predictions(predictions, data)
    shutil.rmtree(predictions / "instance")
    shutil.rmtree(predictions / "disparity")
    found = evaluate_predictions(predictions, data)
    for key in ("iou_class", "iiou_class"):
        assert repr(found[key]) == repr(whole[key])
    others = {"ap", "pq", "disparity_error_px"}
    assert others <= values(whole.measurements).keys()
    assert not others & values(found.measurements).keys()


def test_without_any_folder(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"semantic/, instance/, disparity/; found none of them"):
        evaluate_predictions(tmp_path / "nothing", data)
    with pytest.raises(DataError, match="found root"):
        evaluate_predictions(tmp_path, data)


def test_all_faults_are_listed_at_once(data: Path, predictions: Path) -> None:
    semantic, instance = predictions / "semantic", predictions / "instance"
    first, second, third = NAMES
    shutil.copy(semantic / f"{first}_labelIds.png", semantic / f"{first}_again.png")
    (semantic / f"{second}_labelIds.png").unlink()
    write_png(semantic / f"{third}_labelIds.png", np.zeros((8, 16), np.uint8))
    shutil.copy(semantic / f"{first}_labelIds.png", semantic / "lindau_000009_000019_labelIds.png")
    write_png(predictions / "disparity" / f"{first}_disparity.png", np.zeros(SIZE, np.uint8))
    write_png(predictions / "disparity" / f"{second}_disparity.png", np.zeros(SIZE, np.uint16))
    colour = "masks/colour.png"
    write_png(instance / colour, np.zeros((*SIZE, 3), np.uint8))
    write_png(instance / "masks" / "small.png", np.zeros((4, 4), np.uint8))
    write_png(predictions.parent / "outside.png", np.zeros(SIZE, np.uint8))
    (instance / f"{first}.txt").write_text(
        f"{colour} 26 0.5\nmasks/small.png 26 0.5\nmasks/absent.png 26 0.5\n../../outside.png 26 0.5\n"
        f"{predictions.parent}/outside.png 26 0.5\n"
    )
    mask = f"masks/{second}_000_car.png"
    (instance / f"{second}.txt").write_text(
        f"{mask} 26\n{mask} 77 0.5\n{mask} car 0.5\n{mask} 26 nan\n{mask} 26 0.5\n\n{mask} 24 0.5\n"
    )
    with pytest.raises(MultisigmaError) as raised:
        evaluate_predictions(predictions, data)
    lines = str(raised.value).splitlines()
    expected = [
        (f"one prediction for {first}", f"{first}_again.png"),
        ("every frame must have a prediction", f"no {second}*.png"),
        ("size of its frame", "8x16 for a frame of 16x32"),
        ("must belong to a frame of the split", "no frame lindau_000009_000019"),
        (f"{first}_disparity.png", "must be 16-bit grey; found 8-bit grey"),
        (f"{second}_disparity.png", "found 512 pixels without one"),
        ("colour.png", "must be grey; found 8-bit RGB"),
        ("small.png", "4x4 for a frame of 16x32"),
        ("absent.png", "must be readable"),
        (f"{first}.txt: line 4", "found '../../outside.png'"),
        (f"{first}.txt: line 5", "a mask must lie in the folder of the predictions"),
        (f"{second}.txt: line 1", "MASK LABEL_ID CONFIDENCE"),
        (f"{second}.txt: line 2", "found '77'"),
        (f"{second}.txt: line 3", "found 'car'"),
        (f"{second}.txt: line 4", "found 'nan'"),
        (f"{second}.txt: line 7", "each mask must be named once"),
    ]
    assert lines[0] == f"{len(expected)} faults"
    for words in expected:
        assert [line for line in lines if all(word in line for word in words)], words
    assert len(lines) == len(expected) + 1


def test_a_path_that_no_system_takes(data: Path, predictions: Path) -> None:
    (path,) = sorted((predictions / "instance").glob("*.txt"))[:1]
    path.write_text("masks/\0.png 26 0.5\n", encoding="utf-8")
    with pytest.raises(MultisigmaError, match="an object must be written as MASK LABEL_ID CONFIDENCE"):
        evaluate_predictions(predictions, data)


def test_a_fault_of_the_truth_is_listed_too(data: Path, predictions: Path) -> None:
    path = sorted((data / "gtFine" / "val").glob("*/*labelIds.png"))[0]
    write_png(path, np.full(SIZE, 77, np.uint8))
    (predictions / "instance" / f"{NAMES[2]}.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(MultisigmaError, match=rf"(?s)2 faults.*{path.name}.*readable text"):
        evaluate_predictions(predictions, data)


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_masks_of_any_depth(data: Path, predictions: Path, bits: int) -> None:
    """Any value but zero is the object, those too that eight bits would lose."""
    path = predictions / "instance" / "masks" / f"{NAMES[0]}_000_car.png"
    first = list_predictions(predictions, names_of(data))[0][0]
    before, _ = inspect_prediction(first, predictions, SIZE)
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) > 0
    if bits == 1:
        assert cv2.imwrite(str(path), mask.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])
    else:
        write_png(path, mask.astype(np.uint8) if bits == 8 else mask.astype(np.uint16) * 256)
    after, problems = inspect_prediction(list_predictions(predictions, names_of(data))[0][0], predictions, SIZE)
    assert problems == []
    np.testing.assert_array_equal(after["instance"].regions[0].mask, before["instance"].regions[0].mask)


def test_names_of_other_data_sets(tmp_path: Path) -> None:
    names = ["img_1", "img_10", "img_10.b", "Größe 1"]
    (tmp_path / "semantic/deep").mkdir(parents=True)
    files = {
        "img_1": "img_1_labelIds.png",
        "img_10": "deep/img_10.png",
        "img_10.b": "img_10.b-x.png",
        "Größe 1": "Größe 1.png",
    }
    for file in (*files.values(), "img_2.png", "img_100.png"):
        write_png(tmp_path / "semantic" / file, np.full((2, 2), 40, np.uint8))
    found, problems = list_predictions(tmp_path, names)
    assert problems == []
    assert {entry.name: entry.semantic for entry in found} == {n: tmp_path / "semantic" / f for n, f in files.items()}
    classes = (Label("a", 40, 0, "x", 0, False, False, (0, 0, 0)),)
    scene, problems = inspect_prediction(found[0], tmp_path, (2, 2), LabelSpace("own", classes))
    assert problems == []
    assert scene["semantic"].ids.tolist() == [[40, 40], [40, 40]]
    (problem,) = inspect_prediction(found[0], tmp_path, (2, 2))[1]
    assert "'cityscapes'" in problem.rule
    assert "40 (4 pixels)" in problem.found
