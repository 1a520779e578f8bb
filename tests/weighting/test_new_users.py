"""What new users stumbled over: optimiser groups, types, completion, logs, a noise that lags, silent mistakes."""

import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

import multisigma
from multisigma import (
    FAMO,
    RLW,
    DynamicWeightAverage,
    EqualWeighting,
    ExactLikelihood,
    FixedWeighting,
    Gaussian,
    GradientAggregation,
    GradNorm,
    Laplace,
    MultisigmaError,
    Prediction,
    SmoothTchebycheff,
    Softmax,
    StudentT,
    UncertaintyWeighting,
    Weighting,
)
from multisigma.weighting.base import CHECK_EVERY
from multisigma.weighting.constants import constant
from multisigma.weighting.lag import LAG_CALLS, LagWatch
from multisigma.weighting.losses import masked_softmax
from tests.weighting.methods import NESTED_FUNC


class Model(nn.Module):
    """A model with its weighting inside, as Lightning and Hugging Face have it."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Linear(3, 1)
        self.weighting = UncertaintyWeighting({"depth": Laplace()})


def test_all_groups_at_once_with_the_weighting_inside_the_model_or_outside() -> None:
    model, outside = Model(), UncertaintyWeighting({"depth": Laplace()})
    for weighting, others in ((model.weighting, 2), (outside, 3)):
        network, noise = weighting.param_groups(model, lr=1e-3, weight_decay=0.01, noise_lr=0.05)
        assert (network["lr"], network["weight_decay"], len(network["params"])) == (1e-3, 0.01, others)
        assert (noise["lr"], noise["weight_decay"]) == (0.05, 0.0)
        assert [id(p) for p in noise["params"]] == [id(p) for p in weighting.parameters()]
    # One learning rate for both, and the optimiser's own where none is given.
    assert [group["lr"] for group in outside.param_groups(model, lr=0.3)] == [0.3, 0.3]
    optimizer = torch.optim.AdamW(outside.param_groups(model), lr=0.2, weight_decay=0.1)
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.2, 0.1), (0.2, 0.0)]
    # A weighting without parameters has no group of its own.
    assert len(EqualWeighting(["depth"]).param_groups(nn.Linear(3, 1))) == 1


@pytest.mark.parametrize("parameter", ["lr", "noise_lr"])
def test_a_learning_rate_must_be_positive(parameter: str) -> None:
    with pytest.raises(MultisigmaError, match=f"`{parameter}` must be a number, positive and finite. Found 0"):
        UncertaintyWeighting({"depth": Laplace()}).param_groups(**{parameter: 0.0})


def test_a_type_checker_knows_what_a_call_takes_and_returns(tmp_path: Path) -> None:
    code = """
        import torch
        from multisigma import EqualWeighting
        objective: torch.Tensor = EqualWeighting(["a"])({"a": torch.ones(())})
        wrong: int = EqualWeighting(["a"])({"a": torch.ones(())})
        EqualWeighting(["a"])([torch.ones(())])
    """
    file = tmp_path / "user.py"
    file.write_text("\n".join(line.strip() for line in code.splitlines()))
    done = subprocess.run([sys.executable, "-m", "mypy", str(file)], capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if "error:" in line]
    assert len(found) == 2, done.stdout
    assert "Tensor" in found[0]
    assert "Mapping" in found[1]


def test_repr_shows_tasks_and_likelihoods() -> None:
    weighting = UncertaintyWeighting({"semantic": Softmax(), "instance": Laplace(dimension=2)})
    assert repr(weighting) == "UncertaintyWeighting(semantic=Softmax(), instance=Laplace(dimension=2))"
    assert repr(EqualWeighting(["a", "b"])) == "EqualWeighting(a, b)"


def test_completion_knows_the_names_that_are_imported_on_first_use() -> None:
    assert {"UncertaintyWeighting", "Laplace", "MultisigmaError", "__version__"} <= set(dir(multisigma))


def test_a_row_for_a_log_needs_no_numpy() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "from multisigma import Laplace, UncertaintyWeighting\n"
        "print(UncertaintyWeighting({'depth': Laplace()}, 2.0).log())"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    row = eval(done.stdout)
    assert row == pytest.approx({"weight/depth": math.exp(-1), "noise/depth": math.e, "sigma/depth": math.e})


def test_noise_is_one_over_the_weight_as_in_the_papers_figures() -> None:
    """Noise of 0.075, 20.4 and 3.25 is weights of 43 : 0.16 : 1."""
    noise = {"semantic": 0.075, "instance": 20.4, "depth": 3.25}
    start = {"semantic": math.log(0.075), "instance": 2 * math.log(20.4), "depth": 2 * math.log(3.25)}
    weighting = UncertaintyWeighting({"semantic": Softmax(), "instance": Laplace(), "depth": Laplace()}, start)
    assert weighting.noise == pytest.approx(noise, rel=1e-5)
    weights = weighting.weights
    assert weights["semantic"] / weights["depth"] == pytest.approx(43, abs=0.5)
    assert weights["instance"] / weights["depth"] == pytest.approx(0.16, abs=0.005)


def learned(steps: int, **settings: float) -> UncertaintyWeighting:
    """A steady squared error of 400, so a noise of 20, under AdamW."""
    initial, lr = settings.get("initial", 0.0), settings.get("lr", 0.02)
    weighting = UncertaintyWeighting({"depth": Gaussian()}, initial)
    optimizer = torch.optim.AdamW(weighting.param_groups(noise_lr=lr))
    for _ in range(steps):
        optimizer.zero_grad()
        weighting({"depth": torch.tensor(400.0)}).backward()
        optimizer.step()
    return weighting


def test_a_noise_far_behind_its_optimum_is_warned_of_once() -> None:
    with pytest.warns(UserWarning, match=r"'depth': sigma is .* about 20\..*noise_lr.*initial.*closed_form") as found:
        assert learned(1100).sigma["depth"] < 10
    assert len(found) == 1


@pytest.mark.parametrize("settings", [{"initial": 6.0}, {"lr": 1.0}])
def test_a_noise_that_arrives_is_not_warned_of(settings: dict[str, float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert learned(1500, **settings).sigma["depth"] == pytest.approx(20, rel=0.1)


def test_a_noise_inside_its_loss_has_no_optimum_to_lag_behind() -> None:
    target = 100.0 * torch.distributions.StudentT(4.0).sample((1000,))
    weighting = UncertaintyWeighting({"depth": StudentT()}, initial=9.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(1100):
            weighting({"depth": Prediction(torch.zeros(1000), target)})


@pytest.mark.parametrize("mu", [1e-36, 1e-300, 1e-3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_smooth_maximum_of_large_losses_under_a_small_mu_is_the_maximum(mu: float, dtype: torch.dtype) -> None:
    losses = [torch.tensor(value, dtype=dtype, requires_grad=True) for value in (1e3, 2e3)]
    objective = SmoothTchebycheff(["a", "b"], mu)(dict(zip("ab", losses, strict=True)))
    objective.backward()
    assert objective.item() == pytest.approx(1e3)
    assert [loss.grad.item() for loss in losses if loss.grad is not None] == [0.0, 0.5]


def test_dynamic_weight_average_refuses_negative_losses() -> None:
    with pytest.raises(MultisigmaError, match=r"'a': DynamicWeightAverage takes no loss below 0\.0\. Found -1\.0"):
        DynamicWeightAverage(["a"], 1)({"a": torch.tensor(-1.0)})


def test_famo_update_must_follow_forward() -> None:
    famo, loss = FAMO(["a", "b"]), {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}
    with pytest.raises(MultisigmaError, match="`update` must follow"):
        famo.update(loss)
    famo(loss)
    famo.update(loss)
    with pytest.raises(MultisigmaError, match="`update` must follow"):
        famo.update(loss)


def test_gradient_accumulation_with_sums_and_the_whole_count() -> None:
    """A micro-batch's (sum, its own count) weighs each part alike; (sum, mean count) weighs each label alike."""
    errors = torch.tensor([1.0, 2.0, 3.0, 10.0])
    parts, gradients = (errors[:3], errors[3:]), []

    def gradient(give: list[tuple[Tensor, float]]) -> float:
        scale, weighting = torch.ones((), requires_grad=True), UncertaintyWeighting({"depth": Laplace()}, 0.7)
        for total, count in give:
            (weighting({"depth": (scale * total, count)}) / len(give)).backward()
        noise = weighting.log_variance("depth").grad
        assert scale.grad is not None
        assert noise is not None
        gradients.append((scale.grad.item(), noise.item()))
        return scale.grad.item()

    whole = gradient([(errors.sum(), 4)])
    assert gradient([(part.sum(), 4 / len(parts)) for part in parts]) == pytest.approx(whole)
    assert gradients[1] == pytest.approx(gradients[0])
    assert gradient([(part.sum(), len(part)) for part in parts]) != pytest.approx(whole)


@NESTED_FUNC
def test_a_smooth_maximum_has_its_second_derivative() -> None:
    def objective(losses: Tensor) -> Tensor:
        terms = losses / 2  # preferences of 1/2 each
        return torch.logsumexp(terms, 0)

    losses = torch.tensor([1.0, 2.0])
    ours = torch.func.hessian(lambda x: SmoothTchebycheff(["a", "b"])({"a": x[0], "b": x[1]}))(losses)
    assert torch.allclose(ours, torch.func.hessian(objective)(losses), atol=1e-6)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_loss_that_is_not_finite_is_refused(value: float) -> None:
    for weighting in (EqualWeighting(["a", "b"]), UncertaintyWeighting({"a": Laplace(), "b": Laplace()})):
        for other in (torch.tensor(1.0), None):
            with pytest.raises(MultisigmaError, match=f"'a': the loss must be finite. Found {value}"):
                weighting({"a": torch.tensor(value), "b": other})


@pytest.mark.parametrize("weighting", [FAMO(["a"]), UncertaintyWeighting({"a": Laplace()}, closed_form=True)], ids=str)
def test_where_losses_are_not_looked_at_one_that_is_not_finite_passes_by(weighting: multisigma.Weighting) -> None:
    call = torch.compile(weighting, backend="aot_eager")
    objectives = [call({"a": torch.tensor(value)}).item() for value in (1.0, math.inf, 1.0, 1.0)]
    assert not math.isfinite(objectives[1])
    assert all(map(math.isfinite, objectives[2:]))


def test_gradnorm_survives_a_gradient_that_is_not_finite() -> None:
    gradnorm, x = GradNorm(["a", "b"]), torch.ones((), requires_grad=True)
    gradnorm({"a": (x - x.detach()).abs().sqrt(), "b": x.square()}, shared=x)
    assert gradnorm({"a": x, "b": x.square()}, shared=x).isfinite()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FixedWeighting(["a"]), "`weights` must be a dictionary.*Found list"),  # type: ignore[arg-type]
        (lambda: FixedWeighting({"a": "1"}), "'a': a weight must be a finite number"),  # type: ignore[dict-item]
        (lambda: DynamicWeightAverage(["a"], 1.5), "whole number"),  # type: ignore[arg-type]
        (lambda: RLW(["a"], seed=1.5), "whole number"),  # type: ignore[arg-type]
        (lambda: GradientAggregation(["a"], 3), "or a function. Found 3"),  # type: ignore[arg-type]
        (lambda: SmoothTchebycheff(["a"], mu=None), "`mu` must be a number"),  # type: ignore[arg-type]
        (lambda: UncertaintyWeighting({"a": Laplace()}, initial="1"), "`initial` must be a finite number"),  # type: ignore[arg-type]
    ],
)
def test_settings_of_the_wrong_type_are_named(make: Callable[[], object], words: str) -> None:
    with pytest.raises(MultisigmaError, match=words):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: UncertaintyWeighting({"a": Gaussian()}),
        lambda: FixedWeighting({"a": 0.3}),
        lambda: FAMO(["a"], lower_bounds={"a": 0.5}),
        lambda: SmoothTchebycheff(["a"], preferences={"a": 3.0}, ideal={"a": 0.5}),
        lambda: RLW(["a"], seed=3),
    ],
)
def test_settings_are_kept_where_a_model_is_made_on_the_meta_device(make: Callable[[], Weighting]) -> None:
    """As `from_pretrained` of transformers does: it fills the parameters and buffers from a file."""
    with torch.device("meta"):
        weighting = make()
    weighting.to_empty(device="cpu").load_state_dict(make().state_dict())
    assert weighting({"a": torch.tensor(1.0)}).item() == make()({"a": torch.tensor(1.0)}).item()


def test_a_masked_softmax_is_that_of_the_others() -> None:
    found = masked_softmax(torch.tensor([1.0, 9.0, 2.0]), torch.tensor([True, False, True]))
    assert found[[0, 2]].tolist() == pytest.approx(torch.tensor([1.0, 2.0]).softmax(0).tolist())
    assert found[1] == 0
    assert masked_softmax(torch.ones(2), torch.zeros(2, dtype=torch.bool)).tolist() == [0, 0]


def test_settings_that_are_first_used_under_fake_tensors_hold_numbers_later() -> None:
    """Tracers and estimators of memory run a model under fake tensors."""
    settings = (0.123, 4.0)
    make_fx(lambda x: constant(settings, torch.device("cpu")) * x, tracing_mode="fake")(torch.ones(2))
    assert constant(settings, torch.device("cpu")).tolist() == pytest.approx(settings)
    assert constant(settings, torch.device("cpu")) is constant(settings, torch.device("cpu"))


def test_settings_that_are_first_used_in_inference_mode_can_be_trained_with() -> None:
    weighting, loss = FixedWeighting({"a": 0.123456}), torch.tensor(2.0, requires_grad=True)
    with torch.inference_mode():
        weighting({"a": loss})
    weighting({"a": loss}).backward()
    assert loss.grad == torch.tensor(0.123456)


def test_a_likelihood_without_a_formula_is_an_error() -> None:
    class Nothing(ExactLikelihood):
        pass

    with pytest.raises(TypeError, match="negative_log_likelihood"):
        Nothing()  # type: ignore[abstract]


def test_the_lag_watch_looks_past_batches_without_the_task_s_label() -> None:
    watch = LagWatch(["a", "b"])
    far, optimum = torch.zeros(2), torch.full((2,), 20.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for look in range(2 * (LAG_CALLS // CHECK_EVERY) - 2):
            watch.look(far, optimum, torch.tensor([look % 2 == 0, False]))
    with pytest.warns(UserWarning, match="Task 'a': sigma is 1 and its optimum"):
        watch.look(far, optimum, torch.tensor([True, False]))
