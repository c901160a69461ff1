# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime, on the CPU or another of its execution providers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np

from kd_yolo_ros.backends import Backend, Running, check_precision, choose_provider
from kd_yolo_ros.cpu import architecture, has_fast_int8
from kd_yolo_ros.errors import UnsupportedError, UserError
from kd_yolo_ros.manifest import ModelFile

# By our name, the execution providers that run detectors here; all others stay unused.
PROVIDERS = {
    'cpu': 'CPUExecutionProvider',
    'cuda': 'CUDAExecutionProvider',
    'tensorrt': 'TensorrtExecutionProvider',
}

# What it says where operators would run on the CPU after all, one or each of them.
NO_FALLBACK = 'fallback to CPU EP has been explicitly disabled'


class OnnxRuntimeBackend(Backend):
    """An ONNX file in an InferenceSession."""

    package = 'onnxruntime'
    install = 'pip install onnxruntime'

    def __init__(
        self,
        path: Path,
        file: ModelFile,
        precision: str,
        threads: Optional[int],
        provider: Optional[str] = None,
    ) -> None:
        """Load an ONNX file; see `Backend`."""
        import onnxruntime

        check_precision('ONNX Runtime', path, file, precision)
        provider = choose_provider('ONNX Runtime', provider, self.providers())
        options = self._options(threads)
        if provider == 'cuda':  # else operators that it lacks would run on the CPU unnoticed
            options.add_session_config_entry('session.disable_cpu_ep_fallback', '1')
        wished = PROVIDERS[provider]
        try:
            # Without its fallback, which would go on with other providers after an error.
            self._session = onnxruntime.InferenceSession(
                str(path), options, _providers(provider, precision), enable_fallback=False
            )
        except Exception as error:  # its exceptions share no narrower base class
            if NO_FALLBACK in str(error):
                raise UnsupportedError(
                    f'ONNX Runtime cannot run {path.name} with {wished} alone; what it printed '
                    f'says what is missing, or choose --provider cpu.'
                ) from None
            raise UserError(
                f'ONNX Runtime cannot load {path} ({str(error).splitlines()[0]}); '
                f'import the model again.'
            ) from None
        really = self._session.get_providers()[0]
        if really != wished:
            raise UnsupportedError(
                f'ONNX Runtime wanted to run {path.name} with {wished} and took {really}; what '
                f'it printed says what is missing, or choose --provider cpu.'
            )
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise UserError(
                f'{path} takes {len(inputs)} inputs ({", ".join(i.name for i in inputs)}), and a '
                f'detector takes one picture; export it again.'
            )
        self._input_name = inputs[0].name
        self._without_batch = len(inputs[0].shape) == 3
        self.running = Running(
            runtime='onnxruntime',
            runtime_version=self.version(),
            provider=really,
            precision=file.precision,
            threads=self._session.get_session_options().intra_op_num_threads,
        )

    def infer(self, batch: np.ndarray) -> List[np.ndarray]:
        """Run the model on one batch; the arrays are the caller's."""
        if self._without_batch:
            (batch,) = batch
        return self._session.run(None, {self._input_name: batch})

    def _options(self, threads: Optional[int]) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # its warnings about shapes are no user's business
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        options.inter_op_num_threads = 1
        return options

    @classmethod
    def providers(cls) -> List[str]:
        """Return what can execute on this machine, the default first."""
        import onnxruntime

        available = onnxruntime.get_available_providers()
        return [name for name, provider in PROVIDERS.items() if provider in available]

    @classmethod
    def precisions(cls) -> Dict[str, str]:
        """Return the precisions this machine runs, each with a remark."""
        fast = has_fast_int8() and architecture() != 'x64'
        int8 = 'fast' if fast else 'no faster than fp32 in a model with SiLU'
        return {'fp32': 'full speed', 'int8': int8}


def _providers(provider: str, precision: str) -> List[Any]:
    """Return the execution providers of a session, with their options."""
    if provider != 'tensorrt':
        return [PROVIDERS[provider]]
    # It computes in float unless told to, whatever the graph says; what it does not know at all
    # it leaves to CUDA.
    options = {'trt_int8_enable': precision == 'int8', 'trt_fp16_enable': precision != 'fp32'}
    return [(PROVIDERS['tensorrt'], options), PROVIDERS['cuda']]
