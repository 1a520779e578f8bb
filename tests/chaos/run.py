"""Kill jobs at random moments, run each again, and see that nothing is lost, different or left behind.

    python -m tests.chaos.run --kills 1000

Each job is killed by SIGKILL after a random time, or ended before a random operation on the disk. All jobs are forks of
one process, so that the imports are paid once.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.jobs import JOBS, Job, kill_and_resume, moments
from tests.kills import KILLED, count_operations, kill_at

SHARES = {
    "folders": 33,
    "checkpoints": 42,
    "preparation": 8,
    "packing": 8,
    "generation": 2,
    "sweep": 2,
    "prediction": 2,
    "training": 3,
}
"""Of each hundred kills, how many are of each job. A kill of a training takes a hundred times that of a checkpoint."""


class Victim:
    """A job in another process.

    Args:
        job: The job.
        rng: Gives the moments.
    """

    def __init__(self, job: Job, rng: random.Random) -> None:
        self.job, self.rng = job, rng
        self.seconds, self.operations, self.killed = 0.0, 0, 0
        # Shared with the other process: the number of reported steps, and of operations.
        self.shared = mmap.mmap(-1, 16)

    def measure(self, folder: Path) -> None:
        """Run the job without a kill, for the time that it takes and the operations that it has."""
        begin = time.monotonic()
        assert self._run(folder, None, 0) == 0
        self.seconds, self.operations = time.monotonic() - begin, self._number(8)

    def kill(self, folder: Path) -> int:
        """Run the job and kill it once; return the number of reported steps."""
        seconds, operation = moments(self.rng, self.seconds, self.operations)
        status = self._run(folder, seconds, operation)
        assert status in (0, KILLED, -signal.SIGKILL), status
        self.killed += status != 0
        return self._number(0)

    def _run(self, folder: Path, seconds: float | None, operation: int) -> int:
        self.shared[:] = bytes(16)
        process = os.fork()
        if process == 0:
            status = 1
            try:
                count = kill_at(folder, operation) if operation else count_operations(folder)
                self.job.run(folder, self._report)
                self.shared[8:] = count().to_bytes(8, "little")
                status = 0
            finally:
                os._exit(status)
        if seconds is not None:
            time.sleep(seconds)
            os.kill(process, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def _report(self) -> None:
        self.shared[:8] = (self._number(0) + 1).to_bytes(8, "little")

    def _number(self, place: int) -> int:
        return int.from_bytes(self.shared[place : place + 8], "little")


def run(name: str, kills: int, seed: int, folder: Path, say: Callable[[str], None] = lambda text: None) -> int:
    """Kill a job so often, each time in a fresh copy of its folder; return the number of kills.

    Some kills come too late and do not count. Raises `AssertionError` where something is lost, different or left.
    """
    job, template, whole = JOBS[name], folder / "template", folder / "whole"
    template.mkdir(parents=True)
    job.prepare(template)
    shutil.copytree(template, whole)
    victim = Victim(job, random.Random(f"{name} {seed}"))
    victim.measure(whole)
    expected = job.digest(whole)
    tries = 0
    while victim.killed < kills:
        # Always the same path, because some files name it.
        kill_and_resume(job, template, whole.with_name("killed"), expected, victim.kill)
        tries += 1
        if tries % 50 == 0:
            say(f"{name}: {victim.killed} kills of {kills}")
    return victim.killed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="kills in all")
    parser.add_argument("--jobs", nargs="+", choices=tuple(JOBS), default=tuple(JOBS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file for the counts")
    arguments = parser.parse_args()
    total = sum(SHARES[name] for name in arguments.jobs)
    done = {}
    for name in arguments.jobs:
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            kills = max(1, round(arguments.kills * SHARES[name] / total))
            done[name] = run(name, kills, arguments.seed, Path(folder), lambda text: print(text, flush=True))
        print(f"{name}: {done[name]} kills, all exact, {time.monotonic() - begin:.0f} s", flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps({"seed": arguments.seed, "kills": done}, indent=1) + "\n")
    print(f"{sum(done.values())} kills", flush=True)


if __name__ == "__main__":
    sys.exit(main())
