# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite (LiteRT): XNNPACK on the CPU, or what an external delegate drives."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np

from kd_yolo_ros.backends import Backend, Running, check_precision
from kd_yolo_ros.cpu import has_fast_int8
from kd_yolo_ros.errors import UnsupportedError, UserError
from kd_yolo_ros.manifest import ModelFile

# The second is its name until 2024, which the images of many boards still carry.
PACKAGES = ('ai_edge_litert', 'tflite_runtime')


class TfliteBackend(Backend):
    """A .tflite file in an interpreter.

    The provider is 'cpu', or the path of an external delegate's library, such as
    `/usr/lib/libvx_delegate.so` for the NPU of an i.MX 8M Plus. What a delegate does not take
    stays on the CPU; one that takes nothing is refused.
    """

    package = next((name for name in PACKAGES if importlib.util.find_spec(name)), PACKAGES[0])
    install = 'pip install ai-edge-litert'

    def __init__(
        self,
        path: Path,
        file: ModelFile,
        precision: str,
        threads: Optional[int],
        provider: Optional[str] = None,
    ) -> None:
        """Load a .tflite file; see `Backend`."""
        check_precision('TFLite', path, file, precision)
        threads = threads or len(os.sched_getaffinity(0))
        external = provider is not None and provider.lower() != 'cpu'
        self._interpreter = load_interpreter(path, threads, provider if external else None)
        inputs = self._interpreter.get_input_details()
        if len(inputs) != 1:
            raise UserError(
                f'{path} takes {len(inputs)} inputs, and a detector takes one picture; export it '
                f'again.'
            )
        self._input = inputs[0]['index']
        # Integer inputs take pixels, whatever scale they speak of: int8 ones from -128 on.
        self._signed = inputs[0]['dtype'] == np.int8
        outputs = self._interpreter.get_output_details()
        self._outputs = [
            _Output(self._interpreter.tensor(detail['index']), detail) for detail in outputs
        ]
        operators = self._interpreter._get_ops_details()
        _refuse_short_scales(path, operators, self._interpreter.get_tensor_details())
        delegated = 'DELEGATE' in [operator['op_name'] for operator in operators]
        if external and not delegated:
            raise UserError(
                f'The delegate {provider} takes no operator of {path.name}; choose '
                f'--provider cpu, or quantize the model for it.'
            )
        name = str(provider) if external else 'CPU (XNNPACK)' if delegated else 'CPU'
        self.running = Running('tflite', self.version(), name, file.precision, threads)

    def infer(self, batch: np.ndarray) -> List[np.ndarray]:
        """Run the model on one batch; the arrays are overwritten by the next call."""
        if self._signed:
            batch = np.bitwise_xor(batch, np.uint8(128)).view(np.int8)
        self._interpreter.set_tensor(self._input, batch)
        self._interpreter.invoke()
        return [output.read() for output in self._outputs]

    @classmethod
    def precisions(cls) -> Dict[str, str]:
        """Return the precisions this machine runs, each with a remark."""
        return {
            'fp32': 'full speed',
            'int8': 'fast' if has_fast_int8() else 'no faster than fp32',
        }


class _Output:
    """One output tensor, read into a float array that is allocated once."""

    def __init__(self, view: Any, detail: Dict[str, Any]) -> None:
        self._view = view  # called anew each time: the interpreter refuses to run while it is held
        self._scale, self._zero = map(np.float32, detail['quantization'])
        integer = np.issubdtype(detail['dtype'], np.integer) and self._scale != 0
        self._array = np.empty(detail['shape'], np.float32 if integer else detail['dtype'])
        self._integer = integer

    def read(self) -> np.ndarray:
        if self._integer:
            np.subtract(self._view(), self._zero, out=self._array, dtype=np.float32)
            np.multiply(self._array, self._scale, out=self._array)
        else:
            np.copyto(self._array, self._view())
        return self._array


def load_interpreter(path: Path, threads: int, delegate: Optional[str] = None) -> Any:
    """Return an interpreter with its memory allocated, its operators given to the delegate.

    Raises:
        UserError: it does not load, or the delegate does not.
    """
    runtime = importlib.import_module(f'{TfliteBackend.package}.interpreter')
    options: Dict[str, Any] = {'num_threads': threads}
    if delegate:
        try:
            # Looked at first: the loader leaves a half-made object behind where this fails.
            if not hasattr(ctypes.CDLL(delegate), 'tflite_plugin_create_delegate'):
                raise ValueError('a library, but no delegate')
            options['experimental_delegates'] = [runtime.load_delegate(delegate)]
        except (OSError, ValueError, AttributeError) as error:
            raise UnsupportedError(
                f"TFLite has no provider '{delegate}': it is neither cpu nor the library of a "
                f'delegate that loads here ({str(error).strip() or type(error).__name__}).'
            ) from None
        # Else XNNPACK would take what the delegate leaves, and hide that it took nothing.
        options['experimental_op_resolver_type'] = (
            runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        )
    try:
        interpreter = runtime.Interpreter(str(path), **options)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        reason = ' '.join(str(error).split())[:120]
        raise UserError(f'TFLite cannot load {path} ({reason}); export the model again.') from None
    return interpreter


def _refuse_short_scales(
    path: Path, operators: List[Dict[str, Any]], tensors: List[Dict[str, Any]]
) -> None:
    """Refuse what TFLite computes from memory that is not its own.

    Its kernels for a depthwise convolution of float activations and 8-bit weights read a scale
    for each channel, though the file may hold one for all (seen with LiteRT 1.4 to 2.3).
    """
    details = {tensor['index']: tensor for tensor in tensors}
    for operator in operators:
        if operator['op_name'] != 'DEPTHWISE_CONV_2D':
            continue
        picture, weights = (details[int(index)] for index in operator['inputs'][:2])
        scales = weights['quantization_parameters']['scales']
        hybrid = picture['dtype'] == np.float32 and weights['dtype'] == np.int8
        if hybrid and len(scales) < weights['shape'][-1]:
            raise UserError(
                f'TFLite computes the depthwise convolutions of {path.name} wrongly, whose 8-bit '
                f'weights have one scale for all channels; run it with --runtime openvino, or '
                f'export it again with float or fully integer arithmetic.'
            )
