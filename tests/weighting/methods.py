"""Every method by name, for the tests that hold for all of them."""

from collections.abc import Callable

import pytest
import torch

from multisigma import (
    FAMO,
    GLS,
    IMTLL,
    RLW,
    UWSO,
    DynamicWeightAverage,
    EqualWeighting,
    FixedWeighting,
    Gaussian,
    GradientAggregation,
    GradNorm,
    Laplace,
    LogTransform,
    RevisedUncertaintyWeighting,
    SmoothTchebycheff,
    Softmax,
    UncertaintyWeighting,
    Weighting,
)

TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])
"""Major and minor version."""
NESTED_FUNC = pytest.mark.skipif(TORCH < (2, 10), reason="torch.func reads no values inside nested transforms")

TASKS = ("a", "b", "c")
LIKELIHOODS = {"a": Softmax(), "b": Laplace(), "c": Gaussian()}

METHODS: dict[str, Callable[[], Weighting]] = {
    "uncertainty": lambda: UncertaintyWeighting(LIKELIHOODS, {"b": 0.5}),
    "normalised": lambda: UncertaintyWeighting(LIKELIHOODS, normalise=3.0),
    "closed form": lambda: UncertaintyWeighting(LIKELIHOODS, closed_form=True, decay=0.8),
    "revised": lambda: RevisedUncertaintyWeighting(TASKS),
    "imtl-l": lambda: IMTLL(TASKS),
    "equal": lambda: EqualWeighting(TASKS),
    "fixed": lambda: FixedWeighting({"a": 1.0, "b": 0.3, "c": 2.0}),
    "random": lambda: RLW(TASKS, seed=5),
    "dwa": lambda: DynamicWeightAverage(TASKS, steps_per_epoch=2),
    "geometric": lambda: GLS(TASKS),
    "uw-so": lambda: UWSO(TASKS, temperature=2.0),
    "famo": lambda: FAMO(TASKS),
    "stch": lambda: SmoothTchebycheff(TASKS, mu=0.5),
    "db-mtl": lambda: LogTransform(TASKS),
    "gradnorm": lambda: GradNorm(TASKS),
}
GRADIENT_METHODS: dict[str, Callable[[], Weighting]] = {
    name: lambda name=name: GradientAggregation(TASKS, name)  # type: ignore[misc]
    for name in ("mgda", "pcgrad", "cagrad", "imtl_g", "nash_mtl", "aligned_mtl", "upgrad")
}
EVERY = METHODS | GRADIENT_METHODS
