# SPDX-License-Identifier: Apache-2.0
"""Masks from data to artifact: train, distil, evaluate and export, as users start them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from processes import kd_yolo
from shapes import write_shapes

from kd_yolo_ros.artifact import load_artifact
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.pictures import read_picture
from kd_yolo_ros.manifest import AP_THRESHOLDS
from kd_yolo_ros.predictor import Predictor
from kd_yolo_training.compression.artifact import export_checkpoint
from kd_yolo_training.engine.predict import checkpoint_predictor

OPTIONS = (
    *('--task', 'segment', '--model', 'n', '--imgsz', 96, '--batch', 4, '--epochs', 4),
    *('--threads', 1, '--device', 'cpu', '--optimizer', 'adamw', '--lr', 0.002),
    *('--nominal-batch', 4, '--close-mosaic', 4, '--warmup-epochs', 1),
)


def run(*words: object, cwd: Path) -> str:
    return kd_yolo(*words, cwd=cwd).succeeded()


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp('shapes'), fit=24)


@pytest.fixture(scope='module')
def plain(data, tmp_path_factory):
    out = tmp_path_factory.mktemp('runs') / 'plain'
    said = run(
        'train',
        '--data',
        data,
        '--out',
        out,
        *OPTIONS,
        '--json',
        out / 'report.json',
        cwd=out.parent,
    )
    assert 'masks' in said and 'mask AP50-95' in said
    return out


def test_the_report_of_a_run(plain):
    report = json.loads((plain / 'report.json').read_text())
    assert report['settings']['task'] == 'segment'
    merits = [row['mask_map50_95'] for row in report['epochs']]
    assert report['best']['mask_map50_95'] == max(merits)


def test_a_student_learns_masks_of_its_teacher(data, plain, tmp_path):
    gains = ('--distil-masks', 1, '--distil-output', 1, '--distil-imitation', 0.01)
    words = ('train', '--data', data, '--out', tmp_path / 'r', *OPTIONS, '--teacher', plain)
    said = run(*words, *gains, '--distil-close', 0, '--json', tmp_path / 'r.json', cwd=tmp_path)
    assert 'imitation' in said
    rows = json.loads((tmp_path / 'r.json').read_text())['epochs']
    assert all(row['distil_masks'] > 0 for row in rows)
    assert rows[-1]['distil_masks'] < rows[0]['distil_masks']


def test_evaluate_and_export(data, plain, tmp_path):
    run(
        'evaluate',
        plain,
        '--data',
        data / 'select.json',
        '--json',
        tmp_path / 'net.json',
        cwd=tmp_path,
    )
    run('export', plain, '--out', tmp_path / 'artifact', cwd=tmp_path)
    manifest = load_artifact(tmp_path / 'artifact').manifest
    assert (manifest.task, manifest.head.mask_coefficients) == ('segment', 32)
    run(
        *('evaluate', tmp_path / 'artifact', '--runtime', 'onnxruntime'),
        *('--data', data / 'select.json', '--json', tmp_path / 'onnx.json'),
        cwd=tmp_path,
    )
    network, exported = (
        json.loads((tmp_path / f'{name}.json').read_text()) for name in ('net', 'onnx')
    )
    for key in ('mask_map50_95', 'mask_map50', 'map50_95'):
        assert exported[key] == pytest.approx(network[key], abs=2e-3)


def test_every_format_finds_the_networks_masks(data, plain, tmp_path):
    picture = read_picture(sorted((data / 'images').glob('fit*'))[0])
    wanted = checkpoint_predictor(plain, thresholds=AP_THRESHOLDS).predict(picture)
    assert len(wanted) > 0 and sum(crop.sum() for crop in wanted.masks.crops) > 100
    out = tmp_path / 'artifact'
    export_checkpoint(plain, out, runtimes=('onnxruntime', 'openvino', 'torch'))
    for runtime in ('onnxruntime', 'openvino', 'torch'):
        found = Predictor(out, runtime, 'fp32', thresholds=AP_THRESHOLDS).predict(picture)
        assert len(found) == len(wanted)
        np.testing.assert_allclose(found.boxes[:10], wanted.boxes[:10], atol=0.05)
        for row in range(10):
            both = found.masks.full(row), wanted.masks.full(row)
            assert (both[0] != both[1]).sum() <= 0.02 * max(both[1].sum(), 50)


def test_the_decode_stays_outside(plain, tmp_path):
    with pytest.raises(UserError, match='no decode goes inside'):
        export_checkpoint(plain, tmp_path / 'artifact', decode_inside=True)
    assert not (tmp_path / 'artifact').exists()


def test_masks_cannot_be_distilled_into_a_detector(data, tmp_path):
    words = ('--distil-masks', 1, '--teacher', 'nothing')
    done = kd_yolo('train', '--data', data, '--out', tmp_path / 'r', *words, cwd=tmp_path)
    assert 'give --task segment' in done.refused() and not (tmp_path / 'r').exists()
