"""Listing folders, with errors for people."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from multisigma.datasets.problems import DataError, Problem

__all__ = ["is_folder", "list_files", "list_folders"]


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = "Give yourself the permission to read it, or check the disk."
        raise DataError(Problem(folder, "the folder must be readable", error.strerror or str(error), remedy)) from error


def is_folder(path: Path) -> bool:
    """Whether there is such a folder. Raises `DataError` if that may not be known."""
    with _readable(path):
        return path.is_dir()


def list_folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted, without hidden ones. Raises `DataError`."""
    with _readable(folder), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def list_files(folder: Path) -> list[str]:
    """Names of the files in a folder, sorted, without hidden ones. Raises `DataError`."""
    with _readable(folder), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_file() and not entry.name.startswith("."))
