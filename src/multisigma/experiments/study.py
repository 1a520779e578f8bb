"""A study: the results of an experiment in a folder, and the runs that are missing there."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from multisigma.claims import Claims
from multisigma.errors import MultisigmaError
from multisigma.experiments.budgets import BUDGETS
from multisigma.experiments.execute import execute, hash_of_data
from multisigma.experiments.page import Page
from multisigma.experiments.results import SUFFIX, Result, result_path
from multisigma.experiments.statistics import halves
from multisigma.files import remove_leftovers
from multisigma.progress import SILENT, Progress
from multisigma.training.config import Names, TrainConfig

TASKS = ("semantic", "instance", "depth")
# Seconds between looks at what other processes have done.
_POLL = 2.0
_log = logging.getLogger(__name__)


class Experiment(Protocol):
    """What the module of an experiment has."""

    SEEDS: int
    """Seeds that are reported, unless the user names another number."""

    def plan(self, study: Study) -> list[TrainConfig]:
        """Return the runs that are wanted, by what is known so far. It is called again when they are done."""

    def page(self, study: Study) -> Page:
        """Return the page, from the results that are there."""


class Study:
    """The results of an experiment.

    Args:
        folder: Folder of the results. Experiments that share it share the runs that they have in common.
        budget: Name of the budget.
        seeds: Number of seeds that are reported.
        data: The data of new runs; None if only results that are there are read.
        trust_code: Take results with tasks or weightings that are not built in, whose code then runs.
        tuned: Whether each method chooses from the budget's learning rates; if not, all have the middle one.
        models: Finished models that some pages show: folders, or 'default' for the one that the package ships.
    """

    def __init__(
        self,
        folder: Path,
        budget: str,
        seeds: int,
        data: str | None = None,
        trust_code: bool = False,
        *,
        tuned: bool = True,
        models: Sequence[str] = ("default",),
    ) -> None:
        self.trust_code = trust_code
        self.folder, self.budget, self.seeds, self.data = folder, BUDGETS[budget], seeds, data
        self.budget_name, self.tuned, self.models = budget, tuned, models
        self.learning_rates = self.budget.learning_rates if tuned else (self.budget.config.learning_rate,)
        self._results: dict[Path, Result] = {}

    def config(
        self,
        weighting: str = "uncertainty",
        tasks: Sequence[str] = TASKS,
        seed: int = 1,
        options: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> TrainConfig:
        """Return the budget's configuration with changes; `options` are those of the weighting."""
        return replace(
            self.budget.config,
            data=self.data or "",
            weighting=weighting,
            tasks=Names(*tasks),
            seed=seed,
            weighting_options=dict(options) if options else None,
            **changes,
        )

    def fixed(self, weights: Mapping[str, float], seed: int = 1, **changes: Any) -> TrainConfig:
        """Return the configuration of constant weights, which are scaled to sum to one; only tasks with a weight."""
        total = sum(weights.values())
        scaled = {task: weight / total for task, weight in weights.items() if weight > 0}
        if len(scaled) == 1:
            return self.config("equal", list(scaled), seed, **changes)
        return self.config("fixed", list(scaled), seed, {"weights": scaled}, **changes)

    def find(self, config: TrainConfig) -> Result | None:
        """Return the result of a configuration; None if it is not there."""
        path = result_path(self.folder / "runs", config)
        if path not in self._results and path.is_file():
            self._results[path] = Result.read(path, self.trust_code)
        return self._results.get(path)

    def found(self, configs: Sequence[TrainConfig]) -> list[Result]:
        """Return the results that are there, of those configurations whose training did not diverge."""
        return [result for config in configs if (result := self.find(config)) and result.failure is None]

    def of_seeds(self, config: TrainConfig) -> list[TrainConfig]:
        """Return a configuration with each seed that is reported, from 1; choices are made with seed 0."""
        return [replace(config, seed=seed) for seed in range(1, self.seeds + 1)]

    @property
    def results(self) -> list[Result]:
        """The results that were asked for and are there."""
        return list(self._results.values())

    def frames(self) -> tuple[list[str], list[str]]:
        """Return the validation frames to choose on, and those to report on."""
        names = sorted({name for result in self.results for name in result.frames})
        return halves(names)


def run_study(
    experiment: Experiment,
    study: Study,
    jobs: int = 1,
    progress: Progress = SILENT,
    elsewhere: Callable[[Experiment, Study, int, Callable[[], object]], None] | None = None,
) -> None:
    """Do the runs of an experiment that are missing. Other processes may do the same in the same folder.

    Args:
        experiment: The experiment, a module.
        study: Its results, with data.
        jobs: Processes of this machine. With one, this process does the runs.
        progress: Takes how many runs are done and how many are running.
        elsewhere: Does the runs on other machines, such as `work_on_ray` with its address; takes the experiment, the
            study, `jobs`, and what to call to report progress. None for this machine.

    Raises:
        MultisigmaError: The data is at fault, or is not that of the results in the folder; or the cluster fails.
    """
    if study.data is None:
        raise MultisigmaError("Option --data must be given to do runs. Found none.")
    (study.folder / "runs").mkdir(parents=True, exist_ok=True)
    _check_data(study)
    remove_leftovers(study.folder / "runs")
    _remove_finished_runs(study.folder / "runs")
    report = _Report(experiment, study, progress)
    if elsewhere:
        elsewhere(experiment, study, jobs, report)
    elif jobs == 1:
        work(experiment, study, report)
    else:
        _work_in_processes(experiment, study, jobs, report)
    progress.stop()


def make_page(experiment: Experiment, study: Study) -> Page:
    """Return the page of an experiment from the results that are there."""
    load(experiment, study)
    return experiment.page(study)


def load(experiment: Experiment, study: Study) -> None:
    """Read the results of an experiment that are there."""
    planned = -1
    # Later runs follow from the results of earlier ones.
    while planned < len(configs := experiment.plan(study)):
        planned = len(configs)
        for config in configs:
            study.find(config)


def _check_data(study: Study) -> None:
    known = hash_of_data(str(study.data))
    for path in sorted((study.folder / "runs").glob(f"*{SUFFIX}"))[:1]:
        found = Result.read(path, study.trust_code).provenance.get("data")
        if found != known:
            raise MultisigmaError(
                f"Option --out must be a folder of results for the same data. Found {path} for data with the hash "
                f"{found}; that of --data is {known}. Choose another folder."
            )


def work(experiment: Experiment, study: Study, report: Callable[[], object] = lambda: None) -> None:
    """Do missing runs until none is missing; wait for those that other processes are doing."""
    claims = Claims()
    while missing := [config for config in experiment.plan(study) if study.find(config) is None]:
        report()
        waits = True
        for config in missing:
            path = result_path(study.folder / "runs", config)
            if path.is_file():
                continue
            with claims.claim(_lock(path)) as is_mine:
                # Another process may have finished it between the lines above.
                if is_mine and not path.is_file():
                    execute(config, _run_folder(path)).write(path)
                    # Not before its result is written, or a kill in between would lose it.
                    shutil.rmtree(_run_folder(path), ignore_errors=True)
                    waits = False
            if not waits:
                report()
        if waits:
            time.sleep(_POLL)
    report()


def _remove_finished_runs(folder: Path) -> None:
    """Remove what processes have left that were killed after they had written a result: its run folder, its claim."""
    claims = Claims()
    for path in folder.glob(f"*{SUFFIX}"):
        if _run_folder(path).exists() or _lock(path).exists():
            with claims.claim(_lock(path)) as is_mine:
                if is_mine:
                    shutil.rmtree(_run_folder(path), ignore_errors=True)


def _run_folder(path: Path) -> Path:
    return path.with_name(f".{path.name}.run")


def _lock(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


class _Report:
    """Reports how many runs are done, of all that are planned so far."""

    def __init__(self, experiment: Experiment, study: Study, progress: Progress) -> None:
        self.experiment, self.study, self.progress = experiment, study, progress
        self.claims, self.total = Claims(), 0

    def __call__(self) -> None:
        planned = {result_path(self.study.folder / "runs", config) for config in self.experiment.plan(self.study)}
        if not planned:
            return
        done = sum(path.is_file() for path in planned)
        running = sum(self.claims.is_held(_lock(path)) for path in planned)
        if len(planned) != self.total:
            self.progress.stop()
            self.total = len(planned)
            self.progress.start("runs", self.total, done)
        self.progress.update(done, f"{running} running, {max(0, self.total - done - running)} left")


def _work_in_processes(experiment: Experiment, study: Study, jobs: int, report: _Report) -> None:
    context = multiprocessing.get_context("spawn")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    name = str(vars(experiment)["__name__"])
    arguments = (
        name,
        study.folder,
        study.budget_name,
        study.seeds,
        study.data,
        study.trust_code,
        study.tuned,
        max(1, cores // jobs),
    )
    processes = [context.Process(target=_worker, args=(*arguments, os.getpid())) for _ in range(jobs)]
    try:
        for process in processes:
            process.start()
        while any(process.is_alive() for process in processes):
            processes[0].join(_POLL)
            report()
    finally:
        for process in processes:
            process.terminate()
            process.join()
    if failed := sum(process.exitcode != 0 for process in processes):
        raise MultisigmaError(
            f"{failed} of {jobs} processes failed; their messages stand above. Run the command again to go on."
        )


def _worker(
    name: str,
    folder: Path,
    budget: str,
    seeds: int,
    data: str,
    trust_code: bool,
    tuned: bool,
    threads: int,
    parent: int,
) -> None:
    """Do runs in a process of its own; it ends if its parent does."""
    import importlib

    torch.set_num_threads(threads)
    experiment: Any = importlib.import_module(name)
    try:
        study = Study(folder, budget, seeds, data, trust_code, tuned=tuned)
        work(experiment, study, partial(_end_with, parent))
    except MultisigmaError as error:
        _log.error("%s", error)
        sys.exit(1)


def _end_with(parent: int) -> None:
    if os.getppid() != parent:
        sys.exit(1)
