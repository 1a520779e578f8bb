"""The label table, against torchvision's copy of it and facts of the paper."""

import numpy as np
from torchvision.datasets import Cityscapes  # type: ignore[import-untyped]

from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.labels import IGNORE, LABELS


def test_table_is_torchvisions_row_for_row() -> None:
    rows = [
        (x.name, x.id, x.train_id, x.category, x.category_id, x.has_instances, x.ignore_in_eval, x.color)
        for x in LABELS
    ]
    assert rows == [tuple(row) for row in Cityscapes.classes]


def test_training_classes_are_in_train_id_order() -> None:
    names = (
        "road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain, sky, "
        "person, rider, car, truck, bus, train, motorcycle, bicycle"
    )
    assert ", ".join(label.name for label in CITYSCAPES.train_classes) == names
    assert [label.train_id for label in CITYSCAPES.train_classes] == list(range(19))


def test_eight_classes_have_evaluated_instances() -> None:
    assert [label.id for label in CITYSCAPES.instance_classes] == [24, 25, 26, 27, 28, 31, 32, 33]


def test_train_id_of_every_byte() -> None:
    ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    expected = [ids.index(i) if i in ids else IGNORE for i in range(256)]
    assert CITYSCAPES.train_ids_of_ids.dtype == np.uint8
    assert CITYSCAPES.train_ids_of_ids.tolist() == expected
