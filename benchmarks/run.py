"""Run every benchmark that needs no GPU and no data, and write the table of ratios.

python benchmarks/run.py [--quick] [--only NAME ...] [--results benchmarks/results] [--page docs/benchmarks.md]

Each benchmark is a program of this folder; its options, and those of `--quick`, are in `BENCHMARKS`. `make bench`
runs all with `--quick` into build/bench, which shows whether they run and the rough ratios. With `--only none` no
benchmark runs, and table and page are of the results that are there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
# By the name of the result: the program and its options, then those that make it quick.
BENCHMARKS: dict[str, tuple[list[str], list[str]]] = {
    "weighting_host_time": (["weighting_host_time.py"], ["--rounds", "5"]),
    "weighting": (["weighting.py"], ["--quick"]),
    "network": (["network.py"], ["--rounds", "2", "--size", "128x256"]),
    "training_demo": (["training.py", "--network", "demo"], ["--rounds", "2", "--clock", "processor"]),
    "instances": (["instances.py"], ["--frames", "1"]),
    "evaluation": (["evaluation.py"], ["--frames", "1"]),
    "reading": (["reading.py"], ["--frames", "1", "--repeats", "2"]),
    "generator": (["generator.py"], ["--frames", "4"]),
}
Read = Callable[[Mapping[str, Any]], tuple[float, float, str]]


def _milliseconds(ours: float, theirs: float) -> tuple[float, float, str]:
    return ours, theirs, "ms"


def _steps(result: Mapping[str, Any], theirs: str) -> tuple[float, float, str]:
    plain, ratios = 1000 * result["seconds with the plain sum"], result["time to plain sum"]
    return _milliseconds(plain * ratios["ours"]["median"], plain * ratios[theirs]["median"])


# What is compared, with what, and where a result has both numbers and their unit.
ROWS: list[tuple[str, str, str, Read]] = [
    (
        "loss of 3 tasks, forward and backward",
        "TorchJD's UW",
        "weighting_host_time",
        lambda r: (
            r["microseconds of forward and backward at 3 tasks, quartiles"]["UncertaintyWeighting"][1],
            r["microseconds of forward and backward at 3 tasks, quartiles"]["TorchJD's UW"][1],
            "µs",
        ),
    ),
    (
        "loss of 100 tasks, forward and backward",
        "TorchJD's UW",
        "weighting_host_time",
        lambda r: _milliseconds(
            r["milliseconds at 100 tasks, quartiles"]["UncertaintyWeighting"][1],
            r["milliseconds at 100 tasks, quartiles"]["TorchJD's UW"][1],
        ),
    ),
    *(
        (
            "step of a ResNet-18 with learned weights",
            instead,
            "weighting",
            lambda r, name=name: _steps(r["whole steps with uncertainty weighting"], name),
        )
        for instead, name in (
            ("the plain sum", "plain sum itself"),
            ("TorchJD's UW", "TorchJD"),
            ("LibMTL's UW", "LibMTL"),
        )
    ),
    (
        "iteration of `multisigma train`",
        "a plain PyTorch loop on the same network",
        "training_demo",
        lambda r: _milliseconds(
            r["whole step"]["run, milliseconds"][1],
            r["whole step"]["plain loop, milliseconds"][1],
        ),
    ),
    *(
        (
            f"{what} of three tasks",
            f"segmentation_models.pytorch's DeepLabV3, {name}",
            "network",
            lambda r, what=what, name=name: _milliseconds(
                r[what]["multisigma"]["milliseconds"],
                r[what][name]["milliseconds"],
            ),
        )
        for what in ("prediction", "training step")
        for name in ("one network, three heads", "three networks")
    ),
    (
        "OPTICS of 20,000 votes",
        "scikit-learn's OPTICS",
        "instances",
        lambda r: _milliseconds(
            r["20,000 votes"]["min_samples 20, ms"],
            1000 * r["20,000 votes"]["scikit-learn, min_samples 20, s"],
        ),
    ),
    (
        "xi clusters of 300,000 votes",
        "scikit-learn's cluster_optics_xi",
        "instances",
        lambda r: _milliseconds(
            r["extraction from 300,000 votes"]["xi, ms"],
            r["extraction from 300,000 votes"]["xi by scikit-learn, ms"],
        ),
    ),
    *(
        (
            f"evaluation of {what} of a frame, from files",
            "cityscapesScripts",
            "evaluation",
            lambda r, rule=rule, script=script: _milliseconds(
                1000 * r["seconds of processor time for each frame"][f"our {rule} rules, from files"],
                1000 * r["seconds of processor time for each frame"][f"official {script} script, from files"],
            ),
        )
        for what, rule, script in (("classes", "pixel", "pixel"), ("instances", "instance", "instance"))
    ),
    (
        "training crop of a frame of 1024x2048, from a packed copy",
        "the PNGs of a Cityscapes root",
        "reading",
        lambda r: _milliseconds(
            r["milliseconds"]["packed copy"]["crop for training"],
            r["milliseconds"]["Cityscapes root"]["crop for training"],
        ),
    ),
]


def _short(value: float) -> str:
    """Return a number to three digits, without an exponent."""
    return f"{float(f'{value:.3g}'):,g}"


def table(results: Path) -> str:
    """Return the table of ratios as Markdown, of those results that a folder has."""
    lines = ["| what | ours | instead | theirs | ours to theirs |", "| --- | ---: | --- | ---: | ---: |"]
    for what, instead, name, read in ROWS:
        path = results / f"{name}.json"
        if path.is_file():
            ours, theirs, unit = read(json.loads(path.read_text(encoding="utf-8")))
            lines.append(
                f"| {what} | {_short(ours)} {unit} | {instead} | {_short(theirs)} {unit} | {_short(ours / theirs)} |"
            )
    return "\n".join(lines) + "\n"


def environments(results: Path) -> str:
    """Return which processor and commit each result is of, as Markdown."""
    lines = ["| result | program | processor | torch | commit |", "| --- | --- | --- | --- | --- |"]
    for name, (program, _) in BENCHMARKS.items():
        path = results / f"{name}.json"
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))["environment"]
            command = f"`python benchmarks/{' '.join(program)}`"
            lines.append(f"| {name} | {command} | {found['processor']} | {found['torch']} | {found['commit']} |")
    return "\n".join(lines) + "\n"


def page(results: Path) -> str:
    """Return docs/benchmarks.md."""
    return f"""# Benchmarks

Our times beside those of what you would use instead, on one core of a CPU. Below 1 is faster than the other.

{table(results)}
Each program says what it measures, and which clock it reads. Ratios near 1 change by a few per cent from run to run.

`make bench` runs all programs in a few minutes on small inputs, into `build/bench`, and prints this table for your
machine. `python benchmarks/run.py --results benchmarks/results --page docs/benchmarks.md` runs them in full and writes
this page. The results are of these programs and machines:

{environments(results)}
All figures are of a CPU. No GPU was at hand: figures of one are open, and so is whether the preset `full` reaches 40 %
of a GPU's bf16 rate.
"""


def main() -> int:
    """Run the benchmarks; 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small inputs and few rounds")
    parser.add_argument("--only", nargs="+", choices=[*BENCHMARKS, "none"], help="some of the benchmarks")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--page", type=Path, help="the page to write")
    arguments = parser.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, (program, quick) in BENCHMARKS.items():
        if name not in (arguments.only or BENCHMARKS):
            continue
        begin = time.perf_counter()
        command = [sys.executable, str(HERE / program[0]), *program[1:], *(quick if arguments.quick else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        print(f"{name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
        if done.returncode:
            failed.append(name)
        else:
            (arguments.results / f"{name}.json").write_text(done.stdout, encoding="utf-8")
    print(table(arguments.results))
    if arguments.page is not None:
        arguments.page.write_text(page(arguments.results), encoding="utf-8")
    if failed:
        print(f"error: {', '.join(failed)} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
