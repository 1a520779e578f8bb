"""A model on disk and back, and what it says about pictures of every size."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open

import multisigma
from multisigma import MultisigmaError, SceneModel
from multisigma.datasets.frame import Camera
from multisigma.datasets.module import image_tensor
from multisigma.models import ModelInfo, ScenePrediction, scene_model
from multisigma.models.postprocess import to_height
from multisigma.tasks import (
    DenseResult,
    DepthResult,
    InstanceResult,
    PostprocessContext,
    SemanticResult,
    Task,
    load_tasks,
    postprocess,
)
from tests.frames import frame_of

INFO = ModelInfo(
    tasks=("semantic", "instance", "depth"),
    outputs={"semantic": 19, "instance": 2, "depth": 1},
    working_height=32,
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    encoder="test_resnet",
    aspp_channels=8,
    decoder_channels=8,
    sigmas={"depth": 0.5},
    noise_scales={"depth": 0.25},
    temperatures={"semantic": 2.5},
    score_calibrations={"instance": (0.7, -0.4)},
    calibration={"depth_fitted_coverage_90": 88.5},
)
CAMERA = Camera(0.2, 100.0, 100.0, 31.5, 15.5)


def random_model(info: ModelInfo = INFO) -> SceneModel:
    """A model of random weights and statistics, whose disparities are positive."""
    torch.manual_seed(0)
    model = SceneModel(info, load_tasks(info.tasks, info.task_options)).eval()
    for name, buffer in model.network.named_buffers():
        if name.endswith("running_mean"):
            torch.nn.init.normal_(buffer, std=0.1)
    for name, decoder in model.network.decoders.items():
        torch.nn.init.normal_(decoder[1].weight, std=1.0)
        if name == "depth":
            torch.nn.init.constant_(decoder[1].bias, 6.0)
    return model


@pytest.fixture(scope="module")
def model() -> SceneModel:
    return random_model()


@pytest.fixture
def saved(model: SceneModel, tmp_path: Path) -> Path:
    model.save(tmp_path / "saved")
    return tmp_path / "saved"


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


def test_a_model_is_two_files_that_cannot_execute(model: SceneModel, saved: Path) -> None:
    assert {path.name for path in saved.iterdir()} == {"model.json", "model.safetensors"}
    content = json.loads((saved / "model.json").read_text(encoding="utf-8"))
    assert content["format_version"] == 1
    assert content["multisigma_version"] == multisigma.__version__
    assert content["tasks"] == ["semantic", "instance", "depth"]
    weights = (saved / "model.safetensors").read_bytes()
    # Eight bytes of length, JSON, and numbers: neither a zip file nor a pickle.
    length = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + length])
    assert len(weights) == 8 + length + max(entry["data_offsets"][1] for entry in header.values())
    with safe_open(saved / "model.safetensors", "pt") as stored:
        assert set(stored.keys()) == set(model.network.state_dict())


def test_a_loaded_model_is_the_same_to_the_bit(model: SceneModel, saved: Path) -> None:
    loaded = SceneModel.load(str(saved), device="cpu")
    assert loaded.info == model.info
    assert not loaded.training
    rgb = torch.from_numpy(picture(32, 64)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected, found = model(rgb), loaded(rgb)
    assert all(torch.equal(expected[name], found[name]) for name in INFO.outputs)
    loaded.save(saved.parent / "again")
    for name in ("model.json", "model.safetensors"):
        assert (saved / name).read_bytes() == (saved.parent / "again" / name).read_bytes()


def test_half_precision_halves_the_file_and_keeps_the_outputs(model: SceneModel, saved: Path, tmp_path: Path) -> None:
    model.save(tmp_path / "half", half=True)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (saved, tmp_path / "half")]
    assert sizes[1] < 0.6 * sizes[0]
    loaded = SceneModel.load(tmp_path / "half", "cpu")
    state, expected = loaded.network.state_dict(), model.network.state_dict()
    assert {name: value.dtype for name, value in state.items()} == {n: v.dtype for n, v in expected.items()}
    for name, value in expected.items():
        kernel = value.dim() > 1
        torch.testing.assert_close(state[name], value, rtol=1e-3 if kernel else 0, atol=1e-7 if kernel else 0)
    rgb = torch.from_numpy(picture(32, 64)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        outputs, found = model(rgb), loaded(rgb)
    for name, output in outputs.items():
        assert float((found[name] - output).abs().max()) < 0.01 * float(output.abs().max())


def test_a_large_variance_survives_half_precision(tmp_path: Path) -> None:
    model = random_model()
    variance = next(value for name, value in model.network.named_buffers() if name.endswith("running_var"))
    variance.fill_(1e6)
    model.save(tmp_path / "half", half=True)
    loaded = SceneModel.load(tmp_path / "half", "cpu").network.state_dict()
    assert all(value.isfinite().all() for value in loaded.values())
    assert any(value.eq(1e6).all() for name, value in loaded.items() if name.endswith("running_var"))


def test_the_model_that_the_package_ships(
    model: SceneModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scene_model, "DEFAULT_FOLDER", tmp_path / "weights")
    with pytest.raises(MultisigmaError, match=r"weights: the package must hold a model.* Found no model.safetensors"):
        SceneModel.default()
    model.save(tmp_path / "weights", half=True)
    with caplog.at_level("INFO", "multisigma"):
        shipped = SceneModel.default("cpu")
    assert "the one that multisigma ships (test_resnet, " in caplog.text
    assert str(tmp_path / "weights" / "MODEL_CARD.md") in caplog.text
    assert shipped.info == INFO
    assert not shipped.training


def test_forward_normalises_by_the_stored_statistics() -> None:
    model, other = random_model(), random_model(replace(INFO, mean=(0.0, 10.0, 20.0), std=(1.0, 2.0, 3.0)))
    other.load_state_dict(model.state_dict())
    frame = frame_of(image=picture(32, 64))
    rgb = image_tensor(frame)[None].float()
    as_if = (rgb - torch.tensor([0.0, 10.0, 20.0])[:, None, None]) / torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    as_if = as_if * model.network.std + model.network.mean
    with torch.inference_mode():
        expected, found = model(as_if), other(rgb)
    for name, output in expected.items():
        torch.testing.assert_close(found[name], output, rtol=1e-3, atol=1e-3)


def test_at_the_working_height_results_are_those_of_the_outputs(model: SceneModel) -> None:
    image = picture(32, 64)
    scene = model.predict(image)
    with torch.inference_mode():
        outputs = {k: v[0].numpy() for k, v in model(torch.from_numpy(image).permute(2, 0, 1)[None]).items()}
    train_ids = outputs["semantic"].argmax(0)
    np.testing.assert_array_equal(scene["semantic"].ids, INFO.labels.ids_of_train_ids[train_ids])
    odds = np.exp(outputs["semantic"].astype(float) / INFO.temperatures["semantic"])
    np.testing.assert_allclose(scene["semantic"].probability, odds.max(0) / odds.sum(0), rtol=1e-4)
    np.testing.assert_array_equal(scene["depth"].disparity, outputs["depth"][0].clip(0))
    assert list(scene) == ["semantic", "instance", "depth"]
    assert "semantic, instance, depth" in repr(scene)
    with pytest.raises(KeyError, match="semantic, instance, depth"):
        scene["normals"]


@pytest.mark.parametrize("size", [(32, 64), (64, 128), (90, 160), (20, 30), (1, 1), (3, 200), (200, 3)])
def test_results_have_the_size_of_the_image(model: SceneModel, size: tuple[int, int]) -> None:
    scene = model.predict(picture(*size), camera=CAMERA)
    assert scene["semantic"].ids.shape == scene["semantic"].probability.shape == size
    assert scene["depth"].disparity.shape == scene["depth"].metres.shape == size
    assert scene["instance"].vectors.shape == (2, *size)
    for instance in scene["instance"]:
        left, top, right, bottom = instance.box
        rows, columns = np.nonzero(instance.mask)
        assert instance.mask.shape == size
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (left, top, right, bottom)


@given(rows=st.integers(1, 200), columns=st.integers(1, 200), height=st.integers(1, 64))
def test_the_size_to_work_at(rows: int, columns: int, height: int) -> None:
    working = to_height(np.zeros((rows, columns, 3), np.uint8), height)
    if columns * height <= 4 * height * rows or height <= rows:
        assert working.shape[0] == height
    # Nothing is enlarged beyond four heights, and what is wider already stays as it is.
    assert working.shape[1] <= max(4 * height, columns)
    assert working.shape[0] <= max(height, rows)
    assert abs(working.shape[1] - columns * working.shape[0] / rows) <= 1


def test_a_strip_of_one_row_is_not_enlarged_to_hundreds_of_frames(model: SceneModel) -> None:
    seen = []
    with model.network.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].shape)):
        scene = model.predict(picture(1, 500))
    assert seen == [(1, 3, 1, 500)]
    assert scene["semantic"].ids.shape == (1, 500)
    assert len(scene["instance"]) < 10


@pytest.mark.parametrize(("image_height", "height"), [(32, 32), (32, 64), (64, 64), (64, 16), (96, None)])
def test_scales_in_pixels_grow_with_the_image(model: SceneModel, image_height: int, height: int | None) -> None:
    """The model is trained at height 32. Lengths in an image of k times the height are k times as long."""
    scene = model.predict(picture(image_height, 2 * image_height), CAMERA, height, learned_noise=True)
    times = image_height / 32
    assert scene["depth"].sigma == pytest.approx(0.5 * times)
    assert scene["depth"].noise_scale == pytest.approx(0.25 * times)
    disparity = np.full((image_height, 2 * image_height), 40.0, np.float32)
    nearest, _ = replace(scene["depth"], disparity=disparity).interval(0.9)
    metres = 0.2 * 100 / (40 + 0.25 * times * math.log(10))
    np.testing.assert_allclose(nearest, metres, rtol=1e-6)


def test_a_strip_has_the_scale_of_its_own_height(model: SceneModel) -> None:
    """A strip is worked on at less than the model's height, and its scales follow."""
    scene = model.predict(picture(2, 64), CAMERA, learned_noise=True)
    assert scene["depth"].sigma == pytest.approx(0.5 * 2 / 32)


def test_lengths_grow_with_the_image_and_metres_do_not(model: SceneModel) -> None:
    """An image of four times the size, each pixel sixteen, is worked on as the small one."""
    small = picture(32, 64)
    large = small.repeat(4, 0).repeat(4, 1)
    one = model.predict(small, CAMERA)
    four = model.predict(large, CAMERA.resized(4, 4))
    # Averages over blocks of the linear interpolation stay near the small values.
    blocks = four["depth"].disparity.reshape(32, 4, 64, 4).mean((1, 3))
    assert np.median(np.abs(blocks / (4 * one["depth"].disparity) - 1)) < 0.03
    assert np.median(np.abs(np.log(four["depth"].metres[2::4, 2::4] / one["depth"].metres))) < 0.05
    np.testing.assert_allclose(one["depth"].noise_scale, 0.25)
    np.testing.assert_allclose(four["depth"].noise_scale, 1.0)
    # At twice the height the scale is that of the image all the same.
    np.testing.assert_allclose(model.predict(small, CAMERA, height=64)["depth"].noise_scale, 0.25)
    agree = (four["semantic"].ids[2::4, 2::4] == one["semantic"].ids).mean()
    assert agree > 0.9
    assert model.predict(large, height=128)["semantic"].ids.shape == (128, 256)


def test_the_interval_covers_laplace_errors(model: SceneModel) -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(5, 50, (300, 400)).astype(np.float32)
    disparity = (true + rng.laplace(0, 0.7, true.shape)).astype(np.float32)
    result = DepthResult(disparity, CAMERA, 0.7)
    metres = 20 / true
    for share in (0.5, 0.9):
        near, far = result.interval(share)
        assert ((near <= metres) & (metres <= far)).mean() == pytest.approx(share, abs=0.01)
    normal = DepthResult((true + rng.normal(0, 0.7, true.shape)).astype(np.float32), CAMERA, 0.7, noise="gaussian")
    near, far = normal.interval(0.68)
    assert ((near <= metres) & (metres <= far)).mean() == pytest.approx(0.68, abs=0.01)
    assert normal.resized(600, 800).noise == "gaussian"
    near, far = DepthResult(np.zeros((1, 1), np.float32), CAMERA, 0.7).interval()
    assert near[0, 0] == pytest.approx(20 / (0.7 * math.log(10)))
    assert far[0, 0] == math.inf
    for broken, words in (
        (replace(result, camera=None), "metres must have a camera"),
        (replace(result, noise_scale=None), "measured on validation frames"),
    ):
        with pytest.raises(MultisigmaError, match=words):
            broken.interval()
    with pytest.raises(MultisigmaError, match=r"from 0 to below 1\. Found 1"):
        result.interval(1)


def two_cars() -> dict[str, Any]:
    """Results at 64x128 of two cars, 5 px and 10 px of disparity away, with a camera of baseline * fx = 20."""
    logits = np.full((19, 64, 128), -9, np.float32)
    logits[0] = 9
    vectors, disparity = np.zeros((2, 64, 128), np.float32), np.full((1, 64, 128), 5, np.float32)
    y, x = np.mgrid[:64, :128].astype(np.float32)
    for left in (10, 80):
        part = np.s_[20:40, left : left + 30]
        logits[13][part], logits[0][part] = 9, -9
        vectors[0][part], vectors[1][part] = left + 14.5 - x[part], 29.5 - y[part]
    disparity[0][:, 64:] = 10
    outputs = {"semantic": logits, "instance": vectors, "depth": disparity}
    return postprocess(load_tasks(["semantic", "instance", "depth"]), outputs, PostprocessContext(camera=CAMERA))


def test_instances() -> None:
    cars = two_cars()["instance"]
    assert isinstance(cars, InstanceResult)
    assert len(cars) == 2
    first, second = sorted(cars, key=lambda car: car.box)
    assert first.class_name == second.class_name == "car"
    assert first.class_id == 26
    assert first.box == (10, 20, 40, 40)
    assert first.centre == pytest.approx((24.5, 29.5))
    assert first.distance == pytest.approx(4.0)
    assert second.distance == pytest.approx(2.0)
    assert 0.9 < first.score <= 1
    assert first.mask.sum() == 600
    assert first.mask[20:40, 10:40].all()
    assert cars[:1] == [cars[0]]


@pytest.mark.parametrize(("height", "width"), [(128, 256), (192, 384), (32, 64), (100, 200)])
def test_instances_at_another_size(height: int, width: int) -> None:
    scale = height / 64
    for before, after in zip(two_cars()["instance"], two_cars()["instance"].resized(height, width), strict=True):
        assert after.mask.shape == (height, width)
        assert after.box == pytest.approx([scale * edge for edge in before.box], abs=1)
        assert after.mask.sum() == pytest.approx(scale**2 * before.mask.sum(), rel=0.1)
        assert after.centre == pytest.approx([(value + 0.5) * scale - 0.5 for value in before.centre])
        assert (after.distance, after.score) == (before.distance, before.score)


def test_classes_at_another_size_have_smooth_borders() -> None:
    y, x = np.mgrid[:40, :40]
    ids = np.where(x > y, 7, 23).astype(np.uint8)
    large = SemanticResult(ids, np.ones((40, 40), np.float32)).resized(400, 400)
    y, x = np.mgrid[:400, :400]
    wrong = large.ids != np.where(x - y > 5, 7, 23)
    # Nearest neighbour would make steps of 10 pixels, and 5 % wrong.
    assert wrong.mean() < 0.02
    assert set(np.unique(large.ids)) == {7, 23}


def test_a_model_without_classes_has_vectors_alone() -> None:
    info = replace(INFO, tasks=("instance",), outputs={"instance": 2})
    scene = random_model(info).predict(picture(32, 64))
    assert scene["instance"].vectors.shape == (2, 32, 64)
    with pytest.raises(MultisigmaError, match="without the task 'semantic'"):
        len(scene["instance"])
    assert scene.summary()["tasks"] == {"instance": None}
    assert scene.draw().size[0] > 64


def test_pictures_and_files(tmp_path: Path) -> None:
    results = two_cars()
    scene = ScenePrediction(picture(64, 128), results, load_tasks(INFO.tasks), INFO.labels, CAMERA)
    sheet = scene.draw()
    # Image, classes, vectors, instances, depth and classes over the image in two rows of three.
    assert sheet.size[0] > 3 * 128
    pixels = np.asarray(sheet)
    legend = pixels[2 * (64 + 22) + 4 :]
    for name in ("road", "car"):
        color = next(label.color for label in INFO.labels.classes if label.name == name)
        assert (legend == color).all(2).sum() > 50
    absent = next(label.color for label in INFO.labels.classes if label.name == "person")
    assert not (legend == absent).all(2).any()
    road = results["semantic"].ids == 7
    over = pixels[64 + 44 + 0 : 2 * 64 + 44, 2 * (128 + 4) + 4 :][:64, :128]
    expected = (scene.image.astype(int) + INFO.labels.colors[results["semantic"].ids]) // 2
    np.testing.assert_array_equal(over[road], expected[road])
    assert scene.draw(width=32).size[0] < 3 * 40
    assert scene._repr_png_().startswith(b"\x89PNG")
    scene.save(tmp_path / "new" / "out", "ein Bild 東京 50%")
    out, name = tmp_path / "new" / "out", "ein Bild 東京 50%"
    with Image.open(out / "semantic" / f"{name}_labelIds.png") as stored:
        np.testing.assert_array_equal(np.asarray(stored), results["semantic"].ids)
    lines = (out / "instance" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    for line, car in zip(lines, results["instance"], strict=True):
        mask, class_id, score = line.split()
        assert (int(class_id), float(score)) == (26, car.score)
        with Image.open(out / "instance" / mask) as stored:
            np.testing.assert_array_equal(np.asarray(stored) > 0, car.mask)
    disparity = np.load(out / "arrays" / f"{name}_depth_disparity.npy", allow_pickle=False)
    np.testing.assert_array_equal(disparity, results["depth"].disparity)
    content = json.loads((out / "scenes" / f"{name}.json").read_text(encoding="utf-8"))
    assert content["camera"]["fx"] == 100
    assert [car["distance_m"] for car in content["tasks"]["instance"]] == [car.distance for car in results["instance"]]
    shares = {entry["class"]: entry["share"] for entry in content["tasks"]["semantic"]}
    assert shares["car"] == pytest.approx(1200 / (64 * 128), abs=1e-5)
    assert content["tasks"]["depth"]["disparity_px"]["5%"] == 5
    with pytest.raises(MultisigmaError, match=r"without a folder\. Found '\.\./a'"):
        scene.save(tmp_path, "../a")


OWN_TASK = """
from multisigma.tasks import RegressionTask

class Height(RegressionTask):
    name, requires = "height", ("depth",)

    def __init__(self, unit: str = "m") -> None:
        self.unit = unit

    def target(self, frame):
        raise NotImplementedError
"""


def test_a_task_of_the_authors_own_needs_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "height_task.py").write_text(OWN_TASK)
    monkeypatch.syspath_prepend(tmp_path)
    info = replace(
        INFO,
        tasks=("depth", "height_task.Height"),
        outputs={"depth": 1, "height": 1},
        task_options={"height": {"unit": "km"}},
    )
    random_model(info).save(tmp_path / "saved")
    monkeypatch.delitem(sys.modules, "height_task")
    with pytest.raises(MultisigmaError, match=r"runs code of its author\. Found the task 'height_task.Height'"):
        SceneModel.load(tmp_path / "saved", "cpu")
    assert "height_task" not in sys.modules
    model = SceneModel.load(tmp_path / "saved", "cpu", trust_code=True)
    assert model.tasks[1].unit == "km"  # type: ignore[attr-defined]
    scene = model.predict(picture(64, 64))
    assert isinstance(scene["height"], DenseResult)
    assert scene["height"].values.shape == (1, 64, 64)
    scene.save(tmp_path / "out", "a")
    assert np.load(tmp_path / "out" / "arrays" / "a_height_values.npy", allow_pickle=False).shape == (1, 64, 64)


def test_tasks_that_use_each_other_are_refused() -> None:
    first, second = load_tasks(["semantic", "depth"])
    first.requires, second.requires = ("depth",), ("semantic",)  # type: ignore[misc]
    outputs = {"semantic": np.zeros((19, 4, 4), np.float32), "depth": np.zeros((1, 4, 4), np.float32)}
    with pytest.raises(MultisigmaError, match="in a circle"):
        postprocess([first, second], outputs, PostprocessContext())


def fails(folder: Path, *words: str, **options: Any) -> None:
    with pytest.raises(MultisigmaError) as error:
        SceneModel.load(folder, **options)
    for word in words:
        assert word in str(error.value)


def test_folders_without_a_model(tmp_path: Path, saved: Path) -> None:
    fails(tmp_path / "nowhere", "nowhere: a model must be a folder. Found nothing there")
    fails(saved / "model.json", "Found a file")
    fails(tmp_path, "Found no model.json", "SceneModel.save")
    (saved / "model.safetensors").unlink()
    fails(saved, "Found no model.safetensors")
    (tmp_path / "config.yaml").touch()
    fails(tmp_path, "which training writes at its end", f"multisigma train --resume --out {tmp_path}")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": 2}, "`format_version` must be 1. Found 2"),
        ({"format_version": None}, "`format_version` must be 1. Found None"),
        ({"tasks": "semantic"}, "`tasks` must be a list of names. Found 'semantic'"),
        ({"tasks": ["depth"]}, "`outputs` must have one entry for each of the 1 tasks. Found 3"),
        ({"tasks": [3]}, "`tasks` must be a list of names. Found [3]"),
        ({"tasks": ["semantic", "instance", "os"]}, "Found 'os'"),
        ({"tasks": ["depth", "instance", "semantic"]}, "in the order of the tasks"),
        ({"outputs": [19, 2, 1]}, "`outputs` must be channels by task"),
        ({"outputs": {"semantic": 11, "instance": 2, "depth": 1}}, "must hold the weights of the network"),
        ({"working_height": 0}, "`working_height` must be a whole number from 1 to 1,000,000. Found 0"),
        ({"aspp_channels": 10**6, "decoder_channels": 10**6}, "must hold the weights of the network"),
        ({"decoder_channels": 2**63}, "`decoder_channels` must be a whole number from 1 to 1,000,000. Found 9223"),
        ({"working_height": True}, "`working_height` must be a whole number from 1 to 1,000,000. Found True"),
        ({"mean": [1, 2]}, "`mean` must be three numbers. Found [1, 2]"),
        ({"encoder": "resnet"}, "must be the name of a timm model"),
        ({"encoder": "hf-hub:timm/resnet10t"}, "which is on a hub"),
        ({"sigmas": None}, "`sigmas` must be numbers by task"),
        ({"sigmas": {"depth": 10**400}}, "`sigmas` must be numbers by task"),
        ({"labels": {}}, "`labels`: A label space must have the field 'classes'"),
        ({"labels": 3}, "`labels`: A label space must hold a table of classes"),
    ],
)
def test_a_damaged_description_is_named(saved: Path, change: Mapping[str, Any], words: str) -> None:
    path = saved / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | dict(change)), encoding="utf-8")
    fails(saved, words, str(saved))


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_a_description_of_any_bytes(saved: Path, content: bytes) -> None:
    (saved / "model.json").write_bytes(content)
    fails(saved, str(saved / "model.json"))


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_damaged_weights_are_named(saved: Path, share: float) -> None:
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    fails(saved, f"{path}: must hold the weights", "Restore the file")


def test_a_field_that_is_missing(saved: Path) -> None:
    content = json.loads((saved / "model.json").read_text(encoding="utf-8"))
    del content["encoder"]
    (saved / "model.json").write_text(json.dumps(content))
    fails(saved, "must have the field `encoder`. Found none")


def test_a_device_that_is_not_there(saved: Path) -> None:
    fails(saved, "Parameter `device` must be a device of this machine", "Found tpu", device="tpu")
    if not torch.cuda.is_available():
        fails(saved, "Found cuda", device="cuda")


def test_predicting_leaves_a_model_in_training_as_it_is(model: SceneModel) -> None:
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    in_training = model.predict(picture(32, 64))["depth"].disparity
    assert model.training
    model.eval()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    np.testing.assert_array_equal(in_training, model.predict(picture(32, 64))["depth"].disparity)
    with pytest.raises(MultisigmaError, match=r"`height` must be positive\. Found 0"):
        model.predict(picture(32, 64), height=0)


def test_the_package_offers_it() -> None:
    assert multisigma.SceneModel is SceneModel
    assert "SceneModel" in multisigma.__all__
    assert "SceneModel" in dir(multisigma)
    assert issubclass(type(load_tasks(["depth"])[0]), Task)


def test_prediction_gives_each_part_its_own_mode_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model().train()
    model.network.encoder.eval()  # such as frozen batch normalisation
    modes = [part.training for part in model.modules()]
    model.predict(picture(32, 64))
    assert [part.training for part in model.modules()] == modes

    def fail(rgb: torch.Tensor) -> None:
        assert not any(part.training for part in model.modules())
        raise RuntimeError("out of memory")

    monkeypatch.setattr(model.network, "forward", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        model.predict(picture(32, 64))
    assert [part.training for part in model.modules()] == modes
