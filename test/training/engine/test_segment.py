# SPDX-License-Identifier: Apache-2.0
"""Training with masks as a whole, on a set that is learnt in seconds."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest
import torch
from shapes import write_shapes

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.pictures import read_picture
from kd_yolo_training.data.read import read_dataset
from kd_yolo_training.engine.distributed import World
from kd_yolo_training.engine.outlets import Outlets
from kd_yolo_training.engine.pictures import masks_of
from kd_yolo_training.engine.predict import checkpoint_predictor, module_predictor
from kd_yolo_training.engine.run_folder import BEST, LAST
from kd_yolo_training.engine.settings import Settings
from kd_yolo_training.engine.train import train
from kd_yolo_training.engine.validation import validate
from kd_yolo_training.models.open import open_checkpoint
from kd_yolo_training.models.tensor_file import read_tensors

CPU = World(torch.device('cpu'))
QUICK = {'task': 'segment', 'model': 'n', 'imgsz': 64, 'batch': 8, 'epochs': 2, 'close_mosaic': 1}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = write_shapes(tmp_path_factory.mktemp('shapes'), fit=8, select=4)
    return read_dataset(folder, 'fit'), read_dataset(folder, 'select')


def test_masks_are_learnt_by_heart(data, tmp_path):
    """Polygons, transforms, prototypes, loss, composing and cropping have to be right for this."""
    fit, _ = data
    often = dataclasses.replace(fit, pictures=fit.pictures * 8)  # epochs cost more than steps
    settings = Settings.from_dict(
        {
            **{'task': 'segment', 'model': 'n', 'epochs': 14, 'imgsz': 96, 'warmup_epochs': 1.0},
            **{'batch': 4, 'nominal_batch': 4, 'ema_decay': 0.9, 'ema_warmup': 50.0},
            **{'optimizer': 'adamw', 'lr': 0.002, 'weight_decay': 0.0},
            **dict.fromkeys(('mosaic', 'translate', 'scale', 'fliplr'), 0.0),
            **dict.fromkeys(('hsv_h', 'hsv_s', 'hsv_v'), 0.0),
        }
    )
    rows = train(settings, often, None, tmp_path, CPU)
    assert rows[-1]['masks'] < rows[0]['masks'] / 10
    network = open_checkpoint(tmp_path / LAST).build()
    predictor = module_predictor(network, fit.names, (96, 96))
    assert validate(predictor, fit)['mask_map50'] > 0.9
    ious = []
    for picture in fit.pictures:
        image = read_picture(picture.file)
        found, truth = predictor.predict(image), masks_of(picture, image.shape[:2])
        for row, class_id in enumerate(picture.class_ids):
            first = np.flatnonzero(found.class_ids == class_id)  # the best overlap of its class
            whole = truth.full(row)
            masks = [found.masks.full(k) for k in first]
            ious.append(max(((m & whole).sum() / (m | whole).sum() for m in masks), default=0))
    assert np.mean(ious) > 0.8


def test_labels_are_drawn_as_they_are_judged(data):
    """Also those of which the box alone is known, or of which no pixel is inside."""
    from pycocotools import mask

    picture = data[0].pictures[0]
    speck = np.full((3, 2), 1.0, np.float32)
    polygons = (*picture.polygons, (), (speck,))
    more = dataclasses.replace(
        picture,
        boxes=np.concatenate((picture.boxes, picture.boxes[:1] / 2, picture.boxes[:1])),
        class_ids=np.zeros(len(polygons), np.int64),
        crowd=np.zeros(len(polygons), bool),
        polygons=polygons,
    )
    found = masks_of(more, (90, 120))
    assert [crop.shape == (0, 0) for crop in found.crops] == [
        *([False] * len(picture.boxes)),
        *(True, True),
    ]
    judged = more.truth.masks_on(120, 90)
    for row in range(len(picture.boxes)):
        np.testing.assert_array_equal(found.full(row), mask.decode(judged[row]))
        assert found.crops[row].any(0).all() and found.crops[row].base is None


def test_what_a_run_leaves_behind(data, tmp_path):
    fit, select = data
    rows = train(Settings.from_dict({**QUICK, 'epochs': 3}), fit, select, tmp_path, CPU)
    assert all(0 <= row['mask_map50_95'] <= row['mask_map50'] <= 1 for row in rows)
    assert all(np.isfinite(row['masks']) and row['masks'] > 0 for row in rows)
    with open(tmp_path / 'results.csv') as file:
        columns = csv.DictReader(file).fieldnames
    assert {'masks', 'mask_map50_95', 'mask_map50', 'miou', 'map50_95', 'map50'} <= {*columns}
    _, info = read_tensors(tmp_path / BEST)
    assert (info['task'], info['masks'], info['architecture']) == ('segment', 32, 'yolov5n')
    assert info['metrics']['mask_map50_95'] == max(row['mask_map50_95'] for row in rows)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.task == 'segment' and checkpoint.names == fit.names
    for name in ('curves.png', 'batch_0.jpg', 'predictions.jpg'):
        assert (tmp_path / name).stat().st_size > 1000
    predictor = checkpoint_predictor(tmp_path)
    assert predictor.manifest.task == 'segment'
    found = predictor.predict(read_picture(fit.pictures[0].file))
    assert found.masks is not None and len(found.masks) == len(found)


def test_masks_choose_the_epoch(data, tmp_path, monkeypatch):
    """Boxes are best in the first epoch here, and masks in the second."""
    from kd_yolo_training.engine import train as module

    measured = iter([(0.1, 0.9), (0.3, 0.5), (0.2, 0.7)])

    def validate(*_):
        masks, boxes = next(measured)
        return {'mask_map50_95': masks, 'mask_map50': masks, 'map50_95': boxes, 'map50': boxes}

    monkeypatch.setattr(module, 'validate', validate)
    train(Settings.from_dict({**QUICK, 'epochs': 3}), *data, tmp_path, CPU)
    assert read_tensors(tmp_path / BEST)[1]['epoch'] == 1


def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(data, tmp_path):
    fit, select = data
    settings = Settings.from_dict({**QUICK, 'epochs': 3})
    train(settings, fit, select, tmp_path / 'whole', CPU)

    class Stopped(Exception):
        pass

    def stop(row):
        if row['epoch'] == 1:
            raise Stopped

    with pytest.raises(Stopped):
        train(settings, fit, select, tmp_path / 'parts', CPU, outlets=Outlets(row=stop))
    train(settings, fit, select, tmp_path / 'parts', CPU)
    for file in (BEST, LAST):
        (whole, told), (parts, too) = (
            read_tensors(tmp_path / n / file) for n in ('whole', 'parts')
        )
        assert told == too and whole.keys() == parts.keys()
        assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_boxes_alone_are_not_enough(data, tmp_path):
    fit, select = data
    bare, chooses = (
        dataclasses.replace(
            d,
            pictures=tuple(
                dataclasses.replace(p, polygons=((),) * len(p.boxes)) for p in d.pictures
            ),
        )
        for d in data
    )
    crowds = tuple(dataclasses.replace(p, crowd=np.ones_like(p.crowd)) for p in fit.pictures)
    settings = Settings.from_dict(QUICK)
    for these in (
        *((bare, select), (fit, chooses)),
        (dataclasses.replace(fit, pictures=(*bare.pictures, *crowds)), select),
    ):
        with pytest.raises(UserError, match='boxes and no outlines.*--task detect'):
            train(settings, *these, tmp_path, CPU)
    assert not list(tmp_path.iterdir())


def test_some_objects_may_be_boxes(data, tmp_path):
    fit, _ = data
    first, *rest = fit.pictures
    mixed = dataclasses.replace(
        fit,
        pictures=tuple(dataclasses.replace(p, polygons=((),) * len(p.boxes)) for p in rest)
        + (first,),
    )
    settings = Settings.from_dict({**QUICK, 'epochs': 1, 'mosaic': 0.0})
    (row,) = train(settings, mixed, None, tmp_path, CPU)
    assert 0 < row['masks'] < np.inf


def test_starting_from_a_detector(data, tmp_path):
    fit, _ = data
    quick = {**QUICK, 'epochs': 1}
    train(Settings.from_dict({**quick, 'task': 'detect'}), fit, None, tmp_path / 'boxes', CPU)
    start = open_checkpoint(tmp_path / 'boxes' / LAST)
    said = []
    train(
        Settings.from_dict({**quick, 'lr': 1e-12}),
        *(fit, None, tmp_path / 'masks', CPU, start),
        outlets=Outlets(said.append),
    )
    assert any('3 of 3 classes; its masks are new' in sentence for sentence in said)
    state = open_checkpoint(tmp_path / 'masks' / LAST).state
    rows = state['model.24.m.0.weight'].view(3, 40, -1)[:, :8]
    torch.testing.assert_close(rows, start.state['model.24.m.0.weight'].view(3, 8, -1))
