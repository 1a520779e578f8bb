"""Videos in and out: formats, odd sizes, damage."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from multisigma.datasets.videos import FORMATS, Video, VideoWriter, is_video
from multisigma.errors import MultisigmaError


def frames(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    ramp = np.linspace(0, 100, width)[None, :, None] * np.ones((height, 1, 3))
    return [(ramp + np.array([10, 40, 90]) + 5 * i).clip(0, 255).astype(np.uint8) for i in range(count)]


def write(path: Path, count: int = 8, height: int = 48, width: int = 64) -> Path:
    with VideoWriter(path, 17) as writer:
        for frame in frames(count, height, width):
            writer.write(frame)
    return path


@pytest.mark.parametrize("ending", FORMATS)
def test_a_video_comes_back(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"Straße.{ending}")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with Video(path) as video:
        assert (video.size, video.frames, video.name) == ((48, 64), 8, "Straße")
        assert video.rate == pytest.approx(17)
        found = list(video)
    assert len(found) == 8
    for one, other in zip(found, frames(8), strict=True):
        # The codecs lose a little; the order of the channels would show.
        assert np.abs(one.astype(int) - other).mean() < 6


def test_odd_and_changing_sizes_are_taken(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "odd.mp4") as writer:
        writer.write(frames(1, 33, 47)[0])
        writer.write(frames(1, 66, 94)[0])
    with Video(tmp_path / "odd.mp4") as video:
        assert [frame.shape for frame in video] == [(34, 48, 3)] * 2


def test_a_video_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def interrupted() -> None:
        with VideoWriter(tmp_path / "out.mp4") as writer:
            writer.write(frames(1)[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())
    with pytest.raises(MultisigmaError, match=r"must end in one of \.mp4"):
        VideoWriter(tmp_path / "out.gif")
    with pytest.raises(MultisigmaError, match="cannot be written there"), VideoWriter(tmp_path / "no" / "a.mp4") as w:
        w.write(frames(1)[0])


def test_videos_are_known_by_ending_or_content(tmp_path: Path) -> None:
    for ending in FORMATS:
        named = write(tmp_path / f"a.{ending}", 2)
        assert is_video(named)
        other = named.rename(tmp_path / f"no_ending_{ending}")
        assert is_video(other)
        with Video(other) as video:
            assert len(list(video)) == 2
    picture = tmp_path / "picture"
    picture.write_bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    assert not is_video(picture)
    assert not is_video(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no such file"),
        (b"", "Found an empty file"),
        (b"some text that is no video", "Found another kind of file"),
        # FFmpeg would follow a playlist to other files.
        (b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\n/etc/passwd\n", "Found another kind of file"),
        ("half", "must be a video that can be decoded"),
    ],
)
def test_broken_videos_are_errors(tmp_path: Path, content: bytes | str | None, words: str) -> None:
    path = tmp_path / "broken.mp4"
    if content == "half":
        whole = write(tmp_path / "whole.mp4").read_bytes()
        content = whole[: len(whole) // 2]
    if isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(MultisigmaError, match=words) as caught:
        Video(path)
    assert str(path) in str(caught.value)


def test_a_truncated_video_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = write(tmp_path / "whole.webm", 20)
    path = tmp_path / "part.webm"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 4])
    with caplog.at_level(logging.WARNING), Video(path) as video:
        count = len(list(video))
    assert 0 < count < 18
    assert f"the video ends early: {count} of 20 frames could be decoded" in caplog.text


def test_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    class Camera:
        """A camera with three frames."""

        def __init__(self, source: int) -> None:
            self.left = 3 if source == 0 else -1

        def isOpened(self) -> bool:
            return self.left >= 0

        def get(self, key: int) -> float:
            return {cv2.CAP_PROP_FRAME_HEIGHT: 4, cv2.CAP_PROP_FRAME_WIDTH: 6}.get(key, -1)

        def read(self) -> tuple[bool, np.ndarray]:
            self.left -= 1
            return self.left >= 0, np.full((4, 6, 3), (1, 2, 3), np.uint8)

        def release(self) -> None:
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    with Video(0) as video:
        assert (video.size, video.rate, video.frames, video.name) == ((4, 6), 25, None, "camera-0")
        found = list(video)
    assert len(found) == 3
    assert found[0][0, 0].tolist() == [3, 2, 1]
    with pytest.raises(MultisigmaError, match="Camera 1 must give pictures"):
        Video(1)
    with pytest.raises(MultisigmaError, match="number of a camera must be 0 or more"):
        Video(-1)


def test_a_video_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "large.mp4")
    monkeypatch.setattr("multisigma.datasets.limits.MOST_PIXELS", 48 * 64 - 1)
    with pytest.raises(MultisigmaError, match=r"large\.mp4: An image must have at most"):
        Video(path)
