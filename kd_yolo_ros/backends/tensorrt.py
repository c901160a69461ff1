# SPDX-License-Identifier: Apache-2.0
"""TensorRT on an NVIDIA GPU: an engine built here from an ONNX file, and kept for the next start.

Written against the documented interfaces of TensorRT 8 (JetPack 5) to 11; it has not been run.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np

from kd_yolo_ros.artifact import sha256_of
from kd_yolo_ros.backends import Backend, Running, check_precision, choose_provider
from kd_yolo_ros.backends.cuda_memory import Cuda
from kd_yolo_ros.errors import UnsupportedError, UserError
from kd_yolo_ros.manifest import ModelFile
from kd_yolo_ros.metrics.report import write_whole

# Of TensorRT before 8.4, which takes none unless told to; later ones take what they need.
WORKSPACE_BYTES = 1 << 28

# By TensorRT's name; its own function for this asks numpy for types that numpy has no more.
TYPES = {
    'FLOAT': np.float32,
    'HALF': np.float16,
    'INT8': np.int8,
    'INT32': np.int32,
    'INT64': np.int64,
    'UINT8': np.uint8,
    'BOOL': np.bool_,
}


class TensorRtBackend(Backend):
    """An ONNX file as an engine for this GPU.

    Building takes minutes on a small board. The engine is kept in the user's cache folder
    (`XDG_CACHE_HOME`, else ~/.cache), by the file's content, TensorRT's version and the GPU's
    name; where that cannot be written, it is built at every start.
    """

    package = 'tensorrt'
    install = 'the image of the board (JetPack), or pip install tensorrt'

    def __init__(
        self,
        path: Path,
        file: ModelFile,
        precision: str,
        threads: Optional[int],
        provider: Optional[str] = None,
    ) -> None:
        """Load an ONNX file, or the engine that was built of it; see `Backend`."""
        import tensorrt

        check_precision('TensorRT', path, file, precision)
        choose_provider('TensorRT', provider, ['cuda'])
        self._cuda = Cuda()
        device = self._cuda.device_name()
        self._logger = tensorrt.Logger(tensorrt.Logger.ERROR)
        cached = engine_path(path, tensorrt.__version__, device)
        engine = _read_engine(cached)
        if engine is None:
            engine = bytes(build_engine(tensorrt, self._logger, path, precision))
            _write_engine(cached, engine)
        self._runtime = tensorrt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise UserError(f'TensorRT cannot load {cached}; remove it, it is built again.')
        self._context = self._engine.create_execution_context()
        tensors = engine_tensors(tensorrt, self._engine)
        inputs = [tensor for tensor in tensors if tensor.is_input]
        if len(inputs) != 1:
            raise UserError(
                f'{path} takes {len(inputs)} inputs, and a detector takes one picture; export it '
                f'again.'
            )
        self._input = inputs[0]
        self._addresses = {tensor.name: self._cuda.allocate(tensor.bytes) for tensor in tensors}
        self._outputs = {
            tensor.name: np.empty(tensor.shape, tensor.dtype)
            for tensor in tensors
            if not tensor.is_input
        }
        self._run = _launcher(self._engine, self._context, self._addresses, self._cuda.stream)
        self.running = Running('tensorrt', tensorrt.__version__, device, file.precision, 0)

    def infer(self, batch: np.ndarray) -> List[np.ndarray]:
        """Run the engine on one batch; the arrays are overwritten by the next call."""
        # The engine reads as many bytes as its input has, whatever is given.
        if batch.shape != self._input.shape or batch.dtype != self._input.dtype:
            raise ValueError(f'{batch.shape} {batch.dtype} is not {self._input}')
        batch = np.ascontiguousarray(batch)
        self._cuda.upload(batch, self._addresses[self._input.name])
        if not self._run():
            raise RuntimeError('TensorRT could not queue the inference')
        for name, array in self._outputs.items():
            self._cuda.download(self._addresses[name], array)
        self._cuda.wait()
        return list(self._outputs.values())

    @classmethod
    def providers(cls) -> List[str]:
        """Return what can execute on this machine: a GPU that CUDA finds, or nothing."""
        try:
            Cuda()
        except UnsupportedError:
            return []
        return ['cuda']

    @classmethod
    def precisions(cls) -> Dict[str, str]:
        """Return the precisions this machine runs, each with a remark."""
        return {'fp32': 'true fp32', 'fp16': 'fast', 'int8': 'fast, what is not quantized in fp16'}


class Tensor(NamedTuple):
    """An input or output of an engine."""

    name: str
    is_input: bool
    shape: tuple
    dtype: np.dtype

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


def engine_path(model: Path, version: str, device: str) -> Path:
    """Return where the engine of a model file is kept.

    An engine runs only with the TensorRT and on the kind of GPU that it was built with.
    """
    key = hashlib.sha256('\n'.join((sha256_of(model), version, device)).encode()).hexdigest()
    cache = Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser()
    return cache / 'kd_yolo_ros' / 'tensorrt' / f'{model.stem}-{key[:24]}.engine'


def build_engine(tensorrt: Any, logger: Any, model: Path, precision: str) -> Any:
    """Return the serialized engine of an ONNX file.

    Args:
        tensorrt: the module, version 8 or later.
        logger: its logger.
        model: the ONNX file; an INT8 one holds its own scales (Q/DQ).
        precision: 'fp32', 'fp16' or 'int8'.

    Raises:
        UserError: the parser or the builder refuses it.
    """
    builder = tensorrt.Builder(logger)
    # From TensorRT 10 on there is nothing else, and the flag is going.
    explicit = getattr(tensorrt.NetworkDefinitionCreationFlag, 'EXPLICIT_BATCH', None)
    network = builder.create_network(0 if explicit is None else 1 << int(explicit))
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse(model.read_bytes()):
        reason = parser.get_error(0).desc() if parser.num_errors else 'no reason given'
        raise UserError(f'TensorRT cannot read {model} ({reason}); quantize the model again.')
    config = builder.create_builder_config()
    if not hasattr(config, 'set_memory_pool_limit'):
        config.max_workspace_size = WORKSPACE_BYTES
    flags = tensorrt.BuilderFlag
    if precision == 'fp32':
        config.clear_flag(flags.TF32)
    # TensorRT 11 has no such flags: it computes what the graph says.
    wished = {'fp32': (), 'fp16': ('FP16',), 'int8': ('INT8', 'FP16')}[precision]
    for name in wished:
        if hasattr(flags, name):
            config.set_flag(getattr(flags, name))
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise UserError(f'TensorRT cannot build an engine of {model}; what it printed says why.')
    return engine


def engine_tensors(tensorrt: Any, engine: Any) -> List[Tensor]:
    """Return the inputs and outputs, in the engine's order."""
    if hasattr(engine, 'num_io_tensors'):  # from TensorRT 8.5 on; the only way from 10 on
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        return [
            Tensor(
                name,
                engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT,
                tuple(engine.get_tensor_shape(name)),
                _numpy_type(name, engine.get_tensor_dtype(name)),
            )
            for name in names
        ]
    return [
        Tensor(
            engine.get_binding_name(index),
            engine.binding_is_input(index),
            tuple(engine.get_binding_shape(index)),
            _numpy_type(engine.get_binding_name(index), engine.get_binding_dtype(index)),
        )
        for index in range(engine.num_bindings)
    ]


def _numpy_type(name: str, kind: Any) -> np.dtype:
    if kind.name not in TYPES:
        raise UserError(
            f"The engine's tensor {name} is of type {kind.name}, which numpy lacks; export the "
            f'model with float32 inputs and outputs.'
        )
    return np.dtype(TYPES[kind.name])


def _launcher(engine: Any, context: Any, addresses: Dict[str, int], stream: int) -> Any:
    """Return a function that queues one inference and tells whether it could."""
    if hasattr(engine, 'num_io_tensors'):
        for name, address in addresses.items():
            context.set_tensor_address(name, address)
        return lambda: context.execute_async_v3(stream)
    bindings = list(addresses.values())
    return lambda: context.execute_async_v2(bindings, stream)


def _read_engine(path: Path) -> Optional[bytes]:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return None


def _write_engine(path: Path, engine: bytes) -> None:
    """Keep an engine for the next start, or say that it is not kept."""
    try:
        write_whole(path, engine)
    except UserError as error:
        warnings.warn(f'{error}; the engine is built anew at every start.', stacklevel=2)
