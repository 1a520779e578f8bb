"""Metrics count single frames; their counts give Measurements of any set of frames."""

from multisigma.metrics.base import Counts, Measurement, Metric, SumMetric
from multisigma.metrics.calibration import IntervalCoverage, Reliability, ScoreReliability
from multisigma.metrics.depth import DepthErrors
from multisigma.metrics.evaluation import Evaluation, measure, read_evaluations
from multisigma.metrics.instance import AveragePrecision
from multisigma.metrics.panoptic import PanopticQuality
from multisigma.metrics.regression import DenseErrors, VectorErrors
from multisigma.metrics.segmentation import IoU

__all__ = [
    "AveragePrecision",
    "Counts",
    "DenseErrors",
    "DepthErrors",
    "Evaluation",
    "IntervalCoverage",
    "IoU",
    "Measurement",
    "Metric",
    "PanopticQuality",
    "Reliability",
    "ScoreReliability",
    "SumMetric",
    "VectorErrors",
    "measure",
    "read_evaluations",
]
