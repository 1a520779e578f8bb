"""Procedural streets: the root that is written, and the page about it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from multisigma.datasets.cityscapes import KINDS, find_splits, list_frames, read_frame
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.errors import MultisigmaError
from multisigma.synthetic import StreetSettings, generate, make_frame
from multisigma.synthetic import write as write_module
from multisigma.synthetic.frames import GENERATOR_VERSION
from multisigma.synthetic.samples import CITYSCAPES_FREQUENCIES, measure, write_samples_page
from tests.frames import class_ids, disparity, instance_ids


def digest(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streets") / "root"
    generate(path, 24, 12, 64, 128, 7, processes=1)
    return path


def test_files_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    for processes in (1, 2):
        generate(tmp_path / str(processes), 3, 2, 64, 128, 7, processes=processes)
    one, two = digest(tmp_path / "1"), digest(tmp_path / "2")
    assert one == two
    assert len(one) == 5 * 7 + 2


def test_layout_is_read_as_cityscapes(root: Path) -> None:
    assert find_splits(root) == ["train", "val"]
    train, val = list_frames(root, "train"), list_frames(root, "val")
    assert (len(train), len(val)) == (24, 12)
    cities = {f.city for f in train}, {f.city for f in val}
    assert min(map(len, cities)) > 1
    assert not cities[0] & cities[1]
    for files in train + val:
        frame = read_frame(files)
        assert frame.image.shape == (64, 128, 3)
        assert frame.camera is not None
        assert list(frame.fields) == ["image", "semantic", "instance", "disparity"]
        assert all(KINDS[extra].path(root, files.split, files.name).is_file() for extra in ("right", "disparity_exact"))
        assert np.isin(class_ids(frame), [i for i in CITYSCAPES.by_id if i >= 0]).all()


def test_files_hold_what_was_rendered(root: Path) -> None:
    files = list_frames(root, "val")[0]
    made = make_frame(StreetSettings(64, 128, 7), "val", 0)
    read = read_frame(files)
    np.testing.assert_array_equal(read.image, made.left)
    np.testing.assert_array_equal(class_ids(read), made.labels)
    np.testing.assert_array_equal(instance_ids(read), made.instances)
    np.testing.assert_allclose(disparity(read), made.disparity, atol=1 / 512)
    assert read.camera == made.camera
    np.testing.assert_array_equal(cv2.imread(str(KINDS["right"].path(root, "val", files.name)))[..., ::-1], made.right)
    stored = cv2.imread(str(KINDS["disparity_exact"].path(root, "val", files.name)), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(stored == 0, np.isnan(made.exact_disparity))
    np.testing.assert_allclose((stored[stored > 0] - 1.0) / 256, made.exact_disparity[stored > 0], atol=1 / 512)


def test_camera_file_has_the_real_layout(root: Path) -> None:
    path = list_frames(root, "train")[0].camera
    assert path is not None
    record = json.loads(path.read_text())
    assert set(record) == {"extrinsic", "intrinsic"}
    assert set(record["extrinsic"]) == {"baseline", "pitch", "roll", "x", "y", "yaw", "z"}
    assert set(record["intrinsic"]) == {"fx", "fy", "u0", "v0"}


def test_record_of_the_settings(root: Path) -> None:
    record = json.loads((root / "streets.json").read_text())
    assert record["generator_version"] == GENERATOR_VERSION == 2
    assert record["settings"] == {"height": 64, "width": 128, "seed": 7, "matching": True, "train": 24, "val": 12}
    assert sum(record["class_frequencies"].values()) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(list(record["class_frequencies"].values()), measure(root).frequencies, atol=1e-5)


def test_colour_alone_does_not_tell_the_classes(root: Path) -> None:
    found = measure(root).colour_iou
    assert found is not None
    # Above guessing the commonest class everywhere, which is 0.02, and far below any network.
    assert 0.03 < found < 0.18


def test_page_is_whole_in_itself(root: Path) -> None:
    page = (root / "samples.html").read_text()
    assert page.count("<section>") == 12
    assert page.count("data:image/webp;base64,") == 12 * 5
    assert "http" not in page
    assert 'src="/' not in page
    assert f"{measure(root).colour_iou:.3f}" in page
    assert sum(CITYSCAPES_FREQUENCIES) == pytest.approx(1, abs=0.03)


def test_page_of_a_root_without_labels(root: Path, tmp_path: Path) -> None:
    (tmp_path / "leftImg8bit").symlink_to(root / "leftImg8bit")
    write_samples_page(tmp_path, tmp_path / "page.html")
    assert "not labelled" in (tmp_path / "page.html").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["leftImg8bit", "page.html"]


@pytest.mark.parametrize(
    ("train", "val", "size", "seed", "processes", "found"),
    [
        (-1, 2, (64, 128), 0, 1, "-1"),
        (2, -3, (64, 128), 0, 1, "-3"),
        (0, 0, (64, 128), 0, 1, "both 0"),
        (1, 1, (64, 100), 0, 1, "100"),
        (1, 1, (0, 128), 0, 1, "0"),
        (1, 1, (64, 128), -2, 1, "-2"),
        (1, 1, (64, 128), 0, 0, "0"),
    ],
)
def test_silly_numbers(
    tmp_path: Path, train: int, val: int, size: tuple[int, int], seed: int, processes: int, found: str
) -> None:
    with pytest.raises(MultisigmaError, match=found):
        generate(tmp_path / "root", train, val, *size, seed, processes=processes)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_into_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "precious.txt"):
        with pytest.raises(MultisigmaError, match="must be a new or empty folder"):
            generate(place, 1, 0, 64, 128, 0, processes=1)
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]


def test_one_split_and_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    generate(tmp_path / "root", 0, 1, 64, 128, 0, processes=1, samples_page=False)
    assert find_splits(tmp_path / "root") == ["val"]
    assert not (tmp_path / "root" / "samples.html").exists()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interruption_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException] | BaseException
) -> None:
    def fail(*_: object) -> None:
        raise interruption

    monkeypatch.setattr(write_module, "write_samples_page", fail)
    with pytest.raises((KeyboardInterrupt, MultisigmaError)):
        generate(tmp_path / "root", 1, 1, 64, 128, 0, processes=1)
    assert list(tmp_path.iterdir()) == []
