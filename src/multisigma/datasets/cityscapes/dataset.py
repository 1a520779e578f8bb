"""One split of a Cityscapes root as a `SceneDataset`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from multisigma.datasets.cityscapes.layout import KINDS, FrameFiles, count_labels
from multisigma.datasets.cityscapes.reading import read_frame
from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.problems import DataError, Problem

__all__ = ["CityscapesDataset"]


@dataclass(frozen=True)
class CityscapesDataset(SceneDataset):
    """One split of a Cityscapes root.

    Args:
        root: Folder that holds `leftImg8bit/`.
        split: Name of the split, such as 'train'.
        files: The frames, from `list_frames`.
    """

    root: Path
    split: str
    files: Sequence[FrameFiles]

    @property
    def labels(self) -> LabelSpace:
        """The Cityscapes table."""
        return CITYSCAPES

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        """Return the name of a frame, such as 'aachen_000000_000019'."""
        return self.files[i].name

    def read(self, i: int, only: Collection[str] | None = None) -> Frame:
        """Read a frame; see `read_frame`.

        Raises:
            DataError: If a file is at fault, or the image is wanted and the root has none.
        """
        files, package = self.files[i], KINDS["image"].package
        if files.image is None and (only is None or "image" in only):
            rule = "a root to train on or to predict must hold images"
            remedy = f"Unzip {package} into {self.root}; `evaluate --predictions DIR` needs the labels alone."
            raise DataError(Problem(self.root / KINDS["image"].folder, rule, f"only labels of {files.name}", remedy))
        return read_frame(files, only)

    def label_counts(self) -> dict[str, int]:
        """Return the number of frames with each of semantic, instance, disparity and camera, by their files."""
        return count_labels(self.files)

    def subset(self, indices: Sequence[int]) -> CityscapesDataset:
        """Return the data set of some frames, in the order of the indices."""
        return replace(self, files=[self.files[i] for i in indices])

    def remedy(self, field: str) -> str:
        """Return which package to unzip where no frame has a field."""
        if field not in KINDS:
            return super().remedy(field)
        kind = KINDS[field]
        files = f"{kind.folder}/{self.split}/CITY/*{kind.ending}"
        return f"Unzip {kind.package} into {self.root} for {files}."
