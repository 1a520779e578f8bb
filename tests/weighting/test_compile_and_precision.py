"""No graph break under torch.compile; noise in float32 under autocast, in bfloat16, accumulated and scaled."""

import math

import pytest
import torch
from torch import Tensor, nn

from multisigma import (
    ExactSoftmax,
    Gaussian,
    Laplace,
    MultisigmaError,
    Prediction,
    Softmax,
    StudentT,
    UncertaintyWeighting,
    Weighting,
)
from tests.weighting.methods import METHODS, TASKS

COMPILED = [name for name in METHODS if name != "gradnorm"]  # as docs/weighting-methods.md says
FAST_INDUCTOR = [("uncertainty", True), ("famo", False)]


@pytest.fixture(autouse=True)
def _forget_compiled_code() -> None:
    torch.compiler.reset()


# The default compiler computes again in the backward pass what it can; the other one shows each operation as it is.
# The default one takes 3 s a case, so most of its cases are slow.
@pytest.mark.parametrize(
    ("name", "pairs", "backend"),
    [
        pytest.param(
            *(name, pairs, backend),
            marks=pytest.mark.slow if backend == "inductor" and (name, pairs) not in FAST_INDUCTOR else (),
        )
        for name in COMPILED
        for pairs in (False, True)
        for backend in ("aot_eager", "inductor")
    ],
)
def test_no_graph_break(name: str, pairs: bool, backend: str) -> None:
    eager, compiled = METHODS[name](), METHODS[name]()
    call = torch.compile(compiled, fullgraph=True, backend=backend)
    for step in range(3):
        results = []
        for weighting, module in ((eager, eager), (call, compiled)):
            x = torch.tensor([0.5, 1.5, 2.5], requires_grad=True)
            means = dict(zip(TASKS, (x * (1 + 0.1 * step)).square().unbind(), strict=True))
            given = {n: (7 * mean, torch.tensor(7)) for n, mean in means.items()} if pairs else means
            objective = weighting(given)
            objective.backward()
            results.append([objective.detach(), x.grad, *(p.grad for p in module.parameters())])
        for a, b in zip(*results, strict=True):
            assert torch.allclose(a, b, rtol=1e-5)
    assert compiled.weights == pytest.approx(eager.weights, rel=1e-5)


def test_a_compiled_backward_pass() -> None:
    """Compiled autograd: forward and backward in one graph."""
    gradients = []
    for compiled in (False, True):
        weighting, x = UncertaintyWeighting({"a": Gaussian(), "b": Laplace()}, 0.3), torch.ones(2, requires_grad=True)

        def step(weighting: Weighting = weighting, x: Tensor = x) -> None:
            weighting({"a": x[0] ** 2, "b": 3 * x[1] ** 2}).backward()

        with torch._dynamo.config.patch(compiled_autograd=compiled):
            (torch.compile(step, backend="aot_eager") if compiled else step)()
        gradients.append([x.grad, *(parameter.grad for parameter in weighting.parameters())])
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b)


@pytest.mark.parametrize("name", COMPILED)
def test_masked_tasks_are_absent_ones(name: str) -> None:
    """Where counts are not read a step without any label is none either: what follows is the same."""
    eager, compiled = METHODS[name](), METHODS[name]()
    call = torch.compile(compiled, fullgraph=True, backend="aot_eager")
    for step, present in enumerate(["abc", "a", "", "bc", "", "abc", "abc"]):
        results = []
        for weighting in (eager, call):
            x = torch.tensor([0.5, 1.5, 2.5], requires_grad=True)
            means = (x * (1 + 0.1 * step)).square().unbind()
            pairs = {n: (7 * mean, torch.tensor(7 * (n in present))) for n, mean in zip(TASKS, means, strict=True)}
            objective = weighting(pairs)
            objective.backward()
            results.append([objective.detach(), torch.zeros(3) if x.grad is None else x.grad])
        for a, b in zip(*results, strict=True):
            assert torch.allclose(a, b, rtol=1e-4), step
        assert compiled.weights == pytest.approx(eager.weights, rel=1e-4)


@pytest.mark.parametrize("name", COMPILED)
def test_no_graph_break_where_all_tasks_are_absent(name: str) -> None:
    weighting = METHODS[name]()
    call = torch.compile(weighting, fullgraph=True, backend="aot_eager")
    total = torch.zeros((), requires_grad=True)
    objective = call({}) + call({"a": None}) + call({"a": (total, 0)})
    assert objective.item() == 0.0
    objective.backward()
    assert total.grad == 0
    assert all(p.grad is None or not p.grad.any() for p in weighting.parameters())


def test_no_graph_break_where_the_noise_is_inside() -> None:
    likelihoods = {"class": ExactSoftmax(), "depth": StudentT(), "pose": Laplace()}
    eager, compiled = UncertaintyWeighting(likelihoods), UncertaintyWeighting(likelihoods)
    given = {
        "class": Prediction(torch.randn(5, 3), torch.tensor([0, 1, 2, -100, 1])),
        "depth": Prediction(torch.zeros(4), torch.tensor([1.0, math.nan, 2.0, 0.0])),
        "pose": torch.tensor(2.0),
    }
    assert torch.compile(compiled, fullgraph=True, backend="aot_eager")(given).item() == pytest.approx(
        eager(given).item()
    )


def test_a_compiled_training_step_with_absent_tasks() -> None:
    """A whole step in one graph, the default compiler included."""
    network, weighting = nn.Linear(3, 2), UncertaintyWeighting({"a": Gaussian(), "b": Laplace()})

    def objective(x: Tensor, target: Tensor) -> Tensor:
        labelled = target.isfinite()
        error = (network(x) - target.nan_to_num()) * labelled
        return weighting(
            {
                "a": (error[:, 0].square().sum(), labelled[:, 0].sum()),
                "b": (error[:, 1].abs().sum(), labelled[:, 1].sum()),
            }
        )

    target = torch.tensor([[1.0, math.nan], [2.0, math.nan]])
    value = torch.compile(objective, fullgraph=True)(torch.ones(2, 3), target)
    assert value.item() == pytest.approx(objective(torch.ones(2, 3), target).item(), rel=1e-5)
    value.backward()
    noise = weighting.log_variance("b").grad
    assert noise is None or not noise.any()


def test_noise_that_is_nan_is_an_error_where_it_is_read() -> None:
    weighting = UncertaintyWeighting({"a": Gaussian(), "b": Laplace()})
    with torch.no_grad():
        weighting.log_variance("b").fill_(math.nan)
    with pytest.raises(MultisigmaError, match="noise of task 'b' is NaN"):
        print(weighting.sigma)


@pytest.mark.parametrize("name", METHODS)
def test_a_bfloat16_state_is_taken_up_in_float32(name: str) -> None:
    saved = {
        key: value.to(torch.bfloat16) if isinstance(value, Tensor) and value.is_floating_point() else value
        for key, value in METHODS[name]().state_dict().items()
    }
    weighting = METHODS[name]()
    nn.ModuleDict({"weighting": weighting}).load_state_dict(
        {f"weighting.{key}": value for key, value in saved.items()}, assign=True
    )
    for key, value in weighting.state_dict().items():
        if isinstance(value, Tensor) and value.is_floating_point():
            assert value.dtype == torch.float32
            assert torch.equal(value.nan_to_num(), saved[key].float().nan_to_num())


@pytest.mark.parametrize("name", METHODS)
def test_state_stays_in_float32_in_a_bfloat16_model(name: str) -> None:
    model = nn.ModuleDict({"network": nn.Linear(2, 3), "weighting": METHODS[name]()}).to(torch.bfloat16)
    assert model["network"].weight.dtype == torch.bfloat16
    weighting = model["weighting"]
    for key, value in weighting.state_dict().items():
        if isinstance(value, Tensor) and value.is_floating_point():
            assert value.dtype == torch.float32, key
    outputs = model["network"](torch.ones(4, 2, dtype=torch.bfloat16)).square().mean(0)
    objective = weighting(dict(zip(TASKS, outputs.unbind(), strict=True)), shared=model["network"].parameters())
    assert objective.dtype == torch.float32
    objective.backward()
    assert model["network"].weight.grad is not None


@pytest.mark.parametrize("name", METHODS)
def test_state_is_float32_where_models_are_made_in_bfloat16(name: str) -> None:
    """As Lightning's 'bf16-true' and Hugging Face's `torch_dtype` make them."""
    torch.set_default_dtype(torch.bfloat16)
    try:
        weighting, x = METHODS[name](), torch.ones(2, requires_grad=True)
        objective = weighting({"a": x.sum()}, shared=x)
    finally:
        torch.set_default_dtype(torch.float32)
    assert objective.dtype == torch.float32
    assert all(tensor.dtype.itemsize >= 4 for tensor in weighting.parameters())
    assert all(tensor.dtype.itemsize >= 4 for tensor in weighting.buffers() if tensor.is_floating_point())
    for name_of, parameter in METHODS[name]().named_parameters():
        assert torch.equal(parameter, weighting.get_parameter(name_of))


def test_bfloat16_noise_moves_by_small_steps() -> None:
    """A step of 1e-4 at s = 2 is far below bfloat16's spacing of 0.016."""
    weighting = UncertaintyWeighting({"a": Gaussian()}, 2.0).to(torch.bfloat16)
    optimizer = torch.optim.SGD(weighting.parameters(), lr=1e-3)
    for _ in range(100):
        optimizer.zero_grad()
        weighting({"a": torch.tensor(0.5, dtype=torch.bfloat16)}).backward()
        optimizer.step()
    gradient = 0.5 * (1 - 0.5 * math.exp(-2.0))
    assert weighting.log_variance("a").item() == pytest.approx(2.0 - 0.1 * gradient, rel=1e-3)


def test_autocast_leaves_the_noise_in_float32() -> None:
    weighting = UncertaintyWeighting({"a": Softmax(), "c": ExactSoftmax()}, 1.23456)
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    given = {"a": torch.tensor(1.2345678), "c": Prediction(logits, torch.arange(6) % 4)}
    expected = weighting(given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = weighting(given)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    found.backward()
    assert weighting.log_variance("a").grad.dtype == torch.float32  # type: ignore[union-attr]


def test_accumulation_adds_up_and_scaling_scales() -> None:
    gradients = []
    for scale, split in ((1.0, False), (1.0, True), (4096.0, False)):
        weighting, x = UncertaintyWeighting({"a": Laplace()}, 0.3), torch.tensor([1.0, 2.0], requires_grad=True)
        parts = [x.sum() / 2] if not split else [x[0], x[1]]
        for part in parts:
            # Forward twice before a backward pass is allowed too.
            weighting({"a": part})
            (scale * weighting({"a": part}) / len(parts)).backward()
        gradients.append([x.grad / scale, weighting.log_variance("a").grad / scale])  # type: ignore[operator]
    for other in gradients[1:]:
        for a, b in zip(gradients[0], other, strict=True):
            assert torch.allclose(a, b, rtol=1e-5)


def test_a_gradient_scaler_skips_a_step_and_scales_back() -> None:
    """Where half precision overflows in the network's gradient the step is left out, for the noise too."""
    weighting, x = UncertaintyWeighting({"a": Laplace()}, 0.3), torch.tensor([1.0, 2.0], requires_grad=True)
    optimizer = torch.optim.SGD([*weighting.param_groups(), {"params": [x]}], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40, growth_interval=1)

    def step() -> None:
        optimizer.zero_grad()
        scaler.scale(weighting({"a": x.half().mean().float()})).backward()
        scaler.step(optimizer)
        scaler.update()

    before = weighting.sigma
    step()
    assert weighting.sigma == before
    assert x.tolist() == [1.0, 2.0]
    while weighting.sigma == before:
        step()
    gradient = 0.5 * (1 - 1.5 * math.exp(-0.15))
    assert weighting.log_variance("a").item() == pytest.approx(0.3 - 0.1 * gradient, rel=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("name", METHODS)
def test_on_cuda_no_step_waits_for_the_device(name: str) -> None:
    weighting, x = METHODS[name]().cuda(), torch.ones(3, device="cuda", requires_grad=True)
    one = torch.ones((), device="cuda")

    def step(names: tuple[str, ...]) -> None:
        given = dict(zip(names, x.square().unbind(), strict=False))
        weighting({name: (value, one) for name, value in given.items()}, shared=x).backward()
        weighting(given, shared=x).backward()

    step(TASKS[:2])  # the first time with tasks absent
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            step(TASKS)
            step(TASKS[:2])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(map(math.isfinite, weighting.weights.values()))
