"""Feed damaged files to everything that reads files of strangers.

    python -m tests.fuzz.run --cases 100000 [--target png] [--seed 0] [--keep FOLDER]

Each case damages a file or two of a sound folder and reads it. It must give a result that passes the target's
assertions, or raise `MultisigmaError`. Another exception, more than ten seconds, or more than 1 GiB is a fault; its
folder is kept.
"""

import argparse
import contextlib
import faulthandler
import logging
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from multisigma.errors import MultisigmaError
from tests.fuzz.mutations import remove
from tests.fuzz.targets import Target, damage, targets, write

SECONDS = 10.0
# A photograph of the most pixels allowed, 120 million, takes most of it while its colours are converted.
MEBIBYTES = 1024


class _TooLong(BaseException):
    """Not an `Exception`: readers may catch these."""


@dataclass(frozen=True)
class Fault:
    """A case that went wrong.

    Args:
        target: Name of the target.
        seed: Seed of the case.
        files: The damaged files.
        what: What happened, with the place in the code.
    """

    target: str
    seed: int
    files: tuple[str, ...]
    what: str


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise in the main thread after some time."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    # A hang in compiled code never comes back to Python.
    faulthandler.dump_traceback_later(10 * seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fuzz(name: str, target: Target, folder: Path, cases: int, seed: int, keep: Path | None = None) -> list[Fault]:
    """Run the cases of a target.

    Args:
        name: Name of the target.
        target: What reads, and its sound files.
        folder: An empty folder to work in.
        cases: Number of cases.
        seed: Seed of the first case; the others follow.
        keep: Folder for the folders of faults; None to keep none.

    Returns:
        One fault for each place in the code.
    """
    write(folder, target.files)
    target.attempt(folder)  # the sound files are read without an error
    found: dict[str, Fault] = {}
    for number in range(seed, seed + cases):
        names = damage(target, folder, random.Random(f"{name} {number}"))
        memory, what = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, None
        try:
            with time_limit(SECONDS), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                target.attempt(folder)
        except MultisigmaError:
            pass
        except _TooLong as error:
            what = f"more than {SECONDS:g} s at {_place(error)}"
        except Exception as error:
            what = f"{type(error).__name__}: {str(error)[:100]} at {_place(error)}"
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
        if more > MEBIBYTES:
            what = f"{more:.0f} MiB"
        if what is not None and (what.partition(" at ")[2] or what) not in found:
            found[what.partition(" at ")[2] or what] = Fault(name, number, tuple(names), what)
            if keep is not None:
                shutil.copytree(folder, keep / f"{name} {number}", symlinks=True, ignore_dangling_symlinks=True)
        # Damage may have put other files beside it.
        for path in sorted(folder.rglob("*"), reverse=True):
            relative = path.relative_to(folder).as_posix()
            if relative in names or not (relative in target.files or path.is_dir()):
                remove(path)
        write(folder, {name: target.files[name] for name in names})
    return list(found.values())


def _place(error: BaseException) -> str:
    """Return the last line of the package's own code in a traceback, and the last of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "multisigma" in frame.filename and "site-packages" not in frame.filename]
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in (own or frames)[-1:])


def main() -> int:
    """Run as a program; 1 if a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="cases of each target")
    parser.add_argument("--target", help="one target alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the folders of faults")
    arguments = parser.parse_args()
    logging.disable()
    faults: list[Fault] = []
    ran: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / "corpus").mkdir()
        for name, target in targets(Path(temporary) / "corpus").items():
            if arguments.target in (None, name):
                (Path(temporary) / name).mkdir()
                begin = time.process_time()
                found = fuzz(name, target, Path(temporary) / name, arguments.cases, arguments.seed, arguments.keep)
                ran[name] = arguments.cases
                print(f"{name}: {arguments.cases} cases, {time.process_time() - begin:.0f} s, {len(found)} faults")
                for fault in found:
                    print(f"  seed {fault.seed}, {', '.join(fault.files)}: {fault.what}", flush=True)
                faults += found
    print(f"{sum(ran.values())} cases, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
