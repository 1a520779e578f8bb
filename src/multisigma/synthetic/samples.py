"""A page that shows a data set: its frames, class frequencies, instances, and how far colour alone leads."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.cityscapes import KINDS, FrameFiles, find_splits, list_frames, read_disparity, read_frame
from multisigma.datasets.evenly import evenly
from multisigma.datasets.fields import ClassMap, Disparity, InstanceMap
from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.labels import LABELS
from multisigma.files import write_text

#: Share of the evaluated pixels of each training class in the fine annotations of Cityscapes train, in train-id order.
CITYSCAPES_FREQUENCIES = (
    0.369, 0.061, 0.228, 0.0066, 0.0088, 0.0123, 0.0021, 0.0055, 0.159, 0.0116,
    0.040, 0.0122, 0.0014, 0.070, 0.0027, 0.0024, 0.0023, 0.0010, 0.0041,
)  # fmt: skip

_SHOWN = 12
_MEASURED = 100
_PIXELS_PER_FRAME = 1500
_PICTURE_WIDTH = 384

_LABEL_COLOURS = np.zeros((256, 3), np.uint8)
for _label in LABELS:
    if _label.id >= 0:
        _LABEL_COLOURS[_label.id] = _label.color


@dataclass(frozen=True)
class Statistics:
    """What the page says about a root.

    Args:
        frames: How many frames were measured.
        frequencies: Share of each of the 19 training classes among the evaluated pixels.
        instances: Number of instances of each frame measured.
        colour_iou: Mean IoU over 19 classes of a classifier that sees one pixel's colour; None without enough frames.
    """

    frames: int
    frequencies: NDArray[np.float64]
    instances: list[int]
    colour_iou: float | None


def measure(root: Path) -> Statistics:
    """Measure up to 100 frames of a root, evenly chosen from each split that has labels.

    Raises:
        DataError: If the root or a frame of it is malformed.
    """
    counts = np.zeros(19, np.int64)
    instances: list[int] = []
    pixels: dict[str, list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]] = {}
    for split in find_splits(root):
        files = [f for f in list_frames(root, split) if f.semantic is not None]
        for k, chosen in enumerate(evenly(files, _MEASURED)):
            frame = read_frame(chosen)
            semantic = frame.get("semantic", ClassMap)
            assert semantic is not None
            train_ids = CITYSCAPES.train_ids_of_ids[semantic.ids]
            counts += np.bincount(train_ids.ravel(), minlength=256)[:19]
            if instance := frame.get("instance", InstanceMap):
                ids = np.unique(instance.ids)
                instances.append(int(np.isin(ids // 1000, [label.id for label in CITYSCAPES.instance_classes]).sum()))
            at = np.random.default_rng(k).integers(train_ids.size, size=_PIXELS_PER_FRAME)
            sample = frame.image.reshape(-1, 3)[at], train_ids.ravel()[at]
            pixels.setdefault(split, []).append(sample)
    total = max(int(counts.sum()), 1)
    return Statistics(sum(map(len, pixels.values())), counts / total, instances, _colour_iou(pixels))


def _colour_iou(pixels: dict[str, list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]]) -> float | None:
    """Mean IoU of a decision tree on RGB, learned on one half of the frames and tested on the other."""
    # Imported here because the processes that render import this module too, and scikit-learn takes seconds.
    from sklearn.tree import DecisionTreeClassifier

    frames = [sample for split in sorted(pixels) for sample in pixels[split]]
    if len(frames) < 2:
        return None
    halves = []
    for half in (frames[::2], frames[1::2]):
        colour, label = (np.concatenate(part) for part in zip(*half, strict=True))
        halves.append((colour[label < 19], label[label < 19]))
    (colour, label), (test_colour, truth) = halves
    if not len(label) or not len(truth):
        return None
    tree = DecisionTreeClassifier(min_samples_leaf=30, random_state=0).fit(colour, label)
    confusion = np.bincount(truth.astype(int) * 19 + tree.predict(test_colour), minlength=361).reshape(19, 19)
    there = confusion.sum(1) > 0
    union = confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
    return float((confusion.diagonal() / np.maximum(union, 1))[there].mean())


def write_samples_page(root: Path, path: Path) -> None:
    """Write one self-contained HTML page about a Cityscapes-format root.

    Args:
        root: The data set.
        path: The page to write; an existing file is replaced.

    Raises:
        DataError: If the root or a frame of it is malformed.
    """
    statistics = measure(root)
    files = [f for split in find_splits(root) for f in list_frames(root, split)]
    rows = "".join(_row(root, f) for f in evenly(files, _SHOWN))
    colour_iou = "not measured" if statistics.colour_iou is None else f"{statistics.colour_iou:.3f}"
    mean = f"{np.mean(statistics.instances):.1f}" if statistics.instances else "none"
    page = _PAGE.format(
        frames=len(files),
        measured=statistics.frames,
        instances=mean,
        colour_iou=colour_iou,
        frequencies=_frequency_rows(statistics.frequencies),
        histogram=_histogram(statistics.instances),
        rows=rows,
    )
    write_text(path, page)


def _row(root: Path, files: FrameFiles) -> str:
    frame = read_frame(files)
    exact_path = KINDS["disparity_exact"].path(root, files.split, files.name)
    exact = read_disparity(exact_path) if exact_path.is_file() else None
    semantic, matched = frame.get("semantic", ClassMap), frame.get("disparity", Disparity)
    disparity = None if matched is None else matched.values
    known = [d[np.isfinite(d)] for d in (disparity, exact) if d is not None]
    values = np.concatenate(known) if known else np.zeros(0)
    top = float(np.percentile(values, 97)) if values.size else 1.0
    pictures: Sequence[tuple[str, NDArray[np.uint8] | None]] = (
        ("image", frame.image),
        ("labels", None if semantic is None else _LABEL_COLOURS[semantic.ids]),
        ("instances", _instance_picture(frame)),
        ("disparity, matched", _disparity_picture(disparity, top)),
        ("disparity, exact", _disparity_picture(exact, top)),
    )
    cells = "".join(
        f"<figure>{_image(picture, f'{title} of {frame.name}')}<figcaption>{title}</figcaption></figure>"
        for title, picture in pictures
    )
    title = f"{html.escape(frame.name)} <small>{html.escape(files.split)}</small>"
    return f'<section><h3>{title}</h3><div class="strip">{cells}</div></section>'


def _instance_picture(frame: Frame) -> NDArray[np.uint8] | None:
    instance = frame.get("instance", InstanceMap)
    if instance is None:
        return None
    grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
    out = np.repeat((90 + grey[..., None] // 3).astype(np.uint8), 3, axis=2)
    for k, number in enumerate(i for i in np.unique(instance.ids) if i >= 1000):
        # Steps of the golden angle keep neighbours in the count apart in hue.
        hue = np.array([[[int(k * 137.508 / 2) % 180, 215, 245]]], np.uint8)
        out[instance.ids == number] = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0]
    return out


def _disparity_picture(disparity: NDArray[np.float32] | None, top: float) -> NDArray[np.uint8] | None:
    if disparity is None:
        return None
    valid = np.isfinite(disparity)
    level = np.clip(np.where(valid, disparity, 0.0) * (255.0 / max(top, 1e-6)), 0, 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    return np.where(valid[..., None], colours, 0).astype(np.uint8)


def _image(picture: NDArray[np.uint8] | None, description: str) -> str:
    if picture is None:
        return '<div class="none">not labelled</div>'
    height, width = picture.shape[:2]
    if width > _PICTURE_WIDTH:
        size = (_PICTURE_WIDTH, round(height * _PICTURE_WIDTH / width))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    encoded = cv2.imencode(".webp", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, 88])[1]
    data = base64.b64encode(encoded.tobytes()).decode()
    return f'<img src="data:image/webp;base64,{data}" alt="{html.escape(description)}">'


def _frequency_rows(frequencies: NDArray[np.float64]) -> str:
    """Bars on a logarithmic scale from 0.01 % to 100 %."""

    def bar(share: float, kind: str) -> str:
        length = 25.0 * float(np.log10(max(share, 1e-4) / 1e-4))
        return f'<i class="{kind}" style="width:{length:.1f}%"></i>'

    rows = []
    for label, here, real in zip(CITYSCAPES.train_classes, frequencies, CITYSCAPES_FREQUENCIES, strict=True):
        swatch = f'<b style="background:rgb{label.color}"></b>'
        rows.append(
            f"<tr><td>{swatch}{label.name}</td><td class=n>{100 * here:.2f}</td><td class=n>{100 * real:.2f}</td>"
            f"<td class=bars>{bar(float(here), 'here')}{bar(real, 'real')}</td></tr>"
        )
    return "".join(rows)


def _histogram(instances: list[int]) -> str:
    if not instances:
        return "<p>No frame has instances labelled.</p>"
    width = 5
    counts = np.bincount(np.asarray(instances) // width)
    columns = "".join(
        f'<div><span>{n}</span><i style="height:{100 * n / counts.max():.0f}px"></i>'
        f"{k * width}&ndash;{k * width + width - 1}</div>"
        for k, n in enumerate(counts.tolist())
    )
    return f'<div class="histogram">{columns}</div>'


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Samples of the data set</title>
<style>
:root {{ color-scheme: light; --ink: #1d2630; --soft: #66717c; --line: #e1e6ea; --here: #2f6f9f; --real: #c3ced7; }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; padding: 1.5rem; max-width: 1500px; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); }}
h1 {{ margin: 0 0 .2rem; font-size: 1.6rem; }} h2 {{ margin: 2rem 0 .6rem; font-size: 1.15rem; }}
h3 {{ margin: 1.1rem 0 .3rem; font-size: .9rem; }}
small, figcaption, p.note {{ color: var(--soft); font-weight: normal; }}
.facts {{ display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; }}
.facts div {{ border: 1px solid var(--line); border-radius: 8px; padding: .6rem 1rem; min-width: 9rem; }}
.facts strong {{ display: block; font-size: 1.5rem; }}
.columns {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 2rem; }}
table {{ border-collapse: collapse; width: 100%; font-size: .87rem; }}
th {{ text-align: left; color: var(--soft); font-weight: 600; }}
td, th {{ padding: .16rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap; }}
.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
td b {{ display: inline-block; width: .8rem; height: .8rem; border-radius: 3px;
margin-right: .45rem; vertical-align: -1px; }}
.bars {{ width: 45%; }} .bars i {{ display: block; height: 6px; border-radius: 3px; margin: 1px 0; }}
.here {{ background: var(--here); }} .real {{ background: var(--real); }}
.histogram {{ display: flex; align-items: flex-end; gap: .5rem; height: 160px; font-size: .78rem; color: var(--soft); }}
.histogram div {{ flex: 1; text-align: center; }}
.histogram i {{ display: block; background: var(--here); border-radius: 3px 3px 0 0; }}
.strip {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 230px), 1fr)); gap: .5rem; }}
figure {{ margin: 0; }} img, .none {{ display: block; width: 100%; border-radius: 6px; }}
figcaption {{ font-size: .78rem; }}
.none {{ aspect-ratio: 2; background: #f1f4f6; color: var(--soft); display: grid; place-items: center; }}
</style></head><body>
<h1>Samples of the data set</h1>
<p class="note">Statistics of {measured} of {frames} frames.</p>
<div class="facts">
<div><strong>{frames}</strong>frames</div>
<div><strong>{instances}</strong>instances per frame</div>
<div><strong>{colour_iou}</strong>mean IoU from colour alone</div>
</div>
<p class="note">Colour alone: a decision tree that sees the red, green and blue of a single pixel,
learned on every second frame and tested on the others. What a network reaches above it comes
from shape, texture and place.</p>
<div class="columns"><div><h2>Class frequencies</h2>
<table>
<tr><th>class</th><th class=n>here, %</th><th class=n>Cityscapes, %</th><th>0.01 % to 100 %, logarithmic</th></tr>
{frequencies}</table></div>
<div><h2>Instances per frame</h2>{histogram}
<p class="note">Frames by the number of instances of the eight classes that are evaluated by instance.</p></div></div>
<h2>Frames</h2>
{rows}
</body></html>
"""
