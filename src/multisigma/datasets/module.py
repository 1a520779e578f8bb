"""Batches for training and evaluation: the data module is handed the function that makes targets from a frame."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from multisigma.datasets.augment import AugmentSettings, apply_transform, draw_transform
from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.fields import Image
from multisigma.datasets.frame import Frame
from multisigma.datasets.photometric import PhotometricSettings, change_photometry
from multisigma.errors import MultisigmaError

MakeTargets = Callable[[Frame], dict[str, Tensor]]


class Batch(TypedDict):
    """RGB of shape (B, 3, H, W), uint8, and each task's targets by task name."""

    image: Tensor
    targets: dict[str, Tensor]


def image_tensor(frame: Frame) -> Tensor:
    """Return the frame's RGB as the network takes it: uint8 of shape (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(frame.image.transpose(2, 0, 1)))


class TrainingFrames(Dataset[Batch]):
    """Augmented frames; what an item holds depends on the seed and its place in the run alone, not on the process.

    Args:
        dataset: The frames.
        augment: How to augment them.
        make_targets: Makes each task's target from the augmented frame.
        seed: The run's seed.
        photometric: How to change the image's colours; None to leave them.
    """

    def __init__(
        self,
        dataset: SceneDataset,
        augment: AugmentSettings,
        make_targets: MakeTargets,
        seed: int,
        photometric: PhotometricSettings | None = None,
    ) -> None:
        self.dataset, self.augment, self.make_targets, self.seed = dataset, augment, make_targets, seed
        self.photometric = photometric

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        sample, index = key
        frame = self.dataset.read(index)
        rng = np.random.default_rng([self.seed, sample])
        frame = apply_transform(frame, draw_transform(self.augment, *frame.size, rng))
        if self.photometric is not None:
            # Its own random numbers, so that the geometry is the same with and without it.
            pixels = change_photometry(frame.image, self.photometric, np.random.default_rng([self.seed, sample, 1]))
            frame = replace(frame, fields={**frame.fields, "image": Image(pixels)})
        return {"image": image_tensor(frame), "targets": self.make_targets(frame)}


class TrainingBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (number of the sample in the run, frame index): uniform, reshuffled each epoch (appendix A.1).

    A pure function of the seed and the iteration, so that a resumed run goes on with the very samples that it would
    have had.

    Args:
        frames: The number of frames.
        batch_size: Samples of one iteration over all processes.
        iterations: Iterations of the whole run; also the length.
        seed: The run's seed.
        start: Gives the first iteration to make; asked each time iteration starts.
        rank: This process among `world_size`, each of which takes its share of a batch.
        world_size: The number of processes.
    """

    def __init__(
        self,
        frames: int,
        batch_size: int,
        iterations: int,
        seed: int,
        start: Callable[[], int] = lambda: 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.frames, self.batch_size, self.iterations, self.seed, self.start = (
            frames,
            batch_size,
            iterations,
            seed,
            start,
        )
        self.share = slice(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)

    def __len__(self) -> int:
        return self.iterations

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, order = -1, np.empty(0, int)
        for iteration in range(self.start(), self.iterations):
            batch = []
            for sample in range(iteration * self.batch_size, (iteration + 1) * self.batch_size):
                if sample // self.frames != epoch:
                    epoch = sample // self.frames
                    order = np.random.default_rng([self.seed, epoch, self.frames]).permutation(self.frames)
                batch.append((sample, int(order[sample % self.frames])))
            yield batch[self.share]


class WholeFrames(Dataset[tuple[Frame, Batch]]):
    """Frames as they are, each as a batch of one: for validation and evaluation.

    Args:
        dataset: The frames.
        make_targets: Makes each task's target from the frame.
    """

    def __init__(self, dataset: SceneDataset, make_targets: MakeTargets) -> None:
        self.dataset, self.make_targets = dataset, make_targets

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Frame, Batch]:
        frame = self.dataset.read(index)
        sample = {"image": image_tensor(frame), "targets": self.make_targets(frame)}
        return frame, default_collate([sample])


def training_loader(
    frames: TrainingFrames, batches: TrainingBatches, workers: int, pin_memory: bool = False
) -> DataLoader[Batch]:
    """Batches in the order of the run, read by worker processes."""
    return DataLoader(frames, batch_sampler=batches, num_workers=workers, pin_memory=pin_memory)


def whole_frame_loader(frames: WholeFrames, workers: int) -> DataLoader[tuple[Frame, Batch]]:
    """Single frames in order, read by worker processes; frames may differ in size."""
    return DataLoader(frames, batch_size=None, num_workers=workers)


@contextmanager
def readable_worker_errors() -> Iterator[None]:
    """Give an error of a reading process its own message back, which torch wraps in the process's traceback."""
    try:
        yield
    except MultisigmaError as error:
        message = str(error)
        if "in DataLoader worker" not in message:
            raise
        raise MultisigmaError(message.rpartition("Error: ")[2].strip()) from None
    except RuntimeError as error:
        if not re.search(r"DataLoader worker .* (is killed|exited unexpectedly)", str(error)):
            raise
        raise MultisigmaError(
            f"A process that reads data has ended ({str(error).splitlines()[0].rstrip('. ')}). Most often the memory "
            "was full: take fewer --workers."
        ) from error
