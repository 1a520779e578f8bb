"""Every weighting by name in the street system: it trains, logs and resumes; a user's own does too; wrong choices."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from multisigma import FAMO, DynamicWeightAverage, MultisigmaError, UncertaintyWeighting, Weighting
from multisigma.cli import main
from multisigma.synthetic import generate
from multisigma.tasks import load_tasks
from multisigma.training.config import LABELLED, Names, TrainConfig
from multisigma.training.scene_module import SceneModule
from multisigma.training.weightings import WEIGHTINGS, has_tasks_likelihoods, make_weighting
from multisigma.visualization.curves import read_log
from tests.evaluations import numbers_in

TASKS = ("semantic", "instance", "depth")
OPTIONS = {"fixed": ["--weighting.weights", "{semantic: 0.89, instance: 0.01, depth: 0.1}"]}
FAST = {"uncertainty", "famo", "gradnorm", "upgrad", "rlw", "dwa"}
SMALL = [
    *("--encoder", "test_resnet", "--encoder-weights", "none", "--aspp-channels", "4", "--decoder-channels", "4"),
    *("--batch-size", "2", "--crop", "32x64", "--scale-min", "0.8", "--scale-max", "1.2", "--workers", "0"),
    *("--accelerator", "cpu", "--log-every", "1", "--learning-rate", "0.01"),
]
CUT = 5  # within the second epoch; dwa's weights differ from 1 from the third on


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "streets"
    generate(path, 6, 2, 64, 128, seed=0, processes=1, samples_page=False)
    return path


def train(root: Path, run: Path, *options: str) -> int:
    return main(["train", "--preset", "tiny", "--data", str(root), "--out", str(run), *SMALL, *options])


def checkpoint(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def load_weighting(config: TrainConfig, steps_per_epoch: int = 1) -> Weighting:
    names = TASKS if config.tasks == LABELLED else config.tasks.values
    return make_weighting(config, load_tasks(names), steps_per_epoch)


@pytest.mark.parametrize("name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in WEIGHTINGS])
def test_every_weighting_trains_and_resumes_exactly(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole, cut, step = tmp_path / "whole", tmp_path / "cut", SceneModule.training_step

    def copied(self: SceneModule, *arguments: Any) -> Tensor:
        if self.global_step == CUT:
            shutil.copytree(whole, cut)
        return step(self, *arguments)

    options = ["--weighting", name, *OPTIONS.get(name, []), "--iterations", "10", "--checkpoint-every", str(CUT)]
    with monkeypatch.context() as patch:
        patch.setattr(SceneModule, "training_step", copied)
        assert train(root, whole, *options) == 0
    assert checkpoint(cut)["global_step"] == CUT
    assert main(["train", "--resume", "--out", str(cut)]) == 0

    expected, found = (checkpoint(run)["state_dict"] for run in (whole, cut))
    assert expected.keys() == found.keys()
    # GradNorm's first losses are NaN where a task had none yet.
    assert all(torch.equal(expected[key].nan_to_num(), found[key].nan_to_num()) for key in expected)
    log, resumed = read_log(whole), read_log(cut)
    assert log.keys() == resumed.keys()
    for column, (steps, values) in log.items():
        np.testing.assert_array_equal(values, resumed[column][1], err_msg=column)
        assert np.isfinite(values).all()
        assert len(steps) == 10 or column.startswith("val/")
    for task in TASKS:
        np.testing.assert_allclose(log[f"noise/{task}"][1], 1 / log[f"weight/{task}"][1], rtol=1e-12)


def test_the_weightings_are_those_of_the_help_text() -> None:
    (help_text,) = (f.metadata["help"] for f in TrainConfig.__dataclass_fields__.values() if f.name == "weighting")
    assert help_text.split(": ")[1].split(";")[0].split(", ") == list(WEIGHTINGS)


def test_a_weighting_is_handed_what_it_needs() -> None:
    dwa = load_weighting(TrainConfig(weighting="dwa", weighting_options={"temperature": 3}), steps_per_epoch=7)
    assert isinstance(dwa, DynamicWeightAverage)
    assert (dwa.tasks, dwa.steps_per_epoch, dwa.temperature) == (TASKS, 7, 3)
    chosen = load_weighting(TrainConfig(weighting="dwa", weighting_options={"steps_per_epoch": 3}), steps_per_epoch=7)
    assert isinstance(chosen, DynamicWeightAverage)
    assert chosen.steps_per_epoch == 3
    assert load_weighting(TrainConfig(weighting="rlw", seed=5)).seed == 5
    uncertainty = load_weighting(
        TrainConfig(weighting_options={"initial": {"depth": 1}, "bounds": [-3, 5], "closed_form": True})
    )
    assert isinstance(uncertainty, UncertaintyWeighting)
    assert uncertainty.likelihoods == {task.name: task.likelihood for task in load_tasks(TASKS)}
    assert uncertainty.sigma == pytest.approx({"semantic": 1, "instance": 1, "depth": np.exp(0.5)})
    assert uncertainty.bounds == (-3, 5)


def test_only_noise_of_the_tasks_own_likelihoods_is_calibrated() -> None:
    found = [name for name in WEIGHTINGS if name != "fixed" and has_tasks_likelihoods(load(name))]
    assert found == ["uncertainty"]


def load(name: str) -> Weighting:
    return load_weighting(TrainConfig(weighting=name))


def test_equal_weights_sum_to_one() -> None:
    assert load("equal").weights == pytest.approx(dict.fromkeys(TASKS, 1 / 3))
    assert load_weighting(TrainConfig(weighting="equal", tasks=Names("depth"))).weights == {"depth": 1}


def test_the_uniform_form_against_numpy() -> None:
    """exp(-s) L + s for every task, whatever its likelihood; the noise exp(s) goes to the mean loss."""
    means = {"semantic": 0.3, "instance": 8.0, "depth": 2.0}
    weighting = load_weighting(TrainConfig(weighting="uniform", weighting_options={"initial": 0.7}))
    losses = {name: torch.tensor(mean) for name, mean in means.items()}
    expected = sum(np.exp(-0.7) * mean + 0.7 for mean in means.values())
    assert weighting(losses).item() == pytest.approx(expected, rel=1e-6)
    assert weighting.weights == pytest.approx(dict.fromkeys(means, np.exp(-0.7)))
    optimizer = torch.optim.SGD(weighting.param_groups(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        weighting(losses).backward()
        optimizer.step()
    assert {name: 1 / weight for name, weight in weighting.weights.items()} == pytest.approx(means, rel=1e-4)


def test_famo_sees_the_same_batch_after_the_step(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before: list[dict[str, float]] = []
    after: list[dict[str, float]] = []
    combine, update = FAMO.combine, FAMO.update

    def mean(losses: Any) -> dict[str, float]:
        return {name: (total / count).item() for name, (total, count) in losses.items()}

    def combined(self: FAMO, batch: Any) -> Tensor:
        before.append(dict(zip(self.tasks, batch.mean.tolist(), strict=True)))
        return combine(self, batch)

    def updated(self: FAMO, losses: Any) -> None:
        after.append(mean(losses))
        update(self, losses)

    monkeypatch.setattr(FAMO, "combine", combined)
    monkeypatch.setattr(FAMO, "update", updated)
    # A step this small changes the losses by little: what is left is the batch, which must be the same.
    options = ["--weighting", "famo", "--iterations", "3", "--learning-rate", "1e-6"]
    assert train(root, tmp_path / "run", *options) == 0
    assert len(before) == len(after) == 3
    for first, second in zip(before, after, strict=True):
        assert second == pytest.approx(first, rel=1e-3)
        assert second != first
    state = checkpoint(tmp_path / "run")["state_dict"]
    assert state["weighting.adam_steps"].tolist() == [3, 3, 3]
    # The second pass leaves the running statistics of batch normalisation alone.
    assert {int(value) for name, value in state.items() if name.endswith("num_batches_tracked")} == {3}
    # Without a second pass the next batch serves, and the first step has none before it.
    assert train(root, tmp_path / "cheap", *options, "--weighting.second_pass", "false") == 0
    assert len(after) == 3
    assert checkpoint(tmp_path / "cheap")["state_dict"]["weighting.adam_steps"].tolist() == [2, 2, 2]


def test_a_users_own_weighting(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file outside the package, with an option and a memory of its own."""
    (tmp_path / "my_weighting.py").write_text(
        """
import torch
from multisigma import Weighting

class InverseOfFirstLoss(Weighting):
    def __init__(self, tasks, power: float = 1.0):
        super().__init__(tasks)
        self.power = power
        self.register_buffer("first", torch.zeros(len(self.tasks)))

    def combine(self, batch):
        if self.training:
            seen = self.first > 0
            self.replace_buffer("first", self.first.where(seen | ~batch.labelled, batch.mean.detach()))
        return batch.sum(batch.mean / self.first.where(self.first > 0, 1.0) ** self.power)

    @property
    def weights(self):
        return self.by_name(1 / self.first.where(self.first > 0, 1.0) ** self.power)
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = tmp_path / "run"
    options = ("--weighting", "my_weighting.InverseOfFirstLoss", "--weighting.power", "0.5", "--iterations", "3")
    assert train(root, run, *options) == 0
    log = read_log(run)
    for task in TASKS:
        np.testing.assert_allclose(log[f"weight/{task}"][1], log[f"loss/{task}"][1][0] ** -0.5, rtol=1e-6)
    assert main(["evaluate", str(run), "--data", str(root), "--pictures", "0"]) == 0
    assert np.isfinite(numbers_in(run)["disparity_error_px"])
    assert main(["report", str(run)]) == 0
    assert "my_weighting.InverseOfFirstLoss" in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("famoo", {}, r"--weighting must be one of uncertainty, .*, or the path of a class .* Found 'famoo'"),
        ("no.such.Module", {}, r"'no\.such\.Module' cannot be imported .*PYTHONPATH"),
        (
            "multisigma.Laplace",
            {},
            r"derived from multisigma\.weighting\.Weighting\. Found 'multisigma\.Laplace'",
        ),
        ("multisigma.Weighting", {}, r"must define all .* Found no combine, weights\."),
        ("famo", {"rate": 1}, r"--weighting\.rate must be an option of --weighting famo, which has .*lr, "),
        ("mgda", {"rate": 1}, r"--weighting\.rate must be an option of --weighting mgda, which has none"),
        ("famo", {"tasks": ["depth"]}, r"--weighting\.tasks must be an option of"),
        ("famo", {"lr": "fast"}, r"--weighting\.lr must be of type float\. Found 'fast'"),
        ("famo", {"lr": -1}, r"--weighting famo: Parameter `lr` must be .*positive.* Found -1"),
        ("uncertainty", {"initial": float("inf")}, r"--weighting uncertainty: Parameter `initial` must be .*Found inf"),
        ("uncertainty", {"bounds": [1]}, r"--weighting\.bounds must be of type tuple\[float, float\]"),
        ("fixed", {}, r"--weighting\.weights must be given with --weighting fixed"),
        ("fixed", {"weights": {"depth": 1}}, r"fixed must weigh the tasks semantic, instance, depth\. Found depth"),
    ],
)
def test_wrong_choices(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(MultisigmaError, match=words):
        load_weighting(TrainConfig(weighting=name, weighting_options=options))


def test_a_wrong_choice_leaves_no_run(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(root, tmp_path / "run", "--weighting", "famo", "--weighting.rate", "1") == 2
    assert "Option --weighting.rate must be an option of --weighting famo" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


IN_TWO_PROCESSES = """
import shutil, sys
from pathlib import Path
import torch
from torch import distributed
from multisigma.cli import main
from multisigma.training.scene_module import SceneModule

folder, names, small = Path(sys.argv[1]), sys.argv[2].split(), sys.argv[3:]
step = SceneModule.training_step

def checked(module):
    # Batch normalisation's statistics are each process's own.
    state = {**dict(module.network.named_parameters()), **module.weighting.state_dict()}
    for key, value in state.items():
        parts = [torch.empty_like(value) for _ in range(2)]
        distributed.all_gather(parts, value.detach())
        assert torch.equal(parts[0].nan_to_num(), parts[1].nan_to_num()), key

for name in names:
    whole, cut = folder / name, folder / f"{name} cut"

    def copied(self, *arguments):
        if self.global_step == 4 and self.global_rank == 0:
            shutil.copytree(whole, cut)
        return step(self, *arguments)

    SceneModule.training_step = copied
    SceneModule.on_fit_end = checked
    options = [] if name != "fixed" else ["--weighting.weights", "{semantic: 0.89, instance: 0.01, depth: 0.1}"]
    options += ["--weighting", name, "--iterations", "10", "--checkpoint-every", "4", "--devices", "2"]
    command = ["train", "--preset", "tiny", "--data", str(folder / "root"), "--out", str(whole)]
    assert main([*command, *small, *options]) == 0
    SceneModule.training_step = step
    distributed.barrier()
    assert main(["train", "--resume", "--out", str(cut)]) == 0
    distributed.barrier()
"""


@pytest.mark.slow
def test_every_weighting_in_two_processes(root: Path, tmp_path: Path) -> None:
    """Both processes keep the same parameters and weights, and a run that was cut off resumes exactly."""
    shutil.copytree(root, tmp_path / "root")
    (tmp_path / "script.py").write_text(IN_TWO_PROCESSES)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [*launch, str(tmp_path / "script.py"), str(tmp_path), " ".join(WEIGHTINGS), *SMALL], check=True, timeout=1200
    )
    for name in WEIGHTINGS:
        expected, found = (checkpoint(tmp_path / run)["state_dict"] for run in (name, f"{name} cut"))
        assert all(torch.equal(expected[key].nan_to_num(), found[key].nan_to_num()) for key in expected), name
