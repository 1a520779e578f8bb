"""Do the runs of a study on a Ray cluster, whose machines share the folder of results."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from multisigma.errors import MultisigmaError
from multisigma.experiments.study import Experiment, Study, work

LOCAL = "local"
"""The address of a cluster that is started on this machine and ends with the command."""
_POLL = 2.0


def work_on_ray(
    experiment: Experiment, study: Study, jobs: int, report: Callable[[], object], address: str = LOCAL
) -> None:
    """Do missing runs in workers of a cluster. They claim runs by the same lock files as processes of one machine.

    Args:
        experiment: The experiment, a module that each machine can import.
        study: Its results. The folder and the data must have the same paths on each machine.
        jobs: Number of workers, each with one processor.
        report: Called every few seconds.
        address: 'local', 'auto', or the address of the cluster, such as 'ray://head:10001'.

    Raises:
        MultisigmaError: Ray is not installed, there is no such cluster, or a worker failed.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MultisigmaError(
            "Option --ray needs the extra 'ray'. Found it not installed. Run pip install 'multisigma[ray]', or take "
            "--jobs."
        ) from error
    try:
        if address == LOCAL:
            ray.init(num_cpus=jobs, include_dashboard=False, log_to_driver=False)
        else:
            ray.init(address=address, log_to_driver=False)
    except Exception as error:  # Ray raises plain ones too.
        raise MultisigmaError(f"Option --ray must be the address of a Ray cluster. Found {address}: {error}") from error
    try:
        remote: Any = ray.remote(num_cpus=1, max_retries=0)(_work)
        arguments = (
            str(vars(experiment)["__name__"]),
            study.folder.resolve(),
            study.budget_name,
            study.seeds,
            str(Path(str(study.data)).resolve()) if Path(str(study.data)).exists() else study.data,
            study.trust_code,
            study.tuned,
        )
        running = [remote.remote(*arguments) for _ in range(jobs)]
        while running:
            ended, running = ray.wait(running, timeout=_POLL)
            ray.get(ended)
            report()
    except ray.exceptions.RayError as error:
        raise MultisigmaError(f"A worker of the Ray cluster failed: {error} Run the command again to go on.") from error
    finally:
        ray.shutdown()


def _work(name: str, folder: Path, budget: str, seeds: int, data: str, trust_code: bool, tuned: bool) -> None:
    torch.set_num_threads(1)
    experiment: Any = importlib.import_module(name)
    work(experiment, Study(folder, budget, seeds, data, trust_code, tuned=tuned))
