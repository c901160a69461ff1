# SPDX-License-Identifier: Apache-2.0
"""Batches of augmented samples, the same ones for a seed whatever process makes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from kd_yolo_ros.errors import UserError

from .augmentation import Augmenter, Sample


class Batch(NamedTuple):
    """Samples side by side.

    Attributes:
        images: (B, 3, S, S) uint8 RGB, channels last in memory.
        targets: (N, 6) float32: picture of the batch, class, centre x, centre y, width, height,
            the last four relative to the picture; (N, 7) with their weights behind where some
            are soft labels.
        masks: (N, S/4, S/4) uint8, as of `Sample`; None where masks are not learnt.
    """

    images: Tensor
    targets: Tensor
    masks: Tensor | None = None


class TrainingBatches:
    """The batches of every epoch.

    Args:
        augmenter: makes the samples.
        count: pictures of an epoch.
        batch: pictures of a step over all processes.
        seed: of order and augmentation.
        workers: processes that make samples; 0 makes them in this one.
        rank: of this process, of `world` that share each batch.
        world: number of those processes.
        pin: whether batches go to a GPU.

    Attributes:
        pictures: of an epoch.
    """

    def __init__(
        self,
        augmenter: Augmenter,
        count: int,
        batch: int,
        seed: int,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        pin: bool = False,
    ) -> None:
        self.pictures = count
        if workers:
            cv2.setNumThreads(1)  # OpenCV's threads do not survive a fork
        self._order = _Order(count, batch, seed, rank, world)
        self._loader = DataLoader(
            _Samples(augmenter, seed),
            batch_sampler=self._order,
            num_workers=workers,
            collate_fn=collate,
            pin_memory=pin,
            persistent_workers=workers > 0,
            prefetch_factor=4 if workers else None,
            worker_init_fn=_start_worker,
            # Forked processes share the store's pictures.
            multiprocessing_context='fork' if workers else None,
        )

    def __len__(self) -> int:
        return len(self._order)

    def epoch(self, number: int, mosaic: bool = True) -> Iterator[Batch]:
        """Yield the batches of one epoch; mosaic False leaves out mosaics and blends."""
        self._order.number, self._order.mosaic = number, mosaic
        try:
            yield from self._loader
        except UserError as error:  # a worker's comes with the worker's traceback
            raise UserError(str(error).splitlines()[-1].rpartition('UserError: ')[2]) from None


class _Order(Sampler):
    """Which pictures make which batch; every key says all that its sample depends on."""

    def __init__(self, count: int, batch: int, seed: int, rank: int, world: int) -> None:
        self.number, self.mosaic = 0, True
        self._count, self._batch, self._seed = count, batch, seed
        self._rank, self._world = rank, world

    def __len__(self) -> int:
        return -(-self._count // self._batch)

    def __iter__(self) -> Iterator[list[tuple[int, int, bool]]]:
        order = np.random.default_rng((self._seed, self.number)).permutation(self._count)
        for start in range(0, self._count, self._batch):
            shared = order[start : start + self._batch]
            # Every process needs a share of the same size, or they would wait for each other.
            missing = -len(shared) % self._world
            shared = np.concatenate((shared, np.resize(order, missing)))
            yield [
                (self.number, int(index), self.mosaic)
                for index in shared[self._rank :: self._world]
            ]


class _Samples(Dataset):
    def __init__(self, augmenter: Augmenter, seed: int) -> None:
        self._augmenter, self._seed = augmenter, seed

    def __getitem__(self, key: tuple[int, int, bool]) -> Sample:
        epoch, index, mosaic = key
        return self._augmenter.sample(index, (self._seed, epoch), mosaic)


def collate(samples: list[Sample]) -> Batch:
    """Put samples side by side."""
    images = np.stack([cv2.cvtColor(s.image, cv2.COLOR_BGR2RGB) for s in samples])
    rows = [
        np.column_stack((np.full(len(s.boxes), number), s.class_ids, s.boxes, s.weights))
        for number, s in enumerate(samples)
    ]
    targets = np.concatenate(rows).astype(np.float32)
    if (targets[:, 6] == 1).all():
        targets = np.ascontiguousarray(targets[:, :6])
    masks = [s.masks for s in samples if s.masks is not None]
    return Batch(
        torch.from_numpy(images).permute(0, 3, 1, 2),
        torch.from_numpy(targets),
        torch.from_numpy(np.concatenate(masks)) if masks else None,
    )


def _start_worker(_: int) -> None:
    cv2.setNumThreads(1)  # the workers are the parallelism
