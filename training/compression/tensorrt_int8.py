# SPDX-License-Identifier: Apache-2.0
"""Static INT8 for TensorRT: an ONNX graph with its scales, of which a board builds its engine.

What TensorRT 8 (Jetson Xavier) to 10 read is known from the sources of NVIDIA's parser: opset 17
at most, zero points of 0 and given, no 8-bit constants, uint8 inputs only from 8.5 on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import InputSpec
from kd_yolo_ros.metrics.report import write_whole

from .graph import CONVOLUTIONS, feed_floats, float_nodes, opset
from .ranges import activation_ranges
from .statistics import collect_statistics, float_tensors

MAX_OPSET = 17
CALIBRATOR = 'moving-average'

# TensorRT moves scales through what lies between convolutions, and joins SiLU to the one before;
# an addition runs in integers only where its own inputs have scales.
QUANTIZED = ('Conv', 'Add')


def quantize_tensorrt(
    model: onnx.ModelProto, spec: InputSpec, target: Path, pictures: Iterable[np.ndarray]
) -> InputSpec:
    """Write the graph with symmetric int8 scales around convolutions and additions (Q/DQ).

    Left in float, which TensorRT makes half precision: the head and the decode (`float_nodes`),
    and the first convolution, as pixels, never negative, would use half of the symmetric range.
    Weights stay float32 in the file, with their scales beside; the engine holds 8 bits.

    Args:
        model: a float graph with one input of a fixed size, all nodes named; not changed.
        spec: what it takes.
        target: where the file goes.
        pictures: calibration tensors as `model` takes them.

    Returns:
        What the file takes.

    Raises:
        UserError: the graph needs a newer opset than TensorRT 8 reads.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    spec = _take_floats(model, spec)
    _lower_opset(model)
    first = next(node.name for node in model.graph.node if node.op_type in CONVOLUTIONS)
    excluded = {first, *float_nodes(model)}
    statistics = collect_statistics(model, _as_floats(pictures, spec), float_tensors(model))
    ranges = activation_ranges(model, statistics, CALIBRATOR, None)
    write_whole(target, _with_scales(model, ranges, excluded).SerializeToString())
    return spec


def _with_scales(
    model: onnx.ModelProto, ranges: dict[str, tuple[float, float]], excluded: set[str]
) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    quantizer = QDQQuantizer(
        onnx.shape_inference.infer_shapes(model),
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range=TensorsData(
            CalibrationMethod.MinMax,
            {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()},
        ),
        nodes_to_quantize=[],
        nodes_to_exclude=list(excluded),
        op_types_to_quantize=list(QUANTIZED),
        extra_options={
            'ActivationSymmetric': True,
            'WeightSymmetric': True,
            'DedicatedQDQPair': True,  # TensorRT fuses a pair with its one consumer
            'AddQDQPairToWeight': True,
            'QuantizeBias': False,
            # A convolution's own output goes on in float, into SiLU.
            'OpTypesToExcludeOutputQuantization': list(QUANTIZED),
        },
    )
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # its remarks go to the root logger
    try:
        quantizer.quantize_model()
    finally:
        root.setLevel(level)
    quantizer.model.topological_sort()
    quantized = quantizer.model.model
    feed_floats(quantized, excluded, model)
    _drop_idle_axes(quantized)
    del quantized.graph.value_info[:]
    return quantized


def _take_floats(model: onnx.ModelProto, spec: InputSpec) -> InputSpec:
    """Have the graph take float32 NCHW where it turns uint8 NHWC into that first."""
    graph = model.graph
    value = graph.input[0]
    if spec.dtype != 'uint8':
        return spec
    if spec.layout == 'nhwc':
        _bypass(graph, value.name, 'Transpose')
        lengths = [d.dim_value for d in value.type.tensor_type.shape.dim]
        for index, length in enumerate([lengths[i] for i in (0, 3, 1, 2)]):
            value.type.tensor_type.shape.dim[index].dim_value = length
    _bypass(graph, value.name, 'Cast')
    value.type.tensor_type.elem_type = TensorProto.FLOAT
    del graph.value_info[:]
    return replace(spec, dtype='float32', layout='nchw')


def _bypass(graph: onnx.GraphProto, tensor: str, operator: str) -> None:
    """Remove the one node that the tensor goes into, whose operator is known."""
    users = [node for node in graph.node if tensor in node.input]
    if [node.op_type for node in users] != [operator]:
        raise UserError(
            f'The graph does not begin with a {operator} of its uint8 input; import the model '
            f'again.'
        )
    (output,) = users[0].output
    graph.node.remove(users[0])
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == output:
                node.input[index] = tensor


def _as_floats(pictures: Iterable[np.ndarray], spec: InputSpec) -> Iterator[np.ndarray]:
    for picture in pictures:
        if picture.dtype == np.uint8:
            if picture.shape[1:] == (spec.height, spec.width, 3):
                picture = picture.transpose(0, 3, 1, 2)
            picture = np.ascontiguousarray(picture, np.float32)
        yield picture


def _lower_opset(model: onnx.ModelProto) -> None:
    """Call the graph one of `MAX_OPSET` where its operators mean the same there."""
    if opset(model) <= MAX_OPSET:
        return
    for node in model.graph.node:
        if not _means_the_same(node, opset(model)):
            raise UserError(
                f'{node.name} ({node.op_type}) needs opset {opset(model)}, and TensorRT 8 reads '
                f'up to {MAX_OPSET}; export the model with opset {MAX_OPSET}.'
            )
    for entry in model.opset_import:
        if entry.domain in ('', 'ai.onnx'):
            entry.version = MAX_OPSET


def _means_the_same(node: onnx.NodeProto, version: int) -> bool:
    """Tell whether a node is the same in `MAX_OPSET`, without attributes that say nothing new."""
    newer = onnx.defs.get_schema(node.op_type, version, node.domain)
    try:
        older = onnx.defs.get_schema(node.op_type, MAX_OPSET, node.domain)
    except onnx.defs.SchemaError:
        return False
    for attribute in [a for a in node.attribute if a.name not in older.attributes]:
        default = newer.attributes[attribute.name].default_value
        if onnx.helper.get_attribute_value(attribute) != onnx.helper.get_attribute_value(default):
            return False
        node.attribute.remove(attribute)
    # Resize only gained attributes and types; what else changed may have other inputs.
    return older.since_version == newer.since_version or node.op_type == 'Resize'


def _drop_idle_axes(model: onnx.ModelProto) -> None:
    """Drop the axis of scales that count for a whole tensor: TensorRT 8.0 refuses it."""
    sizes = {c.name: int(np.prod(c.dims)) for c in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ('QuantizeLinear', 'DequantizeLinear') and sizes[node.input[1]] == 1:
            for attribute in [a for a in node.attribute if a.name == 'axis']:
                node.attribute.remove(attribute)
