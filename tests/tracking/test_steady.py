"""Depth over frames: noise falls where nothing changes, and nothing trails behind what moves."""

import cv2
import numpy as np
import pytest

from multisigma.errors import MultisigmaError
from multisigma.tracking import DepthSteadier

SIZE = (64, 128)


def texture(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.integers(0, 255, (*SIZE, 3), np.uint8), (0, 0), 2)


def test_noise_falls_as_the_average_says() -> None:
    """Independent noise of a still frame falls by the root of share / (2 - share)."""
    rng, steadier, image = np.random.default_rng(0), DepthSteadier(0.25), texture()
    labels = np.zeros(SIZE, np.int32)
    for _ in range(40):
        steady = steadier.update(image, (10 + rng.normal(0, 0.5, SIZE)).astype(np.float32), labels)
    assert (steady - 10).std() == pytest.approx(0.5 * (0.25 / 1.75) ** 0.5, rel=0.15)


def test_nothing_trails_behind_a_moving_object() -> None:
    """A near square moves over a far wall: each frame's depth is exact, inside it and where it has been."""
    wall, square = texture(1), texture(2)
    steadier = DepthSteadier()
    for t in range(8):
        labels = np.zeros(SIZE, np.int32)
        labels[20:44, 8 * t : 8 * t + 24] = 1
        image = np.where(labels[..., None] == 1, np.roll(square, 8 * t, 1), wall)
        disparity = np.where(labels == 1, 12, 3).astype(np.float32)
        steady = steadier.update(image, disparity, labels)
        # The far wall's disparity may not rise, nor the square's fall, by more than rounding.
        assert np.abs(steady - disparity).max() < 1e-3


def test_an_approach_is_followed() -> None:
    """A wall that comes nearer by 3 % a frame: the average does not lag, because the camera's step is estimated."""
    steadier, labels, rng = DepthSteadier(), np.zeros(SIZE, np.int32), np.random.default_rng(0)
    image = texture(3)
    depth = 10.0
    for _ in range(15):
        matrix = np.array([[1 / 0.97, 0, 64 - 64 / 0.97], [0, 1 / 0.97, 32 - 32 / 0.97]])
        image = cv2.warpAffine(image, matrix, SIZE[::-1], borderMode=cv2.BORDER_REFLECT)
        depth *= 0.97
        noisy = (100 / depth + rng.normal(0, 0.3, SIZE)).astype(np.float32)
        steady = steadier.update(image, noisy, labels)
    inner = steady[16:48, 32:96]
    assert inner.mean() == pytest.approx(100 / depth, rel=0.01)
    assert inner.std() < 0.25


def test_other_sizes_and_a_reset_begin_anew() -> None:
    steadier, labels = DepthSteadier(), np.zeros(SIZE, np.int32)
    image, one, two = texture(), np.full(SIZE, 10, np.float32), np.full(SIZE, 10, np.float32)
    two[:, :40] = 11
    steadier.update(image, one, labels)
    assert steadier.update(image, two, labels)[20, 20] == pytest.approx(10.25)
    steadier.reset()
    np.testing.assert_array_equal(steadier.update(image, two, labels), two)
    np.testing.assert_array_equal(steadier.update(image[:32], one[:32], labels[:32]), one[:32])


def test_errors() -> None:
    with pytest.raises(MultisigmaError, match="`share` must be above 0"):
        DepthSteadier(0)
    with pytest.raises(MultisigmaError, match="the same height and width"):
        DepthSteadier().update(texture(), np.zeros((3, 3), np.float32), np.zeros(SIZE, np.int32))
