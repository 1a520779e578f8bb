"""Metrics with states that merge exactly over batches and processes."""

from multisigma.metrics.regression import EndPointError, MaskedError
from multisigma.metrics.segmentation import ClassIoU

__all__ = ["ClassIoU", "EndPointError", "MaskedError"]
