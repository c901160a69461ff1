# SPDX-License-Identifier: Apache-2.0
"""Static INT8 for TFLite: per-channel weights, integers from the pixels to the head."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.report import write_whole

from .candidates import SILU_FLOORS
from .ranges import Range, spans
from .statistics import Collector, Statistics

CONVOLUTION, SIGMOID, PRODUCT = 'CONV_2D', 'LOGISTIC', 'MUL'


class TfliteQuantizer:
    """Writes INT8 copies of a float .tflite that `export_tflite` wrote.

    Pixels go in as integers. The head convolutions have integer weights too, but their outputs are
    float, each number as exact as its own size allows: boxes and scores share no scale. So are
    those of the prototypes of masks, and the SiLU behind.

    Attributes:
        silu_floors: under what goes into SiLU, which is quantized apart.
    """

    silu_floors = SILU_FLOORS

    def __init__(self, source: Path, pictures: Iterable[np.ndarray]) -> None:
        """Collect what the file's tensors are on the calibration pictures.

        Args:
            source: the float file.
            pictures: calibration tensors (1, height, width, 3) BGR in 0..255.

        Raises:
            UserError: the file is no such float file.
        """
        self._source = source
        self._graph = _Graph.read(source)
        self._statistics = self._graph.statistics(pictures)

    def write(self, target: Path, calibrator: str, silu_floor: float | None = None) -> None:
        """Write an INT8 file.

        Args:
            target: where it goes.
            calibrator: one of `ranges.CALIBRATORS`.
            silu_floor: see `ranges.spans`.
        """
        from ai_edge_quantizer import recipe
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
        from ai_edge_quantizer.qtyping import TFLOperationName
        from ai_edge_quantizer.quantizer import Quantizer

        quantizer = Quantizer(str(self._source))
        quantizer.load_quantization_recipe(recipe.static_wi8_ai8())
        quantizer.update_quantization_recipe(
            '.*', TFLOperationName.OUTPUT, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
        for operator, name in self._graph.heads:
            scope, kind = f'^{re.escape(name)};?$', TFLOperationName(operator)
            if operator == CONVOLUTION:
                quantizer.add_dynamic_config(scope, kind, 8)
            else:
                quantizer.update_quantization_recipe(
                    scope, kind, algorithm_key=AlgorithmName.NO_QUANTIZE
                )
        with _quiet():
            content = quantizer.quantize(
                {
                    name: {'min': _column(low), 'max': _column(high)}
                    for name, (low, high) in self.ranges(calibrator, silu_floor).items()
                },
                enable_progress_bar=False,
                enable_progress_report=False,
            ).quantized_model
        write_whole(target, bytes(content))

    def ranges(self, calibrator: str, silu_floor: float | None) -> dict[str, Range]:
        """Return for each tensor the (low, high) that its 8 bits span."""
        graph = self._graph
        return spans(self._statistics, calibrator, silu_floor, graph.before_silu, {graph.input})


@dataclass(frozen=True)
class _Graph:
    """What of a float file matters here.

    Attributes:
        interpreter: keeps every tensor after a run.
        input: the input's name.
        tensors: index of every float tensor that is computed, by name; and of the input.
        before_silu: names of tensors that go into x * sigmoid(x).
        heads: operator and output's name of each convolution that gives an output of the graph,
            and of the SiLU behind it where there is one.
    """

    interpreter: Any
    input: str
    tensors: Mapping[str, int]
    before_silu: frozenset[str]
    heads: tuple[tuple[str, str], ...]

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
            tensors={
                details[i]['name']: i
                for i in sorted({*computed, first['index']})
                if details[i]['dtype'] == np.float32
            },
            before_silu=frozenset(
                details[int(o['inputs'][0])]['name'] for o in operators if o['op_name'] == SIGMOID
            ),
            heads=_heads(
                operators, details, [d['index'] for d in interpreter.get_output_details()]
            ),
        )

    def run(self, picture: np.ndarray) -> None:
        self.interpreter.set_tensor(self.tensors[self.input], picture.astype(np.float32))
        self.interpreter.invoke()

    def statistics(self, pictures: Iterable[np.ndarray]) -> Statistics:
        """Run the pictures through the graph once."""
        collected = Collector(list(self.tensors))
        for picture in pictures:
            self.run(picture)
            for name, index in self.tensors.items():
                collected.add(name, self.interpreter.get_tensor(index))
        return collected.statistics()


def _heads(
    operators: Sequence[Mapping[str, Any]],
    details: Mapping[int, Mapping[str, Any]],
    outputs: Iterable[int],
) -> tuple[tuple[str, str], ...]:
    """Return the operators that give the outputs, back to their convolutions; see `_Graph`."""
    givers = {int(index): operator for operator in operators for index in operator['outputs']}
    found: dict[int, str] = {}
    queue = list(outputs)
    while queue:
        index = int(queue.pop())
        if index in givers and index not in found:
            operator = givers[index]
            if operator['op_name'] in (CONVOLUTION, SIGMOID, PRODUCT):
                found[index] = operator['op_name']
            if operator['op_name'] in (SIGMOID, PRODUCT):
                queue.extend(operator['inputs'])
    return tuple((operator, details[index]['name']) for index, operator in found.items())


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
