"""A user's own data by a YAML file: what is read, from files that OpenCV, Pillow and numpy write."""

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from multisigma.datasets.augment import apply_transform
from multisigma.datasets.check import check_data
from multisigma.datasets.fields import ClassMap, Directions, Disparity, InstanceMap
from multisigma.datasets.folder_config import read_config
from multisigma.datasets.frame import Camera, Frame
from multisigma.datasets.open import find_splits, open_dataset
from multisigma.datasets.problems import DataError
from multisigma.datasets.transform import Transform

SIZE = (12, 20)
ELEVEN = ["sky", "building", "pole", "road", "sidewalk", "tree", "sign", "fence", "car", "pedestrian", "cyclist"]
CLASSES = f"classes: [{', '.join(ELEVEN)}]\n"


def save(path: Path, array: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Picture.fromarray(array).save(path, **options)
    return path


def write(tmp_path: Path, text: str, name: str = "data.yaml") -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)


def ids(seed: int, classes: int = 11) -> np.ndarray:
    return np.random.default_rng([1, seed]).integers(0, classes, SIZE, np.uint8)


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    """Photographs of several formats with classes: what a user has who labelled a few streets."""
    for split, names in {"train": ["a.png", "b.jpg", "deep/c.bmp"], "val": ["d.webp"]}.items():
        for seed, name in enumerate(names):
            save(tmp_path / "images" / split / name, noise(seed))
            label = ids(seed)
            label[0, :3] = 255
            save((tmp_path / "labels" / split / name).with_suffix(".png"), label)
    return tmp_path


def only(path: Path, split: str = "train") -> Frame:
    (frame,) = (open_dataset(path, split).read(i) for i in range(len(open_dataset(path, split))))
    return frame


def fails(action: Callable[[], object], *words: str) -> None:
    with pytest.raises(DataError) as caught:
        action()
    for word in words:
        assert word in str(caught.value)


def test_photographs_with_eleven_classes_need_three_lines(streets: Path) -> None:
    path = write(streets, "image: images/{split}\nsemantic: labels/{split}\n" + CLASSES)
    assert find_splits(path) == ["train", "val"]
    dataset = open_dataset(path, "train")
    assert [dataset.name(i) for i in range(len(dataset))] == ["a", "b", "deep_c"]
    assert dataset.label_counts() == {"semantic": 3}
    assert [label.name for label in dataset.labels.train_classes] == ELEVEN
    assert dataset.labels.sky == 0
    # Known names have their known colours; others have different ones.
    assert dataset.labels.by_id[3].color == (128, 64, 128)
    assert len({label.color for label in dataset.labels.classes}) == 11
    frame = dataset.read(0)
    np.testing.assert_array_equal(frame.image, noise(0))
    semantic = frame.get("semantic", ClassMap)
    assert semantic is not None
    expected = ids(0)
    expected[0, :3] = 255
    np.testing.assert_array_equal(semantic.ids, expected)
    assert semantic.void == 255
    moved = apply_transform(frame, Transform(False, *SIZE, -2, 0, *SIZE)).get("semantic", ClassMap)
    assert moved is not None
    assert (moved.ids[:2] == 255).all()
    assert frame.camera is None
    assert pickle.loads(pickle.dumps(dataset)).read(2, ["semantic"]).fields.keys() == {"semantic"}
    report = check_data(path)
    assert (report.problems, report.warnings) == ([], [])
    assert report.splits == {"train": {"frames": 3, "semantic": 3}, "val": {"frames": 1, "semantic": 1}}


def test_colours_and_palettes_are_understood(tmp_path: Path) -> None:
    table = np.array([[10 * i, 255 - i, 7] for i in range(11)], np.uint8)
    rows = "".join(f"  - {{name: {name}, color: {table[i].tolist()}}}\n" for i, name in enumerate(ELEVEN))
    path = write(tmp_path, "image: '{name}.ppm'\nsemantic: '{name}_label.*'\nclasses:\n" + rows)
    save(tmp_path / "x.ppm", noise(0))
    save(tmp_path / "x_label.png", table[ids(0)])
    np.testing.assert_array_equal(only(path).get("semantic").ids, ids(0))  # type: ignore[union-attr]
    (tmp_path / "x_label.png").unlink()
    picture = Picture.fromarray(ids(0), "L").convert("P")
    picture.putdata(ids(0).ravel().tolist())
    picture.putpalette(np.arange(768, dtype=np.uint8).tobytes())
    picture.save(tmp_path / "x_label.gif")
    assert Picture.open(tmp_path / "x_label.gif").mode == "P"
    np.testing.assert_array_equal(only(path).get("semantic").ids, ids(0))  # type: ignore[union-attr]
    (tmp_path / "x_label.gif").unlink()
    wrong = table[ids(0)]
    wrong[0, 0] = (1, 2, 3)
    label = save(tmp_path / "x_label.png", wrong)
    fails(lambda: only(path), str(label), "colours of pixels", "(1, 2, 3) (1 pixels)")


def test_colours_of_classes_differ_where_files_hold_colours(tmp_path: Path) -> None:
    rows = "classes: [{name: car, color: [9, 9, 9]}, {name: bus, color: [9, 9, 9]}]\n"
    path = write(tmp_path, "image: '{name}.ppm'\nsemantic: '{name}.png'\n" + rows)
    for name in "xy":
        save(tmp_path / f"{name}.ppm", noise(0))
        save(tmp_path / f"{name}.png", ids(0, 2))
    assert check_data(path).problems == []
    for name in "xy":
        save(tmp_path / f"{name}.png", np.full((*SIZE, 3), 9, np.uint8))
    (problem,) = check_data(path).problems
    assert problem.path == path
    assert problem.found == "[9, 9, 9] of 'car' and 'bus'"
    # Two ignored classes mean the same.
    rows = f"classes: [road{''.join(f', {{name: {n}, color: [9, 9, 9], evaluated: false}}' for n in ('car', 'bus'))}]\n"
    write(tmp_path, "image: '{name}.ppm'\nsemantic: '{name}.png'\n" + rows)
    assert check_data(path).problems == []


def test_files_that_a_pattern_leaves_out_are_counted(streets: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("0007", "deep/0008", "x.heic", ".hidden"):
        (streets / "images/train" / name).write_bytes(b"x")
    path = write(streets, "image: images/{split}\nsemantic: labels/{split}/{name}.png\n" + CLASSES)
    assert len(open_dataset(path, "train")) == 3
    (message,) = (record.getMessage() for record in caplog.records)
    assert "3 files in the place of the key `image` are left out" in message
    assert "0007" in message


INSTANCES = """
image: images
semantic: labels
instance: {files: objects, encoding: "%s"}
ignore: [99, 100]
classes:
  - {name: Straße, value: 0, id: 3}
  - {name: Auto, value: 1, id: 7, instances: true}
  - {name: Mensch, value: 2, id: 8, instances: true}
  - {name: Rest, value: 9, id: 9, evaluated: false}
"""


@pytest.mark.parametrize("encoding", ["number", "class*1000+number", "class*256+number"])
def test_instances_of_each_encoding(tmp_path: Path, encoding: str) -> None:
    semantic, number = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint16)
    semantic[2:5, 2:6], number[2:5, 2:6] = 1, 40
    semantic[2:5, 8:12], number[2:5, 8:12] = 1, 41
    semantic[7:10, 2:6], number[7:10, 2:6] = 2, 42
    semantic[7:10, 15:] = 2  # a group: no single person
    semantic[0, :], semantic[11, :] = 99, 9
    stored = {"number": number, "class*256+number": semantic * np.uint16(256) + number}.get(
        encoding, np.where(number > 0, semantic * np.uint16(1000) + number, semantic)
    )
    path = write(tmp_path, INSTANCES % encoding)
    save(tmp_path / "images/x.png", noise(0))
    save(tmp_path / "labels/x.png", semantic)
    save(tmp_path / "objects/x.png", stored.astype(np.uint16))
    frame = only(path)
    classes, instance = frame.get("semantic", ClassMap), frame.get("instance", InstanceMap)
    assert classes is not None
    assert instance is not None
    table = {0: 3, 1: 7, 2: 8, 9: 9, 99: 9}
    np.testing.assert_array_equal(classes.ids, np.vectorize(table.get)(semantic))
    expected = classes.ids.astype(np.int32)
    expected[2:5, 2:6], expected[2:5, 8:12], expected[7:10, 2:6] = 7000, 7001, 8000
    np.testing.assert_array_equal(instance.ids, expected)
    assert instance.centroids == {7000: (3.5, 3), 7001: (9.5, 3), 8000: (3.5, 8)}
    assert instance.void == classes.void == 9
    assert only_instance(path).keys() == {"instance"}


def only_instance(path: Path) -> dict[str, object]:
    return dict(open_dataset(path, "train").read(0, ["instance"]).fields)


def test_objects_by_number_need_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, INSTANCES % "number")
    for name in "xy":
        save(tmp_path / f"images/{name}.png", noise(0))
        save(tmp_path / f"objects/{name}.png", ids(0, 2))
    save(tmp_path / "labels/x.png", ids(0, 2))
    fails(lambda: open_dataset(path, "train"), "if one frame of a split has a file of the key `semantic`, all must")
    # Counts of labels do not name what is not read.
    assert open_dataset(path, "train", "unlabelled").label_counts() == {"semantic": 1, "instance": 1}
    (message,) = (record.getMessage() for record in caplog.records)
    assert "the objects of 1 frames of the split 'train' are taken as unlabelled" in message
    # A split may have no semantic file at all.
    splits = "image: i/{split}\nsemantic: s/{split}\ninstance: o/{split}\n"
    path = write(tmp_path, splits + INSTANCES[INSTANCES.index("ignore") :])
    for split in ("train", "val"):
        save(tmp_path / f"i/{split}/x.png", noise(0))
        save(tmp_path / f"o/{split}/x.png", ids(0, 2))
    save(tmp_path / "s/train/x.png", ids(0, 2))
    assert open_dataset(path, "train").label_counts() == {"semantic": 1, "instance": 1}
    fails(lambda: open_dataset(path, "val"), str(tmp_path / "o/val/x.png"), "must have one of the key `semantic`")
    assert open_dataset(path, "val", "unlabelled").label_counts() == {"semantic": 0, "instance": 0}


def test_depth_alone(tmp_path: Path) -> None:
    depth = np.random.default_rng(0).integers(0, 5000, SIZE, np.uint16)
    depth[0, 0] = 0
    save(tmp_path / "rgb/x.jpg", noise(0))
    save(tmp_path / "depth/x.png", depth)
    path = write(tmp_path, "image: rgb\ndepth: {files: depth, scale: 1/1000}\ncamera: {fx: 300}\n")
    dataset = open_dataset(path, "train")
    assert dataset.label_counts() == {"disparity": 1, "camera": 1}
    frame = dataset.read(0)
    assert frame.camera == Camera(0.2, 300, 300, 9.5, 5.5)
    disparity = frame.get("disparity", Disparity)
    assert disparity is not None
    assert np.isnan(disparity.values[0, 0])
    metres = 0.2 * 300 / disparity.values
    np.testing.assert_allclose(metres[depth > 0], depth[depth > 0] / 1000, rtol=1e-6)
    assert disparity.values.dtype == np.float32


@pytest.mark.parametrize("ending", ["png", "tiff", "npy"])
def test_disparity_as_stored(tmp_path: Path, ending: str) -> None:
    stored = np.random.default_rng(0).integers(0, 9999, SIZE, np.uint16)
    array = stored if ending == "png" else stored.astype(np.float32)
    save(tmp_path / f"disparity/x.{ending}", array)
    save(tmp_path / "images/x.png", noise(0))
    text = 'image: images\ndisparity: {files: disparity, scale: "1 / 256", offset: -1/256}\ncamera: cam/{name}.json\n'
    camera = {"extrinsic": {"baseline": 0.3}, "intrinsic": {"fx": 1, "fy": 2, "u0": 3, "v0": 4}}
    (tmp_path / "cam").mkdir()
    (tmp_path / "cam/x.json").write_text(json.dumps(camera))
    frame = only(write(tmp_path, text))
    assert frame.camera == Camera(0.3, 1, 2, 3, 4)
    expected = np.where(stored > 0, (stored - 1.0) / 256, np.nan)
    np.testing.assert_allclose(frame.get("disparity").values, expected, atol=1e-5)  # type: ignore[union-attr]


@pytest.mark.parametrize("stored", ["png", "npy"])
def test_normals_are_unit_vectors_of_the_camera(tmp_path: Path, stored: str) -> None:
    vectors = np.random.default_rng(0).normal(size=(*SIZE, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    shown = vectors * [1, -1, -1]  # as graphics programs have it: y up, z backward
    array = ((shown + 1) * 127.5).round().astype(np.uint8) if stored == "png" else shown.astype(np.float32)
    array[3, 4] = 0
    save(tmp_path / f"normals/x.{stored}", array)
    save(tmp_path / "images/x.png", noise(0))
    path = write(tmp_path, "image: images\nnormals: {files: normals, axes: [x, -y, -z]}\n")
    frame = only(path)
    found = frame.get("normals", Directions)
    assert found is not None
    assert np.isnan(found.vectors[3, 4]).all()
    vectors[3, 4] = np.nan
    np.testing.assert_allclose(found.vectors, vectors, atol=0.01 if stored == "png" else 1e-6)
    flipped = apply_transform(frame, Transform(True, *SIZE, 0, 0, *SIZE)).get("normals", Directions)
    assert flipped is not None
    np.testing.assert_array_equal(flipped.vectors, found.vectors[:, ::-1] * np.array([-1, 1, 1], np.float32))


def test_splits_by_lists(tmp_path: Path) -> None:
    for seed, name in enumerate("abcd"):
        save(tmp_path / f"pics/{name}.png", noise(seed))
        save(tmp_path / f"pics/{name}_L.png", ids(seed))
    (tmp_path / "train.txt").write_text("c\na.png\n\n", encoding="utf-8")
    text = "image: pics/{name}.png\nsemantic: pics/{name}_L.png\nsplits: {train: train.txt, val: [d]}\n" + CLASSES
    path = write(tmp_path, text)
    assert find_splits(path) == ["train", "val"]
    dataset = open_dataset(path, "train")
    assert [dataset.name(i) for i in range(2)] == ["c", "a"]
    np.testing.assert_array_equal(dataset.read(0).image, noise(2))
    assert open_dataset(path, "val").name(0) == "d"
    write(tmp_path, text.replace("[d]", "[e]"))
    fails(lambda: open_dataset(path, "val"), f"{path}: the key `splits.val`", "'e'", "such as 'a'")
    fails(lambda: open_dataset(path, "test"), "the split 'test' must exist", "train, val")


def test_labels_without_images(streets: Path) -> None:
    path = write(streets, "semantic: labels/{split}\n" + CLASSES)
    dataset = open_dataset(path, "train")
    assert list(dataset.read(0).fields) == ["semantic"]
    fails(lambda: dataset.read(0, ["image"]), "the key `image` must be there")


def test_missing_files(streets: Path) -> None:
    path = write(streets, "image: images/{split}\nsemantic: labels/{split}\ndisparity: disp/{split}\n" + CLASSES)
    fails(lambda: open_dataset(path, "train"), "the key `disparity` must name files", "disp/{split}")
    save(streets / "disp/train/a.png", ids(0))
    fails(
        lambda: open_dataset(path, "train"),
        "if one frame of a split has a file of the key `disparity`, all must",
        "frame b",
        "frame deep/c",
    )
    assert open_dataset(path, "train", "unlabelled").label_counts() == {"semantic": 3, "disparity": 1}
    # A split without any is unlabelled, and `check` warns of it.
    for name in ("b", "deep/c"):
        save(streets / f"disp/train/{name}.png", ids(0))
    assert open_dataset(path, "val").label_counts() == {"semantic": 1, "disparity": 0}
    (warning,) = check_data(path).warnings
    assert "the split 'val' should have the field 'disparity'" in str(warning)
    assert "disp/{split}" in warning.remedy
    assert "Add the key `normals`" in open_dataset(path, "val").remedy("normals")


def test_all_faults_of_the_files_at_once(streets: Path) -> None:
    path = write(streets, "image: images/{split}\nsemantic: labels/{split}\n" + CLASSES)
    (streets / "images/train/b.jpg").write_bytes(b"")
    wrong = ids(0)
    wrong[:2, :2] = 77
    save(streets / "labels/train/a.png", wrong)
    save(streets / "labels/train/deep/c.png", ids(0)[:4])
    report = check_data(path)
    assert [(p.path.relative_to(streets).as_posix(), p.rule) for p in report.problems] == [
        ("images/train/b.jpg", "the image must be readable"),
        ("labels/train/a.png", "ids of pixels must be those of the class table `classes`, or `ignore`"),
        ("labels/train/deep/c.png", "all files of a frame must have the same size (height x width)"),
    ]
    assert "77 (4 pixels)" in report.problems[1].found
    save(streets / "labels/train/a.jpg", wrong)
    fails(lambda: open_dataset(path, "train"), "one file of the key `semantic`", "a.jpg too")
    (streets / "labels/train/a.png").unlink()
    fails(lambda: open_dataset(path, "train").read(0), "stored without loss", "a JPEG")


BASE = "image: images/{split}\nsemantic: labels/{split}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n", "must be a table of keys"),
        ("image: [", "must be YAML"),
        ("{}", "the key `image` must be there, or another of semantic"),
        (BASE + CLASSES + "semantik: x\n", "the key `semantik` must be one of|Did you mean `semantic`?"),
        (BASE, "the key `classes` must list the classes"),
        (BASE + "classes: road\n", "the key `classes` must be a list; found 'road'"),
        (BASE + "classes: [{id: 1}]\n", "the key `classes[0].name` must be a text; found none"),
        (BASE + "classes: [{name: a, colour: [1, 2, 3]}]\n", "the key `classes[0].colour`|Did you mean `color`?"),
        (BASE + "classes: [{name: a, color: [1, 2]}]\n", "`classes[0].color` must be a list [red, green, blue]"),
        (BASE + "classes: [{name: a, id: 1}, b]\n", "the key `classes[1].value` must differ|found 1 of 'a' and 'b'"),
        (BASE + "classes: [{name: a, id: 1, value: 5}, {name: b, id: 1}]\n", "ids must differ. Found 1 of 'a' and 'b'"),
        (BASE + "classes: [a, b, A]\n", "names must differ|Found 'a' of id 0 and 'A' of id 2"),
        (BASE + CLASSES + "ignore: [255, 3]\n", "the key `ignore` must hold no value of a class; found 3|of 'road'"),
        ("image: images/{splitt}\n", "the key `image` must have no placeholders but|found `{splitt}`|mean `{split}`?"),
        (BASE + CLASSES + "camera: 'c/{nam}.json'\n", "the key `camera`|found `{nam}`. Did you mean `{name}`?"),
        ("image: 'images/{split'\n", "found `{split`. Did you mean `{split}`?"),
        (BASE + "classes: [{name: a, instances: true}]\n", "lie in 1 to 64. Found 0 of 'a'|`value` for what files"),
        (BASE + "classes: [{name: a, evaluated: maybe}]\n", "`classes[0].evaluated` must be true or false"),
        (BASE + CLASSES + "ignore: void\n", "the key `ignore` must be a whole number"),
        (BASE + CLASSES + "splits: 3\n", "the key `splits` must be a table"),
        (BASE + CLASSES + "splits: {train: no.txt}\n", "the key `splits.train` must name a readable text file"),
        (BASE + CLASSES + "instance: {files: x, encoding: coco}\n", "`instance.encoding` must be one of number, class"),
        (BASE + CLASSES + "instance: {file: x}\n", "the key `instance.file` must be one of files, encoding"),
        ("image: x\ninstance: x\n" + CLASSES, "the key `semantic` must be there to tell the class of each object"),
        ("image: x\ndepth: x\n", "the key `camera` must be there|camera: {fx: 500}"),
        ("image: x\ndepth: x\ndisparity: x\n", "the key `depth` must not stand beside `disparity`"),
        ("image: x\ndisparity: {files: x, scale: big}\n", "the key `disparity.scale` must be a number, or a fraction"),
        ("image: x\ndepth: x\ncamera: {fx: -1}\n", "`camera.fx` must be a positive number, at most 1e12; found -1"),
        ("image: x\ndepth: x\ncamera: {fx: 1, cx: 2}\n", "keys fx, fy, u0, v0, baseline alone; found camera.cx"),
        ("image: /x\n", "the key `image` must be relative to the key `root`; found /x"),
        ("image: 'a*b*c*d*e*f'\n", "the key `image` must have at most 4 `*`"),
        ('image: "x\\0"\n', r"a text must have no NUL character; found 'x\x00'"),
        (BASE + "classes: [{name: a, value: 9223372036854775808}]\n", "`classes[0].value` must be a whole number of"),
        ("image: x\ndisparity: {files: x, scale: 1e999}\n", "the key `disparity.scale` must be a number"),
        ("image: x\ndisparity: {files: x, scale: .nan}\n", "the key `disparity.scale` must be a number, or a fraction"),
        ("image: x\ndepth: x\ncamera: {fx: 1" + "0" * 400 + "}\n", "`camera.fx` must be a positive number"),
        ("image: x\nnormals: {files: x, axes: [x, y]}\n", "the key `normals.axes` must be a list of x, y and z"),
    ],
)  # fmt: skip
def test_errors_name_file_and_key(streets: Path, text: str, words: str) -> None:
    path = write(streets, text)
    fails(lambda: open_dataset(path, "train"), str(path), *words.split("|"))


def test_names_and_folders_of_any_language(tmp_path: Path) -> None:
    root = tmp_path / "Straße 東京"
    save(root / "Bilder [neu]/Größe 1.png", noise(0))
    save(root / "Klassen/Größe 1.png", ids(0))
    path = write(root, "image: Bilder [neu]\nsemantic: Klassen\n" + CLASSES, "straßen.yaml")
    frame = only(path)
    assert frame.name == "Größe 1"
    np.testing.assert_array_equal(frame.image, noise(0))


PAGE = Path(__file__).parents[2] / "docs/data.md"


@pytest.mark.parametrize("block", re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S))
def test_the_pages_examples_are_right(tmp_path: Path, block: str) -> None:
    write(tmp_path, "x\n", "train.txt")
    config = read_config(write(tmp_path, re.sub("root: .*", "root: .", block)))
    assert config.files["image"]
    assert config.labels.train_classes


def test_labels_under_other_names_than_the_images_are_a_fault(streets: Path) -> None:
    for path in (streets / "labels" / "train").rglob("*.png"):
        path.rename(path.with_name(f"label_{path.name}"))
    text = f"image: images/{{split}}/{{name}}\nsemantic: labels/{{split}}/{{name}}.png\n{CLASSES}"
    with pytest.raises(
        DataError, match=r"files of the key `semantic` must have the names of frames.*'deep/label_c'|'label_a'"
    ):
        open_dataset(write(streets, text), "train")


def test_two_frames_of_one_name_are_a_fault(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a" / "b.png", noise(0))
    save(tmp_path / "images" / "a_b.png", noise(1))
    with pytest.raises(DataError, match=r"names of frames must be unique.*'a_b' more than once"):
        open_dataset(write(tmp_path, f"image: images/{{name}}\n{CLASSES}"), "train")


def test_the_fault_of_sizes_names_both_files(streets: Path) -> None:
    save(streets / "objects" / "val" / "d.png", np.zeros((5, 5), np.uint8))
    text = (
        "image: images/{split}/{name}\nsemantic: labels/{split}/{name}.png\n"
        f"instance: {{files: 'objects/{{split}}/{{name}}.png', encoding: number}}\n{CLASSES}"
    )
    with pytest.raises(DataError) as caught:
        open_dataset(write(streets, text), "val").read(0, {"semantic", "instance"})
    assert "d.png" in str(caught.value)
    assert str(Path("labels") / "val") in str(caught.value)
