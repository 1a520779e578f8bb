"""Kill a function between any two of its operations on the disk."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink", "shutil.rmtree")
KILLED = 137


def kill_at(place: Path, operation: int) -> Callable[[], int]:
    """End this process at once before its operation of this number on files below a folder, counted from 1.

    Returns:
        A function that returns the number of operations so far.
    """
    count = 0
    prefix = str(place.absolute())

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        writes = event in _CHANGES or (event == "open" and _opens_for_writing(arguments))
        if writes and isinstance(arguments[0], str | os.PathLike):
            count += os.path.abspath(arguments[0]).startswith(prefix)
            if operation and count == operation:
                os._exit(KILLED)

    sys.addaudithook(hook)
    return lambda: count


def count_operations(place: Path) -> Callable[[], int]:
    """Return a function that returns the number of this process's operations below a folder from now on."""
    return kill_at(place, 0)


def _opens_for_writing(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    return any(c in mode for c in "wax+") if isinstance(mode, str) else bool(flags & (os.O_WRONLY | os.O_RDWR))


def run_killed(function: Callable[[], object], place: Path, operation: int) -> bool:
    """Run a function in a forked process, killed before an operation; return whether it was."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            kill_at(place, operation)
            function()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status in (0, KILLED)
    return status == KILLED


def killed_at_each_operation(
    folder: Path, before: Callable[[Path], None], function: Callable[[Path], object]
) -> Iterator[Path]:
    """Yield the place that each kill leaves, and last the place without one.

    Args:
        folder: Where the places go.
        before: Called with each place first.
        function: Called with the place, and killed there.
    """
    operation, killed = 0, True
    while killed:
        operation += 1
        place = folder / str(operation)
        place.mkdir()
        before(place)
        killed = run_killed(lambda place=place: function(place), place, operation)  # type: ignore[misc]
        yield place
    assert operation > 1
