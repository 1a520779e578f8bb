"""Claims on runs: processes that share a folder do nothing twice, and do not write into the same run."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from multisigma.files import is_alive, machine, temporary_path

_log = logging.getLogger(__name__)


class Claims:
    """Claim runs by lock files that name machine and process.

    A claim is kept alive by a heartbeat: its file's time changes. A claim whose time has not changed for `stale`
    seconds, as this process observes it, or whose process on this machine has ended, is taken over. Clocks of different
    machines are not compared.

    Args:
        beat: Seconds between heartbeats.
        stale: Seconds without one after which a claim has no owner.
    """

    def __init__(self, beat: float = 15.0, stale: float = 90.0) -> None:
        self.beat, self.stale = beat, stale
        self._seen: dict[Path, tuple[int, float]] = {}

    @contextmanager
    def claim(self, path: Path) -> Iterator[bool]:
        """Claim by making the file PATH; it is removed at the end.

        Args:
            path: The lock file.

        Yields:
            Whether the claim is this process's own; if not, another one holds it.
        """
        owner = json.dumps({"host": machine(), "process": os.getpid(), "claim": uuid.uuid4().hex})
        if not self._make(path, owner):
            yield False
            return
        ended = threading.Event()
        beating = threading.Thread(target=self._keep_alive, args=(path, ended), daemon=True)
        beating.start()
        try:
            yield True
        finally:
            ended.set()
            beating.join()
            if _read(path) == owner:
                path.unlink(missing_ok=True)

    def is_held(self, path: Path) -> bool:
        """Return whether a process that is alive holds the claim."""
        text = _read(path)
        return text is not None and not self._is_stale(path, text)

    def is_local(self, path: Path) -> bool:
        """Return whether the process that holds the claim is one of this machine."""
        return _owner(_read(path) or "").get("host") == machine()

    def _make(self, path: Path, owner: str) -> bool:
        text = _read(path)
        if text is not None:
            if not self._is_stale(path, text):
                return False
            _remove(path, text)
        return _create(path, owner)

    def _is_stale(self, path: Path, text: str) -> bool:
        owner = _owner(text)
        process = owner.get("process")
        if owner.get("host") == machine() and isinstance(process, int) and not is_alive(process):
            return True
        try:
            changed = path.stat().st_mtime_ns
        except FileNotFoundError:
            return True
        before = self._seen.get(path)
        now = time.monotonic()
        if before is None or before[0] != changed:
            self._seen[path] = changed, now
            return False
        return now - before[1] > self.stale

    def _keep_alive(self, path: Path, ended: threading.Event) -> None:
        while not ended.wait(self.beat):
            try:
                os.utime(path)
            except OSError as error:
                _log.warning("%s: the claim cannot be kept alive (%s); another process may do the run too", path, error)


def _owner(text: str) -> dict[str, Any]:
    """Return what a claim says of its owner; empty if it cannot be read."""
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return {}


def _create(path: Path, text: str) -> bool:
    """Make a file with its whole content, unless it exists; return whether it was made."""
    temporary = temporary_path(path)
    try:
        temporary.write_text(text, encoding="utf-8")
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:
        # A file system without links. A process that is killed here leaves a claim without an owner, which goes stale.
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _remove(path: Path, text: str) -> None:
    """Remove a stale claim, unless another process was faster."""
    moved = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        os.rename(path, moved)
    except FileNotFoundError:
        return
    if _read(moved) == text:
        moved.unlink()
    else:
        # Another process removed the stale file first, and this one is its new claim.
        os.rename(moved, path)
