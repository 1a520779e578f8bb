"""Identities over frames: what keeps its number, and what does not."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multisigma.datasets.scene import SceneInstance
from multisigma.errors import MultisigmaError
from multisigma.tracking import Tracker

CAR, PERSON = 26, 24


@dataclass
class Box:
    """A rectangle as an object."""

    x: int
    y: int = 20
    width: int = 20
    height: int = 12
    class_id: int = CAR
    score: float = 0.9

    @property
    def region(self) -> SceneInstance:
        return SceneInstance(self.class_id, self.score, self.y, self.x, np.ones((self.height, self.width), bool))

    @property
    def centre(self) -> tuple[float, float]:
        return self.x + (self.width - 1) / 2, self.y + (self.height - 1) / 2


def test_crossing_objects_keep_their_numbers() -> None:
    """Two cars pass each other, in any order of the list; where one hides the other, it is missing for three frames."""
    tracker, rng = Tracker(), np.random.default_rng(0)
    seen: dict[str, set[int]] = {"right": set(), "left": set()}
    for t in range(30):
        objects = {"right": Box(5 * t, y=20), "left": Box(150 - 5 * t, y=28)}
        if 14 <= t <= 16:
            del objects["left"]
        names = rng.permutation(list(objects)).tolist()
        for name, number in zip(names, tracker.update([objects[name] for name in names]), strict=True):
            seen[name].add(number)
    assert [len(numbers) for numbers in seen.values()] == [1, 1]
    assert seen["right"] != seen["left"]


@pytest.mark.parametrize(("missing", "keeps"), [(3, True), (4, False)])
def test_a_lost_object_is_expected_for_some_frames(missing: int, keeps: bool) -> None:
    tracker = Tracker(patience=3)
    (number,) = tracker.update([Box(10)])
    for _ in range(missing):
        assert tracker.update([]) == []
    assert (tracker.update([Box(10)]) == [number]) == keeps


def test_a_lost_object_is_expected_further_on_its_way() -> None:
    tracker = Tracker()
    for t in range(4):
        tracker.update([Box(12 * t)])
    for _ in range(4):
        tracker.update([])
    assert tracker.update([Box(12 * 3), Box(12 * 8)]) == [2, 1]


def test_a_class_may_change_for_a_frame_but_another_object_is_another() -> None:
    tracker = Tracker()
    assert [tracker.update([Box(10, class_id=c)]) for c in (CAR, 27, CAR)] == [[1], [1], [1]]
    # Where both stand at the same place, the class decides.
    assert tracker.update([Box(10, class_id=PERSON), Box(10)]) == [2, 1]


def test_objects_of_a_low_score_do_not_begin_but_go_on() -> None:
    tracker = Tracker(score=0.5)
    assert tracker.update([Box(10, score=0.4)]) == [0]
    assert tracker.update([Box(10, score=0.6)]) == [1]
    assert tracker.update([Box(10, score=0.4)]) == [1]
    tracker.reset()
    assert tracker.update([Box(10)]) == [1]


@given(st.lists(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 60)), max_size=6), max_size=6))
def test_numbers_of_a_frame_differ(frames: list[list[tuple[int, int]]]) -> None:
    tracker = Tracker()
    for places in frames:
        numbers = tracker.update([Box(x, y) for x, y in places])
        assert len(set(numbers)) == len(places)
        assert all(number > 0 for number in numbers)


@pytest.mark.parametrize("options", [{"patience": -1}, {"least": 0.0}, {"least": 1.5}, {"score": -0.1}])
def test_errors(options: dict[str, float]) -> None:
    with pytest.raises(MultisigmaError, match=f"`{next(iter(options))}` must be"):
        Tracker(**options)  # type: ignore[arg-type]
