"""Files that appear whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from multisigma.errors import MultisigmaError


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name beside it, then renames it.

    Args:
        path: The file; its folder must exist.
        content: What to write.

    Raises:
        MultisigmaError: If the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _writable(path):
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """`write_bytes` for text, in UTF-8."""
    write_bytes(path, content.encode())


def read_versioned_json(path: Path, version: int, damaged: str, other_version: str) -> dict[str, Any]:
    """Read a JSON file of this package, which has its version in the field `format_version`.

    Args:
        path: The file.
        version: The version that it must have.
        damaged: What to do if it cannot be read, a sentence.
        other_version: What to do if it is of another version.

    Raises:
        MultisigmaError: It cannot be read, or is of another version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise MultisigmaError(f"{path}: must be readable JSON. Found a fault: {error}. {damaged}") from error
    found = content.get("format_version") if isinstance(content, dict) else None
    if found != version:
        raise MultisigmaError(f"{path}: `format_version` must be {version}. Found {found}. {other_version}")
    return dict(content)


def require_empty(path: Path) -> None:
    """Raise `MultisigmaError` if there is a file at a path, or a folder that holds something."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise MultisigmaError(
            f"{path}: must be a new or empty folder and holds something; choose another, or remove it."
        )


@contextmanager
def new_folder(path: Path, replace: bool = False) -> Iterator[Path]:
    """Gives a temporary folder to fill; it becomes `path` when all went well and is removed otherwise.

    Args:
        path: The folder to make.
        replace: Whether it may take the place of a folder with content.

    Raises:
        MultisigmaError: If `path` holds something and `replace` is false, or the folder cannot be written.
    """
    with _writable(path):
        if not replace:
            require_empty(path)
        path = path.absolute()
        nearest = next(parent for parent in path.parents if parent.is_dir())
        temporary = nearest / f".{path.name}.{os.getpid()}.tmp"
        try:
            temporary.mkdir()
            yield temporary
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                # A folder with content cannot be replaced in one step.
                old = nearest / f".{path.name}.{os.getpid()}.old"
                os.replace(path, old)
                os.replace(temporary, path)
                shutil.rmtree(old)
            else:
                os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MultisigmaError(
            f"{path}: cannot be written: {error.strerror or error}. Make room, or choose a place that you may write to."
        ) from error
