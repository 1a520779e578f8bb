"""Listing and reading roots in the Cityscapes format, sound and malformed."""

import json
import math
import os
import pickle
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from multisigma.datasets.cityscapes import FrameFiles, find_splits, list_frames, read_camera, read_frame
from multisigma.datasets.cityscapes.check import check_root
from multisigma.datasets.images import PngFormat, decode_disparity, encode_disparity, read_png, write_png
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.open import open_dataset
from multisigma.datasets.problems import DataError
from multisigma.errors import MultisigmaError
from tests.frames import centroids, class_ids, disparity, instance_ids

AACHEN = "train/aachen/aachen_000000_000019"
IMAGE = f"leftImg8bit/{AACHEN}_leftImg8bit.png"
LABELS = f"gtFine/{AACHEN}_gtFine_labelIds.png"
INSTANCES = f"gtFine/{AACHEN}_gtFine_instanceIds.png"
DISPARITY = f"disparity/{AACHEN}_disparity.png"
CAMERA = f"camera/{AACHEN}_camera.json"

MakeRoot = Callable[..., Path]
ArraysOf = Callable[[int, tuple[int, int]], dict[str, np.ndarray]]


def aachen(root: Path) -> FrameFiles:
    return next(files for files in list_frames(root, "train") if files.city == "aachen")


class TestSoundRoots:
    def test_frame_holds_what_the_files_hold(self, make_root: MakeRoot, arrays_of: ArraysOf) -> None:
        frame = read_frame(aachen(make_root()))
        stored = arrays_of(0, (16, 32))
        assert frame.name == "aachen_000000_000019"
        np.testing.assert_array_equal(frame.image, stored["image"])
        np.testing.assert_array_equal(class_ids(frame), stored["labels"])
        np.testing.assert_array_equal(instance_ids(frame), stored["instances"])
        assert class_ids(frame).dtype == np.uint8
        assert instance_ids(frame).dtype == np.int32
        assert disparity(frame).dtype == np.float32
        for row, column in np.ndindex(16, 32):
            p, d = int(stored["disparity"][row, column]), disparity(frame)[row, column]
            assert math.isnan(d) if p == 0 else d == (p - 1) / 256
        assert frame.camera is not None
        camera = frame.camera
        assert (camera.baseline, camera.fx, camera.fy, camera.u0, camera.v0) == (0.2, 20, 21, 15.5, 7.5)

    def test_centroids_are_means_over_all_pixels(self, make_root: MakeRoot, arrays_of: ArraysOf) -> None:
        frame = read_frame(aachen(make_root()))
        points: dict[int, list[tuple[int, int]]] = {}
        for row, column in np.ndindex(16, 32):
            instance = int(arrays_of(0, (16, 32))["instances"][row, column])
            if instance >= 1000 and instance // 1000 in {label.id for label in CITYSCAPES.instance_classes}:
                points.setdefault(instance, []).append((column, row))
        assert centroids(frame).keys() == points.keys()
        assert 26000 in points
        assert 29000 not in points
        for instance, pixels in points.items():
            assert centroids(frame)[instance] == pytest.approx(np.mean(pixels, axis=0))

    def test_frames_are_sorted_and_of_their_split(self, make_root: MakeRoot) -> None:
        root = make_root(["train/zurich_000000_000019", "train/aachen_000002_000019", "train/aachen_000001_104857",
                          "val/lindau_000000_000019"])  # fmt: skip
        frames = list_frames(root, "train")
        assert [files.name for files in frames] == [
            "aachen_000001_104857", "aachen_000002_000019", "zurich_000000_000019"
        ]  # fmt: skip
        assert [files.city for files in frames] == ["aachen", "aachen", "zurich"]
        assert {files.split for files in frames} == {"train"}

    @pytest.mark.parametrize("level", ["", "train", "train/aachen"])
    @pytest.mark.parametrize(
        ("folder", "fields"),
        [("gtFine", ["semantic", "instance"]), ("disparity", ["disparity"]), ("camera", ["camera"])],
    )
    def test_an_absent_folder_leaves_frames_unlabelled(
        self, make_root: MakeRoot, folder: str, fields: list[str], level: str
    ) -> None:
        root = make_root()
        shutil.rmtree(root / folder / level)
        files = aachen(root)
        frame = read_frame(files)
        for field in ("semantic", "instance", "disparity"):
            assert (getattr(files, field) is None) == (frame.get(field) is None) == (field in fields)
        assert (files.camera is None) == (frame.camera is None) == ("camera" in fields)
        bochum = next(files for files in list_frames(root, "train") if files.city == "bochum")
        assert all((getattr(bochum, field) is None) == (level != "train/aachen") for field in fields)

    def test_a_kind_without_any_file_leaves_frames_unlabelled(self, make_root: MakeRoot) -> None:
        root = make_root()
        (root / INSTANCES).unlink()
        files = aachen(root)
        assert files.instance is None
        assert files.semantic is not None
        assert list(read_frame(files).fields) == ["image", "semantic", "disparity"]
        assert all(files.instance for files in list_frames(root, "train") if files.city == "bochum")

    def test_the_city_is_the_name_of_the_folder(self, make_root: MakeRoot) -> None:
        """The official split of videos has 'stuttgart_00/stuttgart_00_000000_000001_leftImg8bit.png'."""
        root = make_root(["demoVideo/stuttgart_00_000000_000001", "train/aachen_000000_000019"])
        (frame,) = list_frames(root, "demoVideo")
        assert (frame.name, frame.city) == ("stuttgart_00_000000_000001", "stuttgart_00")
        assert read_frame(frame).camera is not None

    @pytest.mark.parametrize("gone", ["", "gtFine", "*labelIds.png"])
    def test_a_root_of_labels_alone(self, make_root: MakeRoot, gone: str) -> None:
        root = make_root()
        whole = open_dataset(root, "train")
        expected = disparity(whole.read(0))
        shutil.rmtree(root / "leftImg8bit")
        for path in [root / gone] if gone == "gtFine" else root.rglob(gone) if gone else []:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (root / "gtFine/cityscapes_panoptic_train").mkdir(parents=True)
        assert find_splits(root) == ["train", "val"]
        dataset = open_dataset(root, "train")
        assert [dataset.name(i) for i in range(len(dataset))] == [whole.name(i) for i in range(len(whole))]
        counts = dataset.label_counts()
        assert counts["disparity"] == 2
        frame = dataset.read(0, counts)
        assert set(frame.fields) == {field for field, count in counts.items() if count} - {"camera"}
        np.testing.assert_array_equal(disparity(frame), expected)
        fails(lambda: dataset.read(0), root / "leftImg8bit", "must hold images", "leftImg8bit_trainvaltest.zip")
        report = check_root(root)
        assert report.problems == []
        assert "3 frames of labels alone" in str(report.warnings[0])

    def test_folders_without_images_are_no_splits(self, make_root: MakeRoot) -> None:
        root = make_root()
        (root / "leftImg8bit/@eaDir").mkdir()
        (root / "leftImg8bit/train/@eaDir").mkdir()
        (root / "leftImg8bit/old/aachen").mkdir(parents=True)
        assert find_splits(root) == ["train", "val"]
        assert len(list_frames(root, "train")) == 2

    def test_other_files_are_passed_over(self, make_root: MakeRoot) -> None:
        root = make_root()
        (root / "leftImg8bit/train/aachen/Thumbs.db").touch()
        (root / "leftImg8bit/train/aachen/desktop.ini").touch()
        (root / "leftImg8bit/train/.DS_Store").touch()
        (root / "leftImg8bit/train/aachen/._aachen_000000_000019_leftImg8bit.png").touch()
        assert len(list_frames(root, "train")) == 2


def fails(action: Callable[[], object], path: Path, *words: str) -> str:
    """The message of the `DataError` that `action` raises; it begins with the path and holds the words."""
    with pytest.raises(DataError) as caught:
        action()
    message = str(caught.value)
    assert message.startswith(f"{path}: "), message
    for word in words:
        assert word in message
    return message


class TestMalformedLayouts:
    def test_missing_root(self, tmp_path: Path) -> None:
        fails(lambda: list_frames(tmp_path / "no", "train"), tmp_path / "no", "nothing there")

    def test_root_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        fails(lambda: list_frames(tmp_path / "file", "train"), tmp_path / "file", "a file")

    def test_neither_images_nor_labels(self, make_root: MakeRoot) -> None:
        root = make_root(without=["gtFine", "disparity"])
        shutil.rmtree(root / "leftImg8bit")
        fails(lambda: list_frames(root, "train"), root, "leftImg8bit/", "'camera'", "each package")

    def test_no_splits(self, tmp_path: Path) -> None:
        (tmp_path / "leftImg8bit").mkdir()
        fails(lambda: list_frames(tmp_path, "train"), tmp_path / "leftImg8bit", "one folder per split")

    def test_missing_split_names_those_that_exist(self, make_root: MakeRoot) -> None:
        root = make_root()
        fails(lambda: list_frames(root, "test"), root / "leftImg8bit/test", "'test'", "'train', 'val'")

    def test_empty_split(self, make_root: MakeRoot) -> None:
        root = make_root()
        (root / "leftImg8bit/test/berlin").mkdir(parents=True)
        fails(lambda: list_frames(root, "test"), root / "leftImg8bit/test", "must hold images")

    @pytest.mark.parametrize("file", [LABELS, INSTANCES, DISPARITY, CAMERA])
    def test_missing_partner(self, make_root: MakeRoot, file: str) -> None:
        root = make_root(["train/aachen_000000_000019", "train/aachen_000001_000019"])
        (root / file).unlink()
        fails(lambda: list_frames(root, "train"), root / file, "partner", "--missing-labels unlabelled", "of the city")
        files = list_frames(root, "train", missing_labels="unlabelled")[0]
        (missing,) = [name for name in ("semantic", "instance", "disparity", "camera") if getattr(files, name) is None]
        frame = read_frame(files)
        assert frame.get(missing) is None
        assert (frame.camera is None) == (missing == "camera")

    @pytest.mark.parametrize(
        "name",
        [
            "aachen_000000_000019.png",
            "aachen_000000_000019_leftImg8bit.jpg",
            "aachen_0000_000019_leftImg8bit.png",
            "bochum_000000_000019_leftImg8bit.png",
            "aachen_000000_000019_leftImg8bit.PNG",
            "../aachen_000003_000019_leftImg8bit.png",
        ],
    )
    @pytest.mark.parametrize("missing_labels", ["error", "unlabelled"])
    def test_misnamed_image(self, make_root: MakeRoot, name: str, missing_labels: str) -> None:
        root = make_root()
        path = (root / "leftImg8bit/train/aachen" / name).resolve()
        shutil.copy(root / IMAGE, path)
        fails(lambda: list_frames(root, "train", missing_labels), path, "CITY_SEQUENCE_FRAME")  # type: ignore[arg-type]

    @pytest.mark.parametrize("place", ["", "leftImg8bit", "leftImg8bit/val/lindau", "gtFine/train/aachen"])
    def test_unreadable_folder(self, make_root: MakeRoot, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        root, scandir = make_root(), os.scandir

        def forbid(path: Path) -> object:
            if path == root / place:
                raise PermissionError(13, "Permission denied")
            return scandir(path)

        if place == "":
            for folder in ("leftImg8bit", "gtFine", "disparity"):
                shutil.rmtree(root / folder)
        monkeypatch.setattr("os.scandir", forbid)
        fails(lambda: list_frames(root, "train"), root / place, "folder must be readable; found Permission denied")

    def test_folder_behind_an_unreadable_one(self, make_root: MakeRoot, monkeypatch: pytest.MonkeyPatch) -> None:
        root, is_dir = make_root(), Path.is_dir

        def forbid(path: Path) -> bool:
            if path == root / "gtFine/train/aachen":
                raise PermissionError(13, "Permission denied")
            return is_dir(path)

        monkeypatch.setattr(Path, "is_dir", forbid)
        fails(lambda: list_frames(root, "train"), root / "gtFine/train/aachen", "folder must be readable")

    def test_message_is_cut_after_five(self, make_root: MakeRoot) -> None:
        root = make_root([f"train/ulm_{i:06}_000019" for i in range(9)])
        for path in sorted((root / "disparity/train/ulm").iterdir())[:8]:
            path.unlink()
        message = fails(
            lambda: list_frames(root, "train"), root / "disparity/train/ulm/ulm_000000_000019_disparity.png"
        )
        assert len(message.splitlines()) == 6
        assert "3 more" in message
        assert "multisigma check" in message


def grey(bits: int) -> np.ndarray:
    return np.zeros((16, 32), dtype=np.uint8 if bits == 8 else np.uint16)


COLOR = np.zeros((16, 32, 3), dtype=np.uint8)


class TestMalformedFiles:
    @pytest.mark.parametrize(
        ("file", "pixels", "found"),
        [
            (IMAGE, grey(8), "8-bit grey"),
            (IMAGE, np.zeros((16, 32, 4), dtype=np.uint8), "8-bit RGB with alpha"),
            (IMAGE, COLOR.astype(np.uint16), "16-bit RGB"),
            (LABELS, grey(16), "16-bit grey"),
            (LABELS, COLOR, "8-bit RGB"),
            (INSTANCES, grey(8), "8-bit grey"),
            (DISPARITY, grey(8), "8-bit grey"),
        ],
    )
    def test_wrong_type(self, make_root: MakeRoot, file: str, pixels: np.ndarray, found: str) -> None:
        root = make_root()
        assert cv2.imwrite(str(root / file), pixels)
        fails(lambda: read_frame(aachen(root)), root / file, f"found {found}. Save it as")

    @pytest.mark.parametrize("file", [IMAGE, LABELS, INSTANCES, DISPARITY])
    @pytest.mark.parametrize(
        ("content", "found"),
        [
            (b"", "an empty file"),
            (cv2.imencode(".jpg", COLOR)[1].tobytes(), "a JPEG"),
            (b"<html>", "another kind of file"),
        ],
        ids=["empty", "jpeg", "html"],
    )
    def test_no_png(self, make_root: MakeRoot, file: str, content: bytes, found: str) -> None:
        root = make_root()
        (root / file).write_bytes(content)
        fails(lambda: read_frame(aachen(root)), root / file, "must be a PNG", found)

    @pytest.mark.parametrize("file", [LABELS, INSTANCES, DISPARITY])
    def test_size_differs(self, make_root: MakeRoot, file: str) -> None:
        root = make_root()
        pixels = cv2.imread(str(root / file), cv2.IMREAD_UNCHANGED)
        assert pixels is not None
        assert cv2.imwrite(str(root / file), np.ascontiguousarray(pixels[:, :-2]))
        fails(lambda: read_frame(aachen(root)), root / file, "same size", "16x30", "16x32", str(root / IMAGE))

    @pytest.mark.parametrize(
        ("file", "value"), [(LABELS, 34), (LABELS, 255), (INSTANCES, 34), (INSTANCES, 999), (INSTANCES, 34000),
                            (INSTANCES, 65535)],
    )  # fmt: skip
    def test_unknown_id(self, make_root: MakeRoot, file: str, value: int) -> None:
        root = make_root()
        pixels = cv2.imread(str(root / file), cv2.IMREAD_UNCHANGED)
        assert pixels is not None
        pixels[3, 4:6] = value
        assert cv2.imwrite(str(root / file), pixels)
        message = fails(lambda: read_frame(aachen(root)), root / file, "ids", f"found {value} (2 pixels)")
        assert ("-1 stored without a sign" in message) == (value in (255, 65535))

    def test_label_and_instance_ids_disagree(self, make_root: MakeRoot) -> None:
        root = make_root()
        pixels = cv2.imread(str(root / INSTANCES), cv2.IMREAD_UNCHANGED)
        labels = cv2.imread(str(root / LABELS), cv2.IMREAD_UNCHANGED)
        assert pixels is not None
        assert labels is not None
        pixels[5, 6], labels[5, 6] = 26003, 27
        assert cv2.imwrite(str(root / INSTANCES), pixels)
        assert cv2.imwrite(str(root / LABELS), labels)
        fails(
            lambda: read_frame(aachen(root)), root / INSTANCES,
            "1 pixels that are not, such as instance id 26003 on label id 27 at column 6, row 5",
        )  # fmt: skip

    def test_all_faults_of_a_frame_are_named(self, make_root: MakeRoot) -> None:
        root = make_root()
        for file in (IMAGE, LABELS, CAMERA):
            (root / file).write_bytes(b"")
        with pytest.raises(DataError) as caught:
            read_frame(aachen(root))
        assert {problem.path for problem in caught.value.problems} == {root / f for f in (IMAGE, LABELS, CAMERA)}

    def test_error_travels_between_processes(self, make_root: MakeRoot) -> None:
        root = make_root()
        (root / LABELS).write_bytes(b"")
        with pytest.raises(DataError) as caught:
            read_frame(aachen(root))
        copy = pickle.loads(pickle.dumps(caught.value))
        assert isinstance(copy, DataError)
        assert str(copy) == str(caught.value)
        assert copy.problems == caught.value.problems

    @pytest.mark.parametrize("file", [DISPARITY, CAMERA])
    def test_file_vanished(self, make_root: MakeRoot, file: str) -> None:
        root = make_root()
        files = aachen(root)
        (root / file).unlink()
        fails(lambda: read_frame(files), root / file, "must be readable; found No such file")

    @pytest.mark.parametrize(
        ("section", "key", "value"),
        [
            ("extrinsic", "baseline", 0),
            ("extrinsic", "baseline", None),
            ("intrinsic", "fx", -1),
            ("intrinsic", "fy", "20"),
            ("intrinsic", "u0", math.nan),
            ("intrinsic", "v0", True),
            ("intrinsic", "fx", 10**400),
            ("intrinsic", "u0", -(10**400)),
            ("extrinsic", None, None),
            ("intrinsic", None, 3),
        ],
    )
    def test_malformed_camera(self, tmp_path: Path, section: str, key: str | None, value: object) -> None:
        content: dict[str, object] = {
            "extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 20, "fy": 21, "u0": 15.5, "v0": 7.5}
        }  # fmt: skip
        path = tmp_path / "x_camera.json"
        path.write_text(json.dumps(content))
        assert read_camera(path).fy == 21
        if key is None:
            content[section] = value
        elif value is None:
            content[section] = {}
        else:
            content[section] = {**content[section], key: value}  # type: ignore[dict-item]
        path.write_text(json.dumps(content))
        fails(lambda: read_camera(path), path, f"{section}.{key or ''}")

    def test_deep_camera(self, tmp_path: Path) -> None:
        path = tmp_path / "x_camera.json"
        path.write_text("[" * 100_000)
        words = "Stack overflow" if sys.version_info >= (3, 14) else "maximum recursion depth exceeded"
        fails(lambda: read_camera(path), path, f"must be JSON; found {words}")

    def test_a_long_value_is_cut(self, tmp_path: Path) -> None:
        path = tmp_path / "x_camera.json"
        path.write_text(json.dumps({"extrinsic": {"baseline": 10**400}}))
        message = fails(lambda: read_camera(path), path, "extrinsic.baseline")
        assert max(map(len, message.splitlines())) < len(str(path)) + 250
        # A user may name a file in any folder.
        assert "camera/" not in message.replace(str(path), "")

    @given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
    def test_camera_of_any_bytes(self, tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
        path = tmp_path_factory.getbasetemp() / "any_camera.json"
        path.write_bytes(content)
        fails(lambda: read_camera(path), path)


@pytest.fixture(scope="module")
def pngs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, bytes]]:
    """One PNG of each format, of several data chunks: format -> (path, content)."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("pngs")
    arrays: dict[str, NDArray[np.uint8] | NDArray[np.uint16]] = {
        "8-bit RGB": rng.integers(0, 256, (64, 96, 3), dtype=np.uint8),
        "8-bit grey": rng.integers(0, 256, (120, 96), dtype=np.uint8),
        "16-bit grey": rng.integers(0, 65536, (64, 96), dtype=np.uint16),
    }
    written = {}
    for kind, pixels in arrays.items():
        path = folder / f"{kind}.png"
        assert cv2.imwrite(str(path), pixels)
        written[kind] = (path, path.read_bytes())
    return written


class TestDamagedPngs:
    @pytest.mark.parametrize("kind", ["8-bit RGB", "8-bit grey", "16-bit grey"])
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(data=st.data())
    def test_truncated_anywhere(
        self, pngs: dict[str, tuple[Path, bytes]], kind: PngFormat, data: st.DataObject
    ) -> None:
        path, content = pngs[kind]
        length = data.draw(st.integers(0, len(content) - 1) | st.integers(len(content) - 40, len(content) - 1))
        damaged = path.with_name("truncated.png")
        damaged.write_bytes(content[:length])
        fails(lambda: read_png(damaged, kind), damaged)

    @pytest.mark.parametrize("kind", ["8-bit RGB", "8-bit grey", "16-bit grey"])
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(data=st.data())
    def test_a_byte_changed_anywhere(
        self, pngs: dict[str, tuple[Path, bytes]], kind: PngFormat, data: st.DataObject
    ) -> None:
        path, content = pngs[kind]
        changed = bytearray(content)
        position = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 60))
        changed[position] ^= data.draw(st.integers(1, 255))
        damaged = path.with_name("changed.png")
        damaged.write_bytes(changed)
        fails(lambda: read_png(damaged, kind), damaged)

    @pytest.mark.parametrize("kind", ["8-bit RGB", "8-bit grey", "16-bit grey"])
    def test_damage_is_found_before_the_decoder_meets_it(
        self, pngs: dict[str, tuple[Path, bytes]], kind: PngFormat, capfd: pytest.CaptureFixture[str]
    ) -> None:
        path, content = pngs[kind]
        changed = bytearray(content)
        changed[len(content) // 2] ^= 1
        damaged = path.with_name("checksum.png")
        damaged.write_bytes(changed)
        fails(lambda: read_png(damaged, kind), damaged, "must be whole", "a wrong checksum near byte")
        assert capfd.readouterr().err == ""

    def test_short_pixel_data_under_right_checksums(self, tmp_path: Path) -> None:
        path = tmp_path / "short.png"
        path.write_bytes(small_png(width=8, height=8, rows=8))
        assert read_png(path, "8-bit grey").tolist() == [list(range(8))] * 8
        path.write_bytes(small_png(width=8, height=8, rows=4))
        fails(lambda: read_png(path, "8-bit grey"), path, "must be whole", "cannot be decoded")

    @given(
        seed=st.integers(0, 999),
        height=st.integers(1, 6),
        width=st.integers(1, 9),
        depth=st.sampled_from([np.uint8, np.uint16]),
        filters=st.lists(st.integers(0, 4), min_size=6, max_size=6),
    )
    def test_every_filter_against_opencv(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        seed: int,
        height: int,
        width: int,
        depth: type[np.uint8 | np.uint16],
        filters: list[int],
    ) -> None:
        """Any bytes are some picture: both decoders must make the same of them."""
        rng = np.random.default_rng(seed)
        rows = rng.integers(0, 256, (height, width * np.dtype(depth).itemsize), np.uint8)
        rows[rng.random(height) < 0.4] = 0
        filtered = b"".join(bytes([kind]) + row.tobytes() for kind, row in zip(filters, rows, strict=False))
        path = tmp_path_factory.mktemp("filters") / "x.png"
        path.write_bytes(png_of(width, height, 8 * np.dtype(depth).itemsize, filtered))
        expected = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        pixels = read_png(path, "grey")
        assert pixels.dtype == depth
        np.testing.assert_array_equal(pixels, expected)

    def test_an_unknown_filter(self, tmp_path: Path) -> None:
        path = tmp_path / "x.png"
        path.write_bytes(png_of(2, 1, 8, bytes([5, 0, 0])))
        fails(lambda: read_png(path, "8-bit grey"), path, "must be whole", "cannot be decoded")

    def test_pixel_data_that_is_no_deflate_stream(self, tmp_path: Path) -> None:
        path = tmp_path / "x.png"
        path.write_bytes(png_of(2, 1, 8, b"", compressed=b"nothing of the kind"))
        fails(lambda: read_png(path, "8-bit grey"), path, "must be whole", "cannot be decoded")

    def test_grey_of_any_depth(self, tmp_path: Path) -> None:
        path = tmp_path / "x.png"
        path.write_bytes(png_of(9, 1, 1, bytes([0, 0b10100000, 0b10000000])))
        assert (read_png(path, "grey") != 0).tolist() == [[True, False, True, *[False] * 5, True]]
        write_png(path, np.zeros((2, 2, 3), np.uint8))
        fails(lambda: read_png(path, "grey"), path, "must be grey", "8-bit RGB")

    def test_header_of_a_size_beyond_reason(self, tmp_path: Path) -> None:
        path = tmp_path / "huge.png"
        path.write_bytes(small_png(width=2**20, height=2**20, rows=1))
        fails(lambda: read_png(path, "8-bit grey"), path, "at most 120 million pixels", "1048576 x 1048576")


def small_png(width: int, height: int, rows: int) -> bytes:
    """An 8-bit grey PNG that claims a size and holds `rows` rows of 0 to 7, all checksums right."""
    return png_of(width, height, 8, b"".join(b"\0" + bytes(range(8)) for _ in range(rows)))


def png_of(width: int, height: int, bits: int, filtered: bytes, compressed: bytes | None = None) -> bytes:
    """A grey PNG of these filtered rows, all checksums right; or of this pixel data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    pixels = zlib.compress(filtered) if compressed is None else compressed
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


class TestWriting:
    @pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
    def test_write_png_is_read_back(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        write_png(tmp_path / "x.png", pixels)
        np.testing.assert_array_equal(
            read_png(tmp_path / "x.png", "8-bit RGB" if len(shape) == 3 else "8-bit grey"), pixels
        )
        assert [path.name for path in tmp_path.iterdir()] == ["x.png"]

    def test_failed_write_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").mkdir()
        with pytest.raises(MultisigmaError, match=r"x\.png: cannot be written: Is a directory"):
            write_png(tmp_path / "x.png", np.zeros((2, 2), dtype=np.uint8))
        assert [path.name for path in tmp_path.iterdir()] == ["x.png"]

    def test_every_stored_disparity_survives_a_round_trip(self) -> None:
        stored = np.arange(65536, dtype=np.uint16).reshape(256, 256)
        disparity = decode_disparity(stored)
        assert np.isnan(disparity).sum() == 1
        assert disparity[0, 1] == 0
        np.testing.assert_array_equal(encode_disparity(disparity), stored)

    @pytest.mark.parametrize("value", [-0.5, 256.0, math.inf])
    def test_disparity_that_does_not_fit(self, value: float) -> None:
        with pytest.raises(ValueError, match=r"0 to 255\.99"):
            encode_disparity(np.array([[value, 1.0]], dtype=np.float32))
