"""Readers of foreign files, each with a few sound files and ways to damage them."""

import io
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from PIL import Image

from multisigma.datasets import open_dataset
from multisigma.datasets.arrays import read_map, read_values
from multisigma.datasets.cameras import read_camera_file
from multisigma.datasets.check import check_data
from multisigma.datasets.fields import ClassMap, InstanceMap
from multisigma.datasets.images import read_png
from multisigma.datasets.packed import pack
from multisigma.datasets.photographs import read_photograph
from multisigma.datasets.predictions import inspect_prediction, list_predictions
from multisigma.metrics import Evaluation, Measurement
from multisigma.models import SceneModel
from multisigma.models.model_info import ModelInfo
from multisigma.synthetic import generate
from multisigma.training.checkpoints import checkpoint_path, newest_checkpoint
from multisigma.training.config import PRESETS, Names, Size, TrainConfig
from multisigma.training.run_folder import load_module
from multisigma.training.train import train
from tests.fuzz.mutations import (
    Mutate,
    mutate_bytes,
    mutate_checkpoint,
    mutate_json,
    mutate_lines,
    mutate_png,
    mutate_yaml,
)

NAME = "aachen_000000_000019"
SIZE = (12, 16)


@dataclass(frozen=True)
class Target:
    """A reader of files.

    Args:
        files: The sound files by relative path.
        attempt: Reads the folder of the files. It may raise `MultisigmaError`; it asserts what holds of a result.
        mutations: How the files with an ending are damaged; others are sound always.
        replaces: Whether something else may stand in the place of a file.
    """

    files: Mapping[str, bytes]
    attempt: Callable[[Path], None]
    mutations: Mapping[str, Mutate] = field(
        default_factory=lambda: {
            ".png": mutate_png,
            ".json": mutate_json,
            ".yaml": mutate_yaml,
            ".txt": mutate_lines,
            ".ckpt": mutate_checkpoint,
            "": mutate_bytes,
        }
    )
    replaces: bool = False

    def mutation(self, name: str) -> Mutate:
        """Return how a file is damaged."""
        return self.mutations.get(Path(name).suffix, self.mutations[""])


def png(pixels: np.ndarray, mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(buffer, "PNG")
    return buffer.getvalue()


def arrays() -> dict[str, np.ndarray]:
    """A frame's arrays, as files of the Cityscapes format hold them."""
    rng = np.random.default_rng(0)
    instances = rng.choice(np.array([7, 11, 23, 26, 26001, 24000], np.uint16), SIZE)
    return {
        "image": rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8),
        "labels": np.where(instances >= 1000, instances // 1000, instances).astype(np.uint8),
        "instances": instances,
        "disparity": rng.integers(0, 65536, SIZE, dtype=np.uint16),
    }


def read_pngs(folder: Path) -> None:
    for path in sorted(folder.glob("*.png")):
        for form in ("8-bit RGB", "8-bit grey", "16-bit grey", "grey"):
            try:
                pixels = read_png(path, form)  # type: ignore[arg-type]
            except Exception as error:
                last = error
                continue
            # An accepted file is read as another decoder reads it.
            other = cv2.imread(str(path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
            assert pixels.dtype == (np.uint16 if form == "16-bit grey" else pixels.dtype)
            if other is not None and other.shape == pixels.shape and other.dtype == pixels.dtype:
                assert np.array_equal(other if other.ndim == 2 else other[..., ::-1], pixels)
            return
        raise last


def read_photographs(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        rgb = read_photograph(path)
        assert rgb.dtype == np.uint8
        assert rgb.ndim == 3
        assert rgb.shape[2] == 3


def read_arrays(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.stem != "depth":
            values = read_map(path)
            assert np.issubdtype(values.dtype, np.integer)
            assert values.size
        numbers = read_values(path)
        assert numbers.astype(np.float32).size


def read_cameras(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        camera = read_camera_file(path, SIZE)
        numbers = [camera.baseline, camera.fx, camera.fy, camera.u0, camera.v0]
        assert np.isfinite(numbers).all()
        assert camera.fx > 0


def read_data(data: str, packed: bool = False) -> Callable[[Path], None]:
    def attempt(folder: Path) -> None:
        dataset = open_dataset(folder / data, "train")
        assert dataset.label_counts()
        for i in range(len(dataset)):
            frame = dataset.read(i)
            semantic, instance = frame.get("semantic", ClassMap), frame.get("instance", InstanceMap)
            known = [*dataset.labels.by_id, dataset.labels.void]
            # The ids of a packed copy are not looked at, which would read all of it.
            assert packed or semantic is None or np.isin(semantic.ids, known).all()
            assert instance is None or instance.ids.shape == frame.size
        check_data(folder / data)

    return attempt


def read_predictions(folder: Path) -> None:
    found, problems = list_predictions(folder, [NAME])
    for files in found:
        scene, faults = inspect_prediction(files, folder, SIZE)
        problems += faults
        if not faults and "semantic" in scene:
            assert scene["semantic"].ids.shape == SIZE
    assert all(str(problem) for problem in problems)


def read_configuration(folder: Path) -> None:
    config = TrainConfig.from_yaml(folder / "config.yaml")
    assert yaml.safe_load(config.to_yaml())


def read_model_info(folder: Path) -> None:
    assert ModelInfo.read(folder / "model.json").to_json()


def read_evaluation(folder: Path) -> None:
    assert Evaluation.read(folder, counts=True).measurements is not None


def read_checkpoints(sound: Path, resume: bool = False) -> Callable[[Path], None]:
    """Read the checkpoint as `evaluate` does, or go on with the training from it; all else of the run is sound."""

    def attempt(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            run = Path(temporary) / "run"
            shutil.copytree(sound, run)
            shutil.copy(folder / "last.ckpt", checkpoint_path(run))
            if resume:
                train(TrainConfig.from_yaml(run / "config.yaml"), run, resume=True)
                assert newest_checkpoint(run) == (checkpoint_path(run), 2)
            else:
                load_module(run)

    return attempt


def read_model(folder: Path) -> None:
    assert SceneModel.load(folder, "cpu").info.tasks


def targets(folder: Path) -> dict[str, Target]:
    """Make every target; `folder` takes the files that only the package's own writers make."""
    frame = arrays()
    rgb, labels, instances, disparity = (frame[name] for name in ("image", "labels", "instances", "disparity"))
    picture = Image.fromarray(rgb)
    photographs = {}
    for form in ("JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        buffer = io.BytesIO()
        picture.save(buffer, form)
        photographs[f"photo.{form.lower()}"] = buffer.getvalue()
    npy = {}
    for name, values in {"map": labels.astype(np.int64), "depth": disparity.astype(np.float32)}.items():
        buffer = io.BytesIO()
        np.save(buffer, values)
        npy[f"{name}.npy"] = buffer.getvalue()
    camera = {
        "extrinsic": {"baseline": 0.2, "pitch": 0.03},
        "intrinsic": {"fx": 20.0, "fy": 21.0, "u0": 7.5, "v0": 5.5},
    }
    rows = "20.0 0 7.5 {} 0 20.0 5.5 0 0 0 1 0"
    cameras: dict[str, bytes] = {
        "cityscapes.json": json.dumps(camera).encode(),
        "numbers.yaml": b"fx: 500\nfy: 510.5\nbaseline: 0.2\n",
        "kitti.txt": f"P_rect_02: {rows.format(1.0)}\nP_rect_03: {rows.format(-9.0)}\n".encode(),
    }
    city = f"train/aachen/{NAME}"
    cityscapes = {
        f"leftImg8bit/{city}_leftImg8bit.png": png(rgb),
        f"gtFine/{city}_gtFine_labelIds.png": png(labels),
        f"gtFine/{city}_gtFine_instanceIds.png": png(instances),
        f"disparity/{city}_disparity.png": png(disparity),
        f"camera/{city}_camera.json": json.dumps(camera).encode(),
    }
    description = {
        "root": "files",
        "image": "image/{split}",
        "semantic": "labels/{split}/{name}.png",
        "instance": {"files": "objects/{split}", "encoding": "class*1000+number"},
        "depth": {"files": "depth/{split}", "scale": "1/256", "invalid": 0},
        "camera": {"fx": 20.0},
        "classes": [
            {"name": "road", "value": 7},
            "building",
            {"name": "sky", "value": 23, "color": [70, 130, 180]},
            {"name": "car", "value": 26, "id": 26, "instances": True},
            {"name": "person", "value": 24, "id": 24, "instances": True},
        ],
        "ignore": [11],
    }
    own = {"data.yaml": yaml.safe_dump(description, sort_keys=False).encode()} | {
        f"files/{kind}/train/a.png": png(values)
        for kind, values in {"image": rgb, "labels": labels, "objects": instances, "depth": disparity}.items()
    }
    write(folder / "cityscapes", cityscapes)
    pack({"train": open_dataset(folder / "cityscapes", "train")}, folder / "packed")
    info = ModelInfo(("semantic",), {"semantic": 19}, 64, (1.0, 2.0, 3.0), (1.0, 1.0, 1.0), "test_resnet")
    info.write(folder / "model.json")
    (folder / "evaluation").mkdir()
    counts: dict[str, Any] = {"semantic/IoU": {NAME: {"hits": np.arange(3)}}}
    numbers = [Measurement("iou", 42.0, "%", True, "What it is.", name="IoU", per_class={"road": 1.0})]
    Evaluation(numbers, counts=counts, provenance={"data": "x"}).write(folder / "evaluation")
    run = train_run(folder)
    checkpoint = {"last.ckpt": checkpoint_path(run).read_bytes()}
    model = {name: (run / name).read_bytes() for name in ("model.json", "model.safetensors")}
    predictions = {
        f"semantic/{NAME}_labelIds.png": png(labels),
        f"disparity/{NAME}_disparity.png": png(np.maximum(disparity, 1)),
        f"instance/{NAME}.txt": b"masks/0.png 26 0.5\nmasks/1.png 24 0.25\n",
        "instance/masks/0.png": png((labels == 26).astype(np.uint8) * 255),
        "instance/masks/1.png": png((labels == 24).astype(np.uint8) * 255),
    }
    pngs = {"rgb.png": png(rgb), "labels.png": png(labels), "ids.png": png(instances)}
    return {
        "png": Target(pngs, read_pngs),
        "photographs": Target(
            photographs | {"photo.png": png(rgb, "RGBA"), "palette.png": png(rgb, "P")}, read_photographs
        ),
        "arrays": Target({"labels.png": png(labels), "ids.png": png(instances), **npy}, read_arrays),
        "cameras": Target(cameras, read_cameras),
        "cityscapes": Target({f"root/{name}": content for name, content in cityscapes.items()}, read_data("root")),
        "yaml data": Target(own, read_data("data.yaml")),
        "packed": Target(read(folder / "packed", "root/"), read_data("root", packed=True)),
        "predictions": Target(predictions, read_predictions, replaces=True),
        "configuration": Target({"config.yaml": TrainConfig().to_yaml().encode()}, read_configuration),
        "model info": Target({"model.json": (folder / "model.json").read_bytes()}, read_model_info),
        "evaluation": Target(read(folder / "evaluation"), read_evaluation),
        "model": Target(model, read_model),
        "checkpoint": Target(checkpoint, read_checkpoints(run)),
        "resume": Target(checkpoint, read_checkpoints(run, resume=True)),
    }


def train_run(folder: Path) -> Path:
    """Train a run of two iterations for one, and return its folder."""
    generate(folder / "streets", 1, 0, 64, 128, seed=0, processes=1, samples_page=False)
    config = TrainConfig.from_yaml(PRESETS["tiny"])
    small = {"aspp_channels": 8, "decoder_channels": 8, "batch_size": 1, "workers": 0, "crop": Size(32, 64)}
    network = {"encoder": "test_resnet", "encoder_weights": "none", "tasks": Names.parse("semantic,instance,depth")}
    config = replace(config, **small, **network, data=str(folder / "streets"), accelerator="cpu")
    run = folder / "run"
    train(replace(config, iterations=1), run)
    (run / "config.yaml").write_text(replace(config, iterations=2).to_yaml(), encoding="utf-8")
    return run


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read(folder: Path, prefix: str = "") -> dict[str, bytes]:
    """Return all files of a folder by relative path."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {f"{prefix}{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}


def damage(target: Target, folder: Path, rng: random.Random) -> list[str]:
    """Damage one file of a folder, seldom two, and return their names."""
    from tests.fuzz.mutations import replace_file

    names = rng.sample(sorted(target.files), rng.choice([1, 1, 1, min(2, len(target.files))]))
    for name in names:
        if target.replaces and rng.random() < 0.2:
            replace_file(folder / name, rng)
        else:
            (folder / name).write_bytes(target.mutation(name)(target.files[name], rng))
    return names
