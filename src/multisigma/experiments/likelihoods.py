"""What the right likelihood is worth: section 3.2 of the paper, and what most code has instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from multisigma.datasets.labels import IGNORE
from multisigma.experiments.comparison import add_comparison, add_differences
from multisigma.experiments.noise import distance_from_optimum, plot_noise
from multisigma.experiments.page import Page, add_origin, estimate
from multisigma.experiments.plots import legend, panels
from multisigma.experiments.statistics import t_interval
from multisigma.experiments.study import TASKS, Study
from multisigma.experiments.tuning import Method, add_tuning, reported, tuned_runs
from multisigma.tasks import Semantic
from multisigma.training.config import TrainConfig
from multisigma.weighting import ExactSoftmax, Exponential, Gaussian, Likelihood, Prediction, UncertaintyWeighting

SEEDS = 3
OURS = "each task's own"
_HERE = "multisigma.experiments.likelihoods"


class OneForm(UncertaintyWeighting):
    """Uncertainty weighting with one likelihood for all tasks, whatever their losses are."""

    likelihood: ClassVar[Likelihood]

    def __init__(self, tasks: Iterable[str], normalise: float | None = None) -> None:
        super().__init__(dict.fromkeys(tasks, self.likelihood), normalise=normalise)


class GaussianForm(OneForm):
    """exp(-s) L / 2 + s / 2 for every task, as most code has it."""

    likelihood = Gaussian()


class ExponentialForm(OneForm):
    """exp(-s) L + s for every task, so that 1 / weight is exp(s), as the paper's ratios of weights suggest."""

    likelihood = Exponential()


@dataclass(frozen=True)
class LoggedPrediction(Prediction):
    """Logits and classes for the exact softmax. It also reads as the pair that other losses are: the sum of the plain
    cross entropy and the number of pixels, for logs and the gradient probe."""

    def __getitem__(self, index: int) -> Tensor:
        return Semantic().loss(self.output, self.target)[index]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(Semantic().loss(self.output, self.target))


class ExactSemantic(Semantic):
    """Semantic segmentation with the noise inside the softmax, equations 8 and 9."""

    likelihood = ExactSoftmax(ignore_index=IGNORE)

    def loss(self, output: Tensor, target: Tensor) -> LoggedPrediction:  # type: ignore[override]
        return LoggedPrediction(output, target)


def methods(study: Study) -> list[Method]:
    """Return the likelihoods, and variants of how the noise is found."""
    gaussian = {task: {"likelihood": "gaussian"} for task in TASKS[1:]}
    exact = [f"{_HERE}.ExactSemantic", *TASKS[1:]]
    singles = [Method(f"{task} only", study.config("equal", [task])) for task in TASKS]
    return [
        *singles,
        Method(OURS, study.config()),
        Method("the Gaussian form for L1 and cross entropy", study.config(f"{_HERE}.GaussianForm")),
        Method("exp(-s) L + s for every task", study.config(f"{_HERE}.ExponentialForm")),
        Method("Gaussian, with squared errors", study.config(task_options=gaussian)),
        Method("exact softmax", study.config(tasks=exact)),
        Method("closed form", study.config(options={"closed_form": True})),
        Method("weights that sum to 1", study.config(options={"normalise": 1.0})),
        Method("weights that sum to 3", study.config(options={"normalise": 3.0})),
    ]


def plan(study: Study) -> list[TrainConfig]:
    return tuned_runs(study, methods(study))


def page(study: Study) -> Page:
    made = Page("Likelihoods")
    made.text(
        "The paper's L1 losses have a Laplace likelihood: weight 1 / b and term log b per component. Most code takes "
        "the Gaussian form for every loss. What does it change? A form changes the ratio of the weights by constants "
        "alone, and how fast the noise learns. So differences between forms are those of other constant weights."
    )
    rows = methods(study)
    results = {method.name: reported(study, method) for method in rows}
    add_comparison(made, study, results, {task: results[f"{task} only"] for task in TASKS})
    made.heading("Each task's own likelihood against each other row")
    add_differences(made, study, {name: found for name, found in results.items() if " only" not in name}, OURS)
    made.heading("Is the noise at its optimum at the end?")
    shown = {name: found for name, found in results.items() if found and " only" not in name}
    made.table(
        ["", *TASKS],
        [
            [name, *(estimate(t_interval([distance_from_optimum(r, task) for r in found]), 3) for task in TASKS)]
            for name, found in shown.items()
        ],
    )
    made.text(
        "The largest factor between the noise, 1 / weight, and the one that minimises the objective for the running "
        "loss, over the last tenth of the training. The exact softmax has no closed form. Weights that are scaled to a "
        "sum differ from the optimum by that scale."
    )
    if shown:
        figure, axes = panels([f"{name}\n{task}" for name in shown for task in TASKS])
        for axis, (found, task) in zip(axes, ((f, task) for f in shown.values() for task in TASKS), strict=False):
            plot_noise(axis, found[0], task, "noise")
        legend(axes[0])
        made.plot("noise", figure, "Noise of the first seed, and dashed its optimum for the running loss.")
    add_tuning(made, study, rows)
    add_origin(made, "likelihoods", study)
    return made
