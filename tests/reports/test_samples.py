"""Sample pictures as files."""

import json
from pathlib import Path

import numpy as np
import pytest

from multisigma.datasets.images import read_png
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.errors import MultisigmaError
from multisigma.reports.samples import write_samples
from multisigma.visualization.picture import Picture, Sample


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def test_pictures_come_back_as_they_were(tmp_path: Path) -> None:
    first = Sample("a/b", [Picture("Image", pixels(0), None), Picture("Image", pixels(1), pixels(2))])
    second = Sample("a/b", [Picture("?! \u2026", None, pixels(3))])
    folder = tmp_path / "samples"
    write_samples(folder, [first, second], CITYSCAPES)

    entries = json.loads((folder / "samples.json").read_text())
    named: list[str] = []
    for sample, entry in zip([first, second], entries, strict=True):
        assert entry["frame"] == sample.frame
        for picture, item in zip(sample.pictures, entry["pictures"], strict=True):
            assert item["title"] == picture.title
            for side in ("prediction", "truth"):
                true = getattr(picture, side)
                assert (item[side] is None) == (true is None)
                if true is not None:
                    named.append(item[side])
                    assert np.array_equal(read_png(folder / item[side], "8-bit RGB"), true)
    assert sorted([*named, "samples.json", "legend.json"]) == sorted(path.name for path in folder.iterdir())
    assert json.loads((folder / "legend.json").read_text()) == [
        {"name": label.name, "color": list(label.color)} for label in CITYSCAPES.train_classes
    ]


def test_new_samples_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    write_samples(folder, [Sample("old", [Picture("Image", pixels(0), None), Picture("Depth", pixels(1), None)])])
    write_samples(folder, [Sample("new", [])])
    assert json.loads((folder / "samples.json").read_text()) == [{"frame": "new", "pictures": []}]
    assert json.loads((folder / "legend.json").read_text()) == []
    assert sorted(path.name for path in folder.iterdir()) == ["legend.json", "samples.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["samples"]


@pytest.mark.parametrize("bad", [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3)), np.zeros((0, 5, 3), np.uint8)])
def test_a_bad_picture_leaves_the_old_samples(tmp_path: Path, bad: np.ndarray) -> None:
    folder = tmp_path / "samples"
    write_samples(folder, [Sample("old", [Picture("Image", pixels(0), None)])])
    with pytest.raises(MultisigmaError, match=r"'Depth' \(truth\) of frame 'new'"):
        write_samples(folder, [Sample("new", [Picture("Image", pixels(1), None), Picture("Depth", None, bad)])])
    assert json.loads((folder / "samples.json").read_text())[0]["frame"] == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["samples"]
