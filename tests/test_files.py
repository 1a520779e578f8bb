"""Files and folders are whole or not there after a kill between any two operations, and nothing is left behind."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from multisigma.errors import MultisigmaError
from multisigma.files import machine, new_file, new_folder, remove_leftovers, require_empty, write_bytes, write_text
from tests.kills import killed_at_each_operation


def fill(path: Path, content: str, replace: bool = False) -> None:
    with new_folder(path, replace) as folder:
        write_text(folder / "a", content)
        (folder / "inner").mkdir()
        write_text(folder / "inner" / "b", content)


def content_of(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    def before(place: Path) -> None:
        write_bytes(place / "a", b"old")

    found = set()
    for place in killed_at_each_operation(tmp_path, before, lambda place: write_bytes(place / "a", b"new")):
        found.add((place / "a").read_bytes())
        remove_leftovers(place)
        assert [path.name for path in place.iterdir()] == ["a"]
    assert found == {b"old", b"new"}


@pytest.mark.parametrize("start", ["nothing", "an empty folder"])
def test_a_folder_is_whole_or_not_there(tmp_path: Path, start: str) -> None:
    def before(place: Path) -> None:
        if start == "an empty folder":
            (place / "x" / "y").mkdir(parents=True)

    for place in killed_at_each_operation(tmp_path, before, lambda place: fill(place / "x" / "y", "new")):
        found = content_of(place / "x" / "y") if (place / "x" / "y").exists() else {}
        assert found in ({}, {"a": "new", "inner/b": "new"})
        if not found:
            fill(place / "x" / "y", "again")
        assert set(content_of(place)) == {"x/y/a", "x/y/inner/b"}


def test_a_folder_that_is_replaced_is_never_lost(tmp_path: Path) -> None:
    def before(place: Path) -> None:
        fill(place / "x", "old")

    for place in killed_at_each_operation(tmp_path, before, lambda place: fill(place / "x", "new", replace=True)):
        remove_leftovers(place)
        assert content_of(place / "x") in [{"a": word, "inner/b": word} for word in ("old", "new")]
        assert [path.name for path in place.iterdir()] == ["x"]


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    others = [f".a.{machine()}-{os.getppid()}.tmp", ".a.00000000-1.tmp", ".a.tmp", ".hidden"]
    for name in others:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(MultisigmaError, match="must be a new or empty folder"):
        require_empty(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(others)


def test_the_machine_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = machine()
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    assert machine() != mine


@pytest.mark.parametrize(
    "write", [lambda path: write_bytes(path, b"x" * 10_000), lambda path: fill(path, "x" * 10_000)]
)
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MultisigmaError, match=r"No space left on device\. Make room"):
        write(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_error_in_between_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), new_file(tmp_path / "a"):
        raise ValueError("mine")
    with pytest.raises(ValueError, match="mine"), new_folder(tmp_path / "x" / "y"):
        raise ValueError("mine")
    assert not list(tmp_path.iterdir())
