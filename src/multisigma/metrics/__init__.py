"""Metrics with states that merge exactly over batches and processes."""

from multisigma.metrics.instance import AveragePrecision
from multisigma.metrics.regression import EndPointError, MaskedError
from multisigma.metrics.segmentation import CityscapesIoU, ClassIoU

__all__ = ["AveragePrecision", "CityscapesIoU", "ClassIoU", "EndPointError", "MaskedError"]
