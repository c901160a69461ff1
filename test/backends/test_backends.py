# SPDX-License-Identifier: Apache-2.0
"""Both runtimes say what they really run, answer alike, and refuse in one sentence."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from artifacts import CLASS_NAMES, HEIGHT, WIDTH, scene, tiny_manifest, tiny_model
from processes import run_python, without

from kd_yolo_ros.backends import backend_class, installed_runtimes
from kd_yolo_ros.cpu import cpu_features
from kd_yolo_ros.errors import UserError

RUNTIMES = ('onnxruntime', 'openvino')
HAS_BF16 = bool({'avx512_bf16', 'amx_bf16'} & cpu_features())
(FILE,) = tiny_manifest().files


def load(runtime, path, precision='fp32', threads=None, **changes):
    file = dataclasses.replace(FILE, **changes)
    return backend_class(runtime)(Path(path), file, precision, threads)


@pytest.fixture(scope='module')
def picture():
    return scene()[0][None]


def test_both_are_found():
    assert set(RUNTIMES) <= set(installed_runtimes())


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_what_really_runs(runtime, tiny_artifact):
    backend = load(runtime, tiny_artifact / 'model.onnx', threads=1)
    running = backend.running
    assert running.runtime == runtime and running.precision == 'fp32' and running.threads == 1
    assert 'CPU' in running.provider
    assert running.runtime_version == __import__(runtime).__version__.split('-')[0]
    levels = [(HEIGHT // s, WIDTH // s) for s in (8, 16, 32)]
    channels = 3 * (5 + len(CLASS_NAMES))
    assert backend.output_shapes == [(1, channels, *level) for level in levels]


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_threads_left_to_the_runtime(runtime, tiny_artifact):
    backend = load(runtime, tiny_artifact / 'model.onnx')
    assert 1 <= backend.running.threads <= os.cpu_count()


def test_both_answer_alike(tiny_artifact, picture):
    """Against numbers worked out by hand, too: a cell that is full of red."""
    answers = [load(r, tiny_artifact / 'model.onnx').infer(picture) for r in RUNTIMES]
    for first, second in zip(*answers, strict=True):
        assert first.dtype == second.dtype == np.float32
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-3)
    cell = answers[0][0][0, :8, 1, 1]
    np.testing.assert_allclose(cell, [0, 0, 0, 0, 12, 10, -10, -10], atol=1e-3)


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_an_answer_belongs_to_its_picture(runtime, tiny_artifact, picture):
    backend = load(runtime, tiny_artifact / 'model.onnx')
    first = [output.copy() for output in backend.infer(picture)]
    blank = [output.copy() for output in backend.infer(np.zeros_like(picture))]
    again = backend.infer(picture.copy())
    assert not np.array_equal(first[0], blank[0])
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.skipif(not HAS_BF16, reason='this CPU has no bf16 instructions')
def test_fp32_is_true_fp32_and_bf16_is_bf16(tmp_path):
    """OpenVINO runs an FP32 file in bf16 on such a CPU unless told otherwise."""
    random = np.random.default_rng(0)
    model = tiny_model()
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        changed = (values + random.normal(0, 0.1, values.shape)).astype(np.float32)
        weight.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
    onnx.save(model, tmp_path / 'model.onnx')
    noise = random.integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8)
    truth = load('onnxruntime', tmp_path / 'model.onnx').infer(noise)[0]
    errors = {}
    for precision in ('fp32', 'bf16'):
        backend = load('openvino', tmp_path / 'model.onnx', precision)
        assert backend.running.precision == precision
        errors[precision] = np.abs(backend.infer(noise)[0] - truth).max() / np.abs(truth).max()
    assert errors['fp32'] < 1e-5 < errors['bf16'] < 1e-1


def test_bf16_of_a_cpu_without_it(tiny_artifact, monkeypatch):
    monkeypatch.setattr('kd_yolo_ros.backends.openvino.cpu_features', lambda: frozenset({'avx2'}))
    with pytest.raises(UserError, match='no bf16 instructions; choose --precision'):
        load('openvino', tiny_artifact / 'model.onnx', 'bf16')
    assert 'bf16' not in backend_class('openvino').precisions()


def test_bf16_of_onnx_runtime(tiny_artifact):
    with pytest.raises(UserError, match=r'model\.onnx in fp32 only, not in bf16'):
        load('onnxruntime', tiny_artifact / 'model.onnx', 'bf16')


def test_precisions_of_this_machine():
    assert list(backend_class('onnxruntime').precisions()) == ['fp32', 'int8']
    expected = ['fp32', 'int8', 'bf16'] if HAS_BF16 else ['fp32', 'int8']
    assert list(backend_class('openvino').precisions()) == expected


@pytest.mark.parametrize('runtime', RUNTIMES)
@pytest.mark.parametrize('content', [b'', b'no model at all', b'\x08\x08\x12\x04'])
def test_a_file_that_is_no_onnx(runtime, content, tmp_path):
    path = tmp_path / 'model.onnx'
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        load(runtime, path)
    sentence = str(raised.value)
    assert f'cannot load {path}' in sentence and '\n' not in sentence
    assert sentence.endswith('import the model again.')


ASK = """
from kd_yolo_ros.backends import backend_class, installed_runtimes
from kd_yolo_ros.errors import UserError
print(installed_runtimes())
try:
    print(backend_class({runtime!r}))
except UserError as error:
    print('refused:', error)
"""


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_a_runtime_that_is_not_installed(runtime, tmp_path):
    done = run_python('-c', ASK.format(runtime=runtime), path=[without(tmp_path, runtime)])
    installed, answer = done.stdout.splitlines()
    assert runtime not in installed and RUNTIMES[runtime == RUNTIMES[0]] in installed
    assert answer == (
        f"refused: The runtime '{runtime}' is not installed; get it with pip install {runtime}."
    )


def write_plugin(folder, source):
    """Write what an installed package with a backend of its own leaves on the path."""
    info = folder / 'acme-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n')
    (info / 'entry_points.txt').write_text('[kd_yolo_ros.backends]\nacme = acme:Acme\n')
    (folder / 'acme.py').write_text(source)
    return folder


def test_a_backend_of_another_package(tmp_path):
    source = 'from kd_yolo_ros.backends.onnxruntime import OnnxRuntimeBackend as Acme\n'
    folder = write_plugin(tmp_path, source)
    done = run_python('-c', ASK.format(runtime='acme'), path=[folder])
    installed, answer = done.stdout.splitlines()
    assert 'acme' in installed and 'OnnxRuntimeBackend' in answer


def test_a_backend_whose_package_is_not_there(tmp_path):
    source = (
        'from kd_yolo_ros.backends import Backend\n'
        'class Acme(Backend):\n'
        "    package, install = 'acme_runtime', 'pip install acme-runtime'\n"
    )
    folder = write_plugin(tmp_path, source)
    done = run_python('-c', ASK.format(runtime='acme'), path=[folder])
    installed, answer = done.stdout.splitlines()
    assert 'acme' not in installed
    assert "'acme' is not installed; get it with pip install acme-runtime." in answer


def test_a_backend_that_does_not_import_harms_no_other(tmp_path):
    folder = write_plugin(tmp_path, 'import acme_runtime\n')
    done = run_python('-c', ASK.format(runtime='acme'), path=[folder])
    installed, answer = done.stdout.splitlines()
    assert 'acme' not in installed and 'openvino' in installed
    assert answer == (
        "refused: The runtime 'acme' does not import (No module named 'acme_runtime'); "
        'install what it needs.'
    )


def test_a_runtime_under_another_distribution_name(tmp_path):
    """Such as onnxruntime-gpu on a Jetson, which brings the module onnxruntime."""
    (tmp_path / 'onnxruntime.py').write_text("__version__ = '1.2.3'\n")
    program = (
        'import importlib.metadata as m, kd_yolo_ros.backends.onnxruntime as b\n'
        'def version(name): raise m.PackageNotFoundError(name)\n'
        'm.version = version\n'
        'print(b.OnnxRuntimeBackend.version())\n'
    )
    done = run_python('-c', program, path=[tmp_path])
    assert done.stdout.strip() == '1.2.3', done.stderr
