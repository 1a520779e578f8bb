"""Identity metrics against their definitions, and against py-motmetrics where it is installed."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multisigma.metrics.tracking import TrackingFrame, TrackingScores, tracking_scores


@st.composite
def videos(draw: st.DrawFn) -> list[TrackingFrame]:
    frames = []
    for _ in range(draw(st.integers(1, 6))):
        true = draw(st.lists(st.integers(1, 4), unique=True, max_size=4))
        predicted = draw(st.lists(st.integers(1, 4), unique=True, max_size=4))
        # Distinct values have one best assignment.
        rng = np.random.default_rng(draw(st.integers(0, 10**6)))
        frames.append(TrackingFrame(true, predicted, rng.random((len(true), len(predicted)))))
    return frames


@given(videos())
def test_counts_are_those_of_the_definition(frames: list[TrackingFrame]) -> None:
    """The identity score by trying every assignment of numbers to identities; and the bounds of the others."""
    scores = tracking_scores(frames)
    assert scores.true == sum(len(frame.true) for frame in frames)
    assert scores.predicted == sum(len(frame.predicted) for frame in frames)
    best = 0
    for numbers in permutations((1, 2, 3, 4)):
        total = 0
        for frame in frames:
            for row, identity in enumerate(frame.true):
                for column, number in enumerate(frame.predicted):
                    total += numbers[identity - 1] == number and frame.overlap[row, column] >= 0.5
        best = max(best, total)
    assert scores.same_identity == best
    assert 0 <= scores.switches <= scores.matches <= min(scores.true, scores.predicted)


def test_scores_of_several_videos_add_up() -> None:
    assert TrackingScores(1, 2, 3, 4, 5) + TrackingScores(10, 20, 30, 40, 50) == TrackingScores(11, 22, 33, 44, 55)


@pytest.mark.slow
@given(videos())
def test_scores_are_those_of_py_motmetrics(frames: list[TrackingFrame]) -> None:
    motmetrics = pytest.importorskip("motmetrics")
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for frame in frames:
        accumulator.update(frame.true, frame.predicted, np.where(frame.overlap >= 0.5, 1 - frame.overlap, np.nan))
    expected = (
        motmetrics.metrics.create()
        .compute(accumulator, metrics=["num_switches", "num_detections", "mota", "idf1"], name="all")
        .loc["all"]
    )
    scores = tracking_scores(frames)
    if scores.true:
        assert scores.matches == expected["num_detections"]
        assert scores.switches == expected["num_switches"]
        assert scores.mota == pytest.approx(expected["mota"])
        if scores.predicted:
            assert scores.idf1 == pytest.approx(expected["idf1"])


def test_a_new_match_is_that_of_the_larger_overlap() -> None:
    frames = [TrackingFrame([1], [5, 6], np.array([[0.6, 0.9]])), TrackingFrame([1], [6], np.array([[0.9]]))]
    assert tracking_scores(frames).switches == 0


def test_a_number_stays_while_the_overlap_is_enough() -> None:
    """Another number overlaps more in the second frame, but the first one still does: no switch."""
    frames = [
        TrackingFrame([1], [5], np.array([[0.9]])),
        TrackingFrame([1], [6, 5], np.array([[0.95, 0.6]])),
        TrackingFrame([1], [6], np.array([[0.95]])),
    ]
    scores = tracking_scores(frames)
    assert (scores.matches, scores.switches) == (3, 1)
    assert scores + TrackingScores(1, 0, 0, 0, 0) == TrackingScores(4, 4, 3, 1, 2)
