# SPDX-License-Identifier: Apache-2.0
"""A PyTorch network behind the interface of the runtimes.

So a checkpoint goes through the same letterbox, decode and suppression as what is shipped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from kd_yolo_ros.backends import Backend, Running

from ..models.yolov5 import YOLOv5

AUTOCAST = {'bf16': torch.bfloat16, 'fp16': torch.float16}


class ModuleBackend(Backend):
    """A network on the device it lies on, as it is at the moment of each inference.

    It reads the caller's weights, copies none and changes none. Modules in training mode are
    in eval mode during `infer`, and in training mode again after it.

    Args:
        module: the network.
        precision: 'fp32'; 'bf16' or 'fp16' for autocast.
    """

    package = 'torch'
    install = "pip install 'kd_yolo_ros[training]'"

    def __init__(self, module: YOLOv5, precision: str = 'fp32') -> None:
        self._module = module
        self._device = next(module.parameters()).device
        self._autocast = AUTOCAST.get(precision)
        self.running = Running(
            runtime='torch',
            runtime_version=torch.__version__,
            provider=str(self._device),
            precision=precision,
            threads=torch.get_num_threads(),
        )

    def infer(self, batch: np.ndarray) -> list[np.ndarray]:
        """Run the network on (B, H, W, 3) uint8 BGR pictures whose sides are multiples of 32.

        Returns:
            For each level (B, anchors * (5 + classes + masks), H/stride, W/stride) float32, and
            the prototypes (B, masks, H/4, W/4) where it has masks.
        """
        with _evaluating(self._module), torch.no_grad(), self._arithmetic():
            outputs = self._module(self._images(batch))
        return [output.float().cpu().numpy() for output in outputs]

    def _images(self, batch: np.ndarray) -> Tensor:
        """Return (B, 3, H, W) float RGB in 0..1; the bytes travel to the device, not floats."""
        bgr = torch.from_numpy(batch).to(self._device).permute(0, 3, 1, 2)
        return bgr.flip(1).float() / 255

    def _arithmetic(self) -> contextlib.AbstractContextManager:
        if self._autocast is None:
            return _true_fp32()
        return torch.autocast(self._device.type, self._autocast)

    @classmethod
    def precisions(cls) -> dict[str, str]:
        """Return the precisions this machine runs, each with a remark."""
        return {'fp32': 'as trained', **dict.fromkeys(AUTOCAST, 'autocast')}


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a network into eval mode; afterwards every part is in the mode it had."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


@contextlib.contextmanager
def _true_fp32() -> Iterator[None]:
    """Keep cuDNN from computing convolutions in TF32, which is what it does by default."""
    cudnn = torch.backends.cudnn
    allowed = cudnn.allow_tf32
    cudnn.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32 = allowed
