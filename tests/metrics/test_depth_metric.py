"""Errors of disparity and depth against plain numpy over all pixels at once."""

from dataclasses import replace
from math import isnan

import numpy as np
import pytest

from multisigma.datasets.frame import Camera, Frame
from multisigma.errors import MultisigmaError
from multisigma.metrics import DepthErrors
from tests.frames import class_ids, frame_of, without
from tests.frames import disparity as disparity_of
from tests.scenes import Scene, numbers, scene_of

SKY = 23


def frames(seed: int = 0) -> list[tuple[Scene, Frame]]:
    """Three frames of different cameras: disparities from beyond 80 m to a metre, holes, sky, a predicted zero."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(3):
        camera = Camera(0.2 + 0.01 * index, 100.0 + 10 * index, 100.0, 0.0, 0.0)
        true = rng.uniform(0.05, 20, (6, 16)).astype(np.float32)
        true[rng.random(true.shape) < 0.3] = np.nan
        labels = np.where(rng.random(true.shape) < 0.2, SKY, 7).astype(np.uint8)
        guess = (np.nan_to_num(true) * rng.uniform(0.5, 2, true.shape)).astype(np.float32)
        guess[0, :3] = 0
        made.append((scene_of(disparity=guess), frame_of(str(index), None, labels, None, true, camera)))
    return made


def counted(case: list[tuple[Scene, Frame]]) -> dict[str, float]:
    return numbers(DepthErrors(), case)


def test_equals_numpy() -> None:
    case = frames()
    land, everything, metres = [], [], []
    for scene, truth in case:
        assert truth.camera is not None
        for y, x in np.ndindex(disparity_of(truth).shape):
            guess, true = float(scene["depth"].disparity[y, x]), float(disparity_of(truth)[y, x])
            if class_ids(truth)[y, x] == SKY:
                everything.append(guess)
                continue
            if isnan(true):
                continue
            everything.append(guess - true)
            land.append(guess - true)
            bf = truth.camera.baseline * truth.camera.fx
            if bf / true <= 80:
                metres.append((min(bf / guess, 80) if guess else 80, bf / true))
    guess, true = np.array(metres).T
    ratio = np.maximum(guess / true, true / guess)

    def rms(values: list[float]) -> float:
        return float(np.sqrt(np.mean(np.square(values))))

    expected = {
        "disparity_error_px": np.mean(np.abs(everything)),
        "disparity_rms_px": rms(everything),
        "disparity_without_sky_error_px": np.mean(np.abs(land)),
        "disparity_without_sky_rms_px": rms(land),
        "disparity_native_error_px": 128 * np.mean(np.abs(everything)),
        "disparity_native_rms_px": 128 * rms(everything),
        "disparity_native_without_sky_error_px": 128 * np.mean(np.abs(land)),
        "disparity_native_without_sky_rms_px": 128 * rms(land),
        "depth_abs_rel": np.mean(np.abs(guess - true) / true),
        "depth_rmse_m": rms(guess - true),
        "depth_delta_1": np.mean(ratio < 1.25),
        "depth_delta_2": np.mean(ratio < 1.25**2),
        "depth_delta_3": np.mean(ratio < 1.25**3),
    }
    # Predicted disparities are 32-bit numbers.
    assert counted(case) == pytest.approx(expected, rel=1e-6)


def test_what_is_missing_is_nan() -> None:
    scene, truth = frames()[0]
    assert all(isnan(value) for value in counted([(scene, without(truth, "disparity"))]).values())
    without_camera = counted([(scene, replace(truth, camera=None))])
    assert isnan(without_camera["depth_rmse_m"])
    assert not isnan(without_camera["disparity_error_px"])


def test_without_labels_the_sky_is_not_known() -> None:
    labelled, (scene, truth) = frames()[1], frames()[0]
    alone = counted([(scene, without(truth, "semantic"))])
    assert not isnan(alone["disparity_error_px"])
    assert isnan(alone["disparity_without_sky_error_px"])
    assert isnan(alone["disparity_without_sky_rms_px"])
    assert isnan(alone["disparity_native_without_sky_error_px"])
    both = counted([labelled, (scene, without(truth, "semantic"))])
    assert both["disparity_without_sky_error_px"] == counted([labelled])["disparity_without_sky_error_px"]


def test_thresholds_are_decided_in_64_bits() -> None:
    """At ratios of 1.25, where 32 bits decide otherwise."""
    camera = Camera(0.209313, 2262.52, 2262.52, 0.0, 0.0)
    true = np.arange(2000, 60000, 5, dtype=np.float32)[None] / 256
    guess = (true * 0.8).astype(np.float32)
    bf = camera.baseline * camera.fx
    ratio = (bf / guess.astype(float)) / (bf / true.astype(float))
    labels = np.full(true.shape, 7, np.uint8)
    found = counted([(scene_of(disparity=guess), frame_of("x", None, labels, None, true, camera))])
    assert found["depth_delta_1"] == pytest.approx(np.mean(ratio < 1.25), rel=1e-12)


def test_a_diverged_prediction_is_not_hidden() -> None:
    scene, truth = frames()[0]
    diverged = scene_of(disparity=np.full_like(scene["depth"].disparity, np.nan))
    assert counted([(diverged, truth)])["depth_rmse_m"] == float("inf")


def test_wrong_shapes_are_named() -> None:
    scene, truth = frames()[0]
    with pytest.raises(MultisigmaError, match=r"\(5, 16\) and \(6, 16\)"):
        counted([(scene_of(disparity=scene["depth"].disparity[1:]), truth)])
