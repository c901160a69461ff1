# SPDX-License-Identifier: Apache-2.0
"""OpenVINO, on the CPU or another of its devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Dict, List, Optional

import numpy as np

from kd_yolo_ros.backends import Backend, Running, choose_provider
from kd_yolo_ros.cpu import NATIVE_BF16, cpu_features, has_fast_int8
from kd_yolo_ros.errors import UnsupportedError, UserError
from kd_yolo_ros.manifest import ModelFile

# By our name, the types that OpenVINO computes in.
TYPES = {'fp32': 'f32', 'bf16': 'bf16', 'fp16': 'f16'}


class OpenVinoBackend(Backend):
    """An IR or ONNX file as a compiled model with one infer request."""

    package = 'openvino'
    install = 'pip install openvino'
    config: ClassVar[Dict[str, str]] = {'PERFORMANCE_HINT': 'LATENCY', 'NUM_STREAMS': '1'}

    def __init__(
        self,
        path: Path,
        file: ModelFile,
        precision: str,
        threads: Optional[int],
        provider: Optional[str] = None,
    ) -> None:
        """Load an IR or ONNX file; see `Backend`."""
        import openvino

        device = choose_provider('OpenVINO', provider, self.providers()).upper()
        if precision == 'bf16' and not (device == 'CPU' and NATIVE_BF16 & cpu_features()):
            raise UnsupportedError(
                'This CPU has no bf16 instructions; choose --precision fp32 or int8.'
                if device == 'CPU'
                else f'OpenVINO has no bf16 on {device}; choose --precision fp32 or int8.'
            )
        config = dict(self.config)
        # Left alone, OpenVINO runs an FP32 model in bf16 or f16 where it can. What is not
        # quantized in an INT8 model may take that road: it costs no measurable accuracy.
        if precision != 'int8':
            config['INFERENCE_PRECISION_HINT'] = TYPES[precision]
        elif device == 'CPU':
            native = NATIVE_BF16 & cpu_features()
            config['INFERENCE_PRECISION_HINT'] = TYPES['bf16' if native else 'fp32']
        if threads and device == 'CPU':
            config['INFERENCE_NUM_THREADS'] = str(threads)
        core = openvino.Core()
        try:
            model = core.read_model(str(path))
            if not file.decode_inside:
                model = _channels_last(model)
            compiled = core.compile_model(model, device, config)
        except RuntimeError as error:
            raise UserError(
                f'OpenVINO cannot load {path} ({_reason(error)}); import the model again.'
            ) from None
        devices = list(compiled.get_property('EXECUTION_DEVICES'))
        numbered = '.' in device
        if [name if numbered else name.split('.')[0] for name in devices] != [device]:
            raise UnsupportedError(
                f'OpenVINO wanted to run {path.name} on {device} and took {", ".join(devices)}; '
                f'choose --provider cpu.'
            )
        if len(compiled.inputs) != 1:
            raise UserError(
                f'{path} takes {len(compiled.inputs)} inputs, and a detector takes one picture; '
                f'export it again.'
            )
        self._request = compiled.create_infer_request()
        self._input = compiled.input(0)
        self._without_batch = self._input.get_partial_shape().rank == 3
        self._outputs = range(len(compiled.outputs))
        self._channels_last = not file.decode_inside
        kind = str(compiled.get_property('INFERENCE_PRECISION_HINT').get_type_name())
        really = next((name for name, known in TYPES.items() if known == kind), kind)
        if precision != 'int8' and really != precision:
            raise UnsupportedError(
                f'OpenVINO wanted to run {path.name} in {precision} on {device} and took '
                f'{really}; choose another --precision or --runtime.'
            )
        self.running = Running(
            runtime='openvino',
            runtime_version=self.version(),
            provider=','.join(devices),
            precision='int8' if precision == 'int8' else really,
            threads=int(compiled.get_property('INFERENCE_NUM_THREADS')) if device == 'CPU' else 0,
        )

    def infer(self, batch: np.ndarray) -> List[np.ndarray]:
        """Run the model on one batch; the arrays are views that the next call overwrites."""
        import openvino

        if self._without_batch:
            (batch,) = batch
        self._request.set_tensor(self._input, openvino.Tensor(batch, shared_memory=True))
        results = self._request.infer(share_outputs=True)
        outputs = [results[index] for index in self._outputs]
        if self._channels_last:
            return [output.transpose(0, 3, 1, 2) for output in outputs]  # views, nothing moves
        return outputs

    @classmethod
    def providers(cls) -> List[str]:
        """Return what can execute on this machine, the default first."""
        import openvino

        devices = [device.lower() for device in openvino.Core().available_devices]
        # Of several GPUs each has a number; without it, the first one is meant.
        families = {device.split('.')[0] for device in devices}
        return sorted(families.union(devices), key=lambda name: (name != 'cpu', name))

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


def _channels_last(model: Any) -> Any:
    """Let raw head outputs leave as OpenVINO computes them on a CPU: (1, H, W, C).

    To reorder them costs a tenth of an INT8 inference of yolov5n with 80 classes.
    """
    from openvino.preprocess import PrePostProcessor

    processor = PrePostProcessor(model)
    for index, output in enumerate(model.outputs):
        if output.get_partial_shape().rank == 4:
            processor.output(index).postprocess().convert_layout([0, 2, 3, 1])
    return processor.build()


def _reason(error: Exception) -> str:
    """Return the last line of OpenVINO's message; the first ones name its source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
