"""Table 2 of the paper: the model that ships, and any other, beside the paper's network."""

from __future__ import annotations

from multisigma.experiments.models import evaluations, models_option
from multisigma.experiments.page import Page
from multisigma.experiments.study import Study
from multisigma.models.model_info import SHIPPED
from multisigma.reports.tables import TABLE_2_NOTE, paper_cells
from multisigma.training.config import TrainConfig

SEEDS = 1
PAPER = ("78.5", "57.4", "89.9", "77.7", "19.0", "35.9", "30.9", "33.0", "2.92", "5.88", "-", "-")
"""The row of the paper, on the test set of Cityscapes: it does not say whether the sky counts for disparity."""


def plan(study: Study) -> list[TrainConfig]:
    return []


def page(study: Study) -> Page:
    made = Page("Table 2: finished models beside the paper's")
    found = evaluations(study)
    cells = {
        name: [c for task in paper_cells(evaluation).values() for c in task.items()]
        for name, evaluation in found.items()
    }
    if not cells:
        made.text("No model has been measured. Give `--data ROOT`.")
    else:
        headings = [heading.replace("\n", " ") for heading, _ in next(iter(cells.values()))]
        rows = [["the paper, Cityscapes test", *PAPER]]
        rows += [[_title(name), *(value for _, value in values)] for name, values in cells.items()]
        made.table(["", *headings], rows)
    made.text(
        f"{TABLE_2_NOTE} **The rows are not of the same data**: the paper's is of the test set of Cityscapes, ours of "
        "the split 'val' of the data below. They show which numbers there are, and how far a small model on generated "
        "streets is from them; they rank nothing."
    )
    made.heading("How it was made")
    options = models_option(study)
    made.text(f"```\nmultisigma experiment table2 --data ROOT --out DIR{options}\n```")
    made.table(
        ["model", "encoder", "working height", "frames", "hash of the data", "multisigma"],
        [
            [_title(name), *(p[key] for key in ("encoder", "working_height", "frames", "data", "multisigma_version"))]
            for name, evaluation in found.items()
            for p in [evaluation.provenance]
        ],
    )
    return made


def _title(name: str) -> str:
    return "the model that ships" if name == SHIPPED else name
