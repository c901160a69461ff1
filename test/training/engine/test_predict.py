# SPDX-License-Identifier: Apache-2.0
"""A network behind the predictor's stages: it answers as its export, and stays as it was."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from random_yolov5 import random_yolov5

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import Thresholds
from kd_yolo_ros.predictor import Predictor
from kd_yolo_training.compression.export import export_onnx
from kd_yolo_training.engine.module_backend import ModuleBackend
from kd_yolo_training.engine.predict import module_predictor

NAMES = ('car', 'bus', 'tram', 'person')
SIZE = (64, 96)


@pytest.fixture(scope='module')
def network():
    return random_yolov5(len(NAMES))


def picture(seed=0, height=70, width=130):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_it_answers_as_the_exported_graph(network, tmp_path):
    import onnxruntime

    export_onnx(network, tmp_path / 'model.onnx', *SIZE)
    session = onnxruntime.InferenceSession(str(tmp_path / 'model.onnx'))
    backend = ModuleBackend(network)
    batch = picture(1, *SIZE)[np.newaxis]
    answers = session.run(None, {'images': batch})
    mine = backend.infer(batch)
    assert [a.shape for a in mine] == [a.shape for a in answers]
    for answer, expected in zip(mine, answers, strict=True):
        assert answer.dtype == np.float32
        np.testing.assert_allclose(answer, expected, atol=1e-3 * np.abs(expected).max())


def test_a_batch_is_its_pictures(network):
    backend = ModuleBackend(network)
    batch = np.stack([picture(seed, *SIZE) for seed in range(3)])
    whole = backend.infer(batch)
    for index in range(3):
        for level, (one,) in zip(whole, backend.infer(batch[index : index + 1]), strict=True):
            np.testing.assert_allclose(level[index], one, atol=1e-4 * np.abs(one).max())


def test_modes_gradients_and_weights_stay(network):
    trained = copy.deepcopy(network).train()
    trained.model[1].eval()  # a frozen layer
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    modes = [part.training for part in trained.modules()]
    frozen = module_predictor(network, NAMES, SIZE, thresholds=Thresholds(score=0.001))
    training = module_predictor(trained, NAMES, SIZE, thresholds=Thresholds(score=0.001))
    found, expected = training.predict(picture()), frozen.predict(picture())
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert torch.backends.cudnn.allow_tf32  # torch's default
    assert len(found) and [part.training for part in trained.modules()] == modes
    for name, tensor in trained.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    trained(torch.rand(2, 3, *SIZE))[0].sum().backward()
    assert trained.model[0].conv.weight.grad is not None


def test_it_follows_the_weights(network):
    changing = copy.deepcopy(network)
    predictor = module_predictor(changing, NAMES, SIZE, 'cpu')
    first = predictor.predict(picture())
    with torch.no_grad():
        for level in changing.head.m:
            level.weight.zero_()
            level.bias.fill_(-20)
    assert len(first) and not len(predictor.predict(picture()))


def test_what_it_says_of_itself(network):
    predictor = module_predictor(network, NAMES, SIZE, precision='bf16', name='a student')
    assert isinstance(predictor, Predictor) and predictor.manifest.name == 'a student'
    running = predictor.running
    assert (running.runtime, running.provider, running.precision) == ('torch', 'cpu', 'bf16')
    exact = module_predictor(network, NAMES, SIZE)
    assert exact.manifest.name == 'yolov5n' and exact.running.precision == 'fp32'
    heads = [ModuleBackend(network, p).infer(picture(0, *SIZE)[None]) for p in ('fp32', 'bf16')]
    for full, half in zip(*heads, strict=True):
        difference = np.abs(full - half).max()
        assert 0 < difference < 0.1 * np.abs(full).max()


@pytest.mark.parametrize(
    ('names', 'size', 'sentence'),
    [
        (NAMES[:3], SIZE, 'do not fit the 3 classes'),
        (('car', 'car', 'bus', 'tram'), SIZE, 'stands there twice'),
        (NAMES, (60, 96), 'not a multiple of the stride 32'),
    ],
)
def test_what_does_not_fit_is_refused(network, names, size, sentence):
    with pytest.raises(UserError, match=sentence):
        module_predictor(network, names, size)
