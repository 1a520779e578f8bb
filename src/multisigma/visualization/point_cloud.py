"""A labelled point cloud, and its file in the PLY format (Turk, 1994), binary little endian."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from multisigma.files import write_bytes

__all__ = ["PointCloud", "sight_angles"]

_TYPES: Final = {"f4": "float", "u1": "uchar", "i4": "int"}


@dataclass(frozen=True, slots=True, eq=False)
class PointCloud:
    """Points in space with the colour and the labels of their pixels, in the order of the pixels.

    Args:
        points: Metres from the camera (x right, y down, z forward), shape (N, 3).
        colours: RGB, shape (N, 3).
        pixels: Column and row of each point's pixel, shape (N, 2).
        class_ids: Class of each point, an id of the label space, shape (N,); 0 without the task.
        instance_ids: Object of each point, shape (N,): i + 1 for the object i of the prediction, 0 for none.
        scores: Score of its object, else the probability of its class; shape (N,); 1 without either.
        nearest: Smallest z of the interval that was asked for, metres, shape (N,); None without one.
        farthest: Largest z, metres, infinite where the disparity may be 0.
        comments: Lines for the header of a file.
    """

    points: NDArray[np.float32]
    colours: NDArray[np.uint8]
    pixels: NDArray[np.int32]
    class_ids: NDArray[np.uint8]
    instance_ids: NDArray[np.int32]
    scores: NDArray[np.float32]
    nearest: NDArray[np.float32] | None = None
    farthest: NDArray[np.float32] | None = None
    comments: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.points)

    def chosen(self, which: NDArray[Any]) -> PointCloud:
        """Return some of the points.

        Args:
            which: A mask of shape (N,), or indices.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: value[which] for name, value in values.items() if isinstance(value, np.ndarray)}
        return replace(self, **arrays)

    def table(self) -> NDArray[Any]:
        """Return the points as a table of named columns, shape (N,): what the PLY file holds."""
        columns: dict[str, NDArray[Any]] = {
            **{name: self.points[:, axis] for axis, name in enumerate("xyz")},
            **{name: self.colours[:, channel] for channel, name in enumerate(("red", "green", "blue"))},
            "class": self.class_ids,
            "instance": self.instance_ids,
            "score": self.scores,
        }
        if self.nearest is not None and self.farthest is not None:
            columns |= {"nearest": self.nearest, "farthest": self.farthest}
        table = np.empty(len(self), [(name, values.dtype.newbyteorder("<")) for name, values in columns.items()])
        for name, values in columns.items():
            table[name] = values
        return table

    def to_ply(self) -> bytes:
        """Return the content of a PLY file: `table` after a header."""
        table = self.table()
        lines = [
            "ply",
            "format binary_little_endian 1.0",
            "comment metres from the camera: x right, y down, z forward",
            *(f"comment {' '.join(comment.split())}" for comment in self.comments),
            f"element vertex {len(table)}",
            *(f"property {_TYPES[table.dtype[name].str[1:]]} {name}" for name in table.dtype.names or ()),
            "end_header",
        ]
        return "\n".join(lines).encode("ascii", "replace") + b"\n" + table.tobytes()

    def write_ply(self, path: str | Path) -> None:
        """Write a PLY file. Raises `MultisigmaError` if it cannot be written."""
        write_bytes(Path(path), self.to_ply())


def sight_angles(disparity: NDArray[np.floating], focal: float) -> NDArray[np.float32]:
    """Return the angle between each pixel's line of sight and the normal of its surface, for small fields of view.

    The disparity d of a surface that is tilted by the angle a against the line of sight changes by d tan(a) / f from a
    pixel to the next. Between two objects, interpolated disparity looks like a surface that is seen almost from its
    edge. The largest slope towards one of the eight neighbours counts.

    Args:
        disparity: Pixels, shape (H, W).
        focal: Focal length, pixels.

    Returns:
        Degrees from 0 to 90, shape (H, W).
    """
    values = np.asarray(disparity, np.float32)
    window = np.ones((3, 3), np.uint8)
    # Outside of the image counts as nothing for both.
    steps = np.maximum(cv2.dilate(values, window) - values, values - cv2.erode(values, window))
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = focal * steps / values
    return np.degrees(np.arctan(np.nan_to_num(slope, nan=np.inf, posinf=np.inf))).astype(np.float32)
