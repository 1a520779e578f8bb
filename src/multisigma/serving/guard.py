"""Only the page's own requests reach Gradio, and their size is limited."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from multisigma.serving.uploads import is_in

__all__ = ["MOST_BYTES", "Guard"]

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]
_App: TypeAlias = Callable[[_Message, _Receive, _Send], Awaitable[None]]

# What the page needs. Gradio's other routes download from addresses, convert recordings, or pass by the queue.
_ROUTES: Final = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)|/(assets|static|svelte)/.*"
    r"|/gradio_api/(startup-events|upload|upload_progress|heartbeat/.*|cancel|reset|run/predict|queue/(join|data))"
)
_FILE: Final = re.compile(r"/gradio_api/file[=/](.*)", re.DOTALL)
MOST_BYTES: Final = 100_000
"""Largest request that sends no file: it has places, choices, and names of files."""


class Guard:
    """Answer 404 to requests for anything but the page, and 413 to those that are too large.

    An upload that grows beyond what it announced is cut off.

    Args:
        app: The application behind it.
        folder: The folder of the files that the page serves.
        most_bytes: Largest request that sends a file.
    """

    def __init__(self, app: _App, folder: Path, most_bytes: int) -> None:
        self.app, self.folder, self.most_bytes = app, folder, most_bytes

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http" and self._serves(scope["path"]):
            if _announced(scope) > self.most_bytes:
                await _answer(send, 413, f"A request must have at most {self.most_bytes} bytes.")
            elif scope["path"] == "/gradio_api/upload":
                await self.app(scope, self._counted(receive), send)
            else:
                await self._pass_on(scope, receive, send)
        elif scope["type"] == "http":
            await _answer(send, 404, "There is no such page.")
        else:
            await send({"type": "websocket.close"})

    def _serves(self, path: str) -> bool:
        file = _FILE.fullmatch(path)
        return is_in(file[1], self.folder) if file else bool(_ROUTES.fullmatch(path))

    async def _pass_on(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Read the body, and pass it on if it is not too large."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MOST_BYTES:
                await _answer(send, 413, f"A request must have at most {MOST_BYTES} bytes.")
                return
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> _Message:
            return waiting.pop() if waiting else await receive()

        await self.app(scope, replay, send)

    def _counted(self, receive: _Receive) -> _Receive:
        """Return a function that ends the connection where a request becomes too large."""
        count = 0

        async def counted() -> _Message:
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            return message if count <= self.most_bytes else {"type": "http.disconnect"}

        return counted


def _announced(scope: _Message) -> int:
    """Return the length of the body that the header has, 0 if it has none."""
    length = dict(scope.get("headers", ())).get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0


async def _answer(send: _Send, status: int, words: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": words.encode()})
