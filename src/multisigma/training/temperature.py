"""Temperature scaling: one number that calibrates class probabilities (Guo et al., ICML 2017)."""

from torch import Tensor
from torch.nn import functional as F

__all__ = ["fit_temperature"]

_SMALLEST, _LARGEST = 0.05, 20.0


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature T of the least mean cross entropy of softmax(logits / T).

    The cross entropy is convex in 1 / T, so the root of its derivative is found by bisection. T lies in 0.05 to 20.

    Args:
        logits: Shape (N, classes), N at least 1.
        labels: Class of each row, shape (N,).

    Example:
        >>> import math
        >>> import torch
        >>> # 3 of 4 are right, so a logit of 5 should be log 3.
        >>> logits = torch.tensor([[5.0, 0.0]] * 4)
        >>> round(fit_temperature(logits, torch.tensor([0, 0, 0, 1])), 3) == round(5 / math.log(3), 3)
        True
    """
    logits = logits.double()
    true = logits.gather(1, labels.long()[:, None])[:, 0].mean()
    low, high = 1 / _LARGEST, 1 / _SMALLEST  # of 1 / T
    for _ in range(40):
        middle = (low * high) ** 0.5
        slope = (F.softmax(middle * logits, 1) * logits).sum(1).mean() - true
        low, high = (low, middle) if slope > 0 else (middle, high)
    return (low * high) ** -0.5
