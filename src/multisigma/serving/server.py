"""The server of the page: it serves the page's own files alone, and the page fetches nothing from elsewhere."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from multisigma.errors import MultisigmaError
from multisigma.models import SceneModel
from multisigma.serving.guard import MOST_BYTES, Guard
from multisigma.serving.uploads import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.middleware.base import RequestResponseEndpoint

__all__ = ["POLICY", "make_app", "serve"]

# What a browser lets the page do: Gradio's scripts are inline and its viewer of point clouds compiles code, and nothing
# is fetched from, or sent to, another host.
POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# Before Gradio is imported: it sends no statistics, and asks for no newer version.
_ENVIRONMENT: Final = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "GRADIO_RUN_HISTORY": "False"}


def make_app(model: SceneModel, limits: Limits, folder: str) -> FastAPI:
    """Return the application.

    Args:
        model: The model.
        limits: What visitors may send.
        folder: An empty folder for what they send.

    Raises:
        MultisigmaError: The package gradio is not installed.
    """
    os.environ |= _ENVIRONMENT | {"GRADIO_TEMP_DIR": folder}
    try:
        import fastapi
        import gradio
    except ModuleNotFoundError as error:
        raise MultisigmaError(
            f"The page needs the extra 'serve' (found no {error.name}). Run pip install 'multisigma[serve]'."
        ) from error
    from multisigma.serving.page import CSS, make_page

    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    file_bytes = round(limits.megabytes * 1e6)
    # Beside the file, a request has the names of its parts.
    app.add_middleware(Guard, folder=Path(folder), most_bytes=file_bytes + MOST_BYTES)

    async def add_headers(request: fastapi.Request, call_next: RequestResponseEndpoint) -> fastapi.Response:
        response = await call_next(request)
        for name, value in _HEADERS.items():
            response.headers[name] = value
        return response

    app.middleware("http")(add_headers)
    return gradio.mount_gradio_app(
        app,
        make_page(model, limits),
        path="/",
        allowed_paths=[],
        max_file_size=file_bytes,
        footer_links=[],
        run_history=False,
        show_error=True,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        pwa=False,
        css=CSS,
        theme=gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    )


def serve(model: SceneModel, limits: Limits, host: str, port: int) -> None:
    """Serve the page until the process is interrupted.

    Args:
        model: The model.
        limits: What visitors may send.
        host: Address to listen on; 127.0.0.1 is this machine alone.
        port: Port to listen on.

    Raises:
        MultisigmaError: The package gradio is not installed, or the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="multisigma-page-") as folder:
        app = make_app(model, limits, folder)
        import uvicorn

        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise MultisigmaError(
                    f"The port {port} of {host} must be free. Found a fault: {error.strerror}. Name another: --port."
                ) from error
        uvicorn.run(app, host=host, port=port, log_level="warning")
