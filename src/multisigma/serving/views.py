"""Pictures, legends, sentences about a pixel, and files of a prediction, for the page. No web framework here."""

from __future__ import annotations

import html
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from multisigma.datasets import Frame, fields, write_png
from multisigma.errors import MultisigmaError
from multisigma.files import write_bytes
from multisigma.models import ScenePrediction
from multisigma.visualization.colours import ColourScale
from multisigma.visualization.picture import Picture
from multisigma.visualization.point_cloud import PointCloud

__all__ = [
    "View",
    "describe_pixel",
    "describe_place",
    "draw_cloud",
    "list_objects",
    "make_views",
    "mark_object",
    "object_at",
    "object_of",
    "shown_image",
    "write_downloads",
    "write_viewer_ply",
]

_SHARE = 0.9
_WIDEST = 1280
"""Largest width of a picture on the page."""


@dataclass(frozen=True, slots=True)
class View:
    """A picture of one result.

    Args:
        title: What is shown.
        pixels: RGB of shape (H, W, 3).
        legend: HTML that tells what the colours mean; empty if nothing needs to.
    """

    title: str
    pixels: NDArray[np.uint8]
    legend: str


def make_views(scene: ScenePrediction) -> list[View]:
    """Return the pictures of all tasks, at most 1280 pixels wide, each of the size of the first; and overlays.

    Args:
        scene: The prediction.
    """
    image = shown_image(scene)
    height, width = image.shape[:2]
    results = {name: result.resized(height, width) for name, result in scene.items()}
    camera = scene.camera and scene.camera.resized(width / scene.image.shape[1], height / scene.image.shape[0])
    frame = Frame("image", {"image": fields.Image(image)}, camera, scene.labels)
    views = []
    for picture in (picture for task in scene.tasks for picture in task.visualize(frame, results)):
        if picture.prediction is None:
            continue
        legend = _legend(picture)
        if picture.legend:
            mixed = ((picture.prediction.astype(int) + image) // 2).astype(np.uint8)
            views.append(View(f"{picture.title} over the image", mixed, legend))
        views.append(View(picture.title, picture.prediction, legend))
    return views


def shown_image(scene: ScenePrediction) -> NDArray[np.uint8]:
    """Return the image at the size at which the page shows it, shape (H, W, 3)."""
    height, width = scene.image.shape[:2]
    if width <= _WIDEST:
        return scene.image
    size = _WIDEST, max(1, round(height * _WIDEST / width))
    return np.asarray(cv2.resize(scene.image, size, interpolation=cv2.INTER_AREA), np.uint8)


def describe_pixel(scene: ScenePrediction, column: int, row: int) -> str:
    """Return class, distance and object of a pixel, as Markdown.

    Args:
        scene: The prediction.
        column: Column of the image.
        row: Row of the image.

    Raises:
        MultisigmaError: The pixel lies outside of the image.
    """
    height, width = scene.image.shape[:2]
    if not (0 <= column < width and 0 <= row < height):
        raise MultisigmaError(
            f"A pixel must lie in the image of {width} columns and {height} rows. Found column {column}, row {row}."
        )
    lines = [f"Pixel at column {column}, row {row}:"]
    semantic, depth = scene.get("semantic"), scene.get("depth")
    if semantic is not None:
        name = scene.labels.by_id[int(semantic.ids[row, column])].name
        lines.append(f"- class **{name}**, {semantic.probability[row, column]:.0%} sure")
    if depth is not None and depth.camera is not None:
        # Of this pixel alone: the page asks for many, one after the other.
        depth = replace(depth, disparity=depth.disparity[row : row + 1, column : column + 1])
        line = f"- distance **{_metres(float(depth.metres[0, 0]))}**"
        if depth.noise_scale is not None:
            near, far = (float(bound[0, 0]) for bound in depth.interval(_SHARE))
            line += f", in {_SHARE:.0%} of pixels within {_metres(near)} to {_metres(far)}"
        lines.append(line)
    elif depth is not None:
        lines.append(f"- disparity {depth.disparity[row, column]:.1f} px; give a field of view for metres")
    number = object_at(scene, column, row)
    if number:
        lines.append(f"- {_object_line(scene, number)}")
    elif _objects(scene) is not None:
        lines.append("- no object")
    return "\n".join(lines)


def describe_place(scene: ScenePrediction, place: str) -> str:
    """Return what `describe_pixel` does, in one line.

    Args:
        scene: The prediction.
        place: Where the mouse is: shares of the width and of the height, such as '0.25 0.5'.

    Raises:
        MultisigmaError: The place is none, or lies outside of the image.
    """
    height, width = scene.image.shape[:2]
    try:
        x, y = (float(share) for share in place.split())
        column, row = int(x * width), int(y * height)
    except (ValueError, OverflowError) as error:
        raise MultisigmaError("A place must be two shares, such as '0.25 0.5'. Found something else.") from error
    return describe_pixel(scene, column, row).replace(":\n- ", ": ").replace("\n- ", "; ")


def list_objects(scene: ScenePrediction) -> list[str]:
    """Return a line about each object, in the order of their numbers; the line of object i begins with 'i: '."""
    return [_object_line(scene, number) for number in range(1, len(_objects(scene) or ()) + 1)]


def mark_object(scene: ScenePrediction, number: int) -> NDArray[np.uint8]:
    """Return the image with one object bright and outlined, the rest dark.

    Args:
        scene: The prediction.
        number: Number of the object from 1; 0 for the image as it is.
    """
    image = shown_image(scene)
    objects = _objects(scene)
    if not number or objects is None:
        return image
    height, width = image.shape[:2]
    mask = objects[number - 1].mask.astype(np.uint8)
    mask = np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST))
    marked = np.where(mask[..., None] > 0, image, image // 3)
    edge = cv2.dilate(mask, np.ones((3, 3), np.uint8)) > mask
    marked[edge] = (255, 255, 255)
    return marked


def draw_cloud(cloud: PointCloud, degrees: float, height: int = 400, width: int = 640) -> NDArray[np.uint8]:
    """Draw a point cloud that is turned about the vertical line through its middle.

    Args:
        cloud: The points.
        degrees: How far it is turned to the left.
        height: Height of the picture.
        width: Width of the picture.

    Returns:
        RGB of shape (height, width, 3). A point is a square of 2x2 pixels, and near ones hide far ones.
    """
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    middle = np.array([0, 0, np.median(cloud.points[:, 2])]) if len(cloud) else np.zeros(3)
    points = (cloud.points - middle) @ turn.T + middle
    in_front = points[:, 2] > 0.5
    far_first = np.argsort(-points[in_front, 2])
    x, y, z = points[in_front][far_first].T
    columns, rows = ((width * (0.5 + x / z)).astype(int), (height / 2 + width * y / z).astype(int))
    colours = cloud.colours[in_front][far_first]
    inside = (columns >= 0) & (columns < width - 1) & (rows >= 0) & (rows < height - 1)
    picture = np.full((height, width, 3), 24, np.uint8)
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        picture[rows[inside] + down, columns[inside] + right] = colours[inside]
    return picture


def write_viewer_ply(cloud: PointCloud, path: Path, most: int = 50_000) -> None:
    """Write positions and colours alone, with y up and z backwards, as the viewer of the page takes them.

    Args:
        cloud: The points.
        path: The file.
        most: Largest number of points; of more, every n-th is taken.
    """
    few = cloud.table()[:: max(1, -(-len(cloud) // most))]
    names = ("x", "y", "z", "red", "green", "blue")
    table = np.empty(len(few), [(name, few.dtype[name]) for name in names])
    for name in names:
        table[name] = -few[name] if name in ("y", "z") else few[name]
    kinds = ("float",) * 3 + ("uchar",) * 3
    properties = "".join(f"property {kind} {name}\n" for kind, name in zip(kinds, names, strict=True))
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(table)}\n{properties}end_header\n"
    write_bytes(path, header.encode() + table.tobytes())


def write_downloads(scene: ScenePrediction, folder: Path, cloud: PointCloud | None) -> list[Path]:
    """Write what visitors may download.

    Args:
        scene: The prediction.
        folder: An empty folder.
        cloud: The point cloud, if there is a camera.

    Returns:
        Ids of classes and of objects and the disparity as PNG, the picture, the description as JSON, the point cloud as
        PLY; and all files that `multisigma predict` writes as ZIP.
    """
    everything = folder / "all"
    scene.save(everything, "scene")
    files = []
    semantic, depth = scene.get("semantic"), scene.get("depth")
    if semantic is not None:
        files.append(folder / "classes.png")
        write_png(files[-1], semantic.ids)
    if _objects(scene) is not None:
        files.append(folder / "instances.png")
        write_png(files[-1], scene["instance"].ids().astype(np.uint16))
    if depth is not None:
        files.append(folder / "disparity.png")
        shutil.copy(everything / "disparity" / "scene_disparity.png", files[-1])
    if cloud is not None:
        files.append(folder / "points.ply")
        cloud.write_ply(files[-1])
        shutil.copy(files[-1], everything / "points.ply")
    for kind, ending in (("scenes", "json"), ("pictures", "png")):
        files.append(folder / f"scene.{ending}")
        shutil.copy(everything / kind / files[-1].name, files[-1])
    files.append(Path(shutil.make_archive(str(folder / "everything"), "zip", everything)))
    shutil.rmtree(everything)
    return files


def _objects(scene: ScenePrediction) -> Any:
    instance = scene.get("instance")
    return None if instance is None or instance.instances is None else instance


def object_at(scene: ScenePrediction, column: int, row: int) -> int:
    """Return the number of the object at a pixel, from 1; 0 for none."""
    return 0 if _objects(scene) is None else int(scene["instance"].ids()[row, column])


def object_of(scene: ScenePrediction, line: str) -> int:
    """Return the number of the object that a line of `list_objects` is about, from 1.

    Raises:
        MultisigmaError: It is no such line.
    """
    lines = list_objects(scene)
    if line not in lines:
        raise MultisigmaError(f"An object must be one of the {len(lines)} of this picture. Found another line.")
    return lines.index(line) + 1


def _object_line(scene: ScenePrediction, number: int) -> str:
    found = scene["instance"][number - 1]
    distance = "" if found.distance is None else f", {_metres(found.distance)} away"
    pixels = int(found.region.mask.sum())
    return f"{number}: {found.class_name}, score {found.score:.2f}{distance}, {pixels} pixels"


def _metres(value: float) -> str:
    return "infinity" if np.isinf(value) else f"{value:.1f} m"


def _legend(picture: Picture) -> str:
    if picture.legend:
        swatch = '<span class="swatch" style="background:#{:02x}{:02x}{:02x}">'
        entries = (f"<li>{swatch.format(*colour)}</span> {html.escape(name)}</li>" for name, colour in picture.legend)
        return f'<ul class="legend" aria-label="Colours of classes">{"".join(entries)}</ul>'
    if picture.scale is not None:
        return _scale(picture.scale)
    return ""


def _scale(scale: ColourScale) -> str:
    ticks = "".join(
        f'<span style="position:absolute;left:{100 * place:.1f}%;transform:translateX(-50%)">{html.escape(text)}</span>'
        for place, text in scale.ticks
    )
    return (
        f"<div>{html.escape(scale.title)}</div>"
        f'<div style="height:1em;background:linear-gradient(to right, {", ".join(scale.colours)})"></div>'
        f'<div style="position:relative;height:1.5em;margin:0 1em">{ticks}</div>'
    )
