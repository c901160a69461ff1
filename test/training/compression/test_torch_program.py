# SPDX-License-Identifier: Apache-2.0
"""What is written as a PyTorch program: nothing but data, and nothing of this machine."""

from __future__ import annotations

import zipfile

import pytest
import torch
from random_yolov5 import random_yolov5

from kd_yolo_ros.backends.torch_program import read_program
from kd_yolo_ros.errors import UserError
from kd_yolo_training.compression import export as onnx_export
from kd_yolo_training.compression.torch_program import export_torch


@pytest.fixture(scope='module')
def network():
    return random_yolov5(2)


@pytest.fixture(scope='module')
def path(network, tmp_path_factory):
    path = tmp_path_factory.mktemp('program') / 'model.pt2'
    file = export_torch(network, path, 64, 96)
    assert (file.path, file.runtimes, file.precision) == ('model.pt2', ('torch',), 'fp32')
    assert (file.input.height, file.input.width, file.output_layout) == (64, 96, 'nhwc')
    return path


def test_there_is_no_pickle_in_it(path):
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            content = archive.read(part)
            assert not content.startswith(b'\x80') or b'data/weights' in part.filename.encode()
            if part.filename.endswith(('.pt', '.pkl')):
                assert not content, 'such as the example picture'


def test_nothing_of_this_machine_is_in_it(path):
    content = path.read_bytes()
    for trace in (b'/work', b'site-packages', b'yolov5.py', str(path.parent).encode()):
        assert trace not in content


def test_pytorchs_own_loader_reads_it_too(network, path):
    picture = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8)
    program = torch.export.load(path).module()
    with torch.no_grad():
        answers = program(picture)
        expected = network(picture.flip(3).permute(0, 3, 1, 2) / 255)
    for got, wanted in zip(answers, expected, strict=True):
        torch.testing.assert_close(got.permute(0, 3, 1, 2), wanted, rtol=1e-3, atol=1e-3)


def test_the_network_is_left_as_it_is(network, path):
    assert any('bn' in name for name, _ in network.named_parameters())
    assert len(read_program(path).outputs) == 3


def test_a_program_that_answers_otherwise_is_not_written(network, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, 'TOLERANCE', 0.0)
    with pytest.raises(UserError, match='differs from the network by'):
        export_torch(network, tmp_path / 'model.pt2', 64, 96)
    assert not list(tmp_path.iterdir())


def test_a_size_that_does_not_fit(network, tmp_path):
    with pytest.raises(UserError, match='give another --imgsz'):
        export_torch(network, tmp_path / 'model.pt2', 60, 96)
