"""Pictures of every kind that a person may hand in, written by Pillow or OpenCV, and broken ones."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from multisigma.datasets.photographs import find_inputs, read_photograph
from multisigma.errors import MultisigmaError


def gradient() -> np.ndarray:
    """Smooth RGB of 24 rows and 40 columns, so that lossy formats stay near."""
    y, x = np.mgrid[:24, :40]
    return np.stack([6 * x, 10 * y, 255 - 3 * x - 5 * y], -1).clip(0, 255).astype(np.uint8)


RGB = gradient()
GREY = RGB[..., 0]
THREE = np.repeat(GREY[..., None], 3, -1)


def transparent() -> np.ndarray:
    alpha = np.full((24, 40), 255, np.uint8)
    alpha[:, :20] = 0
    return np.dstack([RGB, alpha])


OVER_WHITE = np.where(np.arange(40)[None, :, None] < 20, 255, RGB).astype(np.uint8)


def rotated(path: Path) -> None:
    """Write the picture lying on its side, with the EXIF tag that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(RGB)).save(path, quality=100, subsampling=0, exif=exif)


def animated(path: Path) -> None:
    first = Image.fromarray(RGB).quantize(256)
    first.save(path, save_all=True, append_images=[Image.new("P", (40, 24))])


def interlaced_palette_with_transparency(path: Path) -> None:
    picture = Image.fromarray((GREY > 120).astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.save(path, transparency=0)


PALETTE = np.where((GREY > 120)[..., None], (10, 20, 30), 255).astype(np.uint8)
ALPHA = Image.fromarray(transparent())

# Name, how the file is written, what it shows, largest difference.
FILES: list[tuple[str, Callable[[Path], object], np.ndarray, int]] = [
    ("rgb.png", lambda path: Image.fromarray(RGB).save(path), RGB, 0),
    ("rgb.jpg", lambda path: Image.fromarray(RGB).save(path, quality=100, subsampling=0), RGB, 4),
    ("rgb.webp", lambda path: Image.fromarray(RGB).save(path, lossless=True), RGB, 0),
    ("rgb.bmp", lambda path: Image.fromarray(RGB).save(path), RGB, 0),
    ("rgb.tif", lambda path: Image.fromarray(RGB).save(path), RGB, 0),
    ("rgb16.png", lambda path: cv2.imwrite(str(path), RGB[..., ::-1].astype(np.uint16) * 257), RGB, 0),
    ("wrong-ending.jpg", lambda path: Image.fromarray(RGB).save(path, "PNG"), RGB, 0),
    ("grey.png", lambda path: Image.fromarray(GREY).save(path), THREE, 0),
    ("grey.jpg", lambda path: Image.fromarray(GREY).save(path, quality=100), THREE, 2),
    ("grey16.png", lambda path: cv2.imwrite(str(path), GREY.astype(np.uint16) * 257), THREE, 0),
    ("grey16.tif", lambda path: cv2.imwrite(str(path), GREY.astype(np.uint16) * 257), THREE, 0),
    ("float.tif", lambda path: Image.fromarray(GREY.astype(np.float32) / 255).save(path), THREE, 0),
    ("alpha.png", lambda path: ALPHA.save(path), OVER_WHITE, 0),
    ("alpha.webp", lambda path: ALPHA.save(path, lossless=True), OVER_WHITE, 0),
    ("palette.png", interlaced_palette_with_transparency, PALETTE, 0),
    ("animated.gif", animated, RGB, 40),
    ("bilevel.png", lambda path: Image.fromarray(GREY > 120).save(path), (THREE > 120) * 255, 0),
    ("cmyk.jpg", lambda path: Image.fromarray(RGB).convert("CMYK").save(path, quality=100), RGB, 12),
    ("cmyk.tif", lambda path: Image.fromarray(RGB).convert("CMYK").save(path), RGB, 1),
    ("rotated.jpg", rotated, RGB, 4),
]


@pytest.mark.parametrize(("name", "write", "expected", "tolerance"), FILES, ids=[file[0] for file in FILES])
def test_files_of_every_mode(
    tmp_path: Path, name: str, write: Callable[[Path], object], expected: np.ndarray, tolerance: int
) -> None:
    path = tmp_path / name
    write(path)
    found = read_photograph(path)
    assert found.dtype == np.uint8
    assert found.shape == (24, 40, 3)
    assert np.abs(found.astype(int) - expected).max() <= tolerance
    # A Pillow image and a path as text give the same.
    with Image.open(path) as picture:
        np.testing.assert_array_equal(read_photograph(picture), found)
    np.testing.assert_array_equal(read_photograph(str(path)), found)


def test_transparent_grey_shows_white(tmp_path: Path) -> None:
    ALPHA.convert("LA").save(tmp_path / "a.png")
    found = read_photograph(tmp_path / "a.png")
    assert (found[:, :20] == 255).all()
    np.testing.assert_array_equal(found[:, 20:, 0], np.asarray(Image.fromarray(RGB).convert("L"))[:, 20:])


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (RGB, RGB),
        (RGB.astype(np.int64), RGB),
        (RGB.astype(np.uint16) * 257, RGB),
        (RGB / 255, RGB),
        (GREY, THREE),
        (GREY[..., None], THREE),
        (transparent(), OVER_WHITE),
        (RGB[:, ::-1], RGB[:, ::-1]),
        (torch.from_numpy(RGB).permute(2, 0, 1), RGB),
        (torch.from_numpy(RGB).permute(2, 0, 1).float() / 255, RGB),
        (torch.from_numpy(GREY), THREE),
        (torch.from_numpy(GREY)[None], THREE),
    ],
)
def test_arrays_and_tensors(image: object, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(read_photograph(image), expected)  # type: ignore[arg-type]


def png(path: Path) -> bytes:
    Image.fromarray(RGB).save(path)
    return path.read_bytes()


def flipped_bit(content: bytes) -> bytes:
    place = content.index(b"IDAT") + 40
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def gigantic(_: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def jpeg_of_many_scans(_: bytes) -> bytes:
    """Each scan takes the time of a whole picture, and an empty one a few bytes."""
    content = cv2.imencode(".jpg", RGB, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    begin = content.rindex(b"\xff\xda")
    return content[:begin] + content[begin:-2] * 200 + content[-2:]


def tiff_of_a_huge_tile(_: bytes) -> bytes:
    """16 x 16 pixels in a tile of 20000 x 20000, which is decoded whole."""
    tags = {256: 16, 257: 16, 258: 8, 259: 5, 262: 1, 277: 1, 322: 20000, 323: 20000, 324: 200, 325: 10}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return (b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)).ljust(210, b"\0")


def jpeg_cut_off(_: bytes) -> bytes:
    return cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8))[1].tobytes()[:3000]


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b"<html>404</html>",
    "cut off": lambda content: content[: len(content) // 2],
    "flipped bit": flipped_bit,
    "header alone": lambda content: content[:33],
    "gigantic": gigantic,
    "jpeg cut off": jpeg_cut_off,
    "jpeg of many scans": jpeg_of_many_scans,
    "tiff of a huge tile": tiff_of_a_huge_tile,
    "noise": lambda content: content[:8] + np.random.default_rng(0).bytes(500),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_named(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "street [1].png"
    path.write_bytes(BROKEN[fault](png(path)))
    with pytest.raises(MultisigmaError) as error:
        read_photograph(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_small_files_that_take_the_time_or_the_memory_of_large_ones_are_refused(tmp_path: Path) -> None:
    for content, words in (
        (jpeg_of_many_scans(b""), "at most 100 scans. Found 2"),
        (tiff_of_a_huge_tile(b""), "A tile must have at most 120 million pixels. Found 20000 x 20000"),
    ):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(MultisigmaError, match=words):
            read_photograph(tmp_path / "a")
    for name, options in (("a.jpg", {"progressive": True}), ("a.tif", {})):
        Image.fromarray(RGB).save(tmp_path / name, **options)
        assert read_photograph(tmp_path / name).shape == RGB.shape
    # Phones append a video.
    with (tmp_path / "a.jpg").open("ab") as file:
        file.write(b"\xff\xda" * 200)
    assert read_photograph(tmp_path / "a.jpg").shape == RGB.shape


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((3, 24, 40)), "shape (H, W)"),
        (np.zeros((0, 40, 3), np.uint8), "none may be empty"),
        (torch.zeros(1, 3, 24, 40), "Found (1, 3, 24, 40)"),
        (RGB.astype(float), "must lie in 0 to 1. Found 0 to 255"),
        (np.full((4, 4), np.nan), "must lie in 0 to 1"),
        (RGB.astype(int) - 9, "must lie in 0 to 255. Found -9"),
        (GREY > 9, "integers or floats. Found bool"),
        (3, "a path, a Pillow image, an array or a tensor. Found int"),
        (Path("nowhere.png"), "nowhere.png: there is no such file"),
        (Path(), ".: an image must be a file. Found a folder"),
    ],
)
def test_what_is_no_image(image: object, words: str) -> None:
    with pytest.raises(MultisigmaError) as error:
        read_photograph(image)  # type: ignore[arg-type]
    assert words in str(error.value)


def test_files_of_a_folder_that_are_left_out_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.png", "IMG_0001", "deep/b.heic", ".DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_inputs([tmp_path]) == {"a": tmp_path / "a.png"}
    (message,) = (record.getMessage() for record in caplog.records)
    assert message.startswith(
        f"{tmp_path}: 2 files are left out, because they do not end as images or videos, such as "
    )


def test_names_of_images(tmp_path: Path) -> None:
    for name in ("a/x.png", "b/x.png", "b/y.JPG", "b/notes.txt", "b/z.png", "c/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_inputs([tmp_path]) == {
        "a_x.png": tmp_path / "a/x.png",
        "b_x.png": tmp_path / "b/x.png",
        "y": tmp_path / "b/y.JPG",
        "z": tmp_path / "b/z.png",
    }
    assert find_inputs([tmp_path / "b/notes.txt"]) == {"notes": tmp_path / "b/notes.txt"}
    with pytest.raises(MultisigmaError, match="must differ in name"):
        find_inputs([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(MultisigmaError, match="must hold images or videos"):
        find_inputs([tmp_path / "c"])
