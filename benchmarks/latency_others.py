"""Three networks of ultralytics' n size, for segments, classes and depth, beside our one: what an image takes.

python benchmarks/latency_others.py FOLDER --yolo ENV/bin/yolo > benchmarks/results/latency_others.json

FOLDER holds images of 256x512. ultralytics is AGPL, so nothing here imports it: its own command runs in an environment
of its own (`pip install ultralytics onnx onnxruntime`), with random weights, for time alone. Both sides are exported to
ONNX at 256x512 and predict the files of a folder, post-processing included, on one core. Each is measured by the
processor time of two processes, one with few images and one with more: the difference is that of the images alone.
Random weights find nothing, so the network of segments is asked for its 20 best candidates.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from multisigma import SceneModel
from multisigma.datasets.photographs import find_inputs
from multisigma.models.export import export_model

NETWORKS = {"segment": "yolo26n-seg", "semantic": "yolo26n-sem", "depth": "yolo26n-depth"}
FEW, MORE = 2, 22
OURS = """
import sys
from pathlib import Path
from multisigma import OnnxSceneModel
model = OnnxSceneModel.load(sys.argv[1], threads=1)
for path in sorted(Path(sys.argv[2]).iterdir()):
    model.predict(path)
"""


def processor_seconds(command: list[str], folder: Path) -> float:
    """Return the processor time of a command on one core."""
    core = str(min(os.sched_getaffinity(0)))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Nothing is fetched: the command neither looks for updates nor for weights.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true"}
    subprocess.run(
        ["taskset", "-c", core, *command], check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def milliseconds_of_an_image(command_for: Callable[[Path], list[str]], images: dict[int, Path], folder: Path) -> float:
    """Return the processor time of an image, from two numbers of images."""
    few, more = (processor_seconds(command_for(images[number]), folder) for number in (FEW, MORE))
    return round(1e3 * (more - few) / (MORE - FEW), 1)


def main() -> None:
    """Measure and print as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--yolo", type=Path, required=True)
    options = parser.parse_args()
    paths = list(find_inputs([options.folder]).values())[:MORE]
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = {number: folder / str(number) for number in (FEW, MORE)}
        for number, target in images.items():
            target.mkdir()
            for path in paths[:number]:
                shutil.copy(path, target)
        exported = folder / "ours.onnx"
        export_model(SceneModel.default("cpu"), exported, (256, 512))

        def ours(images_of: Path) -> list[str]:
            return [sys.executable, "-c", OURS, str(exported), str(images_of)]

        # Compiled functions are cached by then.
        processor_seconds(ours(images[FEW]), folder)
        result["ours"] = milliseconds_of_an_image(ours, images, folder)
        yolo = str(options.yolo.absolute())
        for task, network in NETWORKS.items():
            size = "imgsz=256,512"
            processor_seconds([yolo, "export", f"task={task}", f"model={network}.yaml", "format=onnx", size], folder)

            def theirs(images_of: Path, task: str = task, network: str = network) -> list[str]:
                asked = ["conf=0.00001", "max_det=20"] if task == "segment" else []
                model = f"model={network}.onnx"
                return [
                    *(yolo, "predict", f"task={task}", model, f"source={images_of}", "imgsz=256,512", *asked),
                    *("save=False", "verbose=False", "device=cpu"),
                ]

            result[network] = milliseconds_of_an_image(theirs, images, folder)
    three = sum(result[network] for network in NETWORKS.values())
    result |= {"their three": round(three, 1), "ratio": round(result["ours"] / three, 3)}
    print(json.dumps({"processor milliseconds of an image, one core": result}, indent=1))


if __name__ == "__main__":
    main()
