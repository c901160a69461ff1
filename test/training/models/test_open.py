# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of every form; files that do not say what they are, or say it wrongly."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from random_yolov5 import random_yolov5
from safetensors.torch import load_file, save_file

from kd_yolo_ros.errors import UserError
from kd_yolo_training.models.open import (
    checkpoint_file,
    model_name,
    names_of,
    open_checkpoint,
)
from kd_yolo_training.models.tensor_file import HEADER

NAMES = ['car', 'bus', 'tram', 'person']


@pytest.fixture(scope='module')
def network():
    return random_yolov5(len(NAMES))


def info_of(network, **changes):
    return {
        'format': 1,
        'architecture': 'yolov5n',
        'names': NAMES,
        'anchors_px': network.head.anchors_px.tolist(),
        'imgsz': [64, 96],
        'epoch': 12,
        'run': {'seed': 3},
        **changes,
    }


def write(folder, network, info, header=False, **tensors):
    """Write best.safetensors, described in its header or beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'best.safetensors'
    metadata = {HEADER: json.dumps(info)} if header else None
    save_file({**network.state_dict(), **tensors}, path, metadata)
    if not header:
        path.with_suffix('.json').write_text(json.dumps(info))
    return path


@pytest.mark.parametrize('header', [False, True])
def test_our_own_weights(network, tmp_path, header):
    path = write(tmp_path / 'run' / 'weights', network, info_of(network), header)
    for form in (path, tmp_path / 'run', str(path)):
        checkpoint = open_checkpoint(form)
        assert checkpoint.names == tuple(NAMES) and checkpoint.classes == 4
        assert (checkpoint.size, checkpoint.epoch, checkpoint.imgsz) == ('n', 12, (64, 96))
        assert checkpoint.training == {'run': {'seed': 3}} and checkpoint.ema
        assert torch.allclose(checkpoint.anchors, network.head.anchors_px)
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for mine, expected in zip(checkpoint.build()(images), network(images), strict=True):
            assert torch.equal(mine, expected)
    assert checkpoint_file(tmp_path / 'run') == path
    assert model_name(tmp_path / 'run') == 'run' and model_name(path) == 'best'


def test_what_training_writes(network, tmp_path):
    from kd_yolo_training.engine.run_folder import write_weights

    write_weights(tmp_path / 'last.safetensors', network.state_dict(), info_of(network))
    assert open_checkpoint(tmp_path / 'last.safetensors').training == {'run': {'seed': 3}}


def test_half_precision_weights_become_float(network, tmp_path):
    state = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    state['model.24.anchors'] = network.state_dict()['model.24.anchors']
    path = write(tmp_path, network, info_of(network), **state)
    assert load_file(path)['model.0.conv.weight'].dtype == torch.float16
    assert open_checkpoint(path).state['model.0.conv.weight'].dtype == torch.float32


def test_a_public_checkpoint(network, tmp_path):
    torch.save({'model': network.state_dict(), 'names': NAMES}, tmp_path / 'a.v1.pt')
    checkpoint = open_checkpoint(tmp_path / 'a.v1.pt')
    assert checkpoint.names == tuple(NAMES) and checkpoint.imgsz is None
    assert checkpoint.training == {} and model_name(tmp_path / 'a.v1.pt') == 'a.v1'
    assert names_of(checkpoint, tmp_path) == tuple(NAMES)
    assert names_of(checkpoint, tmp_path, ('a', 'b', 'c', 'd')) == ('a', 'b', 'c', 'd')


def test_names_where_there_are_none(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / 'a.pt')
    checkpoint = open_checkpoint(tmp_path / 'a.pt')
    assert names_of(checkpoint, tmp_path) == ('class_0', 'class_1', 'class_2', 'class_3')
    with pytest.raises(UserError, match='4 classes, but 1 names'):
        names_of(checkpoint, tmp_path, ('a',))


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        ({'format': 2}, 'format 2'),
        ({'architecture': 'yolov5s'}, "holds a yolov5n, but says that it is a 'yolov5s'"),
        ({'names': NAMES[:3]}, '3 class names for 4 classes'),
        ({'names': [1, 2, 3, 4]}, 'class names are not a list of texts'),
        ({'names': None}, 'class names are not a list of texts'),
        ({'anchors_px': [[[1, 2]] * 3] * 3}, 'other anchors'),
        ({'anchors_px': [[1, 2]]}, 'other anchors'),
        ({'anchors_px': 'none'}, 'other anchors'),
        ({'imgsz': 640}, 'its imgsz is 640'),
        ({'imgsz': [640, 641]}, r'its imgsz is \[640, 641\]'),
        ({'imgsz': [0, 640]}, 'its imgsz is'),
    ],
)
def test_a_description_that_does_not_fit(network, tmp_path, changes, sentence):
    path = write(tmp_path, network, info_of(network, **changes))
    with pytest.raises(UserError, match=sentence):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        (None, 'no best.json beside it'),
        ('{', 'not readable JSON'),
        ('[' * 100_000, 'not readable JSON'),
        ('[]', 'not a JSON object'),
    ],
)
def test_a_description_that_is_none(network, tmp_path, text, sentence):
    path = write(tmp_path, network, info_of(network))
    path.with_suffix('.json').unlink()
    if text is not None:
        path.with_suffix('.json').write_text(text)
    with pytest.raises(UserError, match=sentence):
        open_checkpoint(path)


def test_other_tensors(network, tmp_path):
    first = network.state_dict()['model.0.conv.weight']
    for tensor, sentence in (
        (torch.zeros(16, 3, 5, 5), 'not one of the YOLOv5 sizes'),
        (torch.full_like(first, float('nan')), 'not finite'),
    ):
        tensors = {'model.0.conv.weight': tensor}
        path = write(tmp_path, network, info_of(network), **tensors)
        with pytest.raises(UserError, match=sentence):
            open_checkpoint(path)
    save_file({'a': torch.zeros(1)}, path)
    with pytest.raises(UserError, match="its tensors start with 'a'"):
        open_checkpoint(path)


@pytest.mark.parametrize('kept', [0, 4, 1000, -100])
def test_a_damaged_file(network, tmp_path, kept):
    path = write(tmp_path, network, info_of(network))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match='is damaged'):
        open_checkpoint(path)


def test_a_pickle_is_not_read_under_another_name(network, tmp_path):
    path = write(tmp_path, network, info_of(network))
    torch.save(network.state_dict(), path)
    with pytest.raises(UserError, match='is damaged'):
        open_checkpoint(path)


def test_nothing_there(network, tmp_path):
    with pytest.raises(UserError, match='is not a file'):
        open_checkpoint(tmp_path / 'a.safetensors')
    with pytest.raises(UserError, match='is not a file'):
        open_checkpoint(tmp_path / 'a.pt')
    with pytest.raises(UserError, match='is no training run'):
        open_checkpoint(tmp_path)
    path = write(tmp_path / 'run' / 'weights', network, info_of(network))
    shutil.move(path, path.with_name('last.safetensors'))
    with pytest.raises(UserError, match=r'has no weights/best\.safetensors'):
        open_checkpoint(tmp_path / 'run')
