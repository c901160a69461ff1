# SPDX-License-Identifier: Apache-2.0
"""What can be tested of TensorRT without a GPU: the cache's key, the choice of its interfaces.

The stand-ins have the members that the documentation of each version names, and no others.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import types
from enum import Enum

import numpy as np
import pytest

from kd_yolo_ros.backends import backend_class
from kd_yolo_ros.backends import cuda_memory as cuda
from kd_yolo_ros.backends.tensorrt import (
    TensorRtBackend,
    _launcher,
    build_engine,
    engine_path,
    engine_tensors,
)
from kd_yolo_ros.errors import UnsupportedError, UserError
from kd_yolo_ros.manifest import InputSpec, ModelFile


@pytest.fixture
def model(tmp_path):
    path = tmp_path / 'tensorrt.onnx'
    path.write_bytes(b'a model')
    return path


def test_an_engine_is_for_one_model_version_and_gpu(model, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    path = engine_path(model, '8.5.2', 'Xavier')
    assert path == engine_path(model, '8.5.2', 'Xavier')
    assert path.parent == tmp_path / 'cache' / 'kd_yolo_ros' / 'tensorrt'
    others = {engine_path(model, '8.5.3', 'Xavier'), engine_path(model, '8.5.2', 'Orin')}
    model.write_bytes(b'another model')
    others.add(engine_path(model, '8.5.2', 'Xavier'))
    assert len(others) == 3 and path not in others


def test_the_users_cache_folder(model, monkeypatch, tmp_path):
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    monkeypatch.setenv('HOME', str(tmp_path))
    assert tmp_path / '.cache' in engine_path(model, '10', 'GPU').parents


class Mode(Enum):
    INPUT, OUTPUT = 1, 2


SHAPES = {'images': (1, 3, 64, 96), 'p3': (1, 24, 8, 12)}


class Kind(Enum):
    FLOAT, HALF, INT8, BF16 = range(4)


class NamedEngine:
    """The interface from TensorRT 8.5 on."""

    num_io_tensors = len(SHAPES)
    get_tensor_name = staticmethod(list(SHAPES).__getitem__)
    get_tensor_shape = staticmethod(SHAPES.__getitem__)

    @staticmethod
    def get_tensor_mode(name):
        return Mode.INPUT if name == 'images' else Mode.OUTPUT

    @staticmethod
    def get_tensor_dtype(name):
        return Kind.FLOAT


class NumberedEngine:
    """The interface before TensorRT 8.5."""

    num_bindings = len(SHAPES)
    get_binding_name = staticmethod(list(SHAPES).__getitem__)
    get_binding_shape = staticmethod(list(SHAPES.values()).__getitem__)

    @staticmethod
    def binding_is_input(index):
        return index == 0

    @staticmethod
    def get_binding_dtype(index):
        return Kind.FLOAT


TENSORRT = types.SimpleNamespace(TensorIOMode=Mode)


@pytest.mark.parametrize('engine', [NamedEngine(), NumberedEngine()])
def test_inputs_and_outputs(engine):
    tensors = engine_tensors(TENSORRT, engine)
    assert {t.name: t.shape for t in tensors} == SHAPES
    assert [t.is_input for t in tensors] == [True, False]
    assert [t.bytes for t in tensors] == [1 * 3 * 64 * 96 * 4, 24 * 8 * 12 * 4]
    assert {t.dtype for t in tensors} == {np.dtype(np.float32)}


def test_a_type_that_numpy_lacks(monkeypatch):
    monkeypatch.setattr(NamedEngine, 'get_tensor_dtype', lambda self, name: Kind.BF16)
    with pytest.raises(UserError, match='tensor images is of type BF16, which numpy lacks'):
        engine_tensors(TENSORRT, NamedEngine())


def test_an_inference_is_queued_by_name():
    calls = []
    context = types.SimpleNamespace(
        set_tensor_address=lambda *call: calls.append(call),
        execute_async_v3=lambda stream: calls.append(stream) or True,
    )
    assert _launcher(NamedEngine(), context, {'images': 16, 'p3': 32}, 7)()
    assert calls == [('images', 16), ('p3', 32), 7]


def test_an_inference_is_queued_by_number():
    context = types.SimpleNamespace(execute_async_v2=lambda *call: call)
    assert _launcher(NumberedEngine(), context, {'images': 16, 'p3': 32}, 7)() == ([16, 32], 7)


class Parser:
    """Refuses one content."""

    num_errors = 1

    def __init__(self, network, logger):
        pass

    def parse(self, content):
        return content == b'a model'

    def get_error(self, index):
        return types.SimpleNamespace(desc=lambda: 'no such operator')


def stand_in(flags, explicit, config):
    """Return a module of a version, and what its builder was asked for."""
    asked = {'flags': [], 'cleared': []}
    config.set_flag, config.clear_flag = asked['flags'].append, asked['cleared'].append
    builder = types.SimpleNamespace(
        create_network=lambda flags: asked.update(network=flags),
        create_builder_config=lambda: config,
        build_serialized_network=lambda network, config: b'engine',
    )
    creation = types.SimpleNamespace(EXPLICIT_BATCH=0) if explicit else types.SimpleNamespace()
    module = types.SimpleNamespace(
        Builder=lambda logger: builder,
        NetworkDefinitionCreationFlag=creation,
        OnnxParser=Parser,
        BuilderFlag=types.SimpleNamespace(**{name: name for name in flags}),
    )
    return module, asked


OLD = ('FP16', 'INT8', 'TF32')


def test_tensorrt_8_is_told_what_to_compute_in(model):
    config = types.SimpleNamespace(max_workspace_size=0)
    module, asked = stand_in(OLD, True, config)
    assert build_engine(module, None, model, 'int8') == b'engine'
    assert asked['flags'] == ['INT8', 'FP16'] and asked['network'] == 1
    assert config.max_workspace_size > 0, 'versions before 8.4 take none unless told to'


def test_true_fp32(model):
    config = types.SimpleNamespace(set_memory_pool_limit=None)
    module, asked = stand_in(OLD, True, config)
    build_engine(module, None, model, 'fp32')
    assert asked['flags'] == [] and asked['cleared'] == ['TF32']
    assert not hasattr(config, 'max_workspace_size')


def test_tensorrt_11_computes_what_the_graph_says(model):
    config = types.SimpleNamespace(set_memory_pool_limit=None)
    module, asked = stand_in(('TF32',), False, config)
    build_engine(module, None, model, 'int8')
    assert asked['flags'] == [] and asked['network'] == 0


def test_a_graph_that_its_parser_refuses(model):
    module, _ = stand_in(OLD, True, types.SimpleNamespace(set_memory_pool_limit=None))
    model.write_bytes(b'strange')
    with pytest.raises(UserError, match=r'cannot read .*\(no such operator\)'):
        build_engine(module, None, model, 'int8')


@pytest.mark.skipif(TensorRtBackend.installed(), reason='TensorRT is installed')
def test_it_is_not_installed():
    with pytest.raises(UserError, match="'tensorrt' is not installed; get it with"):
        backend_class('tensorrt')


def test_a_machine_without_cuda(monkeypatch):
    monkeypatch.setattr(cuda, 'LIBRARIES', ('libno_such_cudart.so',))
    monkeypatch.setattr('ctypes.util.find_library', lambda name: None)
    with pytest.raises(UserError, match=r"CUDA's runtime library is not found \(libno_such"):
        cuda.Cuda()


class Library:
    """CUDA's runtime library with the machine's own memory in place of a GPU's."""

    def __init__(self):
        self.memory, self.streams = {}, []

    def cudaStreamCreate(self, stream):  # noqa: N802
        stream._obj.value = 7
        self.streams.append(7)
        return 0

    def cudaStreamDestroy(self, stream):  # noqa: N802
        self.streams.remove(stream.value)
        return 0

    def cudaGetDeviceProperties(self, properties, device):  # noqa: N802
        properties.value = b'Stand-in'
        return 0

    def cudaMalloc(self, address, count):  # noqa: N802
        buffer = ctypes.create_string_buffer(count.value)
        address._obj.value = ctypes.addressof(buffer)
        self.memory[address._obj.value] = buffer
        return 0

    def cudaFree(self, address):  # noqa: N802
        del self.memory[address.value]
        return 0

    def cudaMemcpyAsync(self, target, source, count, kind, stream):  # noqa: N802
        assert kind == (1 if target.value in self.memory else 2)
        ctypes.memmove(target.value, source.value, count.value)
        return 0

    def cudaStreamSynchronize(self, stream):  # noqa: N802
        return 0


class Context:
    """Computes the first values of the input, doubled."""

    def __init__(self, library):
        self.library, self.addresses = library, {}

    def set_tensor_address(self, name, address):
        self.addresses[name] = self.library.memory[address]

    def execute_async_v3(self, stream):
        assert stream == 7
        images, p3 = (np.frombuffer(self.addresses[name], np.float32) for name in SHAPES)
        p3[:] = 2 * images[: p3.size]
        return True


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with a GPU and TensorRT; what was built on it is counted."""
    library = Library()
    engine = NamedEngine()
    engine.create_execution_context = lambda: Context(library)
    module, asked = stand_in(OLD, True, types.SimpleNamespace(set_memory_pool_limit=None))
    builder, build = module.Builder(None), module.Builder(None).build_serialized_network
    builder.build_serialized_network = lambda *a: asked.update(built=1 + built()) or build(*a)

    def built():
        return asked.get('built', 0)

    class Logger:
        ERROR = 1

        def __init__(self, level):
            pass

    class Runtime:
        def __init__(self, logger):
            pass

        def deserialize_cuda_engine(self, content):
            return engine if content == b'engine' else None

    module.__version__, module.TensorIOMode = '10.3', Mode
    module.Logger, module.Runtime = Logger, Runtime
    monkeypatch.setitem(sys.modules, 'tensorrt', module)
    monkeypatch.setattr(cuda, '_load_library', lambda: library)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return types.SimpleNamespace(library=library, built=built, cache=tmp_path / 'cache')


FILE = ModelFile('tensorrt.onnx', ('tensorrt',), 'int8', InputSpec(96, 64, 'float32', 'nchw'))


def test_an_inference_with_an_engine_that_is_kept(machine, model):
    backend = TensorRtBackend(model, FILE, 'int8', None)
    batch = np.random.default_rng(0).random((1, 3, 64, 96)).astype(np.float32)
    (answer,) = backend.infer(batch)
    assert answer.shape == SHAPES['p3']
    np.testing.assert_array_equal(answer.ravel(), 2 * batch.ravel()[: answer.size])
    assert (backend.running.provider, backend.running.runtime_version) == ('Stand-in', '10.3')
    TensorRtBackend(model, FILE, 'int8', None, 'cuda')
    assert machine.built() == 1
    (kept,) = machine.cache.rglob('*.*')
    assert kept.read_bytes() == b'engine' and kept.suffix == '.engine'
    with pytest.raises(ValueError, match='is not Tensor'):
        backend.infer(batch[..., :64])


def test_the_gpus_memory_is_given_back_with_the_backend(machine, model):
    backend = TensorRtBackend(model, FILE, 'int8', None)
    assert len(machine.library.memory) == 2 and machine.library.streams == [7]
    del backend
    gc.collect()
    assert not machine.library.memory and not machine.library.streams


def test_a_cache_that_cannot_be_written(machine, model):
    machine.cache.write_text('a file where a folder should be')
    with pytest.warns(
        UserWarning, match='cannot be written: .*; the engine is built anew'
    ) as said:
        backend = TensorRtBackend(model, FILE, 'int8', None)
    assert len(said) == 1 and machine.built() == 1
    assert len(backend.infer(np.zeros((1, 3, 64, 96), np.float32))) == 1


def test_a_cache_that_is_full(machine, model, monkeypatch):
    def fail(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.replace', fail)
    with pytest.warns(UserWarning, match='No space left'):
        TensorRtBackend(model, FILE, 'int8', None)
    assert not list(machine.cache.rglob('*.*')), 'no scratch file is left'


def test_an_engine_that_is_damaged(machine, model):
    TensorRtBackend(model, FILE, 'int8', None)
    (kept,) = machine.cache.rglob('*.*')
    kept.write_bytes(b'engi')
    with pytest.raises(UserError, match='cannot load .*; remove it, it is built again'):
        TensorRtBackend(model, FILE, 'int8', None)


def test_what_it_is_refused_for(machine, model):
    with pytest.raises(UserError, match='in int8 only, not in fp16'):
        TensorRtBackend(model, FILE, 'fp16', None)
    with pytest.raises(UnsupportedError, match="no provider 'cpu'"):
        TensorRtBackend(model, FILE, 'int8', None, 'cpu')


def test_providers_are_what_cuda_finds(machine, monkeypatch):
    assert TensorRtBackend.providers() == ['cuda']
    machine.library.cudaStreamCreate = lambda stream: 100
    machine.library.cudaGetErrorString = lambda error: b'no CUDA-capable device'
    assert TensorRtBackend.providers() == []


def test_an_error_of_cuda(monkeypatch):
    library = types.SimpleNamespace(
        cudaStreamCreate=lambda stream: 100,
        cudaGetErrorString=lambda error: b'no CUDA-capable device is detected',
    )
    monkeypatch.setattr(cuda, '_load_library', lambda: library)
    with pytest.raises(UserError, match=r'refuses cudaStreamCreate \(no CUDA-capable device'):
        cuda.Cuda()
