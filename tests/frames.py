"""Frames from arrays, and their arrays, for tests."""

from dataclasses import replace

import numpy as np

from multisigma.datasets.fields import ClassMap, Disparity, Field, Image, InstanceMap, instance_centroids
from multisigma.datasets.frame import Camera, Frame
from multisigma.datasets.label_space import CITYSCAPES


def frame_of(
    name: str = "a_000000_000019",
    image: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    instances: np.ndarray | None = None,
    disparity: np.ndarray | None = None,
    camera: Camera | None = None,
) -> Frame:
    """A frame of the Cityscapes classes with those fields that are given."""
    fields: dict[str, Field] = {}
    if image is not None:
        fields["image"] = Image(image)
    if labels is not None:
        fields["semantic"] = ClassMap(labels)
    if instances is not None:
        fields["instance"] = InstanceMap(instances, instance_centroids(instances, CITYSCAPES.instance_ids))
    if disparity is not None:
        fields["disparity"] = Disparity(disparity)
    return Frame(name, fields, camera)


def without(frame: Frame, *names: str) -> Frame:
    """The frame without some of its fields."""
    return replace(frame, fields={name: field for name, field in frame.fields.items() if name not in names})


def class_ids(frame: Frame) -> np.ndarray:
    field = frame.get("semantic", ClassMap)
    assert field is not None
    return field.ids


def instance_ids(frame: Frame) -> np.ndarray:
    field = frame.get("instance", InstanceMap)
    assert field is not None
    return field.ids


def centroids(frame: Frame) -> dict[int, tuple[float, float]]:
    field = frame.get("instance", InstanceMap)
    assert field is not None
    return dict(field.centroids)


def disparity(frame: Frame) -> np.ndarray:
    field = frame.get("disparity", Disparity)
    assert field is not None
    return field.values


def array(frame: Frame, name: str) -> np.ndarray:
    """The array of any field that `frame_of` makes."""
    if name == "image":
        return frame.image
    return {"semantic": class_ids, "instance": instance_ids, "disparity": disparity}[name](frame)
