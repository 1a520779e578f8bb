"""`multisigma predict` on videos, from file to annotated file."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from multisigma import SceneModel
from multisigma.cli import main
from multisigma.datasets.videos import Video, VideoWriter
from multisigma.models import ScenePrediction, follow, predict_video
from multisigma.tracking import DepthSteadier, Tracker
from tests.models.test_scene_model import CAMERA, picture, random_model


@pytest.fixture(scope="module")
def model() -> SceneModel:
    return random_model()


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "street.mp4"
    with VideoWriter(path, 10) as writer:
        for i in range(4):
            writer.write(np.ascontiguousarray(np.roll(picture(48, 96), i, 1)))
    return path


def test_objects_keep_numbers_and_depth_is_steadied(model: SceneModel) -> None:
    """The same frame twice: all objects keep their numbers, and the distances follow the steadied depth."""
    frames = [picture(48, 96)] * 2
    scenes = list(follow(model.predict_all(frames, CAMERA), Tracker(), DepthSteadier()))
    assert len(scenes[0]["instance"]) > 0
    numbers = [[instance.track for instance in scene["instance"]] for scene in scenes]
    assert numbers[0] == numbers[1] == list(range(1, len(numbers[0]) + 1))
    for scene in scenes:
        depth = scene["depth"]
        for instance, saved in zip(scene["instance"], scene.summary()["tasks"]["instance"], strict=True):
            assert saved["track"] == instance.track
            expected = CAMERA.baseline * CAMERA.fx / np.median(depth.disparity[instance.mask])
            assert instance.distance == pytest.approx(expected, rel=1e-5)
    plain = model.predict(frames[0], CAMERA)
    assert "track" not in plain.summary()["tasks"]["instance"][0]
    # Numbers choose the colours, whatever the order of the objects.
    result = scenes[0]["instance"]
    turned = scenes[0].replaced("instance", result.tracked([i.track + 7 for i in result]))
    assert (scenes[0].annotate() != turned.annotate()).any()
    assert scenes[0].annotate().shape == (96, 96, 3)


def test_the_command_writes_an_annotated_video(
    model: SceneModel, street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.save(tmp_path / "model")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "drive.mp4").write_bytes(street.read_bytes())
    (folder / "broken.mp4").write_bytes(street.read_bytes()[:300])
    options = ["--model", str(tmp_path / "model"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    options += [
        "--steady",
        "--frame-files",
        "--coco",
        "--batch",
        "2",
        "--max-frames",
        "3",
        "--flip",
        "--scales",
        "[0.5,1]",
    ]
    assert main(["predict", str(folder), *options]) == 2
    shown = capsys.readouterr()
    assert "broken.mp4: must be a video that can be decoded" in shown.err
    assert f"1 of 2 inputs could not be predicted: {folder / 'broken.mp4'}" in shown.err
    assert "3 frames in" in shown.out
    assert "frames/s" in shown.out
    out = tmp_path / "out"
    assert [path.name for path in (out / "videos").iterdir()] == ["drive.mp4"]
    with Video(out / "videos" / "drive.mp4") as video:
        assert video.rate == pytest.approx(10)
        assert [frame.shape for frame in video] == [(96, 96, 3)] * 3
    names = sorted(path.stem for path in (out / "scenes").iterdir())
    assert names == [f"drive_{i:06d}" for i in range(3)]
    content = json.loads((out / "scenes" / "drive_000001.json").read_text())
    assert all(instance["track"] > 0 for instance in content["tasks"]["instance"])
    objects = json.loads((out / "coco" / "instances.json").read_text())
    assert len(objects["images"]) == 3
    assert [o["track_id"] for o in objects["annotations"] if o["image_id"] == 2] == [
        instance["track"] for instance in content["tasks"]["instance"]
    ]


def test_a_camera_ends_when_the_user_interrupts(model: SceneModel, tmp_path: Path) -> None:
    class Camera(Video):
        """Two frames, then Ctrl-C."""

        def __init__(self) -> None:
            self.source, self.name, self.size, self.rate, self.frames = 0, "camera-0", (48, 96), 25.0, None

        def __iter__(self) -> Iterator[np.ndarray]:
            yield picture(48, 96)
            yield picture(48, 96)
            raise KeyboardInterrupt

    count, rate = predict_video(model, Camera(), tmp_path / "camera.mp4", tracker=Tracker())
    assert count == 2
    assert rate > 0
    with Video(tmp_path / "camera.mp4") as video:
        assert len(list(video)) == 2


def test_an_input_must_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict"]) == 2
    assert "The argument INPUTS must be given, or --camera-index" in capsys.readouterr().err


def test_upright_frames_have_their_panels_beside(model: SceneModel) -> None:
    scene = model.predict(picture(96, 48))
    assert isinstance(scene, ScenePrediction)
    assert scene.annotate().shape == (96, 96, 3)
    assert replace(scene["depth"]).disparity.shape == (96, 48)
