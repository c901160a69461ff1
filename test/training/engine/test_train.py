# SPDX-License-Identifier: Apache-2.0
"""Training as a whole, on a set that is learnt in seconds."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest
import torch
from shapes import write_shapes

from kd_yolo_ros.errors import UserError
from kd_yolo_training.data.fingerprint import fingerprint
from kd_yolo_training.data.read import read_dataset
from kd_yolo_training.engine.distributed import World
from kd_yolo_training.engine.outlets import Outlets
from kd_yolo_training.engine.predict import module_predictor
from kd_yolo_training.engine.run_folder import BEST, LAST, PROBLEMS, RESUME
from kd_yolo_training.engine.settings import Settings
from kd_yolo_training.engine.train import train
from kd_yolo_training.engine.usable import usable
from kd_yolo_training.engine.validation import validate
from kd_yolo_training.models.checkpoint import Checkpoint
from kd_yolo_training.models.tensor_file import read_tensors, write_tensors
from kd_yolo_training.models.yolov5 import YOLOv5

CPU = World(torch.device('cpu'))
QUICK = {'model': 'n', 'imgsz': 64, 'batch': 8, 'epochs': 2, 'close_mosaic': 1}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = write_shapes(tmp_path_factory.mktemp('shapes'))
    return read_dataset(folder, 'fit'), read_dataset(folder, 'select')


def weights_of(folder, file=LAST):
    tensors, info = read_tensors(folder / file)
    model = YOLOv5('n', len(info['names']), torch.tensor(info['anchors_px']))
    model.load_state_dict(tensors)
    return model.eval(), info


def test_sixteen_pictures_are_learnt_by_heart(data, tmp_path):
    """Model, loss, assignment, optimizer, average and decode all have to be right for this."""
    fit, _ = data
    settings = Settings.from_dict(
        {
            **{'model': 'n', 'epochs': 100, 'imgsz': 128, 'batch': 4, 'nominal_batch': 4},
            **{'optimizer': 'adamw', 'lr': 0.002, 'weight_decay': 0.0, 'warmup_epochs': 5.0},
            **dict.fromkeys(('mosaic', 'translate', 'scale', 'fliplr'), 0.0),
            **dict.fromkeys(('hsv_h', 'hsv_s', 'hsv_v'), 0.0),
        }
    )
    rows = train(settings, fit, None, tmp_path, CPU)
    assert rows[-1]['box'] < rows[0]['box'] / 4
    model, info = weights_of(tmp_path)
    result = validate(module_predictor(model, info['names'], (128, 128)), fit)
    assert result['map50'] > 0.95


def test_a_single_class_is_scored_by_objectness_alone(data, tmp_path):
    one = dataclasses.replace(
        data[0],
        names=('shape',),
        pictures=tuple(
            dataclasses.replace(p, class_ids=np.zeros_like(p.class_ids)) for p in data[0].pictures
        ),
    )
    train(Settings.from_dict(QUICK), one, None, tmp_path, CPU)
    model, _ = weights_of(tmp_path)
    with torch.no_grad():
        outputs = model(torch.rand(1, 3, 64, 64))
    for output in outputs:
        assert output.view(3, 6, -1)[:, 5].sigmoid().min() > 0.999


def test_a_batch_may_be_larger_than_the_data(data, tmp_path):
    rows = train(Settings.from_dict({**QUICK, 'batch': 64}), data[0], None, tmp_path, CPU)
    assert rows[1]['loss'] != rows[0]['loss']


def test_what_a_run_leaves_behind(data, tmp_path):
    fit, select = data
    rows = train(Settings.from_dict(QUICK), fit, select, tmp_path, CPU)
    assert [row['epoch'] for row in rows] == [0, 1]
    assert all(np.isfinite(row['loss']) and row['images_per_s'] > 0 for row in rows)
    names = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob('*') if file.is_file()}
    assert names >= {
        *(BEST, LAST, RESUME, 'weights/best.json', 'results.csv', 'curves.png'),
        *('batch_0.jpg', 'predictions.jpg'),
    }
    with open(tmp_path / 'results.csv') as file:
        assert [int(row['epoch']) for row in csv.DictReader(file)] == [0, 1]
    _, info = weights_of(tmp_path, BEST)
    assert info['names'] == list(fit.names) and info['architecture'] == 'yolov5n'
    assert info['metrics']['map50_95'] == max(row['map50_95'] for row in rows)
    assert info['provenance']['fit']['pictures'] == 16


@pytest.mark.parametrize('change', [{}, {'optimizer': 'adamw', 'lr': 0.001}, {'freeze': 10}])
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(data, tmp_path, change):
    fit, select = data
    settings = Settings.from_dict({**QUICK, 'epochs': 4, **change})
    train(settings, fit, select, tmp_path / 'whole', CPU)

    class Stopped(Exception):
        pass

    def stop(row):
        if row['epoch'] == 1:
            raise Stopped

    with pytest.raises(Stopped):
        train(settings, fit, select, tmp_path / 'stopped', CPU, outlets=Outlets(row=stop))
    rows = train(settings, fit, select, tmp_path / 'stopped', CPU)
    assert [row['epoch'] for row in rows] == [0, 1, 2, 3]
    for file in (LAST, BEST, RESUME):
        expected, _ = read_tensors(tmp_path / 'whole' / file)
        found, _ = read_tensors(tmp_path / 'stopped' / file)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected), file


def test_another_run_in_the_folder_is_refused(data, tmp_path):
    fit, select = data
    train(Settings.from_dict({**QUICK, 'epochs': 1}), fit, select, tmp_path, CPU)
    with pytest.raises(UserError, match="another 'lr'"):
        train(Settings.from_dict({**QUICK, 'epochs': 1, 'lr': 0.1}), fit, select, tmp_path, CPU)
    fewer = dataclasses.replace(fit, pictures=fit.pictures[1:])
    with pytest.raises(UserError, match="another 'fit'"):
        train(Settings.from_dict({**QUICK, 'epochs': 1}), fewer, select, tmp_path, CPU)


def test_a_run_from_before_there_were_tasks_goes_on(data, tmp_path):
    settings = Settings.from_dict({**QUICK, 'epochs': 1})
    rows = train(settings, data[0], None, tmp_path, CPU)
    tensors, numbers = read_tensors(tmp_path / RESUME)
    del numbers['run']['task']
    write_tensors(tmp_path / RESUME, tensors, numbers)
    assert train(settings, data[0], None, tmp_path, CPU) == rows


def test_a_finished_run_is_not_repeated(data, tmp_path):
    fit, select = data
    settings = Settings.from_dict({**QUICK, 'epochs': 1})
    rows = train(settings, fit, select, tmp_path, CPU)
    before = (tmp_path / RESUME).stat().st_mtime_ns
    assert train(settings, fit, select, tmp_path, CPU) == rows
    assert (tmp_path / RESUME).stat().st_mtime_ns == before


def test_training_stops_where_ap_no_longer_grows(data, tmp_path):
    """A network that cannot learn in so few steps: its AP stays 0, and the first is the best."""
    fit, select = data
    settings = Settings.from_dict({**QUICK, 'epochs': 9, 'patience': 2, 'lr': 1e-9})
    rows = train(settings, fit, select, tmp_path, CPU)
    best = max(range(len(rows)), key=lambda i: (rows[i]['map50_95'], -i))
    assert len(rows) == min(best + 3, 9) < 9


def test_evaluation_can_be_rare(data, tmp_path):
    fit, select = data
    settings = Settings.from_dict({**QUICK, 'epochs': 5, 'eval_every': 3})
    rows = train(settings, fit, select, tmp_path, CPU)
    assert [row['map50_95'] is not None for row in rows] == [False, False, True, False, True]
    _, info = weights_of(tmp_path, BEST)
    rated = [row for row in rows if row['map50_95'] is not None]
    assert info['epoch'] == max(rated, key=lambda row: row['map50_95'])['epoch']


def test_a_loss_that_explodes_is_one_sentence(data, tmp_path):
    fit, _ = data
    settings = Settings.from_dict(
        {**QUICK, 'epochs': 30, 'lr': 1e30, 'warmup_epochs': 0.0, 'clip_norm': 0.0}
    )
    with pytest.raises(UserError, match='lower lr'):
        train(settings, fit, None, tmp_path, CPU)


def test_bf16_learns_what_fp32_learns(data, tmp_path):
    fit, _ = data
    losses = {}
    for precision in ('fp32', 'bf16'):
        settings = Settings.from_dict({**QUICK, 'precision': precision})
        rows = train(settings, fit, None, tmp_path / precision, CPU)
        losses[precision] = [row['loss'] for row in rows]
    assert losses['bf16'] == pytest.approx(losses['fp32'], rel=0.05)
    assert losses['bf16'] != losses['fp32']


def test_fp16_on_a_cpu_is_refused(data, tmp_path):
    with pytest.raises(UserError, match='needs a GPU'):
        train(Settings.from_dict({**QUICK, 'precision': 'fp16'}), *data, tmp_path, CPU)


def test_class_balance_is_for_the_class_loss_only(data, tmp_path):
    fit, _ = data
    first = {}
    for balance in (None, 0.99):
        settings = Settings.from_dict(
            {**QUICK, 'batch': 16, 'class_balance': balance, 'outlines': True, 'epochs': 1}
        )
        (first[balance],) = train(settings, fit, None, tmp_path / str(balance), CPU)
    plain, balanced = first[None], first[0.99]
    assert balanced['box'] == plain['box'] and balanced['objectness'] == plain['objectness']
    assert balanced['classes'] != plain['classes']
    assert balanced['classes'] == pytest.approx(plain['classes'], rel=0.3)


def checkpoint(names, size='n'):
    torch.manual_seed(7)
    model = YOLOv5(size, len(names))
    return Checkpoint(
        state=model.state_dict(),
        names=tuple(names),
        anchors=model.head.anchors_px,
        strides=(8, 16, 32),
        size=size,
        epoch=None,
        ema=True,
    )


def test_starting_from_weights(data, tmp_path):
    fit, _ = data
    said = []
    start = checkpoint(['bird', 'triangle', 'disc'])
    settings = Settings.from_dict({**QUICK, 'epochs': 1, 'lr': 1e-12, 'autoanchor': False})
    train(settings, fit, None, tmp_path, CPU, start, outlets=Outlets(said.append))
    assert any('2 of 3 classes' in sentence for sentence in said)
    model, _ = weights_of(tmp_path)
    assert torch.allclose(
        model.model[0].conv.weight, start.state['model.0.conv.weight'], atol=1e-4
    )
    new = model.head.m[1].weight.view(3, 8, -1)
    old = start.state['model.24.m.1.weight'].view(3, 8, -1)
    assert torch.allclose(new[:, :5], old[:, :5], atol=1e-4)
    assert torch.allclose(new[:, 5 + 2], old[:, 5 + 1], atol=1e-4)  # triangle
    assert torch.allclose(new[:, 5 + 0], old[:, 5 + 2], atol=1e-4)  # disc
    assert not torch.allclose(new[:, 5 + 1], old[:, 5 + 0], atol=1e-2)  # square is new


def test_starting_from_channels_of_a_larger_network(data, tmp_path):
    fit, _ = data
    said = []
    start = checkpoint(fit.names, 's')
    settings = Settings.from_dict({**QUICK, 'epochs': 1, 'lr': 1e-12, 'autoanchor': False})
    train(settings, fit, None, tmp_path, CPU, start, outlets=Outlets(said.append))
    assert any('evenly spaced channels of a trained s, the head too' in text for text in said)
    model, _ = weights_of(tmp_path)
    first = start.state['model.0.conv.weight'][::2]
    assert torch.allclose(model.model[0].conv.weight, first, atol=1e-4)


@pytest.mark.parametrize(
    ('size', 'settings', 'told'),
    [('n', {'model': 's'}, 'less than s; give --model n'), ('s', {'freeze': 10}, '--freeze')],
)
def test_weights_that_cannot_be_started_with(data, tmp_path, size, settings, told):
    settings = Settings.from_dict({**QUICK, **settings})
    with pytest.raises(UserError, match=told):
        train(settings, data[0], None, tmp_path, CPU, checkpoint('ab', size))


def test_broken_pictures_are_listed_and_left_out(tmp_path):
    folder = write_shapes(tmp_path / 'set')
    (folder / 'images' / 'fit_003.png').write_bytes(b'no picture')
    cut = folder / 'images' / 'fit_005.png'
    cut.write_bytes(cut.read_bytes()[:-400])
    (folder / 'images' / 'fit_007.png').unlink()
    said = []
    data = usable(read_dataset(folder, 'fit'), tmp_path / 'run', False, Outlets(said.append))
    left = {picture.file.name for picture in data.pictures}
    assert len(left) == 13
    assert not left & {'fit_003.png', 'fit_005.png', 'fit_007.png'}
    report = (tmp_path / 'run' / PROBLEMS).read_text()
    assert all(name in report for name in ('fit_003.png', 'fit_005.png', 'fit_007.png'))
    assert any('3 problems' in sentence for sentence in said)
    with pytest.raises(UserError, match='--bad-data skip'):
        usable(read_dataset(folder, 'fit'), tmp_path / 'run', True, Outlets())


def test_the_report_of_mended_data_goes(tmp_path):
    folder = write_shapes(tmp_path / 'set')
    file = folder / 'images' / 'fit_003.png'
    whole = file.read_bytes()
    file.write_bytes(b'no picture')
    usable(read_dataset(folder, 'fit'), tmp_path / 'run', False, Outlets())
    assert (tmp_path / 'run' / PROBLEMS).is_file()
    file.write_bytes(whole)
    usable(read_dataset(folder, 'fit'), tmp_path / 'run', True, Outlets())
    assert not (tmp_path / 'run' / PROBLEMS).exists()


def test_a_set_without_objects_is_refused(data, tmp_path):
    fit, _ = data
    empty = [
        dataclasses.replace(
            p,
            boxes=np.zeros((0, 4), np.float32),
            class_ids=np.zeros(0, int),
            crowd=np.zeros(0, bool),
            polygons=(),
        )
        for p in fit.pictures
    ]
    nothing = dataclasses.replace(fit, pictures=tuple(empty))
    with pytest.raises(UserError, match='no labelled object'):
        usable(nothing, tmp_path, False, Outlets())


def test_fingerprint_tells_data_sets_apart(data):
    fit, select = data
    assert fingerprint(fit) == fingerprint(fit) != fingerprint(select)
    moved = dataclasses.replace(fit.pictures[0], boxes=fit.pictures[0].boxes + np.float32(0.01))
    other = dataclasses.replace(fit, pictures=(moved, *fit.pictures[1:]))
    assert fingerprint(other) != fingerprint(fit)
