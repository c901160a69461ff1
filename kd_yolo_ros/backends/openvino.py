# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional

import numpy as np

from kd_yolo_ros.backends import Backend, Running
from kd_yolo_ros.cpu import cpu_features, has_fast_int8
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import ModelFile

NATIVE_BF16 = frozenset({'avx512_bf16', 'amx_bf16'})


class OpenVinoBackend(Backend):
    """An IR or ONNX file as a compiled model with one infer request."""

    package = 'openvino'
    install = 'pip install openvino'

    def __init__(self, path: Path, file: ModelFile, precision: str, threads: Optional[int]):
        """Load an IR or ONNX file; see `Backend`."""
        import openvino

        if precision == 'bf16' and not NATIVE_BF16 & cpu_features():
            raise UserError('This CPU has no bf16 instructions; choose --precision fp32 or int8.')
        # Left alone, OpenVINO runs an FP32 model in bf16 on CPUs that have it. What is not
        # quantized in an INT8 model may take that road: it costs no measurable accuracy.
        float_type = 'f32' if precision == 'fp32' else 'bf16'
        if not NATIVE_BF16 & cpu_features():
            float_type = 'f32'
        config = {
            'PERFORMANCE_HINT': 'LATENCY',
            'NUM_STREAMS': '1',
            'INFERENCE_PRECISION_HINT': float_type,
        }
        if threads:
            config['INFERENCE_NUM_THREADS'] = str(threads)
        core = openvino.Core()
        try:
            compiled = core.compile_model(str(path), 'CPU', config)
        except RuntimeError as error:
            raise UserError(
                f'OpenVINO cannot load {path} ({_reason(error)}); import the model again.'
            ) from None
        self._request = compiled.create_infer_request()
        self._input = compiled.input(0)
        self.output_shapes = [
            tuple(d.get_length() if d.is_static else -1 for d in output.get_partial_shape())
            for output in compiled.outputs
        ]
        really = str(compiled.get_property('INFERENCE_PRECISION_HINT').get_type_name())
        self.running = Running(
            runtime='openvino',
            runtime_version=self.version(),
            provider=','.join(compiled.get_property('EXECUTION_DEVICES')),
            precision='int8' if file.precision == 'int8' else {'f32': 'fp32'}.get(really, really),
            threads=int(compiled.get_property('INFERENCE_NUM_THREADS')),
        )

    def infer(self, batch: np.ndarray) -> List[np.ndarray]:
        """Run the model on one batch; the arrays are views that the next call overwrites."""
        import openvino

        self._request.set_tensor(self._input, openvino.Tensor(batch, shared_memory=True))
        results = self._request.infer(share_outputs=True)
        return [results[index] for index in range(len(self.output_shapes))]

    @classmethod
    def precisions(cls) -> Dict[str, str]:
        """Return the precisions this machine runs, each with a remark."""
        found = {
            'fp32': 'full speed',
            'int8': 'fast' if has_fast_int8() else 'emulated, no faster than fp32',
        }
        if NATIVE_BF16 & cpu_features():
            found['bf16'] = 'native, from an fp32 file'
        return found


def _reason(error: Exception) -> str:
    """Return the last line of OpenVINO's message; the first ones name its source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
