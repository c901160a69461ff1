# SPDX-License-Identifier: Apache-2.0
"""Static INT8 for TFLite: per-channel weights, integers from the pixels to the head."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import InputSpec, ModelFile
from kd_yolo_ros.metrics.report import write_whole

# SiLU is within 0.015 of 0 below this, so what its input does further down need not be told
# apart: the 8 bits go to where the values make a difference.
SILU_FLOOR = -6.0

PIXELS = (0.0, 255.0)
CALIBRATOR = 'moving-average'
CONVOLUTION, SIGMOID = 'CONV_2D', 'LOGISTIC'


def quantize_tflite(source: Path, target: Path, pictures: Iterable[np.ndarray]) -> ModelFile:
    """Write an INT8 copy of a float .tflite that `export_tflite` wrote.

    Pixels go in as integers. The head convolutions have integer weights too, but their outputs are
    float, each number as exact as its own size allows: boxes and scores share no scale.

    Args:
        source: the float file.
        target: where the INT8 file goes.
        pictures: calibration tensors (1, height, width, 3) BGR in 0..255.

    Returns:
        What the manifest says of the INT8 file.

    Raises:
        UserError: the file is no such float file.
    """
    from ai_edge_quantizer import recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.quantizer import Quantizer

    graph = _Graph.read(source)
    ranges = activation_ranges(graph, pictures)
    quantizer = Quantizer(str(source))
    quantizer.load_quantization_recipe(recipe.static_wi8_ai8())
    quantizer.update_quantization_recipe(
        '.*', TFLOperationName.OUTPUT, algorithm_key=AlgorithmName.NO_QUANTIZE
    )
    for name in graph.outputs:
        quantizer.add_dynamic_config(f'^{re.escape(name)};?$', TFLOperationName.CONV_2D, 8)
    with _quiet():
        content = quantizer.quantize(
            {
                name: {'min': _column(low), 'max': _column(high)}
                for name, (low, high) in ranges.items()
            },
            enable_progress_bar=False,
            enable_progress_report=False,
        ).quantized_model
    write_whole(target, bytes(content))
    return ModelFile(
        path=target.name,
        runtimes=('tflite',),
        precision='int8',
        input=InputSpec(graph.width, graph.height),
        output_layout='nhwc',
    )


@dataclass(frozen=True)
class _Graph:
    """What of a float file matters here.

    Attributes:
        interpreter: keeps every tensor after a run.
        input: the input's name.
        height: of the input, in pixels.
        width: likewise.
        tensors: index of every float tensor that is computed, by name; and of the input.
        before_silu: names of tensors that go into x * sigmoid(x).
        outputs: names of the graph's outputs.
    """

    interpreter: Any
    input: str
    height: int
    width: int
    tensors: Mapping[str, int]
    before_silu: frozenset[str]
    outputs: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> _Graph:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        try:
            with _quiet():
                interpreter = Interpreter(
                    str(path),
                    # XNNPACK would compute a dozen operators at once and keep nothing between.
                    experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                    experimental_preserve_all_tensors=True,
                )
                interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = ' '.join(str(error).split())[:120]
            raise UserError(f'{path} is no TFLite model ({reason}); export it again.') from None
        details = {d['index']: d for d in interpreter.get_tensor_details()}
        operators = interpreter._get_ops_details()
        if not any(operator['op_name'] == CONVOLUTION for operator in operators):
            raise UserError(
                f'{path} has no convolution, so it is no detector that can be quantized.'
            )
        if any(details[i]['dtype'] == np.int8 for o in operators for i in o['inputs'] if i >= 0):
            raise UserError(f'{path} is quantized already; give the FP32 model it was made from.')
        (first,) = interpreter.get_input_details()
        computed = {int(i) for operator in operators for i in operator['outputs']}
        return cls(
            interpreter=interpreter,
            input=first['name'],
            height=int(first['shape'][1]),
            width=int(first['shape'][2]),
            tensors={
                details[i]['name']: i
                for i in sorted({*computed, first['index']})
                if details[i]['dtype'] == np.float32
            },
            before_silu=frozenset(
                details[int(o['inputs'][0])]['name'] for o in operators if o['op_name'] == SIGMOID
            ),
            outputs=tuple(d['name'] for d in interpreter.get_output_details()),
        )

    def run(self, picture: np.ndarray) -> None:
        self.interpreter.set_tensor(self.tensors[self.input], picture.astype(np.float32))
        self.interpreter.invoke()


def activation_ranges(
    graph: _Graph, pictures: Iterable[np.ndarray]
) -> dict[str, tuple[float, float]]:
    """Return for each tensor the (low, high) that its 8 bits span: the pictures' mean extremes."""
    low = dict.fromkeys(graph.tensors, 0.0)
    high = dict.fromkeys(graph.tensors, 0.0)
    count = 0
    for count, picture in enumerate(pictures, 1):
        graph.run(picture)
        for name, index in graph.tensors.items():
            values = graph.interpreter.get_tensor(index)
            low[name] += (float(values.min()) - low[name]) / count
            high[name] += (float(values.max()) - high[name]) / count
    if not count:
        raise UserError('There is no picture to calibrate on; give others.')
    for name in graph.before_silu:
        low[name] = max(low[name], SILU_FLOOR)
    low[graph.input], high[graph.input] = PIXELS
    return {name: (low[name], high[name]) for name in graph.tensors}


def _column(value: float) -> np.ndarray:
    """Return a number as the quantizer wants a tensor's statistic."""
    return np.full((1, 1, 1, 1), value, np.float32)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer's report and its remarks on debugging off the terminal."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter('ignore')
        yield
