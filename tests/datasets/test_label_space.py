"""The table of classes: that of Cityscapes, its way through JSON, and its rules."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.labels import LABELS, Label
from multisigma.errors import MultisigmaError


def test_cityscapes_is_todays_table() -> None:
    assert CITYSCAPES.classes == LABELS
    assert CITYSCAPES.sky == 23
    np.testing.assert_array_equal(CITYSCAPES.train_ids_of_ids[CITYSCAPES.ids_of_train_ids], np.arange(19))
    assert CITYSCAPES.colors[26].tolist() == [0, 0, 142]
    assert not CITYSCAPES.colors[[0, 29, 255]].any()


def test_json_round_trip() -> None:
    text = json.dumps(CITYSCAPES.to_json(), allow_nan=False)
    assert LabelSpace.from_json(json.loads(text)) == CITYSCAPES
    eleven = LabelSpace("eleven", CITYSCAPES.train_classes[:11])
    assert LabelSpace.from_json(json.loads(json.dumps(eleven.to_json()))) == eleven


def with_class(index: int, **change: Any) -> dict[str, Any]:
    content = CITYSCAPES.to_json()
    content["classes"][index] |= change
    return content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "field 'classes'"),
        ({"classes": [{}]}, "field 'name'"),
        (with_class(7, id="7"), "'7' is no int"),
        (with_class(7, evaluated=1), "1 is no bool"),
        (with_class(7, color=[1, 2]), "not enough values"),
        (with_class(7, color=[1, 2, 256]), "must lie in 0 to 255"),
        (with_class(7, id=8), "ids must differ. Found 8 of 'road' and 'sidewalk'"),
        (with_class(7, name="Traffic-Light"), "names must differ"),
        (with_class(7, id=300), "ids of evaluated classes must lie in 0 to 254. Found 300"),
        (with_class(0, id=300), "ids of ignored classes must lie in -1 to 255. Found 300"),
        (with_class(26, id=65), "ids of classes with instances must lie in 1 to 64. Found 65 of 'car'"),
        (with_class(7, train_id=3), "training ids of evaluated classes must be 0, 1, 2"),
        (CITYSCAPES.to_json() | {"sky": 99}, "`sky` must be the id of a class. Found 99"),
    ],
)
def test_faults_are_named(content: dict[str, Any], words: str) -> None:
    with pytest.raises(MultisigmaError) as error:
        LabelSpace.from_json(content)
    assert words in str(error.value)


def test_a_table_of_nothing_is_none() -> None:
    with pytest.raises(MultisigmaError, match="training ids"):
        LabelSpace("none", tuple(replace(label, ignore_in_eval=True) for label in LABELS))


def test_a_model_of_19_classes_onto_data_of_11() -> None:
    names = ["Sky", "car", "Traffic_Sign", "pavement"]
    classes = tuple(Label(name, 10 + i, i, "x", 0, False, False, (i, i, i)) for i, name in enumerate(names))
    onto = CITYSCAPES.onto(LabelSpace("few", classes))
    assert onto[[23, 26, 20]].tolist() == [10, 11, 12]
    assert np.flatnonzero(onto != 255).tolist() == [20, 23, 26]
    void = Label("void", 3, 255, "void", 0, False, True, (0, 0, 0))
    assert CITYSCAPES.onto(LabelSpace("few", (*classes, void)))[0] == 3


def test_void_is_the_first_ignored_id() -> None:
    assert CITYSCAPES.void == 0
    assert LabelSpace("eleven", CITYSCAPES.train_classes[:11]).void == 255


def test_common_classes_are_those_that_both_evaluate() -> None:
    names = ["Car", "traffic-sign", "Static", "kiosk"]  # "static" is ignored in Cityscapes
    few = LabelSpace("few", tuple(Label(name, i, i, "x", 0, False, False, (i, i, i)) for i, name in enumerate(names)))
    assert few.common(CITYSCAPES) == ["Car", "traffic-sign"]
    assert CITYSCAPES.common(few) == ["traffic sign", "car"]
