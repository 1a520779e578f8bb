"""Photometric augmentation: each change by a closed form or a property."""

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from multisigma import MultisigmaError
from multisigma.datasets.photometric import PhotometricSettings, change_photometry

NAMES = [field.name for field in dataclasses.fields(PhotometricSettings)]
STRONG = PhotometricSettings(0.7, 0.3, 0.12, 0.25, 0.35, 5, 1, 1, 1)


def picture(seed: int = 0, height: int = 24, width: int = 40) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def changed(seed: int, image: NDArray[np.uint8], **strengths: float) -> NDArray[np.uint8]:
    return change_photometry(image, PhotometricSettings(**strengths), np.random.default_rng(seed))


def test_no_strength_is_the_identity() -> None:
    image = picture()
    same = changed(0, image)
    np.testing.assert_array_equal(same, image)
    assert not np.shares_memory(same, image)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 20), width=st.integers(1, 20))
def test_range_type_and_determinism(seed: int, height: int, width: int) -> None:
    image = picture(seed, height, width)
    before = image.copy()
    one, other = (change_photometry(image, STRONG, np.random.default_rng(seed)) for _ in range(2))
    assert (one.shape, one.dtype) == (image.shape, np.uint8)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", NAMES)
def test_each_change_alone_changes_the_image(name: str) -> None:
    image = picture()
    assert any((changed(seed, image, **{name: 1.0}) != image).any() for seed in range(3))


def test_exposure_is_a_factor_of_the_light() -> None:
    grey = np.full((2, 2, 3), 100, np.uint8)
    stops = 0.5 * np.random.default_rng(3).uniform(-1, 1, 5)[0]
    light = (100 / 255) ** 2.2 * 2**stops
    np.testing.assert_array_equal(changed(3, grey, exposure=0.5), np.full((2, 2, 3), round(255 * light ** (1 / 2.2))))


def test_white_balance_leaves_green() -> None:
    image = picture()
    after = changed(1, image, white_balance=0.3)
    np.testing.assert_array_equal(after[..., 1], image[..., 1])
    assert (after[..., 0] != image[..., 0]).any()
    assert (after[..., 2] != image[..., 2]).any()


def test_contrast_keeps_the_mean() -> None:
    # Values far from the ends, which would clip.
    image = (96 + picture() // 4).astype(np.uint8)
    factor = 1 + 0.5 * np.random.default_rng(0).uniform(-1, 1, 5)[4]
    after = changed(0, image, contrast=0.5)
    assert after.mean() == pytest.approx(image.mean(), abs=0.3)
    assert after.std() == pytest.approx(factor * image.std(), rel=0.02)


@pytest.mark.parametrize("name", ["saturation", "hue"])
def test_grey_has_no_hue_and_no_saturation(name: str) -> None:
    grey = np.repeat(picture()[..., :1], 3, axis=2)
    np.testing.assert_allclose(changed(0, grey, **{name: 1.0}).astype(int), grey, atol=1)


def test_hue_turns_by_the_angle() -> None:
    colour = np.full((1, 1, 3), (120, 130, 170), np.uint8)
    angle = 60 * np.random.default_rng(1).uniform(-1, 1, 7)[6]
    grey, first, second = np.ones(3) / np.sqrt(3), np.array([2, -1, -1]) / np.sqrt(6), np.array([0, 1, -1]) / np.sqrt(2)
    before, after = colour[0, 0].astype(float), changed(1, colour, hue=60.0)[0, 0].astype(float)
    turned = np.angle(complex(after @ first, after @ second) / complex(before @ first, before @ second), deg=True)
    assert turned == pytest.approx(angle, abs=2)
    assert after @ grey == pytest.approx(before @ grey, abs=1.5)


def test_blur_smooths_and_noise_roughens() -> None:
    image, flat = (
        np.random.default_rng(0).integers(64, 192, (32, 32, 3)).astype(np.uint8),
        np.full((64, 64, 3), 128, np.uint8),
    )
    assert changed(0, image, blur=1.0).std() < 0.8 * image.std()
    noisy = changed(0, flat, noise=1.0)
    assert 0.5 < noisy.std() < 13
    assert noisy.mean() == pytest.approx(128, abs=0.5)


def test_compression_keeps_the_order_of_the_colours() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    np.testing.assert_allclose(changed(0, red, jpeg=1.0).astype(int), red, atol=6)


@pytest.mark.parametrize(
    ("strengths", "words"),
    [
        ({"exposure": -0.1}, "`photometric.exposure` must be from 0 to 3. Found -0.1"),
        ({"blur": 1.5}, "`photometric.blur` must be from 0 to 1. Found 1.5"),
        ({"hue": float("nan")}, "`photometric.hue`"),
        ({"hue": "a lot"}, "`photometric.hue` must be from 0 to 180. Found 'a lot'"),
        ({"brightness": 1.0}, "`photometric` has exposure, gamma.*Found brightness"),
    ],
)
def test_wrong_strengths_are_named(strengths: dict[str, float], words: str) -> None:
    with pytest.raises(MultisigmaError, match=words):
        PhotometricSettings.parse(strengths)
