"""Reading, checking, shrinking and augmenting data in the Cityscapes format."""

from multisigma.datasets.augment import AugmentSettings, apply_transform, draw_transform
from multisigma.datasets.check import check_data
from multisigma.datasets.cityscapes import CityscapesDataset
from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.fields import ClassMap, Directions, Disparity, Field, Image, InstanceMap
from multisigma.datasets.frame import Camera, Frame, instance_vectors
from multisigma.datasets.images import decode_disparity, encode_disparity, read_png, write_png
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.labels import IGNORE, Label
from multisigma.datasets.open import find_splits, open_dataset
from multisigma.datasets.packed import pack
from multisigma.datasets.prepare import prepare
from multisigma.datasets.problems import CheckReport, DataError, Problem
from multisigma.datasets.transform import Transform

__all__ = [
    "CITYSCAPES",
    "IGNORE",
    "AugmentSettings",
    "Camera",
    "CheckReport",
    "CityscapesDataset",
    "ClassMap",
    "DataError",
    "Directions",
    "Disparity",
    "Field",
    "Frame",
    "Image",
    "InstanceMap",
    "Label",
    "LabelSpace",
    "Problem",
    "SceneDataset",
    "Transform",
    "apply_transform",
    "check_data",
    "decode_disparity",
    "draw_transform",
    "encode_disparity",
    "find_splits",
    "instance_vectors",
    "open_dataset",
    "pack",
    "prepare",
    "read_png",
    "write_png",
]
