"""The metrics against the official Cityscapes scripts, in an environment of their own."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multisigma.datasets.cityscapes import FrameFiles
from multisigma.datasets.frame import Frame
from multisigma.datasets.images import write_png
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.predictions import inspect_prediction, list_predictions, write_predictions
from multisigma.metrics import AveragePrecision, IoU, PanopticQuality
from multisigma.metrics.panoptic import panoptic_map
from tests.frames import class_ids, instance_ids
from tests.frames import disparity as disparity_of
from tests.scenes import Scene, numbers

pytestmark = pytest.mark.slow

# The scripts fail on NumPy 2.3 and later.
REQUIREMENTS = ("cityscapesscripts==2.3.*", "numpy<2.3")

# Our names of the instance scores, and the scripts'.
AVERAGES = {"ap": "ap", "ap50": "ap50%", "ap100m": "ap100m", "ap50m": "ap50m", "ap50_50m": "ap50%50m"}

Case = list[tuple[Scene, Frame]]
Official = Callable[[Path], dict[str, Any]]


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Official]:
    """Gives the official scores of a data set's folder; the scripts run in one process for all tests."""
    folder = tmp_path_factory.mktemp("official")
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    assert uv, "uv is needed to make the environment of the official scripts; `make .venv/ready` installs it"
    python = folder / "env" / "bin" / "python"
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder / "env")],
        [uv, "pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"The official scripts cannot be installed; is there a network?\n{done.stderr}"
    log = folder / "log.txt"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [str(python), str(Path(__file__).with_name("official_scripts.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdin
        assert process.stdout

        def scores(root: Path) -> dict[str, Any]:
            assert process.stdin
            assert process.stdout
            process.stdin.write(f"{root}\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, f"The official scripts have ended:\n{log.read_text()[-3000:]}"
            return json.loads(line)

        yield scores
        process.stdin.close()
        process.wait(timeout=60)


def write_case(root: Path, case: Case) -> list[FrameFiles]:
    """Writes a case in the official layout, predictions through the product's own writer.

    Beside it go what the public scripts lack or want in another format: distances, and panoptic predictions.
    """
    frames, distances, annotations = [], {}, []
    (root / "panoptic").mkdir(parents=True)
    for scene, truth in case:
        folder = root / "gtFine" / "val" / "town"
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{truth.name}_gtFine_{kind}.png" for kind in ("labelIds", "instanceIds")]
        write_png(paths[0], class_ids(truth))
        write_png(paths[1], instance_ids(truth).astype(np.uint16))
        write_predictions(root, truth.name, scene, class_ids(truth).shape)
        distances[paths[1].name] = {int(i): distance(truth, i) for i in np.unique(instance_ids(truth))}
        segments, classes = panoptic_map(scene["semantic"].ids, scene["instance"].regions, CITYSCAPES)
        write_png(
            root / "panoptic" / f"{truth.name}.png",
            np.dstack([segments % 256, segments // 256, 0 * segments]).astype(np.uint8),
        )
        present = [int(i) for i in np.unique(segments) if i]
        segments_info = [{"id": i, "category_id": int(classes[i])} for i in present]
        annotations.append({"image_id": truth.name, "file_name": f"{truth.name}.png", "segments_info": segments_info})
        frames.append(FrameFiles(truth.name, "town", "val", folder / "none.png", paths[0], paths[1], None, None))
    (root / "panoptic.json").write_text(json.dumps({"annotations": annotations}))
    (root / "distances.json").write_text(json.dumps(distances))
    return frames


def distance(truth: Frame, instance: int) -> tuple[float, float]:
    """Median distance in metres and share of pixels with a valid disparity, pixel by pixel."""
    disparities = disparity_of(truth)[instance_ids(truth) == instance].astype(float)
    assert truth.camera is not None
    metres = [truth.camera.baseline * truth.camera.fx / d for d in disparities if not np.isnan(d)]
    return (median(metres) if metres else -1.0), len(metres) / len(disparities)


def read_case(root: Path, case: Case, frames: list[FrameFiles]) -> Case:
    """The scenes of a case as the product's reader gives them."""
    files, problems = list_predictions(root, [frame.name for frame in frames])
    assert problems == []
    read = []
    for file, (_, truth) in zip(files, case, strict=True):
        scene, problems = inspect_prediction(file, root, class_ids(truth).shape)
        assert problems == []
        read.append((scene, truth))
    return read


def ours(case: Case) -> dict[str, Any]:
    metrics = [IoU(CITYSCAPES), AveragePrecision(CITYSCAPES), PanopticQuality(CITYSCAPES)]
    found: dict[str, Any] = {}
    for metric in metrics:
        found |= numbers(metric, case)
    return found


def compare(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Every number, not-a-number included, to 1e-9."""

    def same(key: str, official_score: Any, names: dict[str, Any] | None = None) -> None:
        if names is None:
            assert found[key] == pytest.approx(official_score, abs=1e-9, rel=0, nan_ok=True), key
            return
        for name in official_score:
            score = found[key].get(name, nan)
            assert score == pytest.approx(official_score[name], abs=1e-9, rel=0, nan_ok=True), (key, name)
        assert set(found[key]) <= set(official_score)

    pixel = expected["pixel"]
    same("iou_class", pixel["averageScoreClasses"])
    same("iiou_class", pixel["averageScoreInstClasses"])
    same("iou_category", pixel["averageScoreCategories"])
    same("iiou_category", pixel["averageScoreInstCategories"])
    same("iou_class_per_class", pixel["classScores"], {})
    same("iiou_class_per_class", pixel["classInstScores"], {})
    same("iou_category_per_class", pixel["categoryScores"], {})
    same("iiou_category_per_class", pixel["categoryInstScores"], {})
    # The scripts end in an error where every prediction of a class is ignored, or no segment is left to average.
    for scores in (expected["instance"], expected["distance"]):
        for key, name in AVERAGES.items() if "fails" not in scores else ():
            if (average := f"all{name[:1].upper()}{name[1:]}") in scores["averages"]:
                same(key, scores["averages"][average])
                same(f"{key}_per_class", {c: of[name] for c, of in scores["averages"]["classes"].items()}, {})
    if "fails" not in expected["panoptic"]:
        for suffix, kind in (("", "All"), ("_things", "Things"), ("_stuff", "Stuff")):
            for key in ("pq", "sq", "rq"):
                same(key + suffix, expected["panoptic"][kind][key])


@pytest.fixture
def make_all(make_case: Any, kinds: tuple[str, ...]) -> Callable[[int], Case]:
    return lambda seed: make_case(seed, [*kinds, *np.random.default_rng(seed).permutation(kinds)])


def test_hundreds_of_frames(official: Official, make_all: Callable[[int], Case], tmp_path: Path) -> None:
    compared = 0
    for seed in range(12):
        case = make_all(seed)
        root = tmp_path / str(seed)
        frames = write_case(root, case)
        expected = official(root)
        assert not [name for name, scores in expected.items() if "fails" in scores]
        compare(ours(case), expected)
        compare(ours(read_case(root, case, frames)), expected)
        compared += len(case)
    assert compared >= 200


@given(seed=st.integers(0, 10_000), data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_few_frames(
    official: Official,
    make_case: Any,
    kinds: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    data: st.DataObject,
) -> None:
    """Absent classes, frames without objects, predictions of nothing but ignored regions: what few frames lack."""
    case = make_case(seed, data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3)))
    root = tmp_path_factory.mktemp("case")
    write_case(root, case)
    compare(ours(case), official(root))
    shutil.rmtree(root)
