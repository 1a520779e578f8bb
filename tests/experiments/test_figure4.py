"""Figure 4 of the paper: a car behind two poles and a tree becomes one instance."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from multisigma.experiments import figure4
from multisigma.instances import instances_from_votes


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_occluded_car_becomes_one_instance(seed: int) -> None:
    vectors, semantic, ids = figure4.scene(seed)
    assert cv2.connectedComponents((ids == 2).astype(np.uint8))[0] - 1 >= 4
    found = instances_from_votes(vectors, semantic, (figure4.CAR,))
    assert len(found.class_ids) == 2
    for number in (1, 2):
        overlap = max(
            ((ids == number) & (found.ids == k)).sum() / ((ids == number) | (found.ids == k)).sum() for k in (1, 2)
        )
        assert overlap > 0.99


@pytest.mark.parametrize("votes", ["default", "paper"])
def test_the_picture_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, votes: str) -> None:
    monkeypatch.setattr(sys, "argv", ["figure4", str(tmp_path / "figure4.png"), "--votes", votes])
    figure4.main()
    image = cv2.imread(str(tmp_path / "figure4.png"))
    assert image is not None
    assert image.shape[1] > 600
    assert image.std() > 20
