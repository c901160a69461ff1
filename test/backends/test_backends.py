# SPDX-License-Identifier: Apache-2.0
"""Both runtimes say what they really run, answer alike, and refuse in one sentence."""

from __future__ import annotations

import dataclasses
import os
import types
from pathlib import Path

import numpy as np
import onnx
import pytest
from artifacts import CLASS_NAMES, HEIGHT, WIDTH, scene, tiny_manifest, tiny_model
from processes import run_python, without

from kd_yolo_ros.backends import backend_class, installed_runtimes
from kd_yolo_ros.cpu import cpu_features
from kd_yolo_ros.errors import UnsupportedError, UserError

RUNTIMES = ('onnxruntime', 'openvino')
HAS_BF16 = bool({'avx512_bf16', 'amx_bf16'} & cpu_features())
(FILE,) = tiny_manifest().files


def load(runtime, path, precision='fp32', threads=None, provider=None, **changes):
    file = dataclasses.replace(FILE, **changes)
    return backend_class(runtime)(Path(path), file, precision, threads, provider)


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


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_threads_left_to_the_runtime(runtime, tiny_artifact):
    backend = load(runtime, tiny_artifact / 'model.onnx')
    assert 1 <= backend.running.threads <= os.cpu_count()


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_the_cpu_by_name(runtime, tiny_artifact):
    assert backend_class(runtime).providers()[0] == 'cpu'
    by_name = load(runtime, tiny_artifact / 'model.onnx', threads=1, provider='CPU').running
    assert by_name == load(runtime, tiny_artifact / 'model.onnx', threads=1).running


@pytest.mark.parametrize('runtime', RUNTIMES)
@pytest.mark.parametrize('provider', ['abacus', '', 'CPUExecutionProvider'])
def test_a_provider_that_is_not_there(runtime, provider, tiny_artifact):
    with pytest.raises(UserError) as raised:
        load(runtime, tiny_artifact / 'model.onnx', provider=provider)
    present = ', '.join(backend_class(runtime).providers())
    expected = f"has no provider '{provider}' on this machine; it has {present}."
    assert str(raised.value).endswith(expected)


@pytest.mark.filterwarnings('ignore:Specified provider')
def test_onnx_runtime_with_a_provider_that_it_has_but_cannot_start(tiny_artifact, monkeypatch):
    """Such as CUDA without its libraries: ONNX Runtime prints that and goes on with the CPU."""
    monkeypatch.setattr(backend_class('onnxruntime'), 'providers', lambda *_: ['cpu', 'cuda'])
    with pytest.raises(UserError) as raised:
        load('onnxruntime', tiny_artifact / 'model.onnx', provider='cuda')
    sentence = str(raised.value)
    assert 'model.onnx with CUDAExecutionProvider alone' in sentence
    assert sentence.endswith('or choose --provider cpu.')
    assert isinstance(raised.value, UnsupportedError)


@pytest.mark.parametrize(
    ('provider', 'precision', 'expected', 'entries'),
    [
        ('cpu', 'fp32', ['CPUExecutionProvider'], {}),
        ('cuda', 'fp32', ['CUDAExecutionProvider'], {'session.disable_cpu_ep_fallback': '1'}),
        (
            'tensorrt',
            'int8',
            [
                (
                    'TensorrtExecutionProvider',
                    {'trt_int8_enable': True, 'trt_fp16_enable': True},
                ),
                'CUDAExecutionProvider',
            ],
            {},
        ),
        (
            'tensorrt',
            'fp32',
            [
                (
                    'TensorrtExecutionProvider',
                    {'trt_int8_enable': False, 'trt_fp16_enable': False},
                ),
                'CUDAExecutionProvider',
            ],
            {},
        ),
    ],
)
def test_what_onnx_runtime_is_asked_for(
    provider, precision, expected, entries, tiny_artifact, monkeypatch
):
    """The session itself is a stand-in, which has taken the first provider."""
    import onnxruntime

    asked = {}

    class Session:
        def __init__(self, path, options, providers, **more):
            first = providers[0]
            self.options = options
            asked.update(providers=providers, first=first if type(first) is str else first[0])
            for key in entries:
                asked[key] = options.get_session_config_entry(key)
            if not entries:
                with pytest.raises(Exception, match='disable_cpu_ep_fallback'):
                    options.get_session_config_entry('session.disable_cpu_ep_fallback')

        def get_providers(self):
            return [asked['first']]

        def get_inputs(self):
            return [types.SimpleNamespace(name='images', shape=[1, HEIGHT, WIDTH, 3])]

        def get_session_options(self):
            return self.options

    monkeypatch.setattr(onnxruntime, 'InferenceSession', Session)
    backend = backend_class('onnxruntime')
    monkeypatch.setattr(backend, 'providers', lambda *_: ['cpu', 'cuda', 'tensorrt'])
    path = tiny_artifact / 'model.onnx'
    file = dataclasses.replace(FILE, precision=precision)
    running = backend(path, file, precision, 1, provider).running
    assert asked['providers'] == expected and running.provider == asked['first']
    assert {key: asked[key] for key in entries} == entries


def test_fp16_runs_as_fp16_or_not_at_all(tiny_artifact):
    """CPUs without its arithmetic compute in another type, which nobody asked for."""
    path = tiny_artifact / 'model.onnx'
    try:
        file = dataclasses.replace(FILE, precision='fp16')
        running = backend_class('openvino')(path, file, 'fp16', 1).running
    except UnsupportedError as error:
        assert 'in fp16 on CPU and took' in str(error) and '--precision' in str(error)
    else:
        assert running.precision == 'fp16'


def test_openvino_on_another_device_of_the_same_kind(tiny_artifact, monkeypatch):
    import openvino

    class Compiled:
        inputs = outputs = ()

        def get_property(self, name):
            return ['GPU.0']

    monkeypatch.setattr(openvino.Core, 'compile_model', lambda *_: Compiled())
    backend = backend_class('openvino')
    monkeypatch.setattr(backend, 'providers', lambda *_: ['cpu', 'gpu', 'gpu.0', 'gpu.1'])
    path = tiny_artifact / 'model.onnx'
    with pytest.raises(UserError, match=r'on GPU\.1 and took GPU\.0'):
        load('openvino', path, provider='gpu.1')


def test_openvino_on_a_device_that_it_names_but_cannot_start(tiny_artifact, monkeypatch):
    monkeypatch.setattr(backend_class('openvino'), 'providers', lambda *_: ['cpu', 'gpu'])
    with pytest.raises(UserError, match='OpenVINO cannot load'):
        load('openvino', tiny_artifact / 'model.onnx', provider='gpu')
    with pytest.raises(UserError, match='no bf16 on GPU'):
        load('openvino', tiny_artifact / 'model.onnx', 'bf16', provider='gpu')


def test_both_answer_alike(tiny_artifact, picture):
    """Against numbers worked out by hand, too: a cell that is full of red."""
    answers = [load(r, tiny_artifact / 'model.onnx').infer(picture) for r in RUNTIMES]
    levels = [(HEIGHT // s, WIDTH // s) for s in (8, 16, 32)]
    channels = 3 * (5 + len(CLASS_NAMES))
    assert [a.shape for a in answers[0]] == [(1, channels, *level) for level in levels]
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
