"""Metrics with states that merge exactly over batches and processes."""

from torchmetrics import Metric

from multisigma.metrics.calibration import LaplaceCoverage, Reliability
from multisigma.metrics.depth import DepthErrors
from multisigma.metrics.instance import AveragePrecision
from multisigma.metrics.panoptic import PanopticQuality
from multisigma.metrics.regression import MaskedError, VectorError
from multisigma.metrics.segmentation import CityscapesIoU, ClassIoU

__all__ = [
    "AveragePrecision",
    "CityscapesIoU",
    "ClassIoU",
    "DepthErrors",
    "LaplaceCoverage",
    "MaskedError",
    "PanopticQuality",
    "Reliability",
    "VectorError",
    "scene_metrics",
]


def scene_metrics() -> list[Metric]:
    """Fresh metrics of whole scenes, those of table 2 and panoptic quality: `update(scene, truth)` for each frame."""
    return [CityscapesIoU(), AveragePrecision(), PanopticQuality(), DepthErrors()]
