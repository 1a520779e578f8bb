"""The command line: it parses, calls and prints."""

import argparse
import dataclasses
import glob
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_type_hints

from multisigma import __version__
from multisigma.errors import MultisigmaError

try:
    from jsonargparse import ArgumentParser, Namespace
    from jsonargparse.typing import register_type
    from rich.console import Console
    from rich.progress import track
    from rich.text import Text

    from multisigma.training.config import PRESETS, Names, Size, TrainConfig
except ModuleNotFoundError as error:
    sys.exit(f"The command line needs the extra 'scene' (found no {error.name}): pip install 'multisigma[scene]'")

register_type(Size, str, Size.parse)
register_type(Names, str, Names.parse)

console = Console()
errors = Console(stderr=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments; those of the process if None.

    Returns:
        The exit status: 0, or 2 for bad input, or 130 after an interruption.
    """
    given = sys.argv[1:] if argv is None else argv
    # The field `weighting_options` is a mapping, and jsonargparse takes one key of it by this name.
    arguments = [re.sub(r"^--weighting\.", "--weighting-options.", argument) for argument in given]
    try:
        options = make_parser(arguments).parse_args(arguments)
        COMMANDS[options.command](options[options.command])
    except MultisigmaError as error:
        print_problem("error:", "bold red", error)
        return 2
    except PermissionError as error:
        # Raised by other libraries, such as the loggers, or by a test whether a file exists.
        rule = "must be open to you"
        print_problem(
            "error:", "bold red", f"{error.filename}: {rule}; found {error.strerror}. Change its permissions."
        )
        return 2
    except KeyboardInterrupt:
        errors.print("interrupted", style="bold red")
        return 130
    return 0


def print_line(text: object) -> None:
    """Print a line as it is: a path may hold brackets, and is copied in one piece."""
    console.print(str(text), markup=False, highlight=False, soft_wrap=True)


def print_problem(label: str, style: str, text: object) -> None:
    """Print an error or a warning on standard error."""
    errors.print(label, style=style, end=" ")
    errors.print(str(text), markup=False, highlight=False, soft_wrap=True)


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the whole parser; the defaults of `train` are those of the preset that the arguments name."""
    parser = ArgumentParser(prog="multisigma", version=__version__, description=sys.modules["multisigma"].__doc__)
    commands = parser.add_subcommands(dest="command", required=True)

    generate = ArgumentParser(description="Write a root of generated street scenes in the Cityscapes format.")
    generate.add_argument("root", type=Path, help="folder to make")
    generate.add_argument("--train", type=int, default=96, help="frames of the split 'train'")
    generate.add_argument("--val", type=int, default=24, help="frames of the split 'val'")
    generate.add_argument("--size", type=Size, default=Size(256, 512), help="size of the frames, HxW")
    generate.add_argument("--seed", type=int, default=0, help="the same seed gives the same files")
    generate.add_argument("--processes", type=int | None, default=None, help="processes; all cores if not given")
    commands.add_subcommand("generate", generate, help="make street scenes in the Cityscapes format")

    check = ArgumentParser(description="Go over a whole root in the Cityscapes format and list every fault.")
    check.add_argument("root", type=Path, help="root of the data")
    commands.add_subcommand("check", check, help="list every fault of a root")

    prepare = ArgumentParser(description="Make a smaller copy of a root, such as Tiny Cityscapes.")
    prepare.add_argument("root", type=Path, help="root of the data")
    prepare.add_argument("out", type=Path, help="folder to make")
    prepare.add_argument("--size", type=Size, default=Size(128, 256), help="size of the copies, HxW")
    commands.add_subcommand("prepare", prepare, help="make a smaller copy of a root")

    commands.add_subcommand("train", make_train_parser(arguments), help="train the network")

    evaluate = ArgumentParser(
        description="Evaluate a trained run, or any system's files, on a split by the Cityscapes rules; print tables, "
        "write metrics.json into the folder of the run or of the predictions."
    )
    evaluate.add_argument("run", type=Path | None, nargs="?", default=None, help="run folder")
    evaluate.add_argument(
        "--predictions",
        type=Path | None,
        default=None,
        help="instead of a run: folder with any of semantic/, instance/ and disparity/ in the official layout",
    )
    evaluate.add_argument("--data", type=Path, required=True, help="root of the data")
    evaluate.add_argument("--split", type=str, default="val", help="split to evaluate on")
    evaluate.add_argument("--checkpoint", type=str, default="last", help="'last' or 'best'")
    add_votes(evaluate)
    evaluate.add_argument("--pictures", type=int, default=6, help="frames to make pictures of, for the report")
    evaluate.add_argument(
        "--save-predictions",
        type=Path | None,
        default=None,
        help="folder to make, for the run's predictions in the official layout",
    )
    commands.add_subcommand("evaluate", evaluate, help="measure a trained run on a split")

    predict = ArgumentParser(
        description="Predict pictures of your own: classes, objects and depth as files, a picture and a JSON for each."
    )
    predict.add_argument("model", type=Path, help="run folder, or a saved model")
    predict.add_argument("inputs", type=Path, nargs="+", help="images, and folders of images", metavar="INPUT")
    predict.add_argument("--out", type=Path, required=True, help="folder to make")
    predict.add_argument("--height", type=int | None, default=None, help="height to work at; the model's if not given")
    predict.add_argument(
        "--device", type=str | None, default=None, help="cpu, cuda, mps, ...; CUDA, else MPS, else the CPU if not given"
    )
    add_votes(predict)
    predict.add_argument(
        "--camera", type=Path | None, default=None, help="camera file in the Cityscapes format, for depth in metres"
    )
    predict.add_argument("--trust-code", action="store_true", help="run the code of tasks that are not built in")
    commands.add_subcommand("predict", predict, help="predict pictures of your own")

    report = ArgumentParser(description="Write RUN/report.html: the numbers, curves and pictures of a run.")
    report.add_argument("run", type=Path, help="run folder")
    commands.add_subcommand("report", report, help="write a run's report")

    demo = ArgumentParser(description="Generate street scenes, train on them, evaluate, and write the report.")
    demo.add_argument("--out", type=Path, default=Path("demo"), help="folder to make")
    demo.add_argument("--seed", type=int, default=0, help="seed of the scenes and of the training")
    add_votes(demo)
    commands.add_subcommand("demo", demo, help="the whole way on generated scenes, in minutes")
    return parser


def add_votes(parser: ArgumentParser) -> None:
    """Add the option of a command that clusters votes."""
    parser.add_argument(
        "--votes",
        type=Literal["default", "paper"],
        default="default",
        help="how votes become instances: 'default' clusters each class by itself; 'paper' clusters all classes "
        "together with a plain cut, each pixel to the nearest centre",
    )


def make_train_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of `train`: an option for each field of the configuration, with the preset's values as defaults.

    A resumed run takes its own configuration as its preset.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--preset", default="full")
    early.add_argument("--resume", nargs="?", const="true", default="false")
    early.add_argument("--out", type=Path)
    known, _ = early.parse_known_args(list(arguments))
    stored = known.out / "config.yaml" if known.out else None
    resumes = known.resume != "false" and stored is not None and stored.is_file()
    if resumes and stored:
        # Check here, because the parser would not name the file.
        TrainConfig.from_yaml(stored)
    source = str(stored) if resumes else str(PRESETS.get(known.preset, ""))

    parser = ArgumentParser(
        description="Train the scene network; every field of the configuration is an option, a preset sets them all.",
        # jsonargparse takes glob patterns, and a path may hold brackets.
        default_config_files=[glob.escape(source)] if source and arguments[:1] == ["train"] else [],
    )
    parser.add_argument("--config", action="config", help="YAML file with fields of the configuration")
    parser.add_argument("--preset", type=str, default="full", help=f"named configuration: {', '.join(PRESETS)}")
    parser.add_argument("--out", type=Path, required=True, help="run folder to make")
    parser.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    hints = get_type_hints(TrainConfig)
    for field in dataclasses.fields(TrainConfig):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=hints[field.name],
            default=field.default,
            help=field.metadata["help"],
        )
    return parser


def run_generate(options: Namespace) -> None:
    """`multisigma generate`."""
    from multisigma.synthetic import generate

    size = options.size
    generate(options.root, options.train, options.val, size.height, size.width, options.seed, options.processes)
    print_line(f"{options.train + options.val} frames of {size} in {options.root}")


def run_check(options: Namespace) -> None:
    """`multisigma check`."""
    from multisigma.datasets.check import check_root

    report = check_root(options.root)
    console.print(report.table())
    for warning in report.warnings:
        print_problem("warning:", "bold yellow", warning)
    if report.problems:
        raise MultisigmaError("\n".join([f"{len(report.problems)} faults", *map(str, report.problems)]))
    print_line("no faults")


def run_prepare(options: Namespace) -> None:
    """`multisigma prepare`."""
    from multisigma.datasets.prepare import prepare

    prepare(options.root, options.out, options.size.height, options.size.width)
    print_line(f"frames of {options.size} in {options.out}")


def run_train(options: Namespace) -> None:
    """`multisigma train`."""
    from multisigma.training.train import train

    if options.preset not in PRESETS:
        raise MultisigmaError(f"Option --preset must be one of {', '.join(PRESETS)}; found {options.preset!r}.")
    values = {f.name: options[f.name] for f in dataclasses.fields(TrainConfig)}
    begin = time.perf_counter()
    train(TrainConfig(**values), options.out, options.resume)
    print_line(f"trained in {time.perf_counter() - begin:.0f} s; the run is in {options.out}")


def run_evaluate(options: Namespace) -> None:
    """`multisigma evaluate`."""
    from multisigma.datasets.predictions import write_predictions
    from multisigma.files import new_folder, write_text
    from multisigma.reports.samples import write_samples
    from multisigma.training.evaluate import evaluate, evaluate_predictions

    run, predictions, save = options.run, options.predictions, options.save_predictions
    if (run is None) == (predictions is None):
        found = "neither" if run is None else f"{run} and --predictions {predictions}"
        raise MultisigmaError(f"Give either a run folder or --predictions DIR; found {found}.")
    if predictions is not None:
        if save is not None:
            raise MultisigmaError(f"Option --save-predictions goes with a run; found --predictions {predictions}.")
        if options.votes != "default":
            raise MultisigmaError(f"Option --votes goes with a run; found --predictions {predictions}.")
        metrics = evaluate_predictions(predictions, options.data, options.split, show_progress)
        print_metrics(metrics)
    else:
        with new_folder(save) if save else nullcontext() as folder:
            keep = partial(write_predictions, folder) if folder else None
            result = evaluate(
                run,
                options.data,
                options.split,
                options.checkpoint,
                options.pictures,
                show_progress,
                keep,
                options.votes,
            )
            metrics = result.metrics
            print_metrics(metrics)
        write_samples(run, result.samples)
    write_text((predictions or run) / "metrics.json", json.dumps(metrics, indent=2))


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """Print the tables; called before anything is written, because writing may fail after hours of work."""
    from multisigma.reports.tables import metrics_table, paper_table, votes_table

    console.print(paper_table(metrics))
    if metrics.get("by_votes"):
        console.print(votes_table(metrics))
    console.print(metrics_table(metrics))


def show_progress(loader: Any) -> Iterator[Any]:
    """Wrap a loader in a progress bar."""
    yield from track(loader, "evaluating", total=len(loader), console=console)


def run_predict(options: Namespace) -> None:
    """`multisigma predict`."""
    from multisigma.datasets.cityscapes import read_camera
    from multisigma.datasets.photographs import find_photographs
    from multisigma.files import require_empty
    from multisigma.models import SceneModel
    from multisigma.tasks import choose_votes

    require_empty(options.out)
    images = find_photographs(options.inputs)
    camera = read_camera(options.camera) if options.camera else None
    model = SceneModel.load(options.model, options.device, options.trust_code)
    choose_votes(model.tasks, options.votes)
    print_line(f"device: {model.device}")
    failed = []
    for name, path in track(images.items(), "predicting", len(images), console=console):
        try:
            model.predict(path, camera, options.height).save(options.out, name)
        except MultisigmaError as error:
            print_problem("warning:", "bold yellow", error)
            failed.append(str(path))
    print_line(f"{len(images) - len(failed)} of {len(images)} images predicted, in {options.out}")
    if failed:
        raise MultisigmaError(f"{len(failed)} of {len(images)} images could not be predicted: {', '.join(failed)}")


def run_report(options: Namespace) -> None:
    """`multisigma report`."""
    from multisigma.reports.report import write_report

    print_line(f"open {write_report(options.run).absolute().as_uri()}")


def run_demo(options: Namespace) -> None:
    """`multisigma demo`: the commands that a user would type, one after the other."""
    data, tiny, run, seed = (*(str(options.out / name) for name in ("data", "tiny", "run")), str(options.seed))
    for command in (
        ["generate", data, "--train", "160", "--val", "24", "--size", "256x512", "--seed", seed],
        ["prepare", data, tiny, "--size", "128x256"],
        ["train", "--preset", "demo", "--data", tiny, "--out", run, "--seed", seed],
        ["evaluate", run, "--data", tiny, "--votes", options.votes],
        ["report", run],
    ):
        console.rule(Text(f"multisigma {' '.join(command)}"), align="left")
        parsed = make_parser(command).parse_args(command)
        COMMANDS[parsed.command](parsed[parsed.command])


COMMANDS: dict[str, Callable[[Namespace], None]] = {
    "generate": run_generate,
    "check": run_check,
    "prepare": run_prepare,
    "train": run_train,
    "evaluate": run_evaluate,
    "predict": run_predict,
    "report": run_report,
    "demo": run_demo,
}
