# SPDX-License-Identifier: Apache-2.0
"""Small float TFLite files, written operator by operator with the format's own schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

SIDE, CHANNELS = 32, 6


class Writer:
    """Collects tensors and operators of one graph."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        values: np.ndarray | None = None,
        dtype: int = schema.TensorType.FLOAT32,
        scale: float | None = None,
        zero: int = 0,
    ) -> int:
        """Add a tensor, a constant where it has values, and return its index."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, list(shape), dtype
        tensor.buffer = 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [scale]
            tensor.quantization.zeroPoint = [zero]
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(
        self, name: str, inputs: Sequence[int], output: int, options: object = None
    ) -> None:
        """Add an operator, by its name in the schema."""
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = 1
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = list(inputs), [output]
        if options is not None:
            kind = type(options).__name__.removesuffix('T')
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self.graph.operators.append(operator)

    def write(self, path: Path, inputs: Sequence[int], outputs: Sequence[int]) -> Path:
        """Write the file and return its path."""
        self.graph.inputs, self.graph.outputs = list(inputs), list(outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), file_identifier=b'TFL3')
        path.write_bytes(bytes(builder.Output()))
        return path


def convolution(stride: int, multiplier: int = 0) -> object:
    """Return the options of a convolution, a depthwise one where it has a multiplier."""
    options = schema.DepthwiseConv2DOptionsT() if multiplier else schema.Conv2DOptionsT()
    options.strideW = options.strideH = stride
    options.dilationWFactor = options.dilationHFactor = 1
    options.padding = schema.Padding.SAME
    if multiplier:
        options.depthMultiplier = multiplier
    return options


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Return the weights of `write_convolutions`, output channels first, and their biases."""
    random = np.random.default_rng(seed)
    return {
        'first': random.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32) / 255,
        'first/bias': random.normal(0, 0.3, 8).astype(np.float32),
        'head': random.normal(0, 0.3, (CHANNELS, 1, 1, 8)).astype(np.float32),
        # Channels of very different sizes, as boxes and scores are.
        'head/bias': np.linspace(-40, 40, CHANNELS).astype(np.float32),
    }


def write_convolutions(path: Path, bent: bool = False) -> Path:
    """Write pixels (1, SIDE, SIDE, 3) in 0..255, convolution of stride 2, SiLU, 1x1 head.

    Args:
        path: of the file.
        bent: SiLU follows the head too, as the prototypes of masks have it.
    """
    writer, constants = Writer(), weights()
    half = (1, SIDE // 2, SIDE // 2)
    pixels = writer.tensor('pixels', (1, SIDE, SIDE, 3))
    first = [writer.tensor(n, constants[n].shape, constants[n]) for n in ('first', 'first/bias')]
    head = [writer.tensor(n, constants[n].shape, constants[n]) for n in ('head', 'head/bias')]
    before = writer.tensor('before', (*half, 8))
    gate = writer.tensor('gate', (*half, 8))
    after = writer.tensor('after', (*half, 8))
    output = writer.tensor('output', (*half, CHANNELS))
    raw = writer.tensor('raw', (*half, CHANNELS)) if bent else output
    writer.operator('CONV_2D', [pixels, *first], before, convolution(2))
    writer.operator('LOGISTIC', [before], gate)
    writer.operator('MUL', [before, gate], after, schema.MulOptionsT())
    writer.operator('CONV_2D', [after, *head], raw, convolution(1))
    if bent:
        last = writer.tensor('last gate', (*half, CHANNELS))
        writer.operator('LOGISTIC', [raw], last)
        writer.operator('MUL', [raw, last], output, schema.MulOptionsT())
    return writer.write(path, [pixels], [output])


def write_shift(path: Path) -> Path:
    """Write int8 pixels (1, SIDE, SIDE, 3) as they are, to int8 numbers of another scale."""
    writer = Writer()
    shape = (1, SIDE, SIDE, 3)
    int8 = schema.TensorType.INT8
    pixels = writer.tensor('pixels', shape, dtype=int8, scale=1 / 255, zero=-128)
    output = writer.tensor('output', shape, dtype=int8, scale=2 / 255, zero=-128)
    writer.operator('QUANTIZE', [pixels], output)
    return writer.write(path, [pixels], [output])


def write_depthwise(path: Path) -> Path:
    """Write a depthwise convolution of floats whose int8 weights have one scale in all."""
    writer = Writer()
    shape = (1, SIDE, SIDE, 4)
    pixels = writer.tensor('pixels', shape)
    kernel = np.full((1, 3, 3, 4), 100, np.int8)
    weight = writer.tensor(
        'weight', kernel.shape, kernel, dtype=schema.TensorType.INT8, scale=0.01
    )
    bias = writer.tensor('bias', (4,), np.zeros(4, np.float32))
    output = writer.tensor('output', shape)
    writer.operator('DEPTHWISE_CONV_2D', [pixels, weight, bias], output, convolution(1, 1))
    return writer.write(path, [pixels], [output])
