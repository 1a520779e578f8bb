"""How many street frames a second one core makes at 256x512, files included, without and with semi-global matching.

python benchmarks/generator.py [--frames 40] [--size 256x512] [--seed 0] > benchmarks/results/generator.json
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numba

from multisigma.synthetic import StreetSettings
from multisigma.synthetic.write import frame_name, write_street
from multisigma.training.environment import describe_environment

FOLDERS = ("leftImg8bit", "rightImg8bit", "gtFine", "disparity", "disparity_exact", "camera")


def measure(settings: StreetSettings, frames: int) -> tuple[float, float]:
    """Frames per second of processor time and of wall time, in this process on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for index in range(frames + 1):
            city = frame_name("train", index, frames + 1).split("_")[0]
            for name in FOLDERS:
                (root / name / "train" / city).mkdir(parents=True, exist_ok=True)
        write_street(root, settings, "train", 0, frames + 1, 1)  # compiles
        wall, processor_time = time.perf_counter(), time.process_time()
        for index in range(1, frames + 1):
            write_street(root, settings, "train", index, frames + 1, 1)
        return frames / (time.process_time() - processor_time), frames / (time.perf_counter() - wall)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--size", default="256x512")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    height, width = map(int, arguments.size.split("x"))
    result: dict[str, object] = {
        "frames": arguments.frames,
        "size": arguments.size,
        "seed": arguments.seed,
        "processes": 1,
        "environment": describe_environment() | {"numba": numba.__version__},
    }
    for matching in (False, True):
        busy, wall = measure(StreetSettings(height, width, arguments.seed, matching), arguments.frames)
        result["with matching" if matching else "without matching"] = {
            "frames per second of processor time": round(busy, 2),
            "frames per second of wall time": round(wall, 2),
        }
    result["peak memory, MiB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
