# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np

from kd_yolo_ros.backends import Backend, Running
from kd_yolo_ros.cpu import architecture, has_fast_int8
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import ModelFile


class OnnxRuntimeBackend(Backend):
    """An ONNX file in an InferenceSession."""

    package = 'onnxruntime'
    install = 'pip install onnxruntime'

    def __init__(self, path: Path, file: ModelFile, precision: str, threads: Optional[int]):
        """Load an ONNX file; see `Backend`."""
        import onnxruntime

        if precision != file.precision:
            raise UserError(
                f'ONNX Runtime on the CPU runs {path.name} in {file.precision} only, '
                f'not in {precision}; choose another --precision or --runtime.'
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # its warnings about shapes are no user's business
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=['CPUExecutionProvider']
            )
        except Exception as error:  # its exceptions share no narrower base class
            raise UserError(
                f'ONNX Runtime cannot load {path} ({str(error).splitlines()[0]}); '
                f'import the model again.'
            ) from None
        self._input_name = self._session.get_inputs()[0].name
        self.output_shapes = [tuple(output.shape) for output in self._session.get_outputs()]
        self.running = Running(
            runtime='onnxruntime',
            runtime_version=self.version(),
            provider=self._session.get_providers()[0],
            precision=file.precision,
            threads=self._session.get_session_options().intra_op_num_threads,
        )

    def infer(self, batch: np.ndarray) -> List[np.ndarray]:
        """Run the model on one batch; the arrays are the caller's."""
        return self._session.run(None, {self._input_name: batch})

    @classmethod
    def precisions(cls) -> Dict[str, str]:
        """Return the precisions this machine runs, each with a remark."""
        fast = has_fast_int8() and architecture() != 'x64'
        int8 = 'fast' if fast else 'no faster than fp32 in a model with SiLU'
        return {'fp32': 'full speed', 'int8': int8}
