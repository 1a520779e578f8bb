"""Every method by name, for the tests that hold for all of them."""

from collections.abc import Callable

from multisigma import (
    DynamicWeightAverage,
    EqualWeighting,
    FastAdaptiveWeighting,
    FixedWeighting,
    Gaussian,
    GeometricWeighting,
    GradientAggregation,
    GradNormWeighting,
    ImpartialWeighting,
    Laplace,
    LogWeighting,
    RandomWeighting,
    RevisedUncertaintyWeighting,
    SmoothTchebycheffWeighting,
    Softmax,
    SoftOptimalUncertaintyWeighting,
    UncertaintyWeighting,
    Weighting,
)

TASKS = ("a", "b", "c")
LIKELIHOODS = {"a": Softmax(), "b": Laplace(), "c": Gaussian()}

METHODS: dict[str, Callable[[], Weighting]] = {
    "uncertainty": lambda: UncertaintyWeighting(LIKELIHOODS, {"b": 0.5}),
    "normalised": lambda: UncertaintyWeighting(LIKELIHOODS, normalise=3.0),
    "closed form": lambda: UncertaintyWeighting(LIKELIHOODS, closed_form=True, decay=0.8),
    "revised": lambda: RevisedUncertaintyWeighting(TASKS),
    "imtl-l": lambda: ImpartialWeighting(TASKS),
    "equal": lambda: EqualWeighting(TASKS),
    "fixed": lambda: FixedWeighting({"a": 1.0, "b": 0.3, "c": 2.0}),
    "random": lambda: RandomWeighting(TASKS, seed=5),
    "dwa": lambda: DynamicWeightAverage(TASKS, steps_per_epoch=2),
    "geometric": lambda: GeometricWeighting(TASKS),
    "uw-so": lambda: SoftOptimalUncertaintyWeighting(TASKS, temperature=2.0),
    "famo": lambda: FastAdaptiveWeighting(TASKS),
    "stch": lambda: SmoothTchebycheffWeighting(TASKS, smoothing=0.5),
    "db-mtl": lambda: LogWeighting(TASKS),
    "gradnorm": lambda: GradNormWeighting(TASKS),
}
GRADIENT_METHODS: dict[str, Callable[[], Weighting]] = {
    name: lambda name=name: GradientAggregation(TASKS, name)  # type: ignore[misc]
    for name in ("mgda", "pcgrad", "cagrad", "imtl_g", "nash_mtl", "aligned_mtl", "upgrad")
}
EVERY = METHODS | GRADIENT_METHODS
