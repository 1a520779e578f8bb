"""Metres with cameras that the model did not learn with."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from multisigma import SceneModel
from multisigma.datasets import Camera, Frame
from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.fields import Image
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.errors import MultisigmaError
from multisigma.models import DistanceCalibration, ModelInfo, ScenePrediction, calibrate
from multisigma.tasks import Depth, DepthResult, PostprocessContext
from multisigma.tasks.depth import ScaleFrom
from multisigma.training.model_files import training_camera
from tests.models.test_scene_model import INFO, picture, random_model

TRAINED = Camera(0.22, 100.0, 100.0, 31.5, 15.5)


def result(camera: Camera | None, baseline: float | None, calibrated: bool = False) -> DepthResult:
    output = np.linspace(1, 9, 6, dtype=np.float32).reshape(1, 2, 3)
    context = PostprocessContext(
        camera=camera, baseline=baseline, calibrated=calibrated, noise_scales={"depth": 0.5}, sigmas={"depth": 0.25}
    )
    return Depth().postprocess(output, {}, context)


def test_metres_follow_the_focal_length_and_not_the_cameras_own_baseline() -> None:
    """Z = B f / d with the training baseline B and the focal length f of the picture."""
    plain = result(None, 0.22)
    for baseline in (0.22, 0.54):
        camera = Camera(baseline, 250.0, 250.0, 1, 1)
        found = result(camera, 0.22)
        np.testing.assert_allclose(found.metres, 0.22 * 250 / plain.disparity, rtol=1e-6)
        # What a stereo pair with this baseline would measure.
        np.testing.assert_allclose(found.disparity, baseline * 250 / found.metres, rtol=1e-6)
        assert found.scale_from == "training camera"
        assert (found.noise_scale, found.sigma) == pytest.approx((0.5 * baseline / 0.22, 0.25 * baseline / 0.22))
        near, _ = found.interval(0.9)
        np.testing.assert_allclose(near, 0.22 * 250 / (plain.disparity + 0.5 * np.log(10)), rtol=1e-6)


def test_without_the_training_baseline_the_cameras_own_is_assumed() -> None:
    camera = Camera(0.54, 250.0, 250.0, 1, 1)
    found = result(camera, None)
    np.testing.assert_array_equal(found.disparity, result(None, None).disparity)
    assert found.scale_from == "assumption"
    assert found.resized(4, 6).summary()["scale_from"] == "assumption"
    assert result(camera, 0.3, calibrated=True).scale_from == "calibration"
    assert result(None, 0.3).summary()["scale_from"] is None


def test_a_model_knows_its_camera(tmp_path: Path) -> None:
    info = replace(INFO, camera=TRAINED)
    model = random_model(info)
    model.save(tmp_path)
    content = json.loads((tmp_path / "model.json").read_text())
    assert content["camera"] == asdict(TRAINED)
    assert SceneModel.load(tmp_path, "cpu").info == info
    image, camera = picture(32, 64), Camera(0.5, 70.0, 70.0, 31.5, 15.5)
    depth = model.predict(image, camera)["depth"]
    assert depth.scale_from == "training camera"
    np.testing.assert_allclose(depth.metres, 0.22 * 70 / model.predict(image)["depth"].disparity, rtol=1e-5)
    doubled = model.predict(image, camera, calibration=DistanceCalibration(2.0, 0.1, 0.1, 3, 0))["depth"]
    np.testing.assert_allclose(doubled.metres, 2 * depth.metres, rtol=1e-5)
    assert doubled.scale_from == "calibration"
    unknown = random_model(INFO).predict(image, camera, calibration=DistanceCalibration(2.0, 0.1, 0.1, 3, 0))["depth"]
    np.testing.assert_allclose(unknown.metres, 2 * random_model(INFO).predict(image, camera)["depth"].metres, rtol=1e-5)


@pytest.mark.parametrize(
    "camera",
    [
        {"baseline": 0.2},
        {**asdict(TRAINED), "fx": 0},
        {**asdict(TRAINED), "u0": "a"},
        {**asdict(TRAINED), "f": 1},
        [1],
    ],
)
def test_a_broken_camera_in_a_model_is_named(tmp_path: Path, camera: object) -> None:
    (tmp_path / "model.json").write_text(json.dumps(INFO.to_json() | {"camera": camera}))
    with pytest.raises(MultisigmaError, match="`camera` must be the numbers of a camera, or null"):
        ModelInfo.read(tmp_path / "model.json")


def test_models_of_earlier_releases_have_no_camera(tmp_path: Path) -> None:
    content = INFO.to_json()
    del content["camera"]
    (tmp_path / "model.json").write_text(json.dumps(content))
    assert ModelInfo.read(tmp_path / "model.json") == INFO


def test_the_shipped_model_knows_its_camera() -> None:
    """Of the generated streets: depth in metres with any camera rests on it."""
    from multisigma.models.scene_model import DEFAULT_FOLDER
    from multisigma.synthetic.frames import StreetSettings, camera_of

    info = ModelInfo.read(DEFAULT_FOLDER / "model.json")
    height = info.working_height
    assert info.camera == camera_of(StreetSettings(height, 2 * height))


class _Cameras(SceneDataset):
    labels: LabelSpace = CITYSCAPES  # type: ignore[assignment]

    def __init__(self, cameras: list[Camera | None]) -> None:
        self.cameras = cameras

    def __len__(self) -> int:
        return len(self.cameras)

    def read(self, i: int, only: object = None) -> Frame:
        return Frame("x", {"image": Image(np.zeros((2, 4, 3), np.uint8))}, self.cameras[i])


def test_the_training_camera_is_the_middle_of_all() -> None:
    near, far = replace(TRAINED, baseline=0.221), replace(TRAINED, fx=120.0)
    assert training_camera(_Cameras([TRAINED, near, far])) == TRAINED
    assert training_camera(_Cameras([TRAINED, replace(TRAINED, baseline=0.5)])) is None
    assert training_camera(_Cameras([TRAINED, None])) is None
    assert training_camera(_Cameras([None])) is None


def scene_of(disparity: np.ndarray, camera: Camera | None = TRAINED, scale: ScaleFrom | None = None) -> ScenePrediction:
    image = np.zeros((*disparity.shape, 3), np.uint8)
    depth = DepthResult(disparity.astype(np.float32), camera, scale_from=scale)
    return ScenePrediction(image, {"depth": depth}, [], CITYSCAPES, camera)


def test_calibration_finds_the_scale_and_its_error() -> None:
    rng = np.random.default_rng(0)
    disparity = rng.uniform(1, 20, (30, 40))
    scene = scene_of(np.kron(disparity, np.ones((3, 3))))
    misses, scales = [], []
    for _ in range(200):
        rows, columns = rng.integers(30, size=12), rng.integers(40, size=12)
        # True distances are 1.7 times the predicted ones; the disparity has errors of 0.2 pixels.
        exact = 1.7 * 22 / (disparity[rows, columns] + rng.normal(0, 0.2, 12))
        found = calibrate([(scene, 3 * c + 1, 3 * r + 1, z) for c, r, z in zip(columns, rows, exact, strict=True)])
        scales.append(found.scale)
        misses.append((found.scale - 1.7) / found.standard_error)
    assert np.mean(scales) == pytest.approx(1.7, rel=0.002)
    # The standard error is that of the scale, with 11 degrees of freedom.
    assert 0.8 < np.sqrt(np.mean(np.square(misses))) < 1.8
    assert found.points == 12
    assert found.median_error < 0.05


def test_outliers_hardly_count() -> None:
    disparity = np.linspace(2, 20, 40)
    scene = scene_of(np.tile(disparity, (3, 1)))
    exact = 0.5 * 22 / disparity
    points = [(scene, c, 1, exact[c]) for c in range(1, 39, 4)]
    points[2] = (scene, 9, 1, 3 * exact[9])
    points[7] = (scene, 29, 1, exact[29] / 4)
    found = calibrate(points)
    assert found.scale == pytest.approx(0.5, rel=1e-3)
    assert found.outliers == 2
    one = calibrate(points[:1])
    assert one.scale == pytest.approx(0.5)
    assert (one.standard_error, one.points) == (0.0, 1)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([], "must have a measured distance. Found none"),
        ([(scene_of(np.ones((4, 4)), None), 1, 1, 5.0)], "must have predictions of depth with a camera"),
        ([(scene_of(np.ones((4, 4)), scale="calibration"), 1, 1, 5.0)], "Found a calibrated one"),
        ([(scene_of(np.ones((4, 4))), 4, 1, 5.0)], "must lie in its image of 4 columns and 4 rows. Found column 4"),
        ([(scene_of(np.ones((4, 4))), 1, -1, 5.0)], "row -1"),
        ([(scene_of(np.ones((4, 4))), 1, 1, 0.0)], "must be positive. Found 0 m"),
        ([(scene_of(np.ones((4, 4))), 1, 1, float("nan"))], "must be positive. Found nan m"),
        ([(scene_of(np.zeros((4, 4))), 1, 1, 5.0)], "where a finite depth is predicted"),
    ],
)
def test_calibration_names_what_is_wrong(points: list[tuple[ScenePrediction, float, float, float]], words: str) -> None:
    with pytest.raises(MultisigmaError) as caught:
        calibrate(points)
    assert words in str(caught.value)


def test_a_calibration_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    found = DistanceCalibration(1.25, 0.05, 0.1, 5, 1)
    found.write(path)
    assert DistanceCalibration.read(path) == found
    for change in ({"scale": 0}, {"scale": "1"}, {"points": None}, {"median_error": -1}):
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(MultisigmaError, match=f"`{next(iter(change))}` must be"):
            DistanceCalibration.read(path)
        found.write(path)


@pytest.mark.slow
def test_metres_of_the_shipped_model_with_another_focal_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streets drawn with 1.5 times the focal length: the formula holds for a network, not only on paper."""
    from multisigma.synthetic import frames

    monkeypatch.setattr(frames, "FOCAL_SHARE", 1.5 * frames.FOCAL_SHARE)
    model, ratios = SceneModel.default("cpu"), []
    for index in range(2):
        frame = frames.make_frame(frames.StreetSettings(seed=77, matching=False), "val", index)
        true = frame.camera.baseline * frame.camera.fx / frame.exact_disparity
        near = true < 80
        ratios.append(model.predict(frame.left, frame.camera)["depth"].metres[near] / true[near])
    # With the training camera's focal length it would be about 1 / 1.5.
    assert 0.85 < np.median(np.concatenate(ratios)) < 1.15
