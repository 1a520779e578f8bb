"""Files and folders that appear whole or not at all, also after a kill or a loss of power."""

import errno
import json
import os
import re
import shutil
import socket
import stat
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

import yaml

from multisigma.errors import MultisigmaError

MOST_BYTES: Final = 2**30
"""The largest file that is read into memory as a whole."""
MOST_TEXT: Final = 2**26
"""The largest file of text, such as JSON or YAML."""
# Files that are flushed at a time; file systems write them together.
_FLUSHES = 16
# What a killed process leaves behind is told by these names: of which host and process, and what it was.
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<host>[0-9a-f]{8})-(?P<process>\d+)\.(?P<kind>tmp|old)")
# Folders that this process has looked through, with its number, because a forked process starts anew.
_searched: set[tuple[int, Path]] = set()


@contextmanager
def new_file(path: Path, flush_folder: bool = False) -> Iterator[IO[bytes]]:
    """Give a file to write; it becomes `path` when all went well and is removed otherwise.

    It is written beside its place and flushed to the disk before it is renamed, so that a loss of power leaves this
    file or the one that was there before.

    Args:
        path: The file; its folder must exist.
        flush_folder: Whether to flush the folder too, so that a loss of power leaves this file.

    Raises:
        MultisigmaError: If the file cannot be written.
    """
    with _writable(path):
        if (os.getpid(), path.parent) not in _searched:
            remove_leftovers(path.parent)
        temporary = temporary_path(path)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                # `new_folder` flushes all its files together, which takes less time.
                if not any(map(_LEFTOVER.fullmatch, path.parent.parts)):
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        if flush_folder:
            _flush(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file by `new_file`.

    Args:
        path: The file; its folder must exist.
        content: What to write.

    Raises:
        MultisigmaError: If the file cannot be written.
    """
    with new_file(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """`write_bytes` for text, in UTF-8."""
    write_bytes(path, content.encode())


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a regular file of a limited size. Pipes and devices are refused: they may never end.

    Args:
        path: The file.
        most: The largest size, bytes.

    Raises:
        OSError: It cannot be read, is no regular file, or is larger.
    """
    # A pipe without a writer would wait for one.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file, but a pipe or a device", str(path))
        content = file.read(most + 1)
        if len(content) > most:
            raise OSError(errno.EFBIG, f"it has {found.st_size} bytes, and at most {most} are read", str(path))
        return content


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """`read_bytes` for text, in UTF-8. Raises `UnicodeDecodeError` too."""
    return read_bytes(path, most).decode()


def read_yaml(path: Path) -> Any:
    """Read a YAML file of plain values, without aliases, by which a short file could become huge.

    Raises:
        OSError: See `read_bytes`.
        UnicodeDecodeError: It is not in UTF-8.
        yaml.YAMLError: It is no YAML, or has aliases, or its values cannot be.
    """
    text = read_text(path)
    try:
        return yaml.load(text, PlainLoader)
    except (ValueError, RecursionError, OverflowError) as error:
        # Of dates that are none, and of deep nesting.
        raise yaml.YAMLError(f"a value cannot be: {error}") from error


class PlainLoader(yaml.SafeLoader):  # type: ignore[misc]  # it has no types
    """YAML of plain values, without aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read; write the value out")
        return super().compose_node(parent, index)


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
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise MultisigmaError(f"{path}: must be readable JSON. Found a fault: {error}. {damaged}") from error
    return parse_versioned_json(text, path, version, damaged, other_version)


def parse_versioned_json(
    text: str, place: Path | str, version: int, damaged: str, other_version: str
) -> dict[str, Any]:
    """Parse the content of such a file; see `read_versioned_json`.

    Args:
        text: The content.
        place: Where it stands, for messages.
        version: The version that it must have.
        damaged: What to do if it cannot be parsed, a sentence.
        other_version: What to do if it is of another version.

    Raises:
        MultisigmaError: It cannot be parsed, or is of another version.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MultisigmaError(f"{place}: must be readable JSON. Found a fault: {error}. {damaged}") from error
    found = content.get("format_version") if isinstance(content, dict) else None
    if found != version:
        raise MultisigmaError(f"{place}: `format_version` must be {version}. Found {found}. {other_version}")
    return dict(content)


def require_empty(path: Path) -> None:
    """Raise `MultisigmaError` if there is a file at a path, or a folder that holds something."""
    if path.is_dir():
        remove_leftovers(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise MultisigmaError(
            f"{path}: must be a new or empty folder and holds something; choose another, or remove it."
        )


@contextmanager
def new_folder(path: Path, replace: bool = False) -> Iterator[Path]:
    """Give a temporary folder to fill; it becomes `path` when all went well and is removed otherwise.

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
        made = [parent for parent in path.parents if not parent.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        temporary = temporary_path(path)
        try:
            temporary.mkdir()
            yield temporary
            with ThreadPoolExecutor(_FLUSHES) as pool:
                list(pool.map(_flush, [temporary, *temporary.rglob("*")]))
            _put_in_place(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            with suppress(OSError):
                for parent in made:
                    parent.rmdir()
            raise
        _flush(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes of this machine left in a folder.

    A folder that was about to be replaced when its process was killed comes back.
    """
    _searched.add((os.getpid(), folder))
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in list(entries):
            match = _LEFTOVER.fullmatch(entry.name)
            if match is None or match["host"] != machine() or is_alive(int(match["process"])):
                continue
            if match["kind"] == "old" and not (folder / match["name"]).exists():
                os.replace(entry.path, folder / match["name"])
            elif entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)


def is_alive(process: int) -> bool:
    """Return whether a process of this machine runs; on Windows always true."""
    if os.name == "nt":
        return True  # There, signal 0 would interrupt the process.
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def temporary_path(path: Path, kind: str = "tmp") -> Path:
    """Return a place beside a file or folder, for this process alone; `remove_leftovers` finds it after a kill."""
    return path.with_name(f".{path.name}.{machine()}-{os.getpid()}.{kind}")


def machine() -> str:
    """Return a short name of what numbers this process: the machine, or the container on it."""
    name = socket.gethostname()
    with suppress(OSError):
        name += os.readlink("/proc/self/ns/pid")
    return f"{zlib.crc32(name.encode()):08x}"


def _put_in_place(temporary: Path, path: Path) -> None:
    try:
        # Takes the place of an empty folder too, but not on Windows.
        os.replace(temporary, path)
    except OSError:
        if not path.is_dir():
            raise
        # A folder with content cannot be replaced in one step.
        old = temporary_path(path, "old")
        os.replace(path, old)
        os.replace(temporary, path)
        shutil.rmtree(old)


def _flush(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk."""
    if os.name == "nt":
        return  # It flushes only what is open for writing.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems of networks do not flush folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MultisigmaError(
            f"{path}: cannot be written: {error.strerror or error}. Make room, or choose a place that you may write to."
        ) from error
