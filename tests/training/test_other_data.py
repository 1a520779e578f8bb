"""Data of other layouts the whole way: check, train, evaluate, report, predict."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from multisigma import SceneModel
from multisigma.cli import main
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.open import open_dataset
from multisigma.models import scene_model

SMALL = [
    *("--encoder", "test_resnet", "--encoder-weights", "none", "--aspp-channels", "8", "--decoder-channels", "8"),
    *("--batch-size", "2", "--crop", "48x64", "--workers", "0", "--accelerator", "cpu", "--iterations", "2"),
]
SIZE = (64, 96)
ELEVEN = ["sky", "building", "pole", "road", "sidewalk", "tree", "sign", "fence", "car", "pedestrian", "cyclist"]


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)


def whole_way(data: str, folder: Path, *options: str) -> dict[str, dict[str, Any]]:
    """Check, train, evaluate the run and its saved predictions, report and predict; the measurements by their keys."""
    run = folder / "run"
    assert main(["check", data]) == 0
    assert main(["train", "--data", data, "--out", str(run), *SMALL, *options]) == 0
    saved = folder / "saved"
    assert main(["evaluate", str(run), "--data", data, "--save-predictions", str(saved), "--name", "own"]) == 0
    assert main(["evaluate", "--predictions", str(saved), "--data", data, "--name", "files"]) == 0
    assert main(["report", str(run)]) == 0
    save(folder / "photo.png", picture(99))
    out = folder / "predicted"
    assert main(["predict", str(folder / "photo.png"), "--model", str(run), "--out", str(out), "--device", "cpu"]) == 0
    of_run, of_files = (
        {m["key"]: m for m in json.loads((place / "metrics.json").read_text(encoding="utf-8"))["measurements"]}
        for place in (run / "evaluations/own", saved / "evaluations/files")
    )
    shared = {key for key in of_run.keys() & of_files.keys() if key.startswith(("iou", "iiou", "ap", "pq"))}
    assert shared or "iou_class" not in of_run
    for key in shared:
        assert of_run[key]["value"] == pytest.approx(of_files[key]["value"], nan_ok=True), key
    return of_run


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    """Photographs with eleven classes and depth; no instance, no camera file."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for split, count in (("train", 4), ("val", 2)):
        for i in range(count):
            ids = np.minimum(y // 16 * 3 + x // 40, 10).astype(np.uint8)
            ids[:2] = 255
            save(tmp_path / f"images/{split}/street {i}.png", picture(i))
            save(tmp_path / f"labels/{split}/street {i}.png", ids)
            save(tmp_path / f"depth/{split}/street {i}.png", (3000 + 100 * y + i).astype(np.uint16))
    return tmp_path


def test_photographs_with_eleven_classes(streets: Path) -> None:
    path = streets / "street.yaml"
    path.write_text(f"image: images/{{split}}\nsemantic: labels/{{split}}\nclasses: [{', '.join(ELEVEN)}]\n")
    found = whole_way(str(path), streets, "--tasks", "semantic")
    assert list(found["iou_class"]["per_class"]) == ELEVEN
    model = SceneModel.load(streets / "run", "cpu")
    assert [label.name for label in model.info.labels.train_classes] == ELEVEN
    assert model.predict(picture(3))["semantic"].ids.max() <= 10


def test_depth_alone(streets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = streets / "depth.yaml"
    path.write_text("image: images/{split}\ndepth: {files: 'depth/{split}', scale: 1/1000}\ncamera: {fx: 80}\n")
    found = whole_way(str(path), streets, "--tasks", "depth")
    assert found["depth_abs_rel"]["value"] > 0
    assert "iou_class" not in found
    # Neither the run nor files of another task have anything in common with data of classes alone.
    path.write_text(f"image: images/{{split}}\nsemantic: labels/{{split}}\nclasses: [{', '.join(ELEVEN)}]\n")
    (streets / "files/disparity").mkdir(parents=True)
    capsys.readouterr()
    for source, task in (([str(streets / "run")], "depth"), (["--predictions", str(streets / "files")], "disparity")):
        assert main(["evaluate", *source, "--data", str(path), "--name", "other"]) == 2
        message = capsys.readouterr().err
        assert f"{source[-1]}: the data must have labels for a task" in message
        assert f"Found the tasks {task}, and in the split 'val' of {path} labels of semantic." in message
    assert not (streets / "run/evaluations/other").exists()


def test_a_task_without_labels_is_refused_by_name(streets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = streets / "depth.yaml"
    path.write_text("image: images/{split}\ndepth: {files: 'depth/{split}', scale: 1/1000}\ncamera: {fx: 80}\n")
    assert main(["train", "--data", str(path), "--out", str(streets / "run"), *SMALL, "--tasks", "semantic"]) == 2
    assert f"Add the key `semantic` to {path}." in capsys.readouterr().err


def test_kitti(tmp_path: Path) -> None:
    root = tmp_path / "kitti"
    rng = np.random.default_rng(0)
    for i in range(6):
        semantic = rng.choice(np.array([0, 7, 11, 23], np.uint8), SIZE)
        number = np.zeros(SIZE, np.uint16)
        semantic[20:50, 10:40], number[20:50, 10:40] = 26, 1
        semantic[20:50, 50:80], number[20:50, 50:80] = 24, 1
        disparity = np.where(rng.random(SIZE) < 0.2, rng.integers(500, 9000, SIZE), 0).astype(np.uint16)
        save(root / f"training/image_2/{i:06d}_10.png", picture(i))
        save(root / f"training/semantic/{i:06d}_10.png", semantic)
        save(root / f"training/instance/{i:06d}_10.png", semantic * np.uint16(256) + number)
        save(root / f"training/disp_occ_0/{i:06d}_10.png", disparity)
        (root / "training/calib_cam_to_cam").mkdir(exist_ok=True)
        (root / f"training/calib_cam_to_cam/{i:06d}.txt").write_text(
            "P_rect_02: 80 0 47 4.8 0 80 31 0 0 0 1 0\nP_rect_03: 80 0 47 -38 0 80 31 0 0 0 1 0\n"
        )
    found = whole_way(str(root), tmp_path)
    assert {"iou_class", "ap", "pq", "disparity_error_px", "depth_abs_rel"} <= found.keys()
    assert len(found["iou_class"]["per_class"]) == 19
    assert SceneModel.load(tmp_path / "run", "cpu").info.labels == CITYSCAPES


def test_a_packed_copy_trains_to_the_same_weights(streets: Path) -> None:
    path = streets / "street.yaml"
    path.write_text(f"image: images/{{split}}\nsemantic: labels/{{split}}\nclasses: [{', '.join(ELEVEN)}]\n")
    assert main(["prepare", str(path), str(streets / "packed")]) == 0
    weights = []
    for data in (path, streets / "packed"):
        run = streets / f"run of {data.name}"
        options = ["--tasks", "semantic", "--workers", "1"]
        assert main(["train", "--data", str(data), "--out", str(run), *SMALL, *options]) == 0
        weights.append((run / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


OWN = """
import numpy as np
from multisigma.datasets import ClassMap, Frame, Image, Label, LabelSpace, SceneDataset

class Stripes(SceneDataset):
    labels = LabelSpace("stripes", (
        Label("dark", 0, 0, "stripe", 0, False, False, (40, 40, 40)),
        Label("bright", 1, 1, "stripe", 0, False, False, (220, 220, 220)),
    ))

    def __init__(self, split):
        self.seeds = range(4) if split == "train" else range(4, 6)

    def __len__(self):
        return len(self.seeds)

    def read(self, i, only=None):
        ids = np.repeat(np.random.default_rng(self.seeds[i]).integers(0, 2, 96, np.uint8)[None], 64, axis=0)
        pixels = np.repeat(ids[..., None] * np.uint8(180), 3, axis=2)
        return Frame(self.name(i), {"image": Image(pixels), "semantic": ClassMap(ids, 255)}, labels=self.labels)

class NoLength(SceneDataset):
    def read(self, i, only=None):
        raise NotImplementedError
"""


def test_a_class_of_a_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "striped_data.py").write_text(OWN)
    (tmp_path / "broken_data.py").write_text("class (")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = whole_way("striped_data.Stripes", tmp_path, "--tasks", "semantic")
    assert list(found["iou_class"]["per_class"]) == ["dark", "bright"]
    dataset = open_dataset("striped_data.Stripes", "train").subset([2, 0])
    assert [dataset.name(i) for i in range(2)] == ["000002", "000000"]
    assert dataset.label_counts() == {"semantic": 2, "camera": 0}
    capsys.readouterr()
    for data, words in {
        "striped_data.NoLength": "Found no __len__, labels",
        "striped_data.Nothing": "it cannot be imported",
        "striped_data.np": "must be a class derived from multisigma.datasets.SceneDataset",
        "no_module.Nothing": "the Python path of the module",
        "broken_data.Nothing": "it cannot be imported",
    }.items():
        assert main(["check", data]) == 2
        message = capsys.readouterr().err
        assert words in message
        assert "Traceback" not in message


def test_training_starts_from_the_model_that_the_package_ships(
    streets: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = streets / "street.yaml"
    path.write_text(f"image: images/{{split}}\nsemantic: labels/{{split}}\nclasses: [{', '.join(ELEVEN)}]\n")
    monkeypatch.setattr(scene_model, "DEFAULT_FOLDER", streets / "first")
    again = ["train", "--data", str(path), "--out", str(streets / "second"), *SMALL, "--init", "default"]
    assert main(again) == 2
    assert main(["train", "--data", str(path), "--out", str(streets / "first"), *SMALL]) == 0
    with caplog.at_level("INFO", "multisigma"):
        assert main([*again, "--learning-rate", "1e-12"]) == 0
    assert "from default: loaded encoder, aspp, decoder of semantic; afresh start no parts" in caplog.text
    first, second = (dict(SceneModel.load(streets / name, "cpu").named_parameters()) for name in ("first", "second"))
    assert all(torch.allclose(second[name], value) for name, value in first.items())
