"""`multisigma evaluate`: measure a trained run, or any system's files, on a split."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt

from multisigma.cli.console import console, make_progress, print_line
from multisigma.cli.options import add_trust_code, add_votes, load_model
from multisigma.errors import MultisigmaError

if TYPE_CHECKING:
    from multisigma.metrics import Evaluation


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(
        description="Evaluate a trained run, or any system's files, on a split by the Cityscapes rules; print tables, "
        "write them with the counts of frames and pictures to evaluations/NAME/ in the folder of the run or of the "
        "predictions."
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
    parser.add_argument(
        "--name",
        type=str | None,
        default=None,
        help="name of the evaluation; if not given, that of data and split, and of checkpoint and votes unless default",
    )
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last", help="checkpoint to evaluate")
    parser.add_argument(
        "--model",
        type=str | None,
        default=None,
        help="run folder or saved model to evaluate instead of the run's, beside the run's baseline and in its report; "
        "'default' for the small one that multisigma ships",
    )
    add_votes(parser)
    add_trust_code(parser)
    parser.add_argument("--pictures", type=NonNegativeInt, default=6, help="frames to make pictures of, for the report")
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
    from multisigma.files import new_folder
    from multisigma.reports.samples import write_samples
    from multisigma.training.evaluate_predictions import evaluate_predictions, evaluation_folder

    folder, predictions, save, other = options.run, options.predictions, options.save_predictions, options.model
    if (folder is None) == (predictions is None):
        found = "neither" if folder is None else f"{folder} and --predictions {predictions}"
        raise MultisigmaError(f"Give either a run folder or --predictions DIR; found {found}.")
    if predictions is not None:
        if save is not None:
            raise MultisigmaError(f"Option --save-predictions goes with a run; found --predictions {predictions}.")
        if other is not None:
            raise MultisigmaError(f"Option --model goes with a run; found --predictions {predictions}.")
        if options.votes != "default":
            raise MultisigmaError(f"Option --votes goes with a run; found --predictions {predictions}.")
        place = evaluation_folder(predictions, options.name, options.data, options.split)
        evaluation = evaluate_predictions(predictions, options.data, options.split, make_progress())
        print_tables(evaluation)
        with new_folder(place, replace=True) as fresh:
            evaluation.write(fresh)
    else:
        if other is not None and options.checkpoint != "last":
            raise MultisigmaError(f"Option --checkpoint goes with the run's own model; found --model {other}.")
        place = evaluation_folder(
            folder, options.name, options.data, options.split, options.checkpoint, options.votes, other or "run"
        )
        # Here, because files are evaluated without torch, whose import takes seconds.
        from multisigma.models.model_info import SHIPPED
        from multisigma.training.evaluate import evaluate

        instead = None
        if other is not None:
            other_folder = None if other == SHIPPED else Path(other)
            instead = other, load_model(other_folder, trust_code=options.trust_code)
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
                instead,
                options.trust_code,
            )
            print_tables(result.evaluation)
        with new_folder(place, replace=True) as fresh:
            result.evaluation.write(fresh)
            write_samples(fresh / "samples", result.samples, result.labels)
    print_line(f"the evaluation is in {place}")


def print_tables(evaluation: "Evaluation") -> None:
    """Print the tables; called before anything is written, because writing may fail after hours of work."""
    from multisigma.reports.tables import metrics_table, paper_table, votes_table

    console.print(paper_table(evaluation))
    if evaluation.by_votes:
        console.print(votes_table(evaluation))
    console.print(metrics_table(evaluation))
