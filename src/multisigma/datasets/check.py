"""Checking a whole data set of any layout, and listing all faults at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from multisigma.datasets.cityscapes.check import check_root
from multisigma.datasets.dataset import SceneDataset, unlabelled
from multisigma.datasets.open import find_splits, layout_of, open_dataset
from multisigma.datasets.problems import CheckReport, DataError, Problem
from multisigma.progress import SILENT, Progress

__all__ = ["check_data"]


def check_data(data: str | Path, progress: Progress = SILENT) -> CheckReport:
    """Hold every file of every split of a data set against the rules of its format.

    Args:
        data: As for `open_dataset`.
        progress: Takes how many frames are done.

    Returns:
        Counts per split, all faults, and warnings.

    Raises:
        MultisigmaError: `data` names a class that is no data set.
    """
    if layout_of(data) == "cityscapes":
        return check_root(Path(data), progress)
    problems: list[Problem] = []
    datasets: dict[str, SceneDataset] = {}
    try:
        for split in find_splits(data):
            try:
                datasets[split] = open_dataset(data, split)
            except DataError as error:
                problems += error.problems
                # The files that are there may have faults of their own.
                datasets[split] = open_dataset(data, split, "unlabelled")
    except DataError as error:
        return CheckReport({}, list(dict.fromkeys((*problems, *error.problems))))
    for split, dataset in datasets.items():

        def faults_of(i: int, dataset: SceneDataset = dataset) -> tuple[Problem, ...]:
            try:
                dataset.read(i)
            except DataError as error:
                return error.problems
            return ()

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(faults_of, range(len(dataset)))
            for faults in progress.track(found, f"checking {split}", len(dataset)):
                problems += faults
    problems = sorted(dict.fromkeys(problems), key=lambda problem: (problem.path, problem.rule))
    splits = {split: {"frames": len(dataset)} | dataset.label_counts() for split, dataset in datasets.items()}
    return CheckReport(splits, problems, list(_warnings(data, datasets, splits)))


def _warnings(
    data: str | Path, datasets: dict[str, SceneDataset], splits: dict[str, dict[str, int]]
) -> Iterator[Problem]:
    """Splits without any label, or without one that other splits have."""
    labelled = {name for counts in splits.values() for name, count in counts.items() if count}
    for split, dataset in datasets.items():
        if problem := unlabelled(dataset, data, split):
            yield problem
            continue
        for name in sorted(labelled):
            if not splits[split].get(name):
                rule = f"the split '{split}' should have the field '{name}', as another split has"
                yield Problem(Path(data), rule, "none", dataset.remedy(name))
