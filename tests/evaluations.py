"""The evaluations that commands have written."""

from collections.abc import Iterable
from pathlib import Path

from multisigma.metrics import Evaluation, Measurement, read_evaluations


def evaluation_in(folder: Path, name: str | None = None) -> Evaluation:
    """Return an evaluation of a run or of predictions: the only one if no name is given."""
    found = read_evaluations(folder)
    if name is not None:
        return found[name]
    (only,) = found.values()
    return only


def values(measurements: Iterable[Measurement]) -> dict[str, float]:
    """Return the values of Measurements by key."""
    return {m.key: m.value for m in measurements}


def numbers_in(folder: Path, name: str | None = None) -> dict[str, float]:
    """Return the numbers of an evaluation by key."""
    return values(evaluation_in(folder, name).measurements)
