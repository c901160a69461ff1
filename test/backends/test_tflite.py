# SPDX-License-Identifier: Apache-2.0
"""The TFLite backend: what it computes, how pixels become its integers, what it refuses."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tflite_model import SIDE, weights, write_convolutions, write_depthwise, write_shift

from kd_yolo_ros.backends import backend_class
from kd_yolo_ros.backends.tflite import TfliteBackend
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.exports import open_model
from kd_yolo_ros.manifest import InputSpec, ModelFile
from kd_yolo_ros.predictor import Predictor


def describe(precision: str = 'fp32') -> ModelFile:
    dtype = 'float32' if precision == 'fp32' else 'uint8'
    return ModelFile('x.tflite', ('tflite',), precision, InputSpec(SIDE, SIDE, dtype))


def load(path: Path, precision: str = 'fp32', threads: int | None = 1, provider=None):
    return backend_class('tflite')(path, describe(precision), precision, threads, provider)


@pytest.fixture(scope='module')
def network(tmp_path_factory) -> Path:
    return write_convolutions(tmp_path_factory.mktemp('tflite') / 'model.tflite')


@pytest.fixture(scope='module')
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3)).astype(np.float32)


def test_it_computes_what_torch_does(network, pixels):
    constants = {name: torch.from_numpy(value) for name, value in weights().items()}
    # Padded as TFLite's SAME is: with an even side, only below and on the right.
    planes = torch.nn.functional.pad(torch.from_numpy(pixels).permute(0, 3, 1, 2), (0, 1, 0, 1))
    first = constants['first'].permute(0, 3, 1, 2)
    hidden = torch.nn.functional.silu(
        torch.nn.functional.conv2d(planes, first, constants['first/bias'], 2)
    )
    head = constants['head'].permute(0, 3, 1, 2)
    expected = torch.nn.functional.conv2d(hidden, head, constants['head/bias'])
    (got,) = load(network).infer(pixels)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


def test_what_really_runs(network):
    running = load(network, threads=2).running
    assert (running.runtime, running.precision, running.threads) == ('tflite', 'fp32', 2)
    assert running.provider == 'CPU (XNNPACK)'
    assert load(network, threads=None).running.threads >= 1
    assert load(network, provider='CPU').running.provider == running.provider


def test_an_answer_belongs_to_its_picture(network, pixels):
    backend = load(network)
    first = backend.infer(pixels)[0].copy()
    held = backend.infer(np.zeros_like(pixels))[0]
    assert not np.array_equal(first, held)
    assert np.array_equal(backend.infer(pixels)[0], first), 'though an older answer is held'


def test_integers_are_pixels(tmp_path):
    """A graph that halves its integers: 255 stays the largest, in steps of two."""
    backend = load(write_shift(tmp_path / 'shift.tflite'), 'int8')
    pixels = np.arange(SIDE * SIDE * 3).astype(np.uint8).reshape(1, SIDE, SIDE, 3)
    (got,) = backend.infer(pixels)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, pixels / 255, atol=1.01 / 255)
    assert len(np.unique(got)) in (128, 129)


def test_another_precision_is_refused(network):
    with pytest.raises(UserError, match=r'model\.tflite in fp32 only, not in bf16'):
        TfliteBackend(network, describe(), 'bf16', 1)


@pytest.mark.parametrize('content', [b'', b'no model at all', b'\x1c\0\0\0TFL3' + bytes(40)])
def test_a_file_that_is_no_tflite(content, tmp_path):
    path = tmp_path / 'model.tflite'
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        load(path)
    assert f'cannot load {path}' in str(raised.value) and '\n' not in str(raised.value)


@pytest.mark.parametrize('content', [None, b'', b'\x7fELF'])
def test_a_delegate_that_does_not_load(content, network, tmp_path):
    delegate = tmp_path / 'libdelegate.so'
    if content is not None:
        delegate.write_bytes(content)
    with pytest.raises(UserError, match=f"no provider '{delegate}'"):
        load(network, provider=str(delegate))


def test_a_provider_of_another_runtime(network):
    with pytest.raises(UserError, match="no provider 'cuda'"):
        load(network, provider='cuda')


def test_what_tflite_computes_wrongly_is_refused(tmp_path):
    path = write_depthwise(tmp_path / 'depthwise.tflite')
    with pytest.raises(UserError, match='one scale for all channels; run it with --runtime'):
        load(path)


def test_a_foreign_export_finds_what_openvino_finds(data_dir):
    path = data_dir / 'weights' / 'yolov8n_int8.tflite'
    assert open_model(path).manifest.licence.startswith('AGPL-3.0')
    predictors = [Predictor(path, runtime) for runtime in ('tflite', 'openvino')]
    for name in sorted((data_dir / 'coco128').rglob('*.jpg'))[:3]:
        picture = cv2.imread(str(name))
        first, second = (list(p.predict(picture)) for p in predictors)
        assert first
        for box, score, class_id in first:
            alike = [b for b, s, c in second if c == class_id and abs(s - score) < 0.15]
            # 8-bit weights and activations, rounded in two ways.
            assert score < 0.4 or max(overlap(box, other) for other in alike) > 0.8


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    shared = np.prod(np.clip(high - low, 0, None))
    return shared / (np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]) - shared)


def test_a_foreign_export_with_masks_that_tflite_gets_wrong(data_dir):
    path = data_dir / 'weights' / 'yolo11n-seg_int8.tflite'
    with pytest.raises(UserError, match='one scale for all channels'):
        Predictor(path, 'tflite')
    predictor = Predictor(path, 'openvino')
    for name in sorted((data_dir / 'coco128').rglob('*.jpg'))[:5]:
        picture = cv2.imread(str(name))
        truth = read_labels(data_dir / 'coco128' / 'labels' / f'{name.stem}.txt', picture)
        found = predictor.predict(picture)
        sure = [(box, label) for box, score, label in found if score > 0.5]
        assert sure
        for index, (box, _) in enumerate(sure):
            rows, columns = np.nonzero(found.masks.full(index))
            around = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            assert overlap(box, around) > 0.8, 'an object fills its box from side to side'
        for box, label in sure:
            assert max(overlap(box, other) for other, one in truth if one == label) > 0.85


def read_labels(path: Path, picture: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Return the boxes of a YOLO label file, in pixels, with their classes."""
    rows = np.loadtxt(path, ndmin=2)
    centre, size = rows[:, 1:3], rows[:, 3:5]
    boxes = np.hstack((centre - size / 2, centre + size / 2))
    height, width = picture.shape[:2]
    return list(zip(boxes * ([width, height] * 2), rows[:, 0].astype(int), strict=True))
