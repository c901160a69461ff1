# SPDX-License-Identifier: Apache-2.0
"""OpenCV's own network module, cv2.dnn: slow, and there wherever this package is."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional, Sequence

import cv2
import numpy as np

from kd_yolo_ros.backends import Backend, Running, check_precision, choose_provider
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import ModelFile
from kd_yolo_ros.onnx_file import read_onnx_file


class OpenCvBackend(Backend):
    """An ONNX file in a cv2.dnn.Net.

    OpenCV has one number of threads for the whole process: `threads` also counts for resizing
    pictures, and for every other model on this runtime. None leaves it as it is.
    """

    package = 'cv2'
    install = 'pip install opencv-python'

    def __init__(
        self,
        path: Path,
        file: ModelFile,
        precision: str,
        threads: Optional[int],
        provider: Optional[str] = None,
    ) -> None:
        """Load an ONNX file; see `Backend`."""
        check_precision('OpenCV', path, file, precision)
        provider = choose_provider('OpenCV', provider, self.providers())
        try:
            self._net = cv2.dnn.readNetFromONNX(str(path))
        except cv2.error as error:
            raise UserError(
                f'OpenCV cannot load {path} ({error.err.strip()}); choose another --runtime, or '
                f'import the model again.'
            ) from None
        if provider == 'cuda':
            self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_CUDA)
            self._net.setPreferableTarget(cv2.dnn.DNN_TARGET_CUDA)
        else:
            self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
            self._net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        if threads:
            cv2.setNumThreads(threads)
        self._outputs = _outputs(self._net, path)
        self.running = Running(
            runtime='opencv',
            runtime_version=self.version(),
            provider=provider.upper(),
            precision=file.precision,
            threads=cv2.getNumThreads() if provider == 'cpu' else 0,
        )

    def infer(self, batch: np.ndarray) -> Sequence[np.ndarray]:
        """Run the model on one batch; the arrays are the caller's."""
        self._net.setInput(batch)
        return self._net.forward(self._outputs)

    @classmethod
    def providers(cls) -> List[str]:
        """Return what can execute on this machine, the default first."""
        targets = cv2.dnn.getAvailableTargets(cv2.dnn.DNN_BACKEND_CUDA)
        return ['cpu', 'cuda'] if cv2.dnn.DNN_TARGET_CUDA in targets else ['cpu']

    @classmethod
    def precisions(cls) -> Dict[str, str]:
        """Return the precisions this machine runs, each with a remark."""
        return {'fp32': 'slow'}


def _outputs(net: cv2.dnn.Net, path: Path) -> Sequence[str]:
    """Return the graph's outputs in its order; OpenCV itself lists them by the alphabet.

    Raises:
        UserError: there are several, and OpenCV calls them otherwise than the graph.
    """
    names = read_onnx_file(path).outputs
    if set(names) <= set(net.getLayerNames()):
        return names
    if len(names) == 1:
        return net.getUnconnectedOutLayersNames()
    raise UserError(
        f'OpenCV {cv2.__version__} does not tell the outputs of {path} ({", ".join(names)}) '
        f'apart; choose another --runtime, or a newer OpenCV.'
    )
