"""Smaller copies of a root, against slow and obvious versions."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from multisigma.datasets.cityscapes import list_frames, read_frame
from multisigma.datasets.cityscapes.check import check_root
from multisigma.datasets.prepare import prepare
from multisigma.errors import MultisigmaError
from tests.frames import disparity

MakeRoot = Callable[..., Path]
ArraysOf = Callable[[int, tuple[int, int]], dict[str, np.ndarray]]
AACHEN = "train/aachen/aachen_000000_000019"


def stored(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels[:, :, ::-1] if pixels.ndim == 3 else pixels


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def nearest(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The source pixel under the centre of every target pixel."""
    small = np.empty((height, width), dtype=pixels.dtype)
    for row, column in np.ndindex(height, width):
        source = (int((row + 0.5) * pixels.shape[0] / height), int((column + 0.5) * pixels.shape[1] / width))
        small[row, column] = pixels[source]
    return small


@pytest.mark.parametrize(("height", "width"), [(4, 8), (8, 8), (5, 7), (16, 32)])
def test_ids_and_disparity_take_the_nearest_pixel(
    make_root: MakeRoot, arrays_of: ArraysOf, tmp_path: Path, height: int, width: int
) -> None:
    prepare(make_root(extras=True), tmp_path / "tiny", (height, width))
    arrays = arrays_of(0, (16, 32))
    for ending, kind in (("labelIds", "labels"), ("instanceIds", "instances")):
        small = stored(tmp_path / f"tiny/gtFine/{AACHEN}_gtFine_{ending}.png")
        np.testing.assert_array_equal(small, nearest(arrays[kind], height, width))
        assert small.dtype == arrays[kind].dtype
    for kind in ("disparity", "disparity_exact"):
        p = nearest(arrays[kind], height, width).astype(float)
        expected = np.where(p == 0, 0, np.rint((p - 1) * width / 32) + 1)
        np.testing.assert_array_equal(stored(tmp_path / f"tiny/{kind}/{AACHEN}_disparity.png"), expected)
        assert not (kind == "disparity" and width == 32) or expected[0, 0] == 1  # a disparity of zero stays valid


def test_images_are_averaged_by_area(make_root: MakeRoot, arrays_of: ArraysOf, tmp_path: Path) -> None:
    prepare(make_root(extras=True), tmp_path / "tiny", (4, 4))
    for kind, folder in (("image", "leftImg8bit"), ("right", "rightImg8bit")):
        blocks = arrays_of(0, (16, 32))[kind].reshape(4, 4, 4, 8, 3).mean(axis=(1, 3))
        small = stored(tmp_path / f"tiny/{folder}/{AACHEN}_{folder}.png")
        assert np.abs(small - blocks).max() <= 0.5 + 1e-6


def test_cameras_are_scaled_about_the_corner_of_the_image(make_root: MakeRoot, tmp_path: Path) -> None:
    prepare(make_root(), tmp_path / "tiny", (8, 8))
    camera = json.loads((tmp_path / f"tiny/camera/{AACHEN}_camera.json").read_text())
    assert camera["extrinsic"] == {"baseline": 0.2, "pitch": 0.03}
    # The stored principal point (15.5, 7.5) is the middle of a 16x32 image; it must become that of an 8x8 image.
    assert camera["intrinsic"] == pytest.approx({"fx": 5.0, "fy": 10.5, "u0": 3.5, "v0": 3.5})


def test_depth_is_kept(make_root: MakeRoot, tmp_path: Path) -> None:
    root = make_root(["train/aachen_000000_000019"])
    path = root / f"disparity/{AACHEN}_disparity.png"
    assert cv2.imwrite(str(path), np.full((16, 32), 256 * 80 + 1, dtype=np.uint16))
    prepare(root, tmp_path / "tiny", (8, 8))
    depths = []
    for source in (root, tmp_path / "tiny"):
        frame = read_frame(list_frames(source, "train")[0])
        assert frame.camera is not None
        depths.append(frame.camera.baseline * frame.camera.fx / disparity(frame).mean())
    assert depths[0] == pytest.approx(depths[1])


def test_copy_is_a_sound_root_with_the_same_files(make_root: MakeRoot, tmp_path: Path) -> None:
    root = make_root(extras=True)
    shutil.rmtree(root / "disparity/val")
    (tmp_path / "empty").mkdir()
    prepare(root, tmp_path / "empty", (8, 16))
    prepare(root, tmp_path / "deep/er", (8, 16))
    assert files_of(tmp_path / "empty") == files_of(tmp_path / "deep/er") == files_of(root)
    report = check_root(tmp_path / "empty")
    assert report.problems == []
    assert report.splits == check_root(root).splits
    assert {path.name for path in tmp_path.iterdir()} == {"root", "empty", "deep"}


def test_a_root_of_any_make(make_root: MakeRoot, tmp_path: Path) -> None:
    """No instance ids, a city with an underscore, a folder and a file that are no part of it."""
    root = make_root(["train/aachen_000000_000019", "demoVideo/stuttgart_00_000000_000001"])
    for path in root.rglob("*_instanceIds.png"):
        path.unlink()
    expected = files_of(root)
    (root / "leftImg8bit/@eaDir").mkdir()
    (root / "leftImg8bit/train/aachen/desktop.ini").touch()
    prepare(root, tmp_path / "tiny", (8, 16))
    assert files_of(tmp_path / "tiny") == expected


def refused(root: Path, out: Path, words: str, size: tuple[int, int] = (8, 16)) -> None:
    """`prepare` fails with the words, and nothing has changed in the folder around."""
    before = {path: path.stat().st_mtime_ns for path in root.parent.rglob("*")}
    with pytest.raises(MultisigmaError, match=words):
        prepare(root, out, size)
    after = {path: path.stat().st_mtime_ns for path in root.parent.rglob("*")}
    assert after == before


def test_refusals(make_root: MakeRoot, tmp_path: Path) -> None:
    root = make_root()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").touch()
    (tmp_path / "file").touch()
    refused(root, tmp_path / "full", "must be a new or empty folder")
    refused(root, tmp_path / "file", "must be a new or empty folder")
    refused(root, root, "a folder inside it")
    refused(root, root / "tiny", "a folder inside it")
    refused(root, tmp_path / "full/../root/tiny", "a folder inside it")
    refused(root, tmp_path / "tiny", "at least 1x1", size=(0, 8))
    refused(root, tmp_path / "tiny", "must not be enlarged", size=(17, 8))
    refused(root, tmp_path / "tiny", "must not be enlarged", size=(8, 33))
    refused(tmp_path / "no", tmp_path / "tiny", "nothing there")


@pytest.mark.parametrize(
    "file",
    [
        f"leftImg8bit/{AACHEN}_leftImg8bit.png",
        f"gtFine/{AACHEN}_gtFine_labelIds.png",
        f"rightImg8bit/{AACHEN}_rightImg8bit.png",
        f"disparity_exact/{AACHEN}_disparity.png",
        f"camera/{AACHEN}_camera.json",
    ],
)
def test_a_malformed_root_leaves_nothing_behind(make_root: MakeRoot, tmp_path: Path, file: str) -> None:
    root = make_root(extras=True)
    (root / file).write_bytes(b"")
    refused(root, tmp_path / "new/tiny", file)


def test_a_missing_partner_leaves_nothing_behind(make_root: MakeRoot, tmp_path: Path) -> None:
    root = make_root(["train/aachen_000000_000019", "train/aachen_000001_000019"], extras=True)
    (root / f"disparity_exact/{AACHEN}_disparity.png").unlink()
    refused(root, tmp_path / "new/tiny", "partner")


def test_an_interruption_leaves_nothing_behind(
    make_root: MakeRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_root()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("multisigma.datasets.cityscapes.shrink.read_frame", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare(root, tmp_path / "tiny", (8, 16))
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_a_full_disk_is_told(make_root: MakeRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_root()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("multisigma.datasets.cityscapes.shrink.write_png", full)
    refused(root, tmp_path / "tiny", "No space left on device")
