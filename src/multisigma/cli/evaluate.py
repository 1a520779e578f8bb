"""`multisigma evaluate`: measure a trained run, or any system's files, on a split."""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from multisigma.cli.console import console, make_progress
from multisigma.cli.options import add_votes
from multisigma.errors import MultisigmaError


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(
        description="Evaluate a trained run, or any system's files, on a split by the Cityscapes rules; print tables, "
        "write metrics.json into the folder of the run or of the predictions."
    )
    parser.add_argument("run", type=Path | None, nargs="?", default=None, help="run folder")
    parser.add_argument(
        "--predictions",
        type=Path | None,
        default=None,
        help="instead of a run: folder with any of semantic/, instance/ and disparity/ in the official layout",
    )
    parser.add_argument("--data", type=Path, required=True, help="root of the data")
    parser.add_argument("--split", type=str, default="val", help="split to evaluate on")
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last", help="checkpoint to evaluate")
    add_votes(parser)
    parser.add_argument("--pictures", type=int, default=6, help="frames to make pictures of, for the report")
    parser.add_argument(
        "--save-predictions",
        type=Path | None,
        default=None,
        help="folder to make, for the run's predictions in the official layout",
    )
    return parser


def run(options: Namespace) -> None:
    """Evaluate the run or the files."""
    from multisigma.datasets.predictions import write_predictions
    from multisigma.files import new_folder, write_text
    from multisigma.reports.samples import write_samples
    from multisigma.training.evaluate import evaluate, evaluate_predictions

    folder, predictions, save = options.run, options.predictions, options.save_predictions
    if (folder is None) == (predictions is None):
        found = "neither" if folder is None else f"{folder} and --predictions {predictions}"
        raise MultisigmaError(f"Give either a run folder or --predictions DIR; found {found}.")
    if predictions is not None:
        if save is not None:
            raise MultisigmaError(f"Option --save-predictions goes with a run; found --predictions {predictions}.")
        if options.votes != "default":
            raise MultisigmaError(f"Option --votes goes with a run; found --predictions {predictions}.")
        metrics = evaluate_predictions(predictions, options.data, options.split, make_progress())
        print_metrics(metrics)
    else:
        with new_folder(save) if save else nullcontext() as saved:
            keep = partial(write_predictions, saved) if saved else None
            result = evaluate(
                folder,
                options.data,
                options.split,
                options.checkpoint,
                options.pictures,
                make_progress(),
                keep,
                options.votes,
            )
            metrics = result.metrics
            print_metrics(metrics)
        write_samples(folder, result.samples)
    write_text((predictions or folder) / "metrics.json", json.dumps(metrics, indent=2))


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """Print the tables; called before anything is written, because writing may fail after hours of work."""
    from multisigma.reports.tables import metrics_table, paper_table, votes_table

    console.print(paper_table(metrics))
    if metrics.get("by_votes"):
        console.print(votes_table(metrics))
    console.print(metrics_table(metrics))
