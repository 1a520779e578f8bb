"""Copies of a data set: smaller ones of a Cityscapes root in its own layout, and packed ones of anything."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from multisigma.datasets.cityscapes.shrink import shrink_root
from multisigma.datasets.open import find_splits, layout_of, open_dataset
from multisigma.datasets.packed import pack
from multisigma.datasets.problems import DataError, Problem
from multisigma.progress import SILENT, Progress

__all__ = ["RECORD_FILE", "prepare"]

RECORD_FILE: Final = "streets.json"
"""What a generated root says of its generator: version, settings, seed. Copies of the root keep it."""


def prepare(
    data: str | Path, out: Path, size: tuple[int, int] | None = None, packed: bool = False, progress: Progress = SILENT
) -> bool:
    """Write a copy of every split of a data set.

    A Cityscapes root is copied in its own layout unless `packed`; other data always becomes a packed copy.

    Args:
        data: As for `open_dataset`.
        out: Folder to write; must not exist, or be empty, and lie outside of the data.
        size: Height and width of the copies, pixels. None keeps each frame's own in a packed copy, and is 128x256, the
            paper's Tiny Cityscapes, in a Cityscapes root.
        packed: Whether to write a packed copy, which is read without decoding.
        progress: Takes how many frames are done.

    Returns:
        Whether the copy is packed.

    Raises:
        MultisigmaError: If `out` is not free, the data is malformed, or a frame is smaller than the size asked for.
    """
    if size is not None and min(size) < 1:
        rule = "the size of the copy must be at least 1x1 (height x width)"
        raise DataError(Problem(out, rule, f"{size[0]}x{size[1]}", "Give a size such as 128x256."))
    layout = layout_of(data)
    source = Path(data).parent if layout == "folder" else Path(data)
    if layout not in ("class", "folder", "nyuv2") and out.resolve().is_relative_to(source.resolve()):
        rule = f"the copy must lie outside of its source {source}"
        raise DataError(Problem(out, rule, "a folder inside it", "Choose another folder."))
    record = source / RECORD_FILE
    packed = packed or layout != "cityscapes"
    if packed:
        pack({split: open_dataset(data, split) for split in find_splits(data)}, out, size, progress, record)
    else:
        shrink_root(source, out, *(size or (128, 256)), progress, record)
    return packed
