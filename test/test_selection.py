# SPDX-License-Identifier: Apache-2.0
"""What is run for which wish, on which CPU; and what is said where nothing fits."""

from __future__ import annotations

import dataclasses

import pytest
from artifacts import tiny_manifest

from kd_yolo_ros import cpu, selection
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.selection import select

(FP32,) = tiny_manifest().files
ORT_INT8 = dataclasses.replace(
    FP32, path='onnxruntime-x64.onnx', runtimes=('onnxruntime',), precision='int8'
)
OV_INT8 = dataclasses.replace(
    FP32, path='openvino.xml', runtimes=('openvino',), precision='int8', sha256={}
)
ALL = tiny_manifest(files=(FP32, ORT_INT8, OV_INT8))
INT8_ALONE = tiny_manifest(files=(dataclasses.replace(ORT_INT8, cpu_features=('avx2',)), OV_INT8))


@pytest.fixture
def machine(monkeypatch):
    """Let the machine have other CPU features or runtimes than it has."""

    def set_machine(
        features=('avx2', 'avx_vnni'),
        runtimes=('onnxruntime', 'openvino'),
        architecture='x64',
        without_device=(),
    ):
        monkeypatch.setattr(selection, 'architecture', lambda: architecture)
        monkeypatch.setattr(selection, 'cpu_features', lambda: frozenset(features))
        fast = bool(cpu.INT8_INSTRUCTIONS & set(features))
        monkeypatch.setattr(selection, 'has_fast_int8', lambda: fast)
        monkeypatch.setattr(selection, 'installed_runtimes', lambda: list(runtimes))
        monkeypatch.setattr(selection, 'can_execute', lambda name: name not in without_device)

    set_machine()
    return set_machine


def chosen(*wish):
    choice = select(ALL, *wish)
    return choice.runtime, choice.precision, choice.file.path


@pytest.mark.parametrize(
    ('wish', 'expected'),
    [
        (('auto', 'auto'), ('openvino', 'int8', 'openvino.xml')),
        (('onnxruntime', 'auto'), ('onnxruntime', 'fp32', 'model.onnx')),
        (('openvino', 'auto'), ('openvino', 'int8', 'openvino.xml')),
        (('auto', 'fp32'), ('openvino', 'fp32', 'model.onnx')),
        (('onnxruntime', 'fp32'), ('onnxruntime', 'fp32', 'model.onnx')),
        (('onnxruntime', 'int8'), ('onnxruntime', 'int8', 'onnxruntime-x64.onnx')),
        (('auto', 'bf16'), ('openvino', 'bf16', 'model.onnx')),
    ],
)
def test_each_wish(machine, wish, expected):
    assert chosen(*wish) == expected


def test_auto_is_fp32_where_int8_is_emulated(machine):
    machine(features=['avx2', 'fma'])
    assert chosen('auto', 'auto') == ('openvino', 'fp32', 'model.onnx')
    assert chosen('auto', 'int8') == ('openvino', 'int8', 'openvino.xml')


def test_auto_takes_int8_where_nothing_else_is_there(machine):
    machine(features=['avx2'])
    assert select(tiny_manifest(files=(ORT_INT8,))).precision == 'int8'


TFLITE = dataclasses.replace(
    FP32, path='model.tflite', runtimes=('tflite',), precision='int8', sha256={}
)
TENSORRT = dataclasses.replace(
    FP32, path='tensorrt.onnx', runtimes=('tensorrt',), precision='int8', sha256={}
)
EVERYTHING = tiny_manifest(files=(*ALL.files, TFLITE, TENSORRT))
RUNTIMES = ('onnxruntime', 'openvino', 'tflite')


@pytest.mark.parametrize(
    ('machine_has', 'expected'),
    [
        ({'runtimes': RUNTIMES}, 'openvino'),
        ({'runtimes': ('onnxruntime', 'tflite')}, 'tflite'),
        ({'runtimes': (*RUNTIMES, 'tensorrt')}, 'tensorrt'),
        ({'runtimes': RUNTIMES, 'features': ['asimd'], 'architecture': 'arm64'}, 'tflite'),
    ],
)
def test_the_runtime_that_runs_int8_best(machine, machine_has, expected):
    machine(**machine_has)
    choice = select(EVERYTHING)
    assert (choice.runtime, choice.precision) == (expected, 'int8')


@pytest.mark.parametrize(
    ('runtime', 'provider', 'expected'),
    [
        ('onnxruntime', 'cpu', 'fp32'),
        ('onnxruntime', 'CPU', 'fp32'),
        ('tflite', 'CPU', 'fp32'),
        ('onnxruntime', 'cuda', 'fp32'),
        ('onnxruntime', 'CUDA', 'fp32'),
        ('onnxruntime', 'tensorrt', 'int8'),
        ('openvino', 'npu', 'int8'),
        ('tflite', '/usr/lib/libvx_delegate.so', 'int8'),
    ],
)
def test_int8_where_the_provider_runs_it_well(machine, runtime, provider, expected):
    machine(features=['avx2'], runtimes=RUNTIMES)  # a CPU that does not
    manifest = tiny_manifest(
        files=(dataclasses.replace(FP32, runtimes=RUNTIMES), ORT_INT8, OV_INT8, TFLITE)
    )
    assert select(manifest, runtime, provider=provider).precision == expected


def test_a_provider_without_a_runtime():
    sentence = refusal(ALL, 'auto', 'auto', 'cuda')
    assert "provider 'cuda' needs a runtime" in sentence and 'kd-yolo doctor' in sentence


def test_auto_takes_the_runtime_that_is_there(machine):
    machine(runtimes=['onnxruntime'])
    assert chosen('auto', 'auto') == ('onnxruntime', 'fp32', 'model.onnx')


def test_auto_is_int8_in_onnx_runtime_on_arm_alone(machine):
    machine(features=['asimd'], architecture='arm64')
    assert chosen('onnxruntime', 'auto')[:2] == ('onnxruntime', 'int8')


def test_a_file_whose_cpu_features_are_missing_is_passed_over(machine):
    amx = dataclasses.replace(OV_INT8, cpu_features=('amx_int8',))
    manifest = tiny_manifest(files=(amx, FP32))
    assert select(manifest).file == FP32
    machine(features=['amx_int8'])
    assert select(manifest).file == amx


def refusal(manifest, *wish):
    with pytest.raises(UserError) as raised:
        select(manifest, *wish)
    sentence = str(raised.value)
    assert '\n' not in sentence and sentence.endswith('.')
    return sentence


def test_missing_cpu_feature(machine):
    file = dataclasses.replace(FP32, cpu_features=('avx2', 'amx_int8', 'avx512_fp16'))
    sentence = refusal(tiny_manifest(files=(file,)))
    assert 'this CPU lacks amx_int8, avx512_fp16' in sentence and 'avx2' not in sentence


@pytest.mark.parametrize('name', ['avx512_vnni', 'avx_vnni'])
def test_one_of_several_cpu_features_suffices(machine, name):
    file = dataclasses.replace(ORT_INT8, cpu_features=('avx2', 'avx512_vnni|avx_vnni'))
    machine(features=['avx2', name])
    assert select(tiny_manifest(files=(file,)), 'onnxruntime', 'int8').file == file
    machine(features=['avx2'])
    assert 'lacks avx512_vnni or avx_vnni, which' in refusal(tiny_manifest(files=(file,)))


@pytest.mark.parametrize(
    ('machine_has', 'expected'),
    [
        ({'features': ['avx2', 'avx512_vnni']}, 'openvino.xml'),
        ({'features': ['avx2']}, 'openvino.xml'),
        ({'features': []}, 'openvino.xml'),
        ({'features': ['avx2'], 'runtimes': ['onnxruntime']}, 'onnxruntime-x64.onnx'),
        ({'features': ['asimd'], 'architecture': 'arm64'}, 'openvino.xml'),
    ],
)
def test_int8_files_alone_run_on_any_cpu(machine, machine_has, expected):
    """As those of the bundled model: its ONNX file was made for AVX2."""
    machine(**machine_has)
    choice = select(INT8_ALONE)
    assert (choice.precision, choice.file.path) == ('int8', expected)


def test_int8_files_alone_where_the_runtime_that_could_is_missing(machine):
    machine(features=['asimd'], architecture='arm64', runtimes=['onnxruntime'])
    sentence = refusal(INT8_ALONE)
    assert 'lacks avx2' in sentence
    assert sentence.endswith('take the runtime openvino or quantize for this machine.')
    assert 'fp32' not in sentence


def test_unknown_runtime():
    sentence = refusal(ALL, 'tensorflow')
    assert "no runtime 'tensorflow'" in sentence and 'onnxruntime, opencv, openvino' in sentence


def test_unknown_precision():
    sentence = refusal(ALL, 'auto', 'int4')
    assert "no precision 'int4'" in sentence and 'fp32, bf16, fp16, int8' in sentence


def test_bf16_of_onnx_runtime():
    sentence = refusal(ALL, 'onnxruntime', 'bf16')
    assert 'onnxruntime in precision bf16' in sentence and 'onnxruntime fp32' in sentence


def test_bf16_of_an_int8_file(machine):
    sentence = refusal(tiny_manifest(files=(OV_INT8,)), 'openvino', 'bf16')
    assert 'it offers openvino int8' in sentence


def test_a_precision_that_the_artifact_lacks(machine):
    sentence = refusal(tiny_manifest(), 'auto', 'int8')
    assert 'tiny has nothing for' in sentence and 'openvino fp32' in sentence


def test_a_runtime_that_the_artifact_lacks(machine):
    assert 'it offers onnxruntime int8' in refusal(tiny_manifest(files=(ORT_INT8,)), 'openvino')


def test_no_runtime_at_all(machine):
    machine(runtimes=[])
    sentence = refusal(tiny_manifest())
    assert sentence.endswith('get it with pip install onnxruntime, or pip install openvino.')


def test_none_of_the_runtimes_that_the_artifact_offers(machine):
    machine(runtimes=['opencv'])
    assert refusal(INT8_ALONE).endswith(
        'it offers onnxruntime int8, openvino int8; get it with pip install onnxruntime, or pip '
        'install openvino.'
    )
    assert 'pip install' not in refusal(tiny_manifest(files=(ORT_INT8,)), 'openvino')


def test_auto_passes_over_a_runtime_that_finds_nothing_to_run_on(machine):
    machine(runtimes=('tensorrt', 'openvino'), without_device=('tensorrt',))
    assert select(EVERYTHING).runtime == 'openvino'
    machine(runtimes=('tensorrt',), without_device=('tensorrt',))
    assert refusal(EVERYTHING).endswith('(tensorrt finds no device).')


def test_whether_a_runtime_finds_anything_to_run_on(monkeypatch):
    assert selection.can_execute('onnxruntime')
    backend = selection.backend_class('onnxruntime')
    monkeypatch.setattr(backend, 'providers', lambda: [])
    assert not selection.can_execute('onnxruntime')

    def fail():
        raise ImportError('libnvinfer.so')

    monkeypatch.setattr(backend, 'providers', fail)
    assert not selection.can_execute('onnxruntime')


def test_the_real_machine():
    assert select(ALL).file in ALL.files
    assert cpu.architecture() != 'x64' or 'sse2' in cpu.cpu_features()
