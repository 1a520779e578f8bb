"""Batches: a function of the seed and the place in the run alone."""

import functools
import operator
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multisigma import MultisigmaError
from multisigma.datasets.augment import AugmentSettings
from multisigma.datasets.frame import Frame
from multisigma.datasets.module import (
    TrainingBatches,
    TrainingFrames,
    WholeFrames,
    image_tensor,
    readable_worker_errors,
    training_loader,
    whole_frame_loader,
)
from multisigma.datasets.open import open_dataset
from tests.frames import class_ids


def labels_of(frame: Frame) -> dict[str, torch.Tensor]:
    return {"labels": torch.from_numpy(class_ids(frame))}


@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 20), st.integers(0, 20))
def test_a_later_start_gives_the_rest_of_the_run(frames: int, batch_size: int, iterations: int, start: int) -> None:
    whole = list(TrainingBatches(frames, batch_size, iterations, seed=5))
    rest = list(TrainingBatches(frames, batch_size, iterations, seed=5, start=lambda: start))
    assert rest == whole[start:]
    assert len(whole) == iterations


@given(st.integers(1, 9), st.integers(1, 5))
def test_each_epoch_has_every_frame_once(frames: int, epochs: int) -> None:
    order = [index for batch in TrainingBatches(frames, 1, frames * epochs, seed=2) for _, index in batch]
    assert Counter(order) == dict.fromkeys(range(frames), epochs)


def test_epochs_and_seeds_differ() -> None:
    def order(seed: int) -> list[int]:
        return [index for batch in TrainingBatches(50, 1, 100, seed) for _, index in batch]

    assert order(0)[:50] != order(0)[50:]
    assert order(0) != order(1)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_processes_share_a_batch(world_size: int) -> None:
    shares = [list(TrainingBatches(5, 8, 6, 3, rank=rank, world_size=world_size)) for rank in range(world_size)]
    whole = list(TrainingBatches(5, 8, 6, 3))
    assert [functools.reduce(operator.iadd, parts, []) for parts in zip(*shares, strict=True)] == whole


def test_reading_processes_change_nothing(make_root) -> None:  # type: ignore[no-untyped-def]
    dataset = open_dataset(make_root(), "train")
    augment = AugmentSettings(crop=(12, 20))
    loaders = [
        training_loader(TrainingFrames(dataset, augment, labels_of, 7), TrainingBatches(len(dataset), 3, 4, 7), workers)
        for workers in (0, 2)
    ]
    for one, other in zip(*loaders, strict=True):
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["targets"]["labels"], other["targets"]["labels"])
        assert one["image"].shape == (3, 3, 12, 20)


def test_images_are_rgb_as_stored(make_root) -> None:  # type: ignore[no-untyped-def]
    (frame, batch), *_ = whole_frame_loader(WholeFrames(open_dataset(make_root(), "val"), labels_of), 0)
    np.testing.assert_array_equal(batch["image"][0].permute(1, 2, 0), frame.image)
    assert torch.equal(image_tensor(frame), batch["image"][0])


def test_an_error_in_a_reading_process_keeps_its_words(make_root) -> None:  # type: ignore[no-untyped-def]
    dataset = open_dataset(make_root(), "train")
    Path(dataset.files[1].image).write_bytes(b"\x89PNG")
    with pytest.raises(MultisigmaError) as caught, readable_worker_errors():
        list(whole_frame_loader(WholeFrames(dataset, labels_of), 1))
    assert str(caught.value).startswith(str(dataset.files[1].image))
    assert "Traceback" not in str(caught.value)
    assert "DataLoader" not in str(caught.value)
