"""How well learned noise describes the errors: reliability of probabilities and scores, coverage of intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan, log, nan
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.fields import ClassMap
from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.scene import Scene, SemanticPrediction
from multisigma.errors import MultisigmaError
from multisigma.metrics.base import Counts, Measurement, SumMetric
from multisigma.metrics.counting import ratio
from multisigma.metrics.instance import AveragePrecision
from multisigma.metrics.regression import TargetOf, errors_of, values_of

__all__ = ["BINS", "LEVELS", "IntervalCoverage", "Reliability", "ScoreReliability"]

BINS: Final = 15
"""Bins of equal width, as in Guo et al. (2017)."""
LEVELS: Final = (50, 80, 90, 95)
"""Per cent of the errors that each interval should hold."""

_ECE: Final = (
    "Expected calibration error: how far the highest class probability lies from the share of right pixels, on average "
    "over 15 bins; {}."
)
_COVERAGE: Final = (
    "Share of the true values within the interval that the noise implies around the prediction, with {}. Well "
    "calibrated is the level itself; more is cautious, less is overconfident."
)


class Reliability(SumMetric):
    """Expected calibration error of class probabilities, and the reliability diagram behind it (Guo et al., 2017).

    The probability of each labelled pixel's class falls into one of 15 bins of equal width; the error is the mean over
    pixels of the difference between the bin's mean probability and its share of right classes. It is measured for the
    probability that the model gives, `semantic_ece`, and for that of the learned temperature sigma^2,
    `semantic_ece_temperature`, where there is one.

    Args:
        labels: The classes.
    """

    kinds: Final = ("ece", "ece_temperature")

    def __init__(self, labels: LabelSpace) -> None:
        self.labels = labels

    def blanks(self) -> list[Measurement]:
        texts = {
            "ece": ("Semantic calibration error", "of the probability that the model gives"),
            "ece_temperature": (
                "Semantic calibration error with σ²",
                "with the logits over the learned temperature σ²",
            ),
        }
        return [
            Measurement(f"semantic_{kind}", nan, "%", False, _ECE.format(text), name=name)
            for kind, (name, text) in texts.items()
        ]

    def zeros(self) -> Counts:
        return {
            f"{kind}_{name}": np.zeros(BINS, type_)
            for kind in self.kinds
            for name, type_ in (("pixels", np.int64), ("hits", np.int64), ("probabilities", np.float64))
        }

    def count(self, scene: Scene, frame: Frame) -> Counts:
        """Count a frame by `scene["semantic"]`, its `ids` and probabilities, and the field "semantic".

        Raises:
            MultisigmaError: If shapes do not fit.
        """
        result: SemanticPrediction | None = scene.get("semantic")
        truth = frame.get("semantic", ClassMap)
        if result is None or truth is None:
            return {}
        ids, of_kinds = result.ids, zip(self.kinds, (result.probability, result.learned_probability), strict=True)
        given = {kind: probability for kind, probability in of_kinds if probability is not None}
        if not given:
            return {}
        shapes = [ids.shape, *(probability.shape for probability in given.values())]
        if any(shape != truth.shape for shape in shapes):
            raise MultisigmaError(
                "Classes and probabilities of a frame should have the shape (H, W) of its labels. "
                f"Found {shapes} and {truth.shape}."
            )
        labelled = self.labels.train_ids_of_ids[truth.ids] < len(self.labels.train_classes)
        if not labelled.any():
            return {}
        right = ids[labelled] == truth.ids[labelled]
        counts = dict(self.zeros())
        for kind, probability in given.items():
            values = probability[labelled].astype(np.float64)
            bins = _bins(values)
            counts[f"{kind}_pixels"] = np.bincount(bins, minlength=BINS)
            counts[f"{kind}_hits"] = np.bincount(bins[right], minlength=BINS)
            counts[f"{kind}_probabilities"] = np.bincount(bins, values, minlength=BINS)
        return counts

    def summarise(self, counts: Sequence[Counts]) -> list[Measurement]:
        """Return the numbers that some frame was counted for."""
        return [m for m in super().summarise(counts) if not isnan(m.value)]

    def scores(self, totals: Counts) -> dict[str, NDArray[np.float64]]:
        return {
            f"semantic_{kind}": ratio(
                np.abs(totals[f"{kind}_probabilities"] - totals[f"{kind}_hits"]).sum(1), totals[f"{kind}_pixels"].sum(1)
            )
            for kind in self.kinds
        }

    def details(self, totals: Counts) -> dict[str, Mapping[str, Any]]:
        """Return the reliability diagram: mean probability, accuracy and share of pixels of each bin; None if empty."""
        found: dict[str, Mapping[str, Any]] = {}
        for kind in self.kinds:
            pixels, hits, sums = (totals[f"{kind}_{name}"] for name in ("pixels", "hits", "probabilities"))
            if pixels.any():
                bins = {"probability": ratio(sums, pixels), "accuracy": ratio(hits, pixels)}
                diagram = {
                    name: [value if n else None for value, n in zip(of.tolist(), pixels, strict=True)]
                    for name, of in bins.items()
                }
                found[f"semantic_{kind}"] = diagram | {"share": (pixels / pixels.sum()).tolist()}
        return found


class IntervalCoverage(SumMetric):
    """The share of labelled values within central intervals of the noise around the prediction.

    For Laplace noise of scale b, an interval of level p is prediction +- b * log(1 / (1 - p)); for Gaussian noise, it
    follows from the normal distribution. Noise that describes the errors gives the share p. The components of a vector
    count each: a Laplace of dimension 2 and scale b gives each of them the scale b.

    Two scales are measured, where the result has them: `sigma`, which training learned, gives `{task}_coverage_50` and
    so on; `noise_scale`, which was fitted on validation frames and makes the intervals that a model predicts, gives
    `{task}_fitted_coverage_50` and so on.

    Args:
        task: Name of the task; its result has `values` of shape (channels, H, W) and perhaps the scales and the
            distribution `noise`, 'laplace' (the default) or 'gaussian'.
        target: Makes a frame's target.
    """

    # End of the name and description, by the beginning of the keys.
    scales: Final = {
        "coverage": ("", "the scale that training has learned"),
        "fitted_coverage": (" by the fitted scale", "the scale that was fitted on validation frames"),
    }

    def __init__(self, task: str, target: TargetOf) -> None:
        self.task, self.target = task, target

    def blanks(self) -> list[Measurement]:
        name = self.task.replace("_", " ").capitalize()
        return [
            Measurement(
                f"{self.task}_{kind}_{level}",
                nan,
                "%",
                None,
                _COVERAGE.format(described),
                name=f"{name} within the {level} % interval{suffix}",
            )
            for kind, (suffix, described) in self.scales.items()
            for level in LEVELS
        ]

    def zeros(self) -> Counts:
        return {
            f"{kind}_{name}": np.zeros(shape, np.int64)
            for kind in self.scales
            for name, shape in (("within", (len(LEVELS),)), ("values", ()))
        }

    def count(self, scene: Scene, frame: Frame) -> Counts:
        """Count a frame by `scene[task]`, its `values` and scales, and its target.

        Raises:
            MultisigmaError: If shapes differ or the result has no `values`.
        """
        values = values_of(scene, self.task)
        if values is None:
            return {}
        # A user's own result may have values alone.
        result = scene[self.task]
        of_kinds = zip(self.scales, (getattr(result, name, None) for name in ("sigma", "noise_scale")), strict=True)
        given = {kind: scale for kind, scale in of_kinds if scale is not None}
        if not given:
            return {}
        errors = np.abs(errors_of(values, self.target(frame)))
        if not errors.size:
            return {}
        counts, noise = dict(self.zeros()), getattr(result, "noise", "laplace")
        for kind, scale in given.items():
            half_widths = [scale * _half_width(noise, level / 100) for level in LEVELS]
            counts[f"{kind}_within"] = np.array([(errors <= half_width).sum() for half_width in half_widths])
            counts[f"{kind}_values"] = np.asarray(errors.size)
        return counts

    def summarise(self, counts: Sequence[Counts]) -> list[Measurement]:
        """Return the numbers that some frame was counted for."""
        return [m for m in super().summarise(counts) if not isnan(m.value)]

    def scores(self, totals: Counts) -> dict[str, NDArray[np.float64]]:
        return {
            f"{self.task}_{kind}_{level}": share
            for kind in self.scales
            for level, share in zip(
                LEVELS, ratio(totals[f"{kind}_within"], totals[f"{kind}_values"][:, None]).T, strict=True
            )
        }


class ScoreReliability(SumMetric):
    """Expected calibration error of the scores of objects: how far a score is from the share of right objects.

    An object is right if it overlaps a true one of its class with an intersection over union above one half, by the
    rules of `AveragePrecision`, which also tell the objects that do not count. Scores fall into 15 bins of equal width.

    Args:
        labels: The classes.
    """

    def __init__(self, labels: LabelSpace) -> None:
        self.matching = AveragePrecision(labels)

    def blanks(self) -> list[Measurement]:
        definition = (
            "Expected calibration error of the objects' scores: how far the score lies from the share of objects that "
            "overlap a true one of their class by more than one half, on average over 15 bins."
        )
        return [Measurement("instance_score_ece", nan, "%", False, definition, name="Instance score calibration error")]

    def zeros(self) -> Counts:
        return {"objects": np.zeros(BINS, np.int64), "right": np.zeros(BINS, np.int64), "scores": np.zeros(BINS)}

    def samples(self, scene: Scene, frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
        """Return the score of each object of a frame that counts, and whether it is right; None without labels."""
        counts = self.matching.count(scene, frame)
        if not counts:
            return None
        # The first outcome is that of all true objects, at an overlap above one half: 1 right, 0 wrong, -1 ignored.
        scores, outcomes = np.asarray(counts["confidences"]), np.asarray(counts["outcomes"])[:, 1]
        return scores[outcomes >= 0], outcomes[outcomes >= 0] == 1

    def count(self, scene: Scene, frame: Frame) -> Counts:
        """Count a frame by `scene["instance"].regions` and the field "instance".

        Scores below 0 or above 1 are no probabilities, and such a frame is not counted.
        """
        samples = self.samples(scene, frame)
        if samples is None or not ((samples[0] >= 0) & (samples[0] <= 1)).all():
            return {}
        return self.count_scores(*samples)

    def count_scores(self, scores: NDArray[np.float64], right: NDArray[np.bool_]) -> Counts:
        """Count objects by their scores and whether they are right, both of shape (N,)."""
        bins = _bins(scores)
        return {
            "objects": np.bincount(bins, minlength=BINS),
            "right": np.bincount(bins[right], minlength=BINS),
            "scores": np.bincount(bins, scores, minlength=BINS),
        }

    def scores(self, totals: Counts) -> dict[str, NDArray[np.float64]]:
        gaps = np.abs(totals["scores"] - totals["right"]).sum(1)
        return {"instance_score_ece": ratio(gaps, totals["objects"].sum(1))}

    def details(self, totals: Counts) -> dict[str, Mapping[str, Any]]:
        """Return the reliability diagram: mean score, precision and share of objects of each bin; None if empty."""
        objects = totals["objects"]
        if not objects.any():
            return {}
        bins = {"probability": ratio(totals["scores"], objects), "accuracy": ratio(totals["right"], objects)}
        diagram = {
            name: [value if n else None for value, n in zip(of.tolist(), objects, strict=True)]
            for name, of in bins.items()
        }
        return {"instance_score_ece": diagram | {"share": (objects / objects.sum()).tolist()}}


def _bins(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each probability, which holds its upper edge, not its lower one."""
    return (np.ceil(probabilities * BINS).astype(np.int64) - 1).clip(0, BINS - 1)


def _half_width(noise: str, share: float) -> float:
    """Return half the width of the central interval that holds a share of noise of scale 1."""
    return NormalDist().inv_cdf((1 + share) / 2) if noise == "gaussian" else -log(1 - share)
