"""The study of instances: scores against hand-made cases, and errors of the votes against their definitions."""

import json
import sys

import numpy as np
import pytest

from multisigma.experiments import instances as study
from multisigma.experiments.instances import (
    ERRORS,
    GroundTruth,
    Score,
    average_precision,
    match_instances,
    panoptic_quality,
)
from multisigma.synthetic import StreetSettings, make_frame, make_labels


@pytest.fixture(scope="module")
def gt() -> GroundTruth:
    return GroundTruth.from_map(make_labels(StreetSettings(256, 512, 4, matching=False), "val", 4).instances)


def test_make_labels_gives_the_labels_of_make_frame() -> None:
    settings = StreetSettings(64, 128, 3, matching=False)
    frame, labels = make_frame(settings, "val", 1), make_labels(settings, "val", 1)
    for name in ("labels", "instances", "exact_disparity"):
        np.testing.assert_array_equal(getattr(frame, name), getattr(labels, name))


def boxes(*widths: int) -> GroundTruth:
    """Place cars of these widths and of 10 rows beside each other."""
    return GroundTruth.from_map(np.repeat(26000 + np.arange(len(widths)), widths)[None].repeat(10, axis=0))


def test_score_of_a_hand_made_case() -> None:
    gt = boxes(20, 20, 20, 2)  # 200, 200, 200 and 20 pixels; the last is too small to count
    ids = np.tile(np.repeat([1, 2, 3, 4], [18, 12, 30, 2]), 10)
    found = match_instances(gt, ids, np.ones(4), 100, 0.0)
    # In columns: prediction 1 has 18 of the first car's 20, IoU 0.9. Prediction 2 has 2 of the first and 10 of
    # the second, IoU 10 / 22. Prediction 3 has 10 of the second and 20 of the third, IoU 20 / 30.
    assert found.counts.tolist() == pytest.approx([2, 0.9 + 20 / 30, 1, 1])
    assert found.num_gt == {26: 3}
    np.testing.assert_allclose(found.predictions, [[26, 1, 0.9], [26, 1, 10 / 22], [26, 1, 20 / 30]])
    assert panoptic_quality(found.counts) == pytest.approx((0.9 + 20 / 30) / (2 + 0.5 + 0.5))


def test_average_precision_of_a_hand_made_case() -> None:
    def predictions(*rows: tuple[float, float, float]) -> np.ndarray:
        return np.array(rows, dtype=float).reshape(-1, 3)

    frames = [
        Score(
            np.zeros(4), np.zeros(4), predictions((26, 0.9, 0.8), (26, 0.8, 0.2), (24, 0.5, 0.7)), {26: 2, 24: 1}, 0.0
        ),
        Score(np.zeros(4), np.zeros(4), predictions((26, 0.7, 0.6)), {26: 1}, 0.0),
    ]
    # Three cars, predicted right, wrong, right: recall 1/3 at precision 1, then 1/3 more at 2/3. One person, right.
    assert average_precision(frames, np.array([0.5])) == pytest.approx(((1 + 2 / 3) / 3 + 1) / 2)
    assert average_precision(frames, np.array([0.75])) == pytest.approx((1 / 3 + 0) / 2)
    # Resamples: the first frame twice; the second frame twice, which has no person.
    twice = average_precision(frames, np.array([0.5]), np.array([[2.0, 0.0], [0.0, 2.0]]))
    assert twice.tolist() == pytest.approx([(1 / 2 + 1) / 2, 1.0])


def test_average_precision_of_a_resample_equals_that_of_repeated_frames() -> None:
    rng = np.random.default_rng(0)
    frames = [
        Score(
            np.zeros(4),
            np.zeros(4),
            np.column_stack((rng.integers(24, 27, 9), rng.uniform(size=(9, 2)))),
            {24: 3, 25: 2, 26: 4},
            0.0,
        )
        for _ in range(6)
    ]
    draws = rng.integers(6, size=(20, 6))
    weights = np.stack([np.bincount(draw, minlength=6) for draw in draws]).astype(float)
    for draw, value in zip(draws, average_precision(frames, study.AP_THRESHOLDS, weights), strict=True):
        assert value == pytest.approx(average_precision([frames[i] for i in draw], study.AP_THRESHOLDS)[0])


def test_errors_follow_their_definitions(gt: GroundTruth) -> None:
    lengths = np.hypot(*gt.vectors.T)
    for name, error in ERRORS.items():
        given = error(gt, np.random.default_rng(0))
        difference = given - gt.vectors
        assert np.isfinite(given).all()
        if name.endswith(" px") and not name.startswith("between"):
            assert difference.std() == pytest.approx(float(name.split()[0]), rel=0.03)
        elif name.endswith("of the length"):
            assert (difference[lengths > 1] / lengths[lengths > 1, None]).std() == pytest.approx(
                float(name.split()[0]) / 100, rel=0.03
            )
        else:
            # Where vectors are long, the errors of neighbouring pixels are correlated.
            right = (np.diff(gt.x) == 1) & (np.diff(gt.index) == 0) & (lengths[1:] > 30)
            pairs = np.stack((difference[:-1][right].ravel(), difference[1:][right].ravel()))
            assert np.corrcoef(pairs)[0, 1] > 0.7, name


def test_true_centres_with_exact_votes_score_1(gt: GroundTruth) -> None:
    scores = study._study_votes(gt, gt.vectors, {"true": study.methods(256)["true centres"]}, 10)
    counts = scores["true"].counts
    assert panoptic_quality(counts) == 1.0
    assert counts[0] >= 5


def test_every_method_finds_most_of_an_easy_frame(gt: GroundTruth) -> None:
    vectors = ERRORS["3 px"](gt, np.random.default_rng(0)) * 0.2 + gt.vectors * 0.8
    for name, found in study._study_votes(gt, vectors, study.methods(256), 10).items():
        assert panoptic_quality(found.counts) > 0.4, name


def test_summary_pools_frames_and_errors() -> None:
    def score(tp: float, iou: float, fp: float, fn: float) -> Score:
        rows = [(26, 1, 0.9)] * int(tp) + [(26, 0.5, 0.1)] * int(fp)
        counts = np.array([tp, iou, fp, fn])
        return Score(counts, counts / 2, np.array(rows, dtype=float).reshape(-1, 3), {26: int(tp + fn)}, 0.01)

    results = [
        {
            "a": {"one": score(2, 1.8, 0, 0), "two": score(1, 0.9, 0, 1)},
            "b": {"one": score(1, 0.9, 1, 1), "two": score(0, 0, 0, 2)},
        }
        for _ in range(3)
    ]
    table = study.summary(results, 0)
    assert table["one"]["PQ by error"] == {"a": 0.9, "b": 0.45}
    assert table["one"]["PQ"] == pytest.approx(0.675)
    assert table["two"]["PQ"] == pytest.approx(0.3)
    assert table["two"]["PQ below one"] == pytest.approx([0.375, 0.375])
    assert table["one"]["AP interval"] == pytest.approx([table["one"]["AP"]] * 2)
    assert table["two"]["AP below one"] == pytest.approx([table["one"]["AP"] - table["two"]["AP"]] * 2)
    assert (table["one"]["precision"], table["one"]["recall"]) == (0.75, 0.75)


@pytest.mark.slow
@pytest.mark.parametrize("table", ["methods", "paper", "settings"])
def test_the_study_runs(table: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["instances", "--frames", "1", "--table", table])
    study.main()
    printed = json.loads(capsys.readouterr().out)
    assert printed["frames"] == 1
    assert all(0 <= row["PQ"] <= 1 for row in printed[table].values())
