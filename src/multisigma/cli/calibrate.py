"""`multisigma calibrate`: fit the scale of a model's distances to distances that were measured."""

import csv
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from multisigma.cli.console import print_line
from multisigma.cli.options import GivenCamera, add_camera, add_device, add_model, add_trust_code, load_model
from multisigma.errors import MultisigmaError

_COLUMNS = ("image", "column", "row", "metres")


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(
        description="Fit the scale of a model's distances to a few that were measured with your camera. The file is "
        "for `multisigma predict --calibration`."
    )
    parser.add_argument(
        "distances",
        type=Path,
        help="CSV file with the columns image, column, row, metres: a pixel of an image and its depth",
    )
    parser.add_argument("--out", type=Path, default=Path("calibration.json"), help="file to write")
    add_model(parser)
    parser.add_argument("--height", type=int | None, default=None, help="height to work at; the model's if not given")
    add_device(parser)
    add_camera(parser)
    add_trust_code(parser)
    return parser


def run(options: Namespace) -> None:
    """Write the calibration."""
    from multisigma.datasets.photographs import read_photograph

    given = GivenCamera.of(options)
    if not given:
        raise MultisigmaError("A calibration must have a camera. Found none. Give --camera FILE, or --fov DEGREES.")
    rows = read_distances(options.distances)
    from multisigma.models import calibrate

    model = load_model(options.model, options.device, options.trust_code)
    scenes = {}
    for path in {path for path, *_ in rows}:
        pixels = read_photograph(path)
        camera = given.camera((pixels.shape[0], pixels.shape[1]), model.info)
        scenes[path] = model.predict(pixels, camera, options.height)
    found = calibrate([(scenes[path], column, row, metres) for path, column, row, metres in rows])
    found.write(options.out)
    print_line(
        f"{options.out}: distances times {found.scale:.3f} ± {found.standard_error:.3f}; after it, half of the "
        f"{found.points} points are within {found.median_error:.1%}; {found.outliers} outliers"
    )


def read_distances(path: Path) -> list[tuple[Path, float, float, float]]:
    """Read a CSV file of measured distances: image, column, row and metres. Images lie beside the file.

    Raises:
        MultisigmaError: The file cannot be read, or lacks a column or a number.
    """
    remedy = f"Its first line must be {','.join(_COLUMNS)}."
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, ValueError, csv.Error) as error:
        raise MultisigmaError(f"{path}: must be a readable CSV file. Found a fault: {error}. {remedy}") from error
    rows = []
    for number, row in enumerate(table, 2):
        try:
            column, line, metres = (float(row[name]) for name in _COLUMNS[1:])
            rows.append((path.parent / row["image"], column, line, metres))
        except (KeyError, TypeError, ValueError) as error:
            raise MultisigmaError(
                f"{path}, line {number}: must have an image and three numbers. Found {list(row.values())}. {remedy}"
            ) from error
    return rows
