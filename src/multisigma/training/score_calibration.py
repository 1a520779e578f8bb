"""Platt scaling: two numbers that make probabilities of scores (Platt, 1999)."""

import numpy as np
from numpy.typing import NDArray

from multisigma.tasks.results import log_odds

__all__ = ["fit_score_calibration"]

_FEWEST = 20


def fit_score_calibration(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Fit the slope and intercept of `calibrate_scores` by maximum likelihood.

    As in Platt (1999), the targets are (n + 1) / (n + 2) for the n right objects and 1 / (m + 2) for the m wrong ones,
    in place of 1 and 0. So both numbers stay finite if the scores separate right from wrong.

    Args:
        scores: From 0 to 1, shape (N,).
        right: Whether each object is right, shape (N,).

    Returns:
        Slope and intercept; None if there are below 20 objects, all are right, all are wrong, or the right ones do not
        have the higher scores.

    Example:
        >>> scores = np.repeat([0.5, 0.9], 40)
        >>> right = np.tile([True, False, False, False], 20)
        >>> right[40:] = np.tile([True, False], 20)
        >>> slope, intercept = fit_score_calibration(scores, right)
        >>> from multisigma.tasks.results import calibrate_scores
        >>> calibrate_scores(np.array([0.5, 0.9]), slope, intercept).round(1).tolist()
        [0.3, 0.5]
    """
    # Here, because evaluation imports this module too, and scikit-learn takes seconds.
    from sklearn.linear_model import LogisticRegression

    n = int(right.sum())
    if len(scores) < _FEWEST or n in (0, len(scores)):
        return None
    target = np.where(right, (n + 1) / (n + 2), 1 / (len(scores) - n + 2))
    # Each object is there twice, as right with the weight `target` and as wrong with the rest.
    odds = np.tile(log_odds(scores), 2)[:, None]
    classes = np.repeat([1, 0], len(scores))
    fitted = LogisticRegression(C=np.inf).fit(odds, classes, sample_weight=np.concatenate([target, 1 - target]))
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return (slope, intercept) if slope > 0 else None
