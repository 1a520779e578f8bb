"""A point cloud that turns, as a GIF: its own colours, and the colours of its classes.

python examples/turning_point_cloud.py predictions/points/street.ply street.gif
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from multisigma.datasets import CITYSCAPES

NUMPY_TYPES = {"float": "<f4", "uchar": "|u1", "int": "<i4"}


def read_ply(path: Path) -> np.ndarray:
    """Read the vertices of a binary PLY file as a table of named columns."""
    header, body = path.read_bytes().split(b"end_header\n", 1)
    properties = [line.split()[1:] for line in header.decode("ascii").splitlines() if line.startswith("property")]
    return np.frombuffer(body, [(name, NUMPY_TYPES[kind]) for kind, name in properties])


def draw(points: np.ndarray, colours: np.ndarray, height: int, width: int) -> np.ndarray:
    """Draw points (x right, y down, z forward) as squares of 2x2 pixels, the nearest last; RGB of shape (H, W, 3)."""
    x, y, z = points[points[:, 2] > 0.5].T
    focal = 1.1 * width  # 49 degrees
    far_first = np.argsort(-z)
    columns = (0.5 * width + focal * x / z)[far_first].astype(int)
    rows = (0.5 * height + focal * y / z)[far_first].astype(int)
    shown = colours[points[:, 2] > 0.5][far_first]
    picture = np.full((height, width, 3), 24, np.uint8)
    inside = (columns >= 0) & (columns < width - 1) & (rows >= 0) & (rows < height - 1)
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        picture[rows[inside] + down, columns[inside] + right] = shown[inside]
    return picture


def main() -> None:
    """Write the GIF."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cloud", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--size", type=int, nargs=2, default=(200, 400), metavar=("HEIGHT", "WIDTH"))
    options = parser.parse_args()
    table = read_ply(options.cloud)
    points = np.stack([table[axis] for axis in "xyz"], -1).astype(float)
    colours = np.stack([table[channel] for channel in ("red", "green", "blue")], -1)
    classes = CITYSCAPES.colors[table["class"]]
    centre = np.array([0, 0, np.median(points[:, 2])])
    pictures = []
    for angle in np.radians(12) * np.sin(np.linspace(0, 2 * np.pi, options.frames, endpoint=False)):
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        turned = (points - centre) @ turn.T + centre
        both = [draw(turned, shown, *options.size) for shown in (colours, classes)]
        pictures.append(Image.fromarray(np.hstack(both)).quantize(96, dither=Image.Dither.NONE))
    pictures[0].save(options.out, save_all=True, append_images=pictures[1:], duration=90, loop=0, optimize=True)


if __name__ == "__main__":
    main()
