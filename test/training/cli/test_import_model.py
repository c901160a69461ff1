# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo import`: checkpoints and exports become artifacts that predict."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from random_yolov5 import random_yolov5
from test_exports import anchor_grid, constant_model

from kd_yolo_ros.artifact import load_artifact
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import Thresholds
from kd_yolo_ros.predictor import Predictor
from kd_yolo_training.cli import requirements
from kd_yolo_training.cli.import_model import import_model, read_names


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('checkpoint') / 'tiny.pt'
    torch.save(random_yolov5(classes=4).state_dict(), path)
    return path


def run(*args: object) -> None:
    CliRunner().invoke(import_model, [str(arg) for arg in args], catch_exceptions=False)


def test_checkpoint(checkpoint, tmp_path):
    (tmp_path / 'names.txt').write_text('car\ntruck\nbus\nbicycle\n')
    run(
        *(checkpoint, '--out', tmp_path / 'artifact', '--imgsz', 64, 128),
        *('--names', tmp_path / 'names.txt', '--licence', 'CC0', '--json', tmp_path / 'r.json'),
    )
    manifest = load_artifact(tmp_path / 'artifact').manifest
    assert manifest.name == 'tiny'
    assert manifest.class_names == ('car', 'truck', 'bus', 'bicycle')
    assert manifest.licence == 'CC0'
    assert manifest.head.strides == (8, 16, 32)
    assert manifest.head.anchors[2][2] == (373, 326)
    assert manifest.provenance['checkpoint']['architecture'] == 'yolov5n'
    (file,) = manifest.files
    assert (file.input.height, file.input.width, file.precision) == (64, 128, 'fp32')
    report = json.loads((tmp_path / 'r.json').read_text())
    assert (report['kind'], report['imgsz'], report['classes']) == ('import', [64, 128], 4)
    picture = np.random.default_rng(0).integers(0, 256, (100, 200, 3), np.uint8)
    everything = Thresholds(score=0.0001)
    for runtime in ('onnxruntime', 'openvino'):
        predictor = Predictor(tmp_path / 'artifact', runtime, 'fp32', thresholds=everything)
        assert len(predictor.predict(picture))


def test_size_from_yaml(checkpoint, tmp_path):
    (tmp_path / 'c.yaml').write_text('imgsz: [32, 64]\nname: mine\n')
    run(checkpoint, '--out', tmp_path / 'a', '--config', tmp_path / 'c.yaml')
    manifest = load_artifact(tmp_path / 'a').manifest
    assert manifest.name == 'mine'
    assert (manifest.files[0].input.height, manifest.files[0].input.width) == (32, 64)
    assert manifest.class_names == ('class_0', 'class_1', 'class_2', 'class_3')


def test_real_export(data_dir, tmp_path):
    path = data_dir / 'weights' / 'yolov5n-seg.onnx'
    run(path, '--out', tmp_path / 'a')
    artifact = load_artifact(tmp_path / 'a')
    (file,) = artifact.manifest.files
    assert (file.path, file.decode_inside) == ('model.onnx', True)
    assert artifact.model_path(file).read_bytes() == path.read_bytes()
    assert artifact.manifest.head.mask_coefficients == 32


def test_a_tflite_export(data_dir, tmp_path):
    path = data_dir / 'weights' / 'yolov8n_int8.tflite'
    run(path, '--out', tmp_path / 'a')
    manifest = load_artifact(tmp_path / 'a').manifest
    (file,) = manifest.files
    assert (file.path, file.precision, file.normalized_boxes) == ('model.tflite', 'int8', True)
    assert 'tflite' in file.runtimes and manifest.class_names[2] == 'car'
    assert manifest.licence.startswith('AGPL-3.0')
    assert manifest.provenance['export']['description'].startswith('Ultralytics YOLOv8n')


def test_an_export_stays_in_its_format(data_dir, tmp_path):
    path = data_dir / 'weights' / 'yolov5n-seg.onnx'
    for options in (('--runtime', 'torch'), ('--decode-inside',)):
        with pytest.raises(UserError, match='stays in its format; leave out --runtime'):
            run(path, '--out', tmp_path / 'a', *options)
    assert not (tmp_path / 'a').exists()


def test_onnx_with_its_weights_in_another_file(tmp_path):
    (tmp_path / 'in').mkdir()
    model, path = constant_model(anchor_grid()), tmp_path / 'in' / 'best.onnx'
    onnx.save(model, path, save_as_external_data=True, location='best.data', size_threshold=0)
    Predictor(path)  # it runs where it lies
    with pytest.raises(UserError, match=r'best\.onnx .*external data'):
        run(path, '--out', tmp_path / 'a')
    assert not (tmp_path / 'a').exists()


def test_openvino_folder(data_dir, tmp_path):
    import openvino

    export = tmp_path / 'export'
    model = openvino.convert_model(str(data_dir / 'weights' / 'yolov5n-seg.onnx'))
    openvino.save_model(model, export / 'best.xml')
    names = dict(enumerate(f'thing{i}' for i in range(80)))
    (export / 'metadata.yaml').write_text(f'names: {names}\ntask: segment\nlicense: AGPL-3.0\n')
    run(export, '--out', tmp_path / 'a')
    artifact = load_artifact(tmp_path / 'a')
    (file,) = artifact.manifest.files
    assert sorted(file.sha256) == ['model.bin', 'model.xml']
    assert artifact.manifest.class_names[79] == 'thing79'
    assert artifact.manifest.licence == 'AGPL-3.0'
    assert Predictor(artifact).running.runtime == 'openvino'


def test_size_of_an_export_is_fixed(data_dir, tmp_path):
    with pytest.raises(UserError, match='640x640'):
        run(
            data_dir / 'weights' / 'yolov5n-seg.onnx', '--out', tmp_path / 'a', '--imgsz', 384, 640
        )


@pytest.mark.parametrize('size', [(100,), (640, 650), (0,)])
def test_size_that_does_not_fit(checkpoint, tmp_path, size):
    with pytest.raises(UserError, match='--imgsz'):
        run(checkpoint, '--out', tmp_path / 'a', '--imgsz', *size)
    assert not (tmp_path / 'a').exists()


def test_size_that_is_no_number(checkpoint, tmp_path):
    done = CliRunner().invoke(import_model, [str(checkpoint), '--out', 'a', '--imgsz', 'big'])
    assert done.exit_code == 2
    assert 'is no size' in done.output


def test_wrong_number_of_names(checkpoint, tmp_path):
    (tmp_path / 'names.yaml').write_text('names: {0: car, 1: bus}')
    with pytest.raises(UserError, match='4 classes, but 2 names'):
        run(checkpoint, '--out', tmp_path / 'a', '--names', tmp_path / 'names.yaml')


@pytest.mark.parametrize(
    ('text', 'names'),
    [
        ('car\nbig truck\n', ('car', 'big truck')),
        ('car', ('car',)),
        ('[car, bus]', ('car', 'bus')),
        ('names: [car, bus]', ('car', 'bus')),
        ('names:\n  1: bus\n  0: car\n', ('car', 'bus')),
    ],
)
def test_forms_of_names(tmp_path, text, names):
    (tmp_path / 'n').write_text(text)
    assert read_names(tmp_path / 'n') == names


@pytest.mark.parametrize('text', ['', '{a: 1}', 'names: {1: a}', 'a: [', '[]'])
def test_no_names(tmp_path, text):
    (tmp_path / 'n').write_text(text)
    with pytest.raises(UserError, match='no class names'):
        read_names(tmp_path / 'n')


def test_without_the_training_extra(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(requirements, 'find_spec', lambda module: None)
    with pytest.raises(UserError, match=r"pip install 'kd_yolo_ros\[training\]'"):
        run(checkpoint, '--out', tmp_path / 'a')


def test_a_hostile_checkpoint_on_the_command_line(tmp_path):
    class Runs:
        def __reduce__(self):
            return open, (str(tmp_path / 'ran'), 'w')

    torch.save({'model': Runs()}, tmp_path / 'bad.pt')
    done = subprocess.run(
        [sys.executable, '-m', 'kd_yolo_ros.cli.main', 'import', 'bad.pt', '--out', 'a'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert 'nothing of it was executed' in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ['bad.pt']


def test_help_tells_the_options():
    text = CliRunner().invoke(import_model, ['--help']).output
    assert all(option in text for option in ('--imgsz', '--out', '--json', '--config', '--names'))
    assert isinstance(import_model, click.Command)
