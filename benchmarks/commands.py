"""Time and memory of each command, on streets of 128x256: python benchmarks/commands.py FOLDER > results/commands.json

Seconds are processor seconds, user and system, of the command and its processes, so that other work on the machine
changes them little. Memory is the largest resident set of one process.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from multisigma.training.environment import describe_environment

TRAIN = "multisigma train --preset {preset} --data streets --out {preset} --iterations {iterations}"
COMMANDS = [
    "multisigma --help",
    "multisigma generate streets --train 8 --val 4 --size 128x256",
    "multisigma check streets",
    "multisigma prepare streets packed --packed",
    f"{TRAIN.format(preset='demo', iterations=20)} --workers 0 --threads 1",
    f"{TRAIN.format(preset='laptop', iterations=4)} --workers 0 --threads 1",
    "multisigma evaluate demo --data streets",
    "multisigma report demo",
    "multisigma pack demo --out shared",
    "multisigma predict streets/leftImg8bit/val --out predictions",
    "multisigma export --out model.onnx",
]


def main() -> None:
    """Run the commands one after the other in an empty folder, and print a row for each."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    rows = []
    for command in COMMANDS:
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        arguments = [sys.executable, "-m", *command.split()]
        # A process in between, because the peak of all children is the largest one's, not the last one's.
        watch = "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=sys.stderr); "
        watch += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done.returncode)"
        done = subprocess.run(
            [sys.executable, "-c", watch, *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{command}\n{done.stderr}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        row = {"command": command, "processor seconds": round(seconds, 1), "peak MiB": round(int(done.stdout) / 1024)}
        rows.append(row)
        print(f"{time.perf_counter() - begin:.0f} s: {row}", file=sys.stderr)
    result = {
        "environment": describe_environment() | {"threads": os.environ.get("OMP_NUM_THREADS", "default")},
        "rows": rows,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
