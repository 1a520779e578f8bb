"""Files that are no files, endless, huge once decoded, or links to elsewhere: a message, at once."""

import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from multisigma.datasets.arrays import read_map, read_values
from multisigma.datasets.images import read_png
from multisigma.datasets.limits import MOST_PIXELS
from multisigma.datasets.photographs import read_photograph
from multisigma.datasets.predictions import inspect_prediction, list_predictions
from multisigma.datasets.problems import DataError
from multisigma.errors import MultisigmaError
from multisigma.files import read_bytes, read_text
from tests.datasets.test_cityscapes import png_of

NAME = "aachen_000000_000019"


def memory(reset: bool = False) -> int:
    """Return the most memory of this process so far, or since it was reset, MiB."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux tells it")
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) // 1024


def test_only_regular_files_of_a_limited_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "large").write_bytes(b"12345")
    for name, words in (("pipe", "pipe or a device"), ("endless", "pipe or a device"), ("large", "at most 4")):
        with pytest.raises(OSError, match=words):
            read_bytes(tmp_path / name, 4)
    assert read_text(tmp_path / "large", 5) == "12345"
    with pytest.raises(IsADirectoryError):
        read_bytes(tmp_path)


@pytest.mark.parametrize("read", [read_photograph, read_map, read_values, lambda path: read_png(path, "8-bit grey")])
def test_an_image_is_refused_before_it_is_decoded(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    side = int(MOST_PIXELS**0.5) + 1
    path = tmp_path / "huge.png"
    path.write_bytes(png_of(side, side, 8, b""))
    with pytest.raises(MultisigmaError, match="120 million pixels"):
        read(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(MultisigmaError, match="pipe or a device"):
        read(path)


@pytest.mark.parametrize("read", [read_photograph, read_map, read_values, lambda path: read_png(path, "16-bit grey")])
def test_a_png_holds_the_pixels_that_its_header_says(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    """8,000 x 8,000 pixels of 16 bits, of which there are a few: decoders would ask for the memory of all."""
    path = tmp_path / "claim.png"
    path.write_bytes(png_of(8000, 8000, 16, zlib.compress(bytes(1000))))
    with pytest.raises(MultisigmaError, match=r"must hold its pixels|the PNG must be whole"):
        read(path)


@pytest.mark.parametrize("read", [read_photograph, read_map, read_values, lambda path: read_png(path, "16-bit grey")])
def test_a_damaged_chunk_asks_for_no_memory(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    """Pillow does not take the file for a PNG; OpenCV makes room for a chunk of 4 GB."""
    path, content = tmp_path / "depth.png", png_of(16, 12, 16, bytes(396))
    path.write_bytes(content[:29] + bytes(4) + struct.pack(">I", 0xF8002997) + content[37:])
    before = memory(reset=True)
    with pytest.raises(MultisigmaError):
        read(path)
    assert memory() - before < 200


@pytest.mark.parametrize("read", [read_photograph, read_map, read_values])
def test_an_image_has_one_size(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    """Decoders take the first of two headers, or the last."""
    large, small = png_of(10_000, 10_000, 8, b""), png_of(4, 4, 8, bytes(20))
    path = tmp_path / "two.png"
    path.write_bytes(large[:33] + small[8:])
    with pytest.raises(MultisigmaError, match="one size"):
        read(path)


@pytest.mark.parametrize("read", [read_photograph, read_map, read_values])
def test_no_program_is_read_as_an_image(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    """Pillow has Ghostscript run it; an icon's picture may be larger than the icon says."""
    Image.new("RGB", (8, 8)).save(tmp_path / "x.eps")
    Image.new("RGB", (16, 16)).save(tmp_path / "x.ico")
    for path in (tmp_path / "x.eps", tmp_path / "x.ico"):
        with pytest.raises(MultisigmaError, match="no icon and no drawing"):
            read(path)


def test_floats_that_pillow_does_not_know_are_limited_too(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
    for ending in ("tiff", "pfm"):
        path = tmp_path / f"x.{ending}"
        # Some versions of OpenCV would write a TIFF with loss.
        assert cv2.imwrite(str(path), values[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 1])
        np.testing.assert_array_equal(read_values(path), values)
    content = (tmp_path / "x.tiff").read_bytes()
    for tag in (256, 257):  # width and height become 20,000
        place = content.index(struct.pack("<HH", tag, 3))
        content = content[: place + 8] + struct.pack("<H", 20_000) + content[place + 10 :]
    (tmp_path / "x.tiff").write_bytes(content)
    (tmp_path / "x.pfm").write_bytes(b"PF\n20000 20000\n-1.0\n" + bytes(100))
    for ending in ("tiff", "pfm"):
        with pytest.raises(MultisigmaError, match="120 million pixels"):
            read_values(tmp_path / f"x.{ending}")


def test_a_map_is_inflated_no_further_than_its_size(tmp_path: Path) -> None:
    """A stream of 300 MB in a picture of 100 x 100 pixels."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(100, 100, 8, bytes(300_000_000)))
    before = memory(reset=True)
    with pytest.raises(MultisigmaError, match="the PNG must be whole"):
        read_png(path, "8-bit grey")
    assert memory() - before < 100


def test_odd_folders_of_predictions(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "predictions", tmp_path / "elsewhere.png"
    (root / "disparity").mkdir(parents=True)
    (root / "semantic").touch()
    elsewhere.touch()
    (root / "disparity" / f"{NAME}_disparity.png").symlink_to(elsewhere)
    files, problems = list_predictions(root, [NAME])
    text = "\n".join(map(str, problems))
    assert "predictions must be in a folder of this name" in text
    assert "must lie in the folder of the predictions" in text
    assert files[0].disparity is None


def test_pipes_and_circles_of_links_in_predictions(tmp_path: Path) -> None:
    (tmp_path / "instance").mkdir()
    (tmp_path / "disparity").mkdir()
    os.mkfifo(tmp_path / "disparity" / f"{NAME}.png")
    (tmp_path / "instance" / "circle.png").symlink_to("circle.png")
    (tmp_path / "instance" / f"{NAME}.txt").write_text("circle.png 26 0.5\n")
    files, _ = list_predictions(tmp_path, [NAME])
    _, problems = inspect_prediction(files[0], tmp_path, None)
    assert len(problems) == 2
    with pytest.raises(DataError):
        list_predictions(tmp_path / "none", [NAME])
