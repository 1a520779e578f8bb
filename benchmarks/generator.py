"""How many street frames a second one core makes at 256x512, files included, without and with semi-global matching.

python benchmarks/generator.py [--frames 40] [--size 256x512] [--seed 0]
"""

from __future__ import annotations

import argparse
import platform
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import cv2
import numba
import numpy as np

from multisigma.data.streets import StreetSettings
from multisigma.data.streets.write import frame_name, write_frame

FOLDERS = ("leftImg8bit", "rightImg8bit", "gtFine", "disparity", "disparity_exact", "camera")


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str:
    """The commit that is measured."""
    call = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return call.stdout.strip() or "unknown"


def measure(settings: StreetSettings, frames: int) -> tuple[float, float]:
    """Frames per second of processor time and of wall time, in this process on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for index in range(frames + 1):
            city = frame_name("train", index, frames + 1).split("_")[0]
            for name in FOLDERS:
                (root / name / "train" / city).mkdir(parents=True, exist_ok=True)
        write_frame(root, settings, "train", 0, frames + 1)  # compiles
        wall, processor_time = time.perf_counter(), time.process_time()
        for index in range(1, frames + 1):
            write_frame(root, settings, "train", index, frames + 1)
        return frames / (time.process_time() - processor_time), frames / (time.perf_counter() - wall)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--size", default="256x512")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    height, width = map(int, arguments.size.split("x"))
    cv2.setNumThreads(1)
    print(
        f"processor {processor()}; Python {platform.python_version()}, numpy {np.__version__}, "
        f"numba {numba.__version__}, OpenCV {cv2.__version__}"
    )
    print(f"commit {commit()}, seed {arguments.seed}, {arguments.frames} frames of {height}x{width}, one process")
    for matching in (False, True):
        busy, wall = measure(StreetSettings(height, width, arguments.seed, matching), arguments.frames)
        print(
            f"{'with' if matching else 'without'} matching: {busy:.1f} frames/s of processor time, "
            f"{wall:.1f} frames/s of wall time"
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
