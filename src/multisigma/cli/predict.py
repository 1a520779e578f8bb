"""`multisigma predict`: predict pictures of one's own."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from multisigma.cli.console import make_progress, print_line, print_warning
from multisigma.cli.options import add_trust_code, add_votes, load_model
from multisigma.errors import MultisigmaError

# Images that the last message names; each has had a warning of its own.
_NAMED = 5


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(
        description="Predict pictures of your own: classes, objects and depth as files, a picture and a JSON for each."
    )
    parser.add_argument("inputs", type=Path, nargs="+", help="images, and folders of images", metavar="INPUT")
    parser.add_argument(
        "--model",
        type=Path | None,
        default=None,
        help="run folder, or a saved model; the small one that multisigma ships if not given",
    )
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder to make")
    parser.add_argument(
        "--resume", action="store_true", help="go on in the folder of a prediction that was stopped; whole ones stay"
    )
    parser.add_argument("--height", type=int | None, default=None, help="height to work at; the model's if not given")
    parser.add_argument(
        "--device", type=str | None, default=None, help="cpu, cuda, mps, ...; CUDA, else MPS, else the CPU if not given"
    )
    add_votes(parser)
    parser.add_argument(
        "--camera", type=Path | None, default=None, help="camera file in the Cityscapes format, for depth in metres"
    )
    add_trust_code(parser)
    return parser


def run(options: Namespace) -> None:
    """Predict the images; raise `MultisigmaError` at the end if any could not be predicted."""
    from multisigma.datasets.cityscapes import read_camera
    from multisigma.datasets.photographs import find_photographs
    from multisigma.files import remove_leftovers, require_empty

    if options.height is not None and options.height < 1:
        raise MultisigmaError(f"Option --height must be positive. Found {options.height}.")
    for path in options.inputs:
        # The file's name is a constant of `multisigma.models`, whose import takes seconds.
        if (path / "model.json").is_file():
            raise MultisigmaError(
                f"{path}: an input must be an image or a folder of images. Found a model. Name it with --model: "
                f"multisigma predict INPUT ... --model {path}"
            )
    if options.resume:
        for folder in (options.out, *options.out.rglob("*/")):
            remove_leftovers(folder)
    else:
        require_empty(options.out)
    images = find_photographs(options.inputs)
    camera = read_camera(options.camera) if options.camera else None
    # After the checks, because it takes seconds.
    from multisigma.tasks import choose_votes

    model = load_model(options.model, options.device, options.trust_code)
    choose_votes(model.tasks, options.votes)
    failed = []
    for name, path in make_progress().track(images.items(), "predicting"):
        # The last file of a prediction.
        if options.resume and (options.out / "scenes" / f"{name}.json").is_file():
            continue
        try:
            model.predict(path, camera, options.height).save(options.out, name)
        except MultisigmaError as error:
            print_warning(error)
            failed.append(str(path))
    print_line(f"{len(images) - len(failed)} of {len(images)} images predicted, in {options.out}")
    if failed:
        names = ", ".join(failed[:_NAMED]) + (", ..." if len(failed) > _NAMED else "")
        raise MultisigmaError(f"{len(failed)} of {len(images)} images could not be predicted: {names}")
