"""Figure 4 of the paper: a car behind two poles and a tree becomes one instance."""

import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from multisigma.datasets.fields import InstanceMap
from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import CITYSCAPES
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


def test_a_watershed_parts_what_touches_and_joins_nothing() -> None:
    y, x = np.mgrid[:64, :128]
    apart = np.hypot(x - 30, y - 30) < 12
    touching = np.hypot(x - 52, y - 30) < 12
    found = figure4.watershed(apart | touching)
    assert len(found) == 2
    assert all(figure4.best_iou(mask, found) > 0.9 for mask in (apart, touching & ~apart))
    assert figure4.watershed(np.zeros((8, 8), bool)) == []
    pole = apart & (np.abs(x - 30) > 2)
    assert len(figure4.watershed(pole)) == 2


def test_votes_join_the_parts_of_the_drawn_car() -> None:
    _, semantic, ids = figure4.scene()
    car = CITYSCAPES.train_classes[figure4.CAR].id
    frame = Frame(
        "street",
        {"instance": InstanceMap(np.where(ids > 0, 1000 * car + ids.astype(np.int32), 0).astype(np.int32), {})},
    )
    regions = [SimpleNamespace(class_id=car, top=0, left=0, mask=ids == number) for number in (1, 2)]
    scene = {
        "semantic": SimpleNamespace(ids=np.where(semantic == figure4.CAR, car, 0)),
        "instance": SimpleNamespace(regions=regions),
    }
    small, large = figure4.count_frame(frame, scene)
    assert small["votes"] == large["votes"] == 1
    assert large["parts"] >= 4
    assert large["watershed"] < 0.8


@pytest.mark.parametrize("votes", ["default", "paper"])
def test_the_picture_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, votes: str) -> None:
    monkeypatch.setattr(sys, "argv", ["figure4", str(tmp_path / "figure4.png"), "--votes", votes])
    figure4.main()
    image = cv2.imread(str(tmp_path / "figure4.png"))
    assert image is not None
    assert image.shape[1] > 600
    assert image.std() > 20
