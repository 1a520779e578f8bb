"""How far a long job is: the library reports it, and the command line shows it."""

from collections.abc import Collection, Iterable, Iterator
from typing import TypeVar

_T = TypeVar("_T")


class Progress:
    """Take reports of how far a job is and show nothing. The command line has subclasses that show them."""

    def start(self, job: str, total: int, done: int = 0) -> None:
        """Take the beginning of a job: its name, its number of steps (0 if not known), and how many are done."""

    def update(self, done: int, note: str = "") -> None:
        """Take the number of steps that are done, and what there is to say beside it, such as losses."""

    def stop(self) -> None:
        """Take the end of the job."""

    def track(self, items: Iterable[_T], job: str, total: int | None = None) -> Iterator[_T]:
        """Yield the items, and report each when its turn is over.

        Args:
            items: What the job goes over.
            job: Name of the job.
            total: Number of the items; their length if None.

        Example:
            >>> list(Progress().track("ab", "spelling"))
            ['a', 'b']
        """
        if total is None:
            total = len(items) if isinstance(items, Collection) else 0
        self.start(job, total)
        try:
            for done, item in enumerate(items, 1):
                yield item
                self.update(done)
        finally:
            self.stop()


SILENT = Progress()
"""The library's default: it shows nothing."""
