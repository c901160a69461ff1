# SPDX-License-Identifier: Apache-2.0
"""The doctor says what is there, what is missing, and how to get it."""

from __future__ import annotations

import importlib.util
from importlib import metadata

import pytest
from processes import kd_yolo, without
from reports import read_report

HAS_ROS = importlib.util.find_spec('rclpy') is not None


def findings(tmp_path, *absent, path=()):
    """Run it; return the status and its findings by name."""
    path = [*path, *([without(tmp_path / 'without', *absent)] if absent else [])]
    done = kd_yolo('doctor', '--json', 'doctor.json', cwd=tmp_path, path=path)
    assert 'Traceback' not in done.stderr, done.stderr
    report = read_report(tmp_path / 'doctor.json', 'doctor')
    for finding in report['findings']:
        assert finding['what'] in done.stdout and finding['state'] in ('ok', 'missing', 'optional')
    return done, {finding['what']: finding for finding in report['findings']}


def test_this_machine(tmp_path):
    done, found = findings(tmp_path)
    done.succeeded()
    for runtime in ('onnxruntime', 'openvino'):
        assert found[runtime]['state'] == 'ok'
        detail = found[runtime]['detail']
        assert detail.startswith(f'{metadata.version(runtime)} on cpu')
        assert 'fp32 (full speed)' in detail
        assert 'int8 (' in detail
    assert found['training']['state'] == 'ok'


@pytest.mark.skipif(not HAS_ROS, reason='needs rclpy')
def test_ros(tmp_path):
    _, found = findings(tmp_path)
    assert found['ROS 2']['state'] == 'ok' and found['middleware']['detail'].startswith('rmw_')


def test_without_ros(tmp_path):
    done, found = findings(tmp_path, 'rclpy', 'vision_msgs')
    done.succeeded()
    assert found['ROS 2']['state'] == 'missing'
    assert found['ROS 2']['detail'].startswith('rclpy, vision_msgs: ')


def test_a_runtime_without_a_device(tmp_path):
    """TensorRT where no GPU is: a package of its name, and no CUDA."""
    (tmp_path / 'path' / 'tensorrt').mkdir(parents=True)
    (tmp_path / 'path' / 'tensorrt' / '__init__.py').write_text("__version__ = '10.3'\n")
    _, found = findings(tmp_path, path=[tmp_path / 'path'])
    assert found['tensorrt']['state'] == 'missing'
    assert found['tensorrt']['detail'] == '10.3: finds no device to run on'


def test_without_a_runtime(tmp_path):
    done, found = findings(tmp_path, 'openvino')
    done.succeeded()
    assert found['openvino'] == {
        'what': 'openvino',
        'state': 'optional',
        'detail': 'not installed: pip install openvino',
    }


def test_without_any_runtime_for_int8(tmp_path):
    absent = ('openvino', 'onnxruntime', 'ai_edge_litert', 'tflite_runtime', 'tensorrt')
    done, found = findings(tmp_path, *absent)
    assert found['opencv']['state'] == 'ok'  # which is never missing, and no choice for INT8
    assert done.status == 1
    assert 'No runtime for INT8 is installed: pip install onnxruntime or openvino.' in done.stderr


def test_without_training(tmp_path):
    _, found = findings(tmp_path, 'torch', 'nncf')
    assert found['training']['state'] == 'optional'
    assert found['training']['detail'] == "no torch, nncf: pip install 'kd_yolo_ros[training]'"


def test_a_runtime_that_is_there_but_does_not_import(tmp_path):
    """As when a library it needs is missing, or numpy has another ABI."""
    (tmp_path / 'site').mkdir()
    (tmp_path / 'site' / 'openvino.py').write_text("raise ImportError('libtbb.so.12 is missing')")
    done, found = findings(tmp_path, path=[tmp_path / 'site'])
    done.succeeded()
    assert found['openvino']['state'] == 'missing'
    assert 'libtbb.so.12 is missing' in found['openvino']['detail']


def test_a_backend_that_does_not_import(tmp_path):
    info = tmp_path / 'site' / 'acme-1.0.dist-info'
    info.mkdir(parents=True)
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n')
    (info / 'entry_points.txt').write_text('[kd_yolo_ros.backends]\nacme = acme_gone:Acme\n')
    done, found = findings(tmp_path, path=[tmp_path / 'site'])
    done.succeeded()
    assert found['acme']['state'] == 'missing' and 'acme_gone' in found['acme']['detail']


def test_a_json_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    sentence = kd_yolo('doctor', '--json', 'file/doctor.json', cwd=tmp_path).refused()
    assert 'file/doctor.json cannot be written' in sentence
