"""Videos and cameras in, videos out, by OpenCV with its own FFmpeg. Sound is dropped."""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.limits import require_size
from multisigma.errors import MultisigmaError
from multisigma.files import temporary_path

__all__ = ["FORMATS", "VIDEO_ENDINGS", "Video", "VideoWriter", "is_video"]

# FFmpeg and OpenCV print on standard error what the errors below say better.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

VIDEO_ENDINGS: Final = frozenset(
    (".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv")
)
"""Endings of files that are taken as videos."""

# The codecs that the wheels of OpenCV can write. MPEG-4 is the fastest; browsers play VP8; every program reads
# pictures in an AVI.
FORMATS: Final = {"mp4": "mp4v", "webm": "VP80", "avi": "MJPG"}
"""Codec of each format that `VideoWriter` writes."""

_DEFAULT_RATE = 25.0
_log = logging.getLogger(__name__)


def is_video(path: Path) -> bool:
    """Return whether a file is a video: by its ending, or else by its first bytes.

    Args:
        path: The file; it need not exist.

    Example:
        >>> is_video(Path("street.mp4")), is_video(Path("street.png"))
        (True, False)
    """
    return path.suffix.lower() in VIDEO_ENDINGS or (path.is_file() and _has_video_header(path))


class Video:
    """The frames of a video file or of a camera, each once.

    Args:
        source: A file, or the number of a camera, from 0.

    Attributes:
        name: How to name it in messages and files.
        size: Height and width in pixels.
        rate: Frames per second; 25 where the file does not tell.
        frames: The number of frames that the file announces; None if it does not, and for a camera.

    Raises:
        MultisigmaError: The file or the camera cannot be opened, or its frames have too many pixels.

    Example:
        with Video(Path("street.mp4")) as video:
            for rgb in video:
                ...
    """

    def __init__(self, source: Path | int) -> None:
        self.source = source
        self.name = f"camera-{source}" if isinstance(source, int) else source.stem
        if isinstance(source, int):
            if source < 0:
                raise MultisigmaError(f"The number of a camera must be 0 or more. Found {source}.")
        else:
            _require_video(source)
        with _silent():
            self._capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
        if not self._capture.isOpened():
            raise self._error("must be a video that can be decoded", "a truncated or damaged one, or no codec for it")
        self.size = (
            round(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            round(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        )
        try:
            require_size(*self.size)
        except MultisigmaError as error:
            self._capture.release()
            raise MultisigmaError(f"{self.source}: {error}") from error
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if math.isfinite(rate) and 0 < rate <= 1000 else _DEFAULT_RATE
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.frames = int(count) if isinstance(source, Path) and math.isfinite(count) and 0 < count < 2**31 else None

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames as RGB of shape (H, W, 3); warn at the end if the file announces more of them.

        Raises:
            MultisigmaError: There is no frame.
        """
        count = 0
        while True:
            try:
                with _silent():
                    found, frame = self._capture.read()
            except cv2.error:
                found = False
            if not found:
                break
            count += 1
            yield cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB if frame.ndim == 2 else cv2.COLOR_BGR2RGB).astype(np.uint8)
        if not count:
            raise self._error("must hold a frame that can be decoded", "none")
        # The count of some containers is an estimate from the duration.
        if self.frames is not None and self.frames - count > max(2, 0.02 * self.frames):
            _log.warning(
                "%s: the video ends early: %d of %d frames could be decoded. It may be truncated; restore the file.",
                self.source,
                count,
                self.frames,
            )

    def _error(self, rule: str, found: str) -> MultisigmaError:
        if isinstance(self.source, int):
            return MultisigmaError(
                f"Camera {self.source} must give pictures. Found none. Check that it is connected and that no other "
                "program uses it, or give another number."
            )
        return MultisigmaError(
            f"{self.source}: {rule}. Found {found}. Restore the file, or convert it: "
            f"ffmpeg -i {self.source.name} out.mp4"
        )

    def close(self) -> None:
        """Close the file or the camera, as the end of a `with` block does."""
        self._capture.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class VideoWriter:
    """Write a video frame by frame. The file appears when all is written, and not at all after an error.

    Frames of another size are resized to the first one's. A row or column is repeated where the height or the width is
    odd, which codecs do not take.

    Args:
        path: The file. Its ending, one of `FORMATS`, chooses the codec.
        rate: Frames per second.

    Raises:
        MultisigmaError: The ending is another, or the file cannot be written.

    Example:
        with VideoWriter(Path("out.mp4"), rate=25) as writer:
            writer.write(rgb)
    """

    def __init__(self, path: Path, rate: float = _DEFAULT_RATE) -> None:
        ending = path.suffix[1:].lower()
        if ending not in FORMATS:
            raise MultisigmaError(f"{path}: a video must end in one of .{', .'.join(FORMATS)}. Found {path.suffix!r}.")
        self.path, self.rate = path, rate
        # A folder, because OpenCV chooses the container by the file's ending.
        self._folder = temporary_path(path)
        self._temporary = self._folder / f"video.{ending}"
        self._codec = FORMATS[ending]
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, rgb: NDArray[np.uint8]) -> None:
        """Add a frame.

        Args:
            rgb: Shape (H, W, 3).
        """
        if self._writer is None:
            height, width = rgb.shape[:2]
            self._size = height + height % 2, width + width % 2
            fourcc = cv2.VideoWriter.fourcc(*self._codec)
            with suppress(OSError):
                self._folder.mkdir()
            with _silent():
                self._writer = cv2.VideoWriter(str(self._temporary), fourcc, self.rate, self._size[::-1])
            if not self._writer.isOpened():
                raise MultisigmaError(
                    f"{self.path}: a video of {width}x{height} pixels cannot be written there. Make room, choose a "
                    "place that you may write to, or another format."
                )
        below, right = self._size[0] - rgb.shape[0], self._size[1] - rgb.shape[1]
        if (below, right) != (0, 0):
            if below in (0, 1) and right in (0, 1):
                rgb = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REPLICATE).astype(np.uint8)
            else:
                rgb = cv2.resize(rgb, self._size[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)
        self._writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._writer is not None:
            with _silent():
                self._writer.release()
        if kind is None and self._writer is not None:
            os.replace(self._temporary, self.path)
        shutil.rmtree(self._folder, ignore_errors=True)


class _silent:
    """OpenCV logs nothing inside, from OpenCV 4.13 on; before, it has no such switch."""

    def __enter__(self) -> None:
        self.logging: Any = getattr(cv2.utils, "logging", None)
        if self.logging:
            self.level = self.logging.setLogLevel(self.logging.LOG_LEVEL_SILENT)

    def __exit__(self, *_: object) -> None:
        if self.logging:
            self.logging.setLogLevel(self.level)


def _require_video(path: Path) -> None:
    remedy = "Check the path."
    if not path.exists():
        raise MultisigmaError(f"{path}: there is no such file. {remedy}")
    if not path.is_file():
        raise MultisigmaError(f"{path}: a video must be a file. Found a folder.")
    try:
        empty = path.stat().st_size == 0
        # FFmpeg would also follow playlists, which name other files and addresses.
        known = _has_video_header(path)
    except OSError as error:
        raise MultisigmaError(f"{path}: cannot be read as a video: {error.strerror}. Restore the file.") from error
    if empty or not known:
        found = "an empty file" if empty else "another kind of file, or a damaged header"
        raise MultisigmaError(f"{path}: must be a video. Found {found}. Restore the file.")


def _has_video_header(path: Path) -> bool:
    """Return whether the first bytes are those of a container of videos."""
    with path.open("rb") as file:
        head = file.read(200)
    if head[4:8] == b"ftyp":  # MP4 and QuickTime; pictures share the container
        return head[8:12] not in (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
    return (
        head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip")  # older QuickTime
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or head.startswith(
            (
                b"\x1a\x45\xdf\xa3",  # Matroska and WebM
                b"\x00\x00\x01\xba",  # MPEG program stream
                b"\x00\x00\x01\xb3",  # MPEG video
                b"FLV",
                b"OggS",
                b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # Windows Media
            )
        )
        # MPEG transport stream: packets of 188 bytes, after a time code of four in .m2ts.
        or (len(head) > 196 and ((head[0], head[188]) == (0x47, 0x47) or (head[4], head[196]) == (0x47, 0x47)))
    )
