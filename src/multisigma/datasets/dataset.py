"""One split of any data set: what training and evaluation read frames from."""

from __future__ import annotations

import logging
import multiprocessing
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.problems import Problem
from multisigma.errors import MultisigmaError

__all__ = ["ReadableFrames", "SceneDataset", "unlabelled"]

_log = logging.getLogger(__name__)


class SceneDataset(ABC):
    """One split of a data set; picklable, because other processes read it.

    A data set of one's own derives from this class; it needs `labels`, `__len__` and `read`.
    """

    @property
    @abstractmethod
    def labels(self) -> LabelSpace:
        """The classes that the ids of its maps belong to."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, i: int, only: Collection[str] | None = None) -> Frame:
        """Read a frame.

        Args:
            i: Index from 0.
            only: Names of the fields to read; all if None. More may be read.

        Raises:
            DataError: A file of the frame is at fault.
        """

    def name(self, i: int) -> str:
        """Return the name of a frame, which files and reports bear; unique in the split."""
        return f"{i:06d}"

    def label_counts(self) -> dict[str, int]:
        """Return the number of frames with each field of labels, and with a 'camera'.

        Unless a data set has its own way, all frames are read.
        """
        counts: Counter[str] = Counter()
        for i in range(len(self)):
            frame = self.read(i)
            counts.update(name for name in frame.fields if name != "image")
            counts["camera"] += frame.camera is not None
        return dict(counts)

    def subset(self, indices: Sequence[int]) -> SceneDataset:
        """Return the data set of some frames, in the order of the indices."""
        return _Subset(self, indices)

    def remedy(self, field: str) -> str:
        """Return what to do where no frame has a field, a sentence for messages."""
        return f"Add the field '{field}' to its frames."


class _Subset(SceneDataset):
    def __init__(self, whole: SceneDataset, indices: Sequence[int]) -> None:
        self.whole, self.indices = whole, list(indices)

    @property
    def labels(self) -> LabelSpace:
        return self.whole.labels

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, i: int, only: Collection[str] | None = None) -> Frame:
        return self.whole.read(self.indices[i], only)

    def name(self, i: int) -> str:
        return self.whole.name(self.indices[i])

    def remedy(self, field: str) -> str:
        return self.whole.remedy(field)


class ReadableFrames(SceneDataset):
    """A split in which a frame that cannot be read gives way to the next one that can, with a warning.

    Args:
        whole: The split.
    """

    def __init__(self, whole: SceneDataset) -> None:
        self.whole = whole
        # Processes that read share it.
        self._count = multiprocessing.Value("q", 0)

    @property
    def labels(self) -> LabelSpace:
        """The classes of the split."""
        return self.whole.labels

    def __len__(self) -> int:
        return len(self.whole)

    @property
    def replaced(self) -> int:
        """How often a frame was replaced, over all processes."""
        return int(self._count.value)

    def read(self, i: int, only: Collection[str] | None = None) -> Frame:
        """Read a frame, or the next one after it that can be read. Raises `MultisigmaError` if none can."""
        for offset in range(len(self)):
            try:
                return self.whole.read((i + offset) % len(self), only)
            except MultisigmaError as error:
                _log.warning("%s The next frame is taken instead.", error)
                with self._count.get_lock():
                    self._count.value += 1
                if offset == len(self) - 1:
                    raise
        raise IndexError(i)

    def name(self, i: int) -> str:
        """Return the name of a frame."""
        return self.whole.name(i)

    def label_counts(self) -> dict[str, int]:
        """Return what the split says."""
        return self.whole.label_counts()

    def remedy(self, field: str) -> str:
        """Return what the split says."""
        return self.whole.remedy(field)


def unlabelled(dataset: SceneDataset, data: str | Path, split: str) -> Problem | None:
    """Return the problem that no frame of a split has anything to learn or to be measured by; None if one has.

    Args:
        dataset: The split.
        data: What the user named as the data.
        split: Name of the split.
    """
    counts = {field: count for field, count in dataset.label_counts().items() if field != "camera"}
    if any(counts.values()):
        return None
    rule = f"training and evaluation need labels in the split '{split}'"
    remedies = list(dict.fromkeys(dataset.remedy(field) for field in counts)) or ["Add labels."]
    remedy = f"{' Or: '.join(remedies)} `evaluate RUN --save-predictions DIR` needs none."
    return Problem(Path(data), rule, f"{len(dataset)} images without any", remedy)
