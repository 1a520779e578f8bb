"""A request may name only files that were sent to the page."""

from pathlib import Path
from typing import Any

import pytest

from multisigma.errors import MultisigmaError
from multisigma.serving.uploads import require_sent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "host.png").write_text("host")
    folder = tmp_path / "sent"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "sent.png").write_text("sent")
    (folder / "link.png").symlink_to(tmp_path / "host.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    return folder


def named(path: object) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def test_files_that_were_sent_are_taken(folder: Path) -> None:
    sent = named(str(folder / "a" / "sent.png"))
    requests: list[Any] = [[sent, 65], [[{"files": [sent, sent]}]], [None, "0.5 0.5", 3], {}, "a.png"]
    for data in requests:
        require_sent(data, folder)


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "/etc/passwd",
        "/dev/zero",
        "/dev/stdin",
        "a\0.png",
        "a" * 5000,
        "http://127.0.0.1:1/a.png",
        None,
        3,
        ["a"],
    ],
)
def test_other_files_are_refused(folder: Path, path: object) -> None:
    for data in ([named(path), 65], [65, {"files": [{"deep": named(path)}]}]):
        with pytest.raises(MultisigmaError, match="sent to this page"):
            require_sent(data, folder)


@pytest.mark.parametrize("path", ["", "link.png", "loop.png", "none.png", "a", "../host.png", "a/../../host.png"])
def test_files_beside_those_that_were_sent_are_refused(folder: Path, path: str) -> None:
    with pytest.raises(MultisigmaError, match="sent to this page"):
        require_sent([named(f"{folder}/{path}")], folder)


def test_depth_is_no_limit(folder: Path) -> None:
    data: Any = named("/etc/passwd")
    for _ in range(100_000):
        data = [data]
    with pytest.raises(MultisigmaError):
        require_sent(data, folder)
