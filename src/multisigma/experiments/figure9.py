"""Figures 8 and 9 of the paper: best, random and worst frames of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from multisigma.datasets.open import open_dataset
from multisigma.experiments.models import evaluations, load, models_option
from multisigma.experiments.page import Page, number
from multisigma.experiments.statistics import HIGHER_IS_BETTER
from multisigma.experiments.study import Study
from multisigma.metrics import DepthErrors, Evaluation, IoU, Metric, VectorErrors
from multisigma.models.model_info import SHIPPED
from multisigma.training.config import TrainConfig

SEEDS = 1
EACH = 2
HEADINGS = {"iou_class": "IoU %", "instance_error_px": "instance px", "disparity_error_px": "depth px"}


def plan(study: Study) -> list[TrainConfig]:
    return []


def frame_values(evaluation: Evaluation, metrics: Sequence[Metric]) -> dict[str, dict[str, float]]:
    """Return the main numbers of each frame by its name, from the counts of the evaluation.

    Args:
        evaluation: The evaluation, with counts.
        metrics: The metrics that counted, one of each class.
    """
    found: dict[str, dict[str, float]] = {}
    for metric in metrics:
        for name, by_frame in evaluation.counts.items():
            if name.split("/")[1] != type(metric).__name__:
                continue
            for frame, counts in by_frame.items():
                values = {m.key: m.value for m in metric.summarise([counts])} if counts else {}
                found.setdefault(frame, {}).update({key: values[key] for key in HEADINGS if key in values})
    return found


def order(values: dict[str, dict[str, float]]) -> list[str]:
    """Return the frames, the best first: by the mean of their ranks in the numbers that all frames have.

    Example:
        >>> order({"a": {"iou_class": 50.0, "disparity_error_px": 2.0}, "b": {"iou_class": 60.0}})
        ['b', 'a']
        >>> order({"a": {"disparity_error_px": 2.0}, "b": {"disparity_error_px": 1.0}})
        ['b', 'a']
    """
    frames = list(values)
    ranks = np.zeros(len(frames))
    for key in HEADINGS:
        column = np.array([values[frame].get(key, math.nan) for frame in frames])
        if np.isfinite(column).all():
            better = -column if key in HIGHER_IS_BETTER else column
            ranks += better.argsort(kind="stable").argsort()
    return [frames[i] for i in ranks.argsort(kind="stable")]


def page(study: Study) -> Page:
    made = Page("Figures 8 and 9: best, random and worst frames")
    made.text(
        "Frames of the split 'val' in the order of their mean rank in the three tasks' main numbers. Random ones are "
        "drawn with seed 0. Truth stands beside each prediction."
    )
    for name, evaluation in evaluations(study).items():
        _add_model(made, study, name, evaluation)
    made.heading("How it was made")
    options = models_option(study)
    made.text(
        f"```\nmultisigma experiment figure9 --data ROOT --out DIR{options}\n```\n\nPictures need `--data`. `figure5` "
        "measures how the three tasks' errors agree in place (appendix D)."
    )
    return made


def _add_model(page: Page, study: Study, name: str, evaluation: Evaluation) -> None:
    model = load(name)
    space = model.info.labels
    values = frame_values(evaluation, [IoU(space), VectorErrors("instance", lambda _: np.zeros(1)), DepthErrors()])
    ordered = order(values)
    drawn = np.random.default_rng(0).choice(len(ordered), min(EACH, len(ordered)), replace=False)
    groups = {"best": ordered[:EACH], "random": [ordered[i] for i in sorted(drawn)], "worst": ordered[-EACH:]}
    page.heading("The model that ships" if name == SHIPPED else name)
    page.table(
        ["frame", *HEADINGS.values()],
        [
            [f"{group}: {frame}", *(number(values[frame].get(key, math.nan)) for key in HEADINGS)]
            for group, frames in groups.items()
            for frame in frames
        ],
    )
    if study.data is None:
        return
    dataset = open_dataset(study.data, "val")
    places = {dataset.name(i): i for i in range(len(dataset))}
    chosen = [(group, frame) for group, frames in groups.items() for frame in frames if frame in places]
    columns = 2 * len(model.tasks) + 1
    figure = Figure(figsize=(2.6 * columns, 1.5 * len(chosen)), layout="constrained")
    axes = figure.subplots(len(chosen), columns, squeeze=False)
    for row, (group, frame_name) in zip(axes, chosen, strict=True):
        frame = dataset.read(places[frame_name])
        scene = model.predict(frame.image, frame.camera, frame.size[0])
        pictures = [picture for task in model.tasks for picture in task.visualize(frame, scene)[:1]]
        images: list[tuple[str, NDArray[np.uint8] | None]] = [(group, frame.image)]
        for picture in pictures:
            images += [(picture.title, picture.prediction), (f"{picture.title}, truth", picture.truth)]
        for axis in row:
            axis.set_axis_off()
        for axis, (title, image) in zip(row, images, strict=False):
            if image is not None:
                axis.imshow(image)
            axis.set_title(title, fontsize=7)
    page.plot(
        f"frames-{'shipped' if name == SHIPPED else len(page.plots)}",
        figure,
        "From left: image, then prediction and truth of each task.",
    )
