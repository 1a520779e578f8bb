"""The signals that ask a process to stop, and the exit statuses that answer them."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

__all__ = ["REQUEUE_STATUS", "Terminated", "exit_status", "handled_signals"]

_STOPPING: Final = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)
]

REQUEUE_STATUS: Final = 75
"""Exit status of a job that is to be started again: EX_TEMPFAIL of sysexits.h."""


class Terminated(KeyboardInterrupt):
    """Ends a command on a signal. What it has begun is cleaned up, as after an interruption by a person.

    Args:
        number: The signal.
    """

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


def exit_status(number: int) -> int:
    """Return the exit status after a signal: 128 + its number, as of a process that it kills.

    It is `REQUEUE_STATUS` after SIGUSR1, and in a SLURM job after each signal but SIGINT.

    Example:
        >>> exit_status(signal.SIGINT)
        130
    """
    requeues = number == getattr(signal, "SIGUSR1", None) or ("SLURM_JOB_ID" in os.environ and number != signal.SIGINT)
    return REQUEUE_STATUS if requeues else 128 + number


@contextmanager
def handled_signals(handle: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Call a function on SIGINT, SIGTERM, SIGHUP and SIGUSR1, until the context ends.

    Signals that the process ignores, such as SIGHUP under nohup, stay ignored. Outside of the main thread, which alone
    receives signals, nothing changes.

    Args:
        handle: Called with the signal, between two operations of the main thread.
    """
    process = os.getpid()

    def receive(number: int, frame: FrameType | None) -> None:
        if os.getpid() == process:
            handle(signal.Signals(number))
        else:
            # A process that was forked from this one, such as a reader of data, just ends.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: found for number in _STOPPING if (found := signal.getsignal(number)) != signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, receive)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
