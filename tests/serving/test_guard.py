"""The guard lets only the page's own requests through. Here a small application stands in for Gradio."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from multisigma.serving.guard import Guard


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})


def ask(folder: Path, path: str, *parts: bytes, kind: str = "http", length: bytes = b"") -> tuple[int, bytes]:
    """Return status and body of the answer; 0 if there was none."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-length", length)] if length else []
    asyncio.run(Guard(echo, folder, 1000)({"type": kind, "path": path, "headers": headers}, receive, send))
    if not sent or sent == [{"type": "websocket.close"}]:
        return 0, b""
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "host.png").write_text("host")
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "a b.png").write_text("sent")
    return tmp_path / "sent"


@pytest.mark.parametrize("path", ["/", "/config", "/assets/a.js", "/gradio_api/queue/join", "/gradio_api/heartbeat/x"])
def test_what_the_page_is_made_of_is_passed_on(folder: Path, path: str) -> None:
    assert ask(folder, path, b"some ", b"words") == (200, b"some words")


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/process_recording",
        "/gradio_api/call/read",
        "/gradio_api/proxy=http://a.example/",
        "/docs",
        "//",
        "",
    ],
)
def test_anything_else_is_not(folder: Path, path: str) -> None:
    assert ask(folder, path)[0] == 404


def test_only_files_of_the_folder_are_served(folder: Path) -> None:
    assert ask(folder, f"/gradio_api/file={folder}/a b.png")[0] == 200
    for path in ("/etc/passwd", f"{folder}/../host.png", "http://a.example/a.png", f"{folder}", f"{folder}/none", "\n"):
        assert ask(folder, f"/gradio_api/file={path}")[0] == 404
        assert ask(folder, f"/gradio_api/file/{path}")[0] == 404


def test_requests_that_are_too_large_end(folder: Path) -> None:
    assert ask(folder, "/config", *[bytes(50_000)] * 2)[0] == 200
    assert ask(folder, "/config", *[bytes(50_000)] * 3)[0] == 413
    assert ask(folder, "/gradio_api/upload", bytes(400), bytes(600))[0] == 200
    assert ask(folder, "/gradio_api/upload", bytes(400), bytes(601))[0] == 0
    assert ask(folder, "/gradio_api/upload", bytes(400), length=b"1001")[0] == 413
    assert ask(folder, "/gradio_api/upload", bytes(400), length=b"many")[0] == 200


def test_a_websocket_is_closed(folder: Path) -> None:
    assert ask(folder, "/", kind="websocket") == (0, b"")
