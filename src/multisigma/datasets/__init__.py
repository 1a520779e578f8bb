"""Reading, checking, shrinking and augmenting data in the Cityscapes format."""

from multisigma.datasets.augment import AugmentSettings, Transform, apply_transform, draw_transform
from multisigma.datasets.check import CheckReport, SplitCounts, check_root
from multisigma.datasets.cityscapes import KINDS, FrameFiles, Kind, find_splits, list_frames, read_frame
from multisigma.datasets.frame import Camera, Frame, instance_centroids, instance_vectors
from multisigma.datasets.images import decode_disparity, encode_disparity, read_png, write_png
from multisigma.datasets.labels import IGNORE, INSTANCE_CLASSES, KNOWN_IDS, LABELS, TRAIN_CLASSES, TRAIN_ID_OF, Label
from multisigma.datasets.problems import DataError, Problem

__all__ = [
    "IGNORE",
    "INSTANCE_CLASSES",
    "KINDS",
    "KNOWN_IDS",
    "LABELS",
    "TRAIN_CLASSES",
    "TRAIN_ID_OF",
    "AugmentSettings",
    "Camera",
    "CheckReport",
    "DataError",
    "Frame",
    "FrameFiles",
    "Kind",
    "Label",
    "Problem",
    "SplitCounts",
    "Transform",
    "apply_transform",
    "check_root",
    "decode_disparity",
    "draw_transform",
    "encode_disparity",
    "find_splits",
    "instance_centroids",
    "instance_vectors",
    "list_frames",
    "read_frame",
    "read_png",
    "write_png",
]
