"""Errors of dense regressions over the labelled pixels alone."""

from math import nan, sqrt

import torch
from torch import Tensor
from torchmetrics import Metric

from multisigma.errors import MultisigmaError
from multisigma.metrics.counting import exactly, value


def _errors(prediction: Tensor, target: Tensor) -> Tensor:
    """Difference in float64, so that sums over a data set keep their digits; NaN where the target is."""
    if prediction.shape != target.shape:
        raise MultisigmaError(
            "Prediction and target of an error should have the same shape. "
            f"Found {tuple(prediction.shape)} and {tuple(target.shape)}."
        )
    return prediction.double() - target.double()


class MaskedError(Metric):
    """Mean absolute and root mean squared error over labelled values.

    The mean runs over every labelled scalar of the data set. A prediction that is not finite at a labelled value makes
    the errors not finite.

    Args:
        prefix: Beginning of the keys: "disparity" gives `disparity_error_px` and `disparity_rms_px`.

    Example:
        >>> import torch
        >>> metric = MaskedError("disparity")
        >>> metric.update(torch.tensor([4.0, 9.0, 5.0]), torch.tensor([1.0, 5.0, torch.nan]))
        >>> metric.compute()
        {'disparity_error_px': 3.5, 'disparity_rms_px': 3.5355339059327378}
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    absolute: Tensor
    squared: Tensor
    count: Tensor

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix
        self.add_state("absolute", exactly(0.0), dist_reduce_fx="sum")
        self.add_state("squared", exactly(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Count a batch.

        Args:
            prediction: Predicted values of any shape.
            target: True values of the same shape; NaN where not labelled.

        Raises:
            MultisigmaError: If shapes differ.
        """
        errors = _errors(prediction, target)[~target.isnan()]
        self.absolute += exactly(errors.abs().sum().item()).to(self.absolute.device)
        self.squared += exactly(errors.square().sum().item()).to(self.squared.device)
        self.count += errors.numel()

    def compute(self) -> dict[str, float]:
        """Give `{prefix}_error_px` and `{prefix}_rms_px`; nan when nothing was labelled."""
        count = int(self.count)
        return {
            f"{self.prefix}_error_px": float(value(self.absolute)) / count if count else nan,
            f"{self.prefix}_rms_px": sqrt(value(self.squared) / count) if count else nan,
        }


class VectorError(Metric):
    """Mean size of the error of vectors over labelled pixels, by three measures.

    - `{prefix}_error_px`: the L1 norm `|dx| + |dy|`, the instance loss of section 4 and the error of table 1;
    - `{prefix}_component_error_px`: the mean of `|dx|` and `|dy|`, half of that;
    - `{prefix}_endpoint_px`: the Euclidean length, from 0.71 to 1 times the L1 norm.

    Args:
        prefix: Beginning of the keys, such as "instance".

    Example:
        >>> import torch
        >>> metric = VectorError("instance")
        >>> metric.update(torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1), torch.zeros(1, 2, 1, 1))
        >>> metric.compute()
        {'instance_error_px': 7.0, 'instance_component_error_px': 3.5, 'instance_endpoint_px': 5.0}
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    norms: Tensor
    count: Tensor

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix
        # Sums over pixels of the L1 norm and of the length.
        self.add_state("norms", exactly([0.0, 0.0]), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Count a batch.

        Args:
            prediction: Predicted vectors of shape (B, 2, H, W).
            target: True vectors of shape (B, 2, H, W); a pixel with a NaN component is not labelled.

        Raises:
            MultisigmaError: If shapes differ or there are not two components.
        """
        errors = _errors(prediction, target)
        if errors.ndim != 4 or errors.shape[1] != 2:
            raise MultisigmaError(f"Vectors should have the shape (B, 2, H, W). Found {tuple(errors.shape)}.")
        labelled = ~target.isnan().any(dim=1)
        sums = [torch.linalg.vector_norm(errors, ord, dim=1)[labelled].sum().item() for ord in (1, 2)]
        self.norms += exactly(sums).to(self.norms.device)
        self.count += labelled.sum()

    def compute(self) -> dict[str, float]:
        """Return the three errors; nan when nothing was labelled."""
        count = int(self.count)
        l1, length = (float(total) / count if count else nan for total in value(self.norms))
        return {
            f"{self.prefix}_error_px": l1,
            f"{self.prefix}_component_error_px": l1 / 2,
            f"{self.prefix}_endpoint_px": length,
        }
