"""Files that are no files, endless, huge once decoded, or links to elsewhere: a message, at once."""

import os
import zlib
from pathlib import Path

import pytest

from multisigma.datasets.arrays import read_map, read_values
from multisigma.datasets.images import read_png
from multisigma.datasets.photographs import MOST_PIXELS, read_photograph
from multisigma.datasets.predictions import inspect_prediction, list_predictions
from multisigma.datasets.problems import DataError
from multisigma.errors import MultisigmaError
from multisigma.files import read_bytes, read_text
from tests.datasets.test_cityscapes import png_of

NAME = "aachen_000000_000019"


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
def test_an_image_is_refused_before_it_is_decoded(tmp_path: Path, read) -> None:  # type: ignore[no-untyped-def]
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
def test_a_png_holds_the_pixels_that_its_header_says(tmp_path: Path, read) -> None:  # type: ignore[no-untyped-def]
    """8,000 x 8,000 pixels of 16 bits, of which there are a few: decoders would ask for the memory of all."""
    path = tmp_path / "claim.png"
    path.write_bytes(png_of(8000, 8000, 16, zlib.compress(bytes(1000))))
    with pytest.raises(MultisigmaError, match=r"must hold its pixels|the PNG must be whole"):
        read(path)


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
