# SPDX-License-Identifier: Apache-2.0
"""Batches: every picture once an epoch, the same whoever makes them, shared without gaps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from processes import run_python
from shapes import write_shapes

from kd_yolo_training.data.augmentation import Augmentation, Augmenter
from kd_yolo_training.data.loader import TrainingBatches
from kd_yolo_training.data.picture_store import PictureStore
from kd_yolo_training.data.read import read_dataset


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return read_dataset(write_shapes(tmp_path_factory.mktemp('shapes'), fit=11), 'fit').pictures


def batches(data, **more):
    augmenter = Augmenter(data, PictureStore(data, 64, more.pop('keep', None)), Augmentation())
    return TrainingBatches(augmenter, len(data), 4, 0, **more)


def test_form_of_a_batch(data):
    made = batches(data)
    assert len(made) == 3
    sizes = []
    for batch in made.epoch(0):
        assert batch.images.dtype == torch.uint8 and batch.images.shape[1:] == (3, 64, 64)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.targets.dtype == torch.float32 and batch.targets.shape[1] == 6
        assert batch.targets[:, 0].max() < len(batch.images)
        sizes.append(len(batch.images))
    assert sizes == [4, 4, 3]


def test_targets_carry_weights_where_there_are_some(data):
    first = data[0]
    weights = np.full(len(first.boxes), 0.5, np.float32)
    soft = batches([dataclasses.replace(first, weights=weights), *data[1:]])
    columns = set()
    for one, other in zip(batches(data).epoch(0, False), soft.epoch(0, False), strict=True):
        assert torch.equal(one.targets, other.targets[:, :6])
        columns.add(other.targets.shape[1])
        if other.targets.shape[1] == 7:
            assert set(other.targets[:, 6].tolist()) == {0.5, 1}
    assert columns == {6, 7}


# In a process of its own, as training is: workers are forked, and a test process is full of other
# runtimes' threads.
WORKERS = """
import sys
from pathlib import Path
import torch
from kd_yolo_training.data.augmentation import Augmentation, Augmenter
from kd_yolo_training.data.loader import TrainingBatches
from kd_yolo_training.data.picture_store import PictureStore
from kd_yolo_training.data.read import read_dataset

pictures = read_dataset(Path(sys.argv[1]), 'fit').pictures

def batches(keep, workers):
    augmenter = Augmenter(pictures, PictureStore(pictures, 64, keep), Augmentation())
    return TrainingBatches(augmenter, len(pictures), 4, 0, workers)

for keep in (True, False):
    alone = list(batches(keep, 0).epoch(3))
    shared = batches(keep, 2)
    list(shared.epoch(0))  # what came before leaves no trace
    for a, b in zip(alone, shared.epoch(3), strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.targets, b.targets)

(Path(sys.argv[1]) / 'images' / 'fit_004.png').write_bytes(b'no picture')
try:
    list(batches(False, 2).epoch(0))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_workers_change_nothing(tmp_path):
    done = run_python('-c', WORKERS, write_shapes(tmp_path, fit=11))
    assert done.returncode == 0, done.stderr
    # A worker's error comes as the one sentence that it was.
    assert done.stdout.startswith('UserError') and done.stdout.count('\n') == 1
    assert 'Traceback' not in done.stdout


def test_every_epoch_has_an_order_of_its_own(data):
    made = batches(data)._order
    seen = []
    for number in (0, 1):
        made.number = number
        keys = [key for batch in made for key in batch]
        assert sorted(index for _, index, _ in keys) == list(range(11))
        assert {epoch for epoch, _, _ in keys} == {number}
        seen.append([index for _, index, _ in keys])
    assert seen[0] != seen[1]


def test_processes_share_a_batch(data):
    def keys(**world):
        return list(batches(data, **world)._order)

    whole = keys()
    parts = [keys(rank=rank, world=2) for rank in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert len(first) == len(second)
        assert set(batch) <= {*first, *second}
    indices = {index for part in parts for batch in part for _, index, _ in batch}
    assert indices == set(range(11))


def test_mosaic_can_be_left_out(data):
    with_mosaic, without = batches(data).epoch(0), batches(data).epoch(0, mosaic=False)
    assert not torch.equal(next(with_mosaic).images, next(without).images)
