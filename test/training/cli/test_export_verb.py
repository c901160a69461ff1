# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo export` and `evaluate` on what training leaves behind."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from artifacts import write_dataset
from click.testing import CliRunner
from processes import kd_yolo
from random_yolov5 import random_yolov5
from reports import read_report

from kd_yolo_ros.artifact import load_artifact, sha256_of
from kd_yolo_ros.checkpoints import open_predictor
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import open_source
from kd_yolo_ros.manifest import AP_THRESHOLDS
from kd_yolo_ros.predictor import Predictor
from kd_yolo_training.cli import requirements
from kd_yolo_training.cli.export import export
from kd_yolo_training.cli.export_options import DEFAULT, RUNTIMES
from kd_yolo_training.compression.artifact import DEFAULT_RUNTIMES, FILES, export_checkpoint
from kd_yolo_training.engine.run_folder import write_weights

NAMES = ['red', 'green', 'blue']


@pytest.fixture(scope='module')
def run_folder(tmp_path_factory):
    """A training run's folder with the best weights in it."""
    folder = tmp_path_factory.mktemp('runs') / 'first'
    network = random_yolov5(len(NAMES))
    info = {
        'format': 1,
        'architecture': 'yolov5n',
        'names': NAMES,
        'anchors_px': network.head.anchors_px.tolist(),
        'imgsz': [64, 96],
        'epoch': 7,
        'metrics': {'map50_95': 0.25},
        'run': {'seed': 3, 'fit': 'a hash'},
    }
    write_weights(folder / 'weights' / 'best.safetensors', network.state_dict(), info)
    return folder


def run(*args):
    arguments = [str(arg) for arg in args]
    return CliRunner().invoke(export, arguments, catch_exceptions=False).output


def test_a_training_run(run_folder, tmp_path):
    text = run(run_folder, '--out', tmp_path / 'a', '--json', tmp_path / 'r.json')
    manifest = load_artifact(tmp_path / 'a').manifest
    assert manifest.name == 'first' and manifest.class_names == tuple(NAMES)
    (file,) = manifest.files
    assert (file.input.height, file.input.width, file.precision) == (64, 96, 'fp32')
    source = manifest.provenance['checkpoint']
    assert source['sha256'] == sha256_of(run_folder / 'weights' / 'best.safetensors')
    assert (source['file'], source['epoch']) == ('best.safetensors', 7)
    training = manifest.provenance['training']
    assert training['run'] == {'seed': 3, 'fit': 'a hash'}
    assert training['metrics'] == {'map50_95': 0.25}
    report = json.loads((tmp_path / 'r.json').read_text())
    assert (report['kind'], report['artifact'], report['classes']) == ('export', 'first', 3)
    assert 'first' in text and '64x96' in text


def test_options(run_folder, tmp_path):
    weights = run_folder / 'weights' / 'best.safetensors'
    options = ('--imgsz', 32, 64, '--name', 'mine', '--licence', 'CC0')
    run(weights, '--out', tmp_path / 'a', *options)
    manifest = load_artifact(tmp_path / 'a').manifest
    assert (manifest.name, manifest.licence) == ('mine', 'CC0')
    assert (manifest.files[0].input.height, manifest.files[0].input.width) == (32, 64)


def test_a_public_checkpoint(tmp_path):
    torch.save(random_yolov5(2).state_dict(), tmp_path / 'tiny.pt')
    run(tmp_path / 'tiny.pt', '--out', tmp_path / 'a', '--imgsz', 64)
    manifest = load_artifact(tmp_path / 'a').manifest
    assert manifest.name == 'tiny' and 'training' not in manifest.provenance


def test_one_file_for_each_runtime_that_is_named(run_folder, tmp_path):
    runtimes = [o for name in ('opencv', 'torch', 'openvino') for o in ('--runtime', name)]
    text = run(run_folder, '--out', tmp_path / 'a', *runtimes, '--json', tmp_path / 'r.json')
    files = {file.path: file for file in load_artifact(tmp_path / 'a').manifest.files}
    assert (
        list(files)
        == ['model.onnx', 'model.pt2']
        == json.loads((tmp_path / 'r.json').read_text())['files']
    )
    assert set(files['model.onnx'].runtimes) >= {'opencv', 'openvino', 'onnxruntime'}
    assert 'model.onnx' in text and 'model.pt2' in text
    picture = np.random.default_rng(0).integers(0, 256, (100, 200, 3), np.uint8)
    first, *others = (
        Predictor(tmp_path / 'a', runtime, 'fp32', thresholds=AP_THRESHOLDS).predict(picture)
        for runtime in ('onnxruntime', 'torch', 'opencv')
    )
    for other in others:
        assert_same(other, first)


def test_the_decode_inside(run_folder, tmp_path):
    run(run_folder, '--out', tmp_path / 'inside', '--decode-inside')
    run(run_folder, '--out', tmp_path / 'outside')
    (file,) = load_artifact(tmp_path / 'inside').manifest.files
    assert file.decode_inside and file.path == 'model.onnx'
    picture = np.random.default_rng(0).integers(0, 256, (100, 200, 3), np.uint8)
    inside, outside = (
        Predictor(tmp_path / name, 'onnxruntime', thresholds=AP_THRESHOLDS).predict(picture)
        for name in ('inside', 'outside')
    )
    assert_same(inside, outside)
    with pytest.raises(UserError, match=r'Only model\.onnx is written with the decode inside'):
        run(run_folder, '--out', tmp_path / 'a', '--decode-inside', '--runtime', 'torch')


def test_tflite_without_its_converter(run_folder, tmp_path, monkeypatch):
    found = requirements.find_spec
    monkeypatch.setattr(
        requirements, 'find_spec', lambda name: None if name == 'litert_torch' else found(name)
    )
    with pytest.raises(UserError, match=r"pip install 'kd_yolo_ros\[tflite-export\]'"):
        run(run_folder, '--out', tmp_path / 'a', '--runtime', 'tflite')
    assert not (tmp_path / 'a').exists()


def test_the_runtimes_to_choose_from_are_those_with_a_file():
    assert set(RUNTIMES) == set(FILES) and DEFAULT == DEFAULT_RUNTIMES


def test_it_is_refused_before_the_work(run_folder, tmp_path, monkeypatch):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'notes.txt').write_text('precious')
    for args, sentence in (
        ((run_folder, '--out', tmp_path / 'mine'), 'holds other things'),
        ((run_folder, '--out', tmp_path / 'mine' / 'notes.txt'), 'is a file'),
        ((run_folder, '--out', tmp_path / 'a', '--imgsz', 65), 'not a multiple of 32'),
        ((tmp_path, '--out', tmp_path / 'a'), 'is no training run'),
        ((tmp_path / 'none.pt', '--out', tmp_path / 'a'), 'is not a file'),
    ):
        with pytest.raises(UserError, match=sentence):
            run(*args)
    monkeypatch.setattr(requirements, 'find_spec', lambda module: None)
    with pytest.raises(UserError, match=r"pip install 'kd_yolo_ros\[training\]'"):
        run(run_folder, '--out', tmp_path / 'a')
    assert sorted(p.name for p in tmp_path.rglob('*')) == ['mine', 'notes.txt']


def test_checkpoint_and_artifact_find_the_same(run_folder, tmp_path):
    export_checkpoint(run_folder, tmp_path / 'a')
    exported = Predictor(tmp_path / 'a', 'onnxruntime', 'fp32', thresholds=AP_THRESHOLDS)
    trained = open_predictor(run_folder, thresholds=AP_THRESHOLDS)
    assert trained.running.runtime == 'torch' and trained.manifest.name == 'first'
    picture = np.random.default_rng(0).integers(0, 256, (100, 200, 3), np.uint8)
    assert_same(trained.predict(picture), exported.predict(picture))


def test_a_real_checkpoint_finds_what_its_artifact_finds(data_dir, tmp_path):
    weights = data_dir / 'weights' / 'yolov5n.pt'
    export_checkpoint(weights, tmp_path / 'a', (320, 320))
    exported = Predictor(tmp_path / 'a', 'onnxruntime', 'fp32')
    trained = open_predictor(weights, imgsz=(320, 320))
    assert trained.manifest.class_names[2] == 'car'
    frames = list(open_source(data_dir / 'coco128'))[:6]
    counts = [
        assert_same(trained.predict(frame.image), exported.predict(frame.image))
        for frame in frames
    ]
    assert sum(counts) > 5


def assert_same(found, expected):
    """Compare two models' answers but for rounding; return how many objects there are."""
    assert len(found) and found.class_ids.tolist() == expected.class_ids.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.5)
    return len(found)


def test_evaluate_a_training_run(run_folder, tmp_path):
    write_dataset(tmp_path / 'data')
    options = ('--data', 'data', '--imgsz', 32, 64, '--threads', 1, '--json', 'r.json')
    text = kd_yolo('evaluate', run_folder, *options, cwd=tmp_path).succeeded()
    report = read_report(tmp_path / 'r.json', 'evaluate')
    assert (report['runtime'], report['precision'], report['threads']) == ('torch', 'fp32', 1)
    assert report['input'] == [32, 64] and report['images'] == 4
    assert 'first, torch fp32' in text
