"""Each example runs as it stands, and learns the noise that its data has."""

import ast
import csv
import importlib.util
import json
import re
import runpy
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from multisigma.datasets import Camera
from multisigma.visualization.point_cloud import PointCloud

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(folder: Path, example: str, *arguments: str, launcher: tuple[str, ...] = ()) -> str:
    command = [sys.executable, *launcher, str(EXAMPLES / example), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run an example in this process, which has loaded torch, in a folder of its own; return what it prints."""

    def run_here(example: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [example, *arguments])
        monkeypatch.chdir(tmp_path)
        with torch.random.fork_rng(devices=[]):
            runpy.run_path(str(EXAMPLES / example), run_name="__main__")
        return capsys.readouterr().out

    return run_here


def last_sigma(output: str) -> dict[str, float]:
    found: dict[str, float] = ast.literal_eval(re.findall(r"sigma (\{[^}]*\})", output)[-1])
    return found


@pytest.mark.parametrize("tasks", [2, 100])
def test_toy_finds_the_noise_of_every_line(run_here: Callable[..., str], tasks: int) -> None:
    output = run_here("toy_two_regressions.py", "--tasks", str(tasks))
    found = re.findall(r"noise (\S+), learned (\S+)", output)
    assert len(found) == tasks
    noise = [float(true) for true, _ in found]
    assert noise == [10, 1] if tasks == 2 else (noise[0], noise[-1]) == (0.1, 10)
    for true, learned in found:
        assert float(learned) == pytest.approx(float(true), rel=0.05)


def test_plain_loop(run_here: Callable[..., str], tmp_path: Path) -> None:
    output = run_here("plain_loop.py")
    assert output.count("sigma") == 6
    # The data's noise is 0.5; what the network has not learned comes on top.
    assert 0.5 < last_sigma(output)["height"] < 0.7
    assert not list(tmp_path.iterdir())


def test_lightning_module(run_here: Callable[..., str], tmp_path: Path) -> None:
    output = run_here("lightning_module.py", "--out", "here")
    assert last_sigma(output)["distance"] == pytest.approx(0.2, rel=0.15)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["here", "weighting.csv", "weighting.png"]
    with (tmp_path / "here" / "weighting.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(0, 601, 10))
    assert float(rows[0]["sigma/distance"]) == 1


def test_accelerate_loop(tmp_path: Path) -> None:
    sigma = last_sigma(run(tmp_path, "accelerate_loop.py"))
    assert sigma["wave"] < 0.5
    assert sigma["loudness"] < 0.5


@pytest.mark.slow
def test_accelerate_loop_is_the_same_on_two_processes(tmp_path: Path) -> None:
    launcher = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2")
    two = run(tmp_path, "accelerate_loop.py", launcher=launcher)
    assert last_sigma(two) == pytest.approx(last_sigma(run(tmp_path, "accelerate_loop.py")), rel=1e-5)


def test_huggingface_trainer(tmp_path: Path) -> None:
    """The log has the weighting's row, and the saved model has the learned noise (the example asserts it)."""
    output = run(tmp_path, "huggingface_trainer.py", "--out", "here")
    assert output.count("'sigma/loudness'") == 5
    sigma = last_sigma(output)
    assert sigma["wave"] < 0.5
    assert 0.05 < sigma["loudness"] < 0.2
    assert (tmp_path / "here" / "checkpoint-400" / "model.safetensors").exists()


def test_huggingface_trainer_resumes_to_the_same_noise(tmp_path: Path) -> None:
    from transformers import TrainingArguments, set_seed

    example = runpy.run_path(str(EXAMPLES / "huggingface_trainer.py"))
    sigma = []
    for resume in (None, str(tmp_path / "checkpoint-5")):
        set_seed(0)
        network, data = example["Network"](), example["make_data"](256)
        optimizer = torch.optim.AdamW(network.weighting.param_groups(network, lr=0.01, noise_lr=0.05))
        settings = TrainingArguments(
            str(tmp_path), max_steps=10, save_steps=5, use_cpu=True, report_to="none", disable_tqdm=True
        )
        trainer = example["LoggingTrainer"](network, settings, train_dataset=data, optimizers=(optimizer, None))
        trainer.train(resume_from_checkpoint=resume)
        sigma.append(network.weighting.sigma)
    assert sigma[0]["wave"] != 1
    assert sigma[1] == pytest.approx(sigma[0], rel=1e-5)


def test_learned_weights_collapse_and_learned_noise_does_not(run_here: Callable[..., str]) -> None:
    """The sentence of section 3.2: weights learned in equation 1 go to zero, and with them the training."""
    lines = run_here("weights_collapse.py").splitlines()
    rows = [{name: float(value) for name, value in re.findall(r", ([a-z ]+) (\S+?)(?=,|$)", line)} for line in lines]
    (first, middle, last), (_, _, noise_last) = rows[:3], rows[3:]
    assert last["weight of the line"] < 1e-6
    assert last["weight of the wave"] < 0.01
    assert last["objective"] < 1e-4 * first["objective"]
    for task, true_noise in (("line", 10), ("wave", 0.1)):
        error = f"error of the {task}"
        assert last[error] > 0.98 * middle[error]
        assert last[error] > 0.75 * first[error]
        assert noise_last[error] < 0.2 * last[error]
        assert noise_last[f"weight of the {task}"] == pytest.approx(0.5 / true_noise**2, rel=0.5)


def test_picture_of_the_collapse(tmp_path: Path) -> None:
    example = runpy.run_path(str(EXAMPLES / "weights_collapse.py"))
    columns = [
        "step",
        "objective",
        *(f"{kind} of the {task}" for kind in ("weight", "error") for task in example["TASKS"]),
    ]
    example["draw"]({"one": [dict.fromkeys(columns, 1.0)], "other": [dict.fromkeys(columns, 2.0)]}, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def example(name: str) -> Any:
    """Import an example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small_cloud() -> PointCloud:
    rng = np.random.default_rng(0)
    return PointCloud(
        points=rng.uniform((-2, -1, 5), (2, 1, 9), (50, 3)).astype(np.float32),
        colours=rng.integers(0, 256, (50, 3), np.uint8),
        pixels=np.zeros((50, 2), np.int32),
        class_ids=np.full(50, 26, np.uint8),
        instance_ids=np.arange(50, dtype=np.int32),
        scores=rng.uniform(0, 1, 50).astype(np.float32),
    )


def test_the_message_of_the_ros_node_holds_the_cloud() -> None:
    """The bytes are read back as sensor_msgs/PointField describes them."""
    node, cloud = example("ros_cloud_node"), small_cloud()
    message = node.cloud_message_fields(cloud)
    types = {2: "B", 5: "<i", 6: "<I", 7: "<f"}
    assert len(message["data"]) == message["row_step"] == 50 * message["point_step"]
    for i in (0, 17, 49):
        start = i * message["point_step"]
        found = {
            name: struct.unpack_from(types[datatype], message["data"], start + offset)[0]
            for name, offset, datatype in message["fields"]
        }
        assert [found[axis] for axis in "xyz"] == cloud.points[i].tolist()
        assert found["rgb"].to_bytes(4, "big") == bytes([0, *cloud.colours[i].tolist()])
        assert (found["class"], found["instance"], found["score"]) == (26, i, cloud.scores[i])
    camera = node.camera_of_projection([70, 0, 30.5, 0, 0, 71, 22.5, 0, 0, 0, 1, 0], 0.3)
    assert camera == Camera(0.3, 70, 71, 30.5, 22.5)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 3), np.uint8)
    padded = np.pad(pixels.reshape(2, 9), ((0, 0), (0, 7)))
    image = SimpleNamespace(encoding="bgr8", height=2, width=3, step=16, data=padded.tobytes())
    np.testing.assert_array_equal(node.pixels_of_message(image), pixels[..., ::-1])


def test_a_turning_point_cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_cloud().write_ply(tmp_path / "cloud.ply")
    arguments = [str(tmp_path / "cloud.ply"), str(tmp_path / "cloud.gif"), "--frames", "3", "--size", "20", "30"]
    monkeypatch.setattr(sys, "argv", ["turning_point_cloud.py", *arguments])
    example("turning_point_cloud").main()
    with Image.open(tmp_path / "cloud.gif") as picture:
        assert picture.size == (60, 20)
        assert picture.n_frames > 1  # type: ignore[attr-defined]


def test_notebook(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its cells run one after the other. Jupyter would show more, and compute the same."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = json.loads((EXAMPLES / "street.ipynb").read_text(encoding="utf-8"))
    names: dict[str, object] = {}
    for i, cell in enumerate(notebook["cells"]):
        assert not cell.get("outputs"), "store the notebook without outputs"
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"cell {i}", "exec"), names)
    text = capsys.readouterr().out
    assert "the road ahead is" in text
    sigma = last_sigma(text.replace("{", "sigma {"))
    assert sigma == pytest.approx({"noisy": 10, "clean": 0.5}, rel=0.1)
