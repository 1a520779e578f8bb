"""The Cityscapes format: layout of a root, reading, the data set, and a check of a whole root."""

from multisigma.datasets.cityscapes.dataset import CityscapesDataset
from multisigma.datasets.cityscapes.layout import KINDS, FrameFiles, Kind, find_splits, list_frames
from multisigma.datasets.cityscapes.reading import read_camera, read_disparity, read_frame, read_image, read_labels

__all__ = [
    "KINDS",
    "CityscapesDataset",
    "FrameFiles",
    "Kind",
    "find_splits",
    "list_frames",
    "read_camera",
    "read_disparity",
    "read_frame",
    "read_image",
    "read_labels",
]
