"""Output of the commands.

Results go to standard output. Progress, messages, warnings and errors go to standard error.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import rich.progress
from rich.console import Console

from multisigma.progress import SILENT, Progress

console = Console()
errors = Console(stderr=True)
# Without a terminal, the least time between two lines, and the least share of the job.
_SECONDS, _SHARE = 10.0, 0.1


@contextmanager
def shown_messages() -> Iterator[None]:
    """Show what the library logs, until the context ends; a command may make it quiet until then."""
    handler, logger = _Handler(), logging.getLogger("multisigma")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        console.quiet = False


def make_progress() -> Progress:
    """Make what shows how far a job is: a bar on a terminal, else a few lines; nothing after --quiet."""
    if console.quiet:
        return SILENT
    return _Bar() if errors.is_terminal else _Lines()


def print_line(text: object) -> None:
    """Print a line as it is: a path may hold brackets, and is copied in one piece."""
    console.print(str(text), markup=False, highlight=False, soft_wrap=True)


def print_error(text: object) -> None:
    """Print an error on standard error."""
    _print_problem("error:", "bold red", text)


def print_warning(text: object) -> None:
    """Print a warning on standard error."""
    _print_problem("warning:", "bold yellow", text)


def _print_problem(label: str, style: str, text: object) -> None:
    errors.print(label, style=style, end=" ")
    _print_message(text)


def _print_message(text: object) -> None:
    errors.print(str(text), markup=False, highlight=False, soft_wrap=True)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            print_error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            print_warning(record.getMessage())
        elif not console.quiet:
            _print_message(record.getMessage())


class _Bar(Progress):
    """A bar on the terminal."""

    bar: rich.progress.Progress | None = None

    def start(self, job: str, total: int, done: int = 0) -> None:
        self.bar = bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeRemainingColumn(elapsed_when_finished=True),
            rich.progress.TextColumn("{task.fields[note]}"),
            console=errors,
        )
        self.task = bar.add_task(job, total=total or None, completed=done, note="")
        bar.start()

    def update(self, done: int, note: str = "") -> None:
        if self.bar:
            self.bar.update(self.task, completed=done, note=note)

    def stop(self) -> None:
        if self.bar:
            self.bar.stop()


class _Lines(Progress):
    """A few lines for a log file: at most one every ten seconds and every tenth of the job."""

    def start(self, job: str, total: int, done: int = 0) -> None:
        self.job, self.total, self.first, self.begin = job, total, done, time.monotonic()
        self.line, self.line_time = done, self.begin

    def update(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        if done - self.line < self.total * _SHARE or now - self.line_time < _SECONDS:
            return
        self.line, self.line_time = done, now
        if not self.total:
            _print_message(f"{self.job}: {done}" + (f"; {note}" if note else ""))
            return
        left = (now - self.begin) / (done - self.first) * (self.total - done)
        _print_message(f"{self.job}: {done} of {self.total}, {left:.0f} s left" + (f"; {note}" if note else ""))
