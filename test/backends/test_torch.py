# SPDX-License-Identifier: Apache-2.0
"""The torch backend: an exported program read as data, computed as ONNX Runtime does."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from random_yolov5 import random_yolov5

from kd_yolo_ros.backends import backend_class
from kd_yolo_ros.backends.torch_program import read_program
from kd_yolo_ros.cpu import NATIVE_BF16, cpu_features
from kd_yolo_ros.errors import UserError
from kd_yolo_training.compression.export import export_onnx
from kd_yolo_training.compression.torch_program import export_torch

HEIGHT, WIDTH = 64, 96


@pytest.fixture(scope='module')
def network():
    return random_yolov5(3)


@pytest.fixture(scope='module')
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp('program') / 'model.pt2'
    return path, export_torch(network, path, HEIGHT, WIDTH)


@pytest.fixture(scope='module')
def picture():
    return np.random.default_rng(0).integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8)


def load(exported, precision='fp32', threads=None, provider=None):
    path, file = exported
    return backend_class('torch')(path, file, precision, threads, provider)


def test_it_answers_like_onnx_runtime(network, exported, picture, tmp_path):
    export_onnx(network, tmp_path / 'model.onnx', HEIGHT, WIDTH)
    _, file = exported
    other = backend_class('onnxruntime')(tmp_path / 'model.onnx', file, 'fp32', 1)
    answers = load(exported).infer(picture)
    for got, expected in zip(answers, other.infer(picture), strict=True):
        assert got.dtype == np.float32 and got.flags['C_CONTIGUOUS']
        np.testing.assert_allclose(got.transpose(0, 3, 1, 2), expected, rtol=1e-3, atol=1e-3)


def test_what_really_runs(exported):
    before = torch.get_num_threads()
    try:
        running = load(exported, threads=1).running
        assert (running.runtime, running.precision, running.provider) == ('torch', 'fp32', 'CPU')
        assert running.threads == torch.get_num_threads() == 1
        assert running.runtime_version == torch.__version__
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not NATIVE_BF16 & cpu_features(), reason='this CPU has no bf16 instructions')
def test_bf16_is_bf16(exported, picture):
    backend = load(exported, 'bf16')
    assert backend.running.precision == 'bf16'
    for got, exact in zip(backend.infer(picture), load(exported).infer(picture), strict=True):
        assert got.dtype == np.float32
        assert 0.99 < np.corrcoef(got.ravel(), exact.ravel())[0, 1] < 0.999999


def test_bf16_of_a_cpu_without_it(exported, monkeypatch):
    monkeypatch.setattr('kd_yolo_ros.backends.torch.cpu_features', lambda: frozenset({'avx2'}))
    with pytest.raises(UserError, match='in bf16 here; choose another --precision'):
        load(exported, 'bf16')


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_gpu_that_is_not_there(exported):
    with pytest.raises(UserError, match="no provider 'cuda' on this machine; it has cpu"):
        load(exported, provider='cuda')


def test_an_answer_is_the_callers(exported, picture):
    backend = load(exported)
    first = backend.infer(picture)
    kept = [output.copy() for output in first]
    backend.infer(np.zeros_like(picture))
    assert all(np.array_equal(a, b) for a, b in zip(first, kept, strict=True))


def test_nothing_is_unpickled(exported, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('something is unpickled')

    for owner, name in ((torch, 'load'), (pickle, 'load'), (pickle, 'loads'), (torch.jit, 'load')):
        monkeypatch.setattr(owner, name, refuse)
    monkeypatch.setattr(pickle, 'Unpickler', refuse)
    assert load(exported).running.precision == 'fp32'


def rewrite(source: Path, target: Path, change, compression=zipfile.ZIP_STORED) -> Path:
    """Copy an archive, `change(name, content)` telling the new content of each part."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, 'w', compression) as new:
        for name in old.namelist():
            new.writestr(name, change(name.partition('/')[2], old.read(name)))
    return target


def edit(part, change):
    """Return a change of one JSON part, in place."""

    def apply(name, content):
        if name != part:
            return content
        data = json.loads(content)
        change(data)
        return json.dumps(data)

    return apply


def nodes(model):
    return model['graph_module']['graph']['nodes']


MODEL, WEIGHTS = 'models/model.json', 'data/weights/model_weights_config.json'
CONSTANTS = 'data/constants/model_constants_config.json'
HOSTILE = {
    'calls torch.ops.aten.from_file.default': edit(
        MODEL, lambda m: nodes(m)[3].update(target='torch.ops.aten.from_file.default')
    ),
    'calls torch.hub.load': edit(MODEL, lambda m: nodes(m)[3].update(target='torch.hub.load')),
    'uses nothing before it is there': edit(
        MODEL,
        lambda m: nodes(m)[1]['inputs'][0].update(arg={'as_tensor': {'name': 'nothing'}}),
    ),
    'passes as_expr': edit(
        MODEL, lambda m: nodes(m)[1]['inputs'][1].update(arg={'as_expr': {'expr_str': 'exit()'}})
    ),
    'does not compute its outputs': edit(MODEL, lambda m: nodes(m).pop()),
    'schema is': edit(MODEL, lambda m: m['schema_version'].update(major=99)),
    'holds constants': edit(CONSTANTS, lambda c: c['config'].update(x={})),
    'no plain array of float32': edit(
        WEIGHTS, lambda w: next(iter(w['config'].values())).update(use_pickle=True)
    ),
}


@pytest.mark.parametrize('reason', HOSTILE)
def test_a_program_that_wants_more_is_refused(reason, exported, tmp_path):
    path = rewrite(exported[0], tmp_path / 'model.pt2', HOSTILE[reason])
    with pytest.raises(UserError, match='no program that is run here: it') as raised:
        read_program(path)
    assert reason in str(raised.value) and '\n' not in str(raised.value)


def test_a_weight_beyond_its_numbers(exported, tmp_path):
    def enlarge(config):
        next(iter(config['config'].values()))['tensor_meta']['sizes'][0]['as_int'] = 10**6

    path = rewrite(exported[0], tmp_path / 'model.pt2', edit(WEIGHTS, enlarge))
    with pytest.raises(UserError, match='is no exported program'):
        read_program(path)


def test_a_compressed_part(exported, tmp_path):
    path = rewrite(exported[0], tmp_path / 'a.pt2', lambda n, c: c, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match='is compressed'):
        read_program(path)


@pytest.mark.parametrize('content', [None, b'', b'no archive', b'PK\x03\x04' + bytes(60)])
def test_a_file_that_is_no_program(content, tmp_path):
    path = tmp_path / 'model.pt2'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match='is no exported program'):
        read_program(path)


def test_an_archive_of_something_else(tmp_path):
    torch.save({'weight': torch.zeros(1)}, tmp_path / 'model.pt2')
    with pytest.raises(UserError, match='is no exported program'):
        read_program(tmp_path / 'model.pt2')
