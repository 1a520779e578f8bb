"""Which way every number is better, and which ones a report shows first."""

import numpy as np

from multisigma.datasets import CITYSCAPES
from multisigma.metrics import DenseErrors, Measurement
from multisigma.tasks import load_tasks

HIGHER = {
    *("iou_class", "iiou_class", "iou_category", "iiou_category", "ap", "ap50", "ap100m", "ap50m", "ap50_50m"),
    *(f"{quality}q{part}" for quality in "psr" for part in ("", "_things", "_stuff")),
    *(f"depth_delta_{power}" for power in (1, 2, 3)),
    *(f"normals_within_{angle}" for angle in ("11.25", "22.5", "30")),
}
MAIN = {"iou_class", "instance_error_px", "ap", "pq", "disparity_error_px", "normals_median_deg", "border_error_m"}


def every() -> list[Measurement]:
    """The numbers of every task, and of a task of a user's own, without a frame."""
    tasks = load_tasks(["semantic", "instance", "depth", "normals"])
    metrics = [metric for task in tasks for metric in task.metrics(CITYSCAPES)]
    border = DenseErrors("border", lambda frame: np.zeros((1, *frame.size)), "m")
    return [m for metric in [*metrics, border] for m in metric.summarise([])]


def test_errors_are_better_when_they_are_lower_and_shares_of_what_is_right_when_they_are_higher() -> None:
    keys = {m.key for m in every()}
    assert keys > HIGHER | MAIN
    assert {m.key for m in every() if m.higher_is_better} == HIGHER
    assert {m.key for m in every() if m.higher_is_better is False} == keys - HIGHER


def test_a_report_begins_with_one_number_of_each_kind() -> None:
    assert {m.key for m in every() if m.is_main} == MAIN
