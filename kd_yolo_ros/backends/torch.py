# SPDX-License-Identifier: Apache-2.0
"""PyTorch, on the CPU or a CUDA GPU, running an exported program operator by operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from kd_yolo_ros.backends import Backend, Running, choose_provider
from kd_yolo_ros.backends.torch_program import FloatType, Program, Reference, read_program
from kd_yolo_ros.cpu import NATIVE_BF16, cpu_features
from kd_yolo_ros.errors import UnsupportedError
from kd_yolo_ros.manifest import ModelFile


class TorchBackend(Backend):
    """A .pt2 file. `threads` are those of the whole process, as PyTorch has no others."""

    package = 'torch'
    install = 'pip install torch'

    def __init__(
        self,
        path: Path,
        file: ModelFile,
        precision: str,
        threads: Optional[int],
        provider: Optional[str] = None,
    ) -> None:
        """Load an exported program; see `Backend`."""
        import torch

        device = choose_provider('PyTorch', provider, self.providers())
        if precision not in self.precisions() or file.precision != 'fp32':
            raise UnsupportedError(
                f'PyTorch does not run {path.name} ({file.precision}) in {precision} here; choose '
                f'another --precision or --runtime.'
            )
        if threads:
            torch.set_num_threads(threads)
        if device == 'cuda' and precision == 'fp32':
            torch.backends.cudnn.allow_tf32 = False  # its default, and no true fp32
        dtype = {'fp32': torch.float32, 'bf16': torch.bfloat16}[precision]
        program = read_program(path)
        self._device = torch.device(device)
        self._calls = _bind(program, dtype)
        self._weights = {
            name: weight.to(self._device, dtype) for name, weight in program.weights.items()
        }
        self._input, self._outputs = program.input, program.outputs
        self.running = Running(
            runtime='torch',
            runtime_version=self.version(),
            provider=torch.cuda.get_device_name() if device == 'cuda' else 'CPU',
            precision=precision,
            threads=torch.get_num_threads(),
        )

    def infer(self, batch: np.ndarray) -> List[np.ndarray]:
        """Run the program on one batch; the arrays are the caller's."""
        import torch

        with torch.inference_mode():
            tensors = {**self._weights, self._input: torch.from_numpy(batch).to(self._device)}
            for call, result, done in self._calls:
                tensors[result] = call(tensors)
                for name in done:
                    del tensors[name]
            return [tensors[name].float().cpu().numpy() for name in self._outputs]

    @classmethod
    def providers(cls) -> List[str]:
        """Return what can execute on this machine, the default first."""
        import torch

        return ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']

    @classmethod
    def precisions(cls) -> Dict[str, str]:
        """Return the precisions this machine runs, each with a remark."""
        found = {'fp32': 'full speed'}
        if NATIVE_BF16 & cpu_features():
            found['bf16'] = 'native, from an fp32 file'
        return found


Call = Tuple[Callable[[Dict[str, Any]], Any], str, Tuple[str, ...]]


def _bind(program: Program, dtype: Any) -> List[Call]:
    """Return for each step what to call with all tensors, its result's name, what to drop."""
    import torch

    def value_of(argument: Any, tensors: Dict[str, Any]) -> Any:
        if isinstance(argument, Reference):
            return tensors[argument.name]
        if isinstance(argument, FloatType):
            return dtype
        if isinstance(argument, list):
            return [value_of(item, tensors) for item in argument]
        return argument

    def bound(operator: Any, arguments: Tuple[Any, ...], keywords: Any) -> Any:
        return lambda tensors: operator(
            *(value_of(argument, tensors) for argument in arguments),
            **{name: value_of(argument, tensors) for name, argument in keywords.items()},
        )

    calls = []
    for step in program.steps:
        name, overload = step.operator.split('.')
        operator = getattr(getattr(torch.ops.aten, name), overload)
        calls.append((bound(operator, step.arguments, step.keywords), step.result, step.done))
    return calls
