# SPDX-License-Identifier: Apache-2.0
"""Makes the INT8 files of an artifact from its FP32 ONNX graph, one for each runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
from google.protobuf.message import DecodeError

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import InputSpec, ModelFile

from .graph import CONVOLUTIONS, is_quantized, name_nodes
from .onnxruntime_int8 import quantize_onnxruntime
from .openvino_int8 import quantize_openvino
from .statistics import opset

# Below it, the quantizer drops the scales for each channel without a word.
MIN_OPSET = 13

FILES = {
    'onnxruntime': ('onnxruntime-x64.onnx',),
    'openvino': ('openvino.xml', 'openvino.bin'),
}
# ONNX Runtime's uint8 x int8 kernels; ARM wants int8 x int8 and another file.
CPU_FEATURES = {'onnxruntime': ('avx2',), 'openvino': ()}


def quantize(
    source: Path, fp32: ModelFile, runtime: str, pictures: Collection[np.ndarray], folder: Path
) -> ModelFile:
    """Write the INT8 file of a runtime into a folder and describe it.

    Args:
        source: the FP32 ONNX graph.
        fp32: what the manifest says of it.
        runtime: 'onnxruntime' or 'openvino'.
        pictures: calibration tensors; they are iterated more than once.
        folder: where the files `FILES[runtime]` go.

    Raises:
        UserError: the graph cannot be quantized; the sentence says why.
    """
    names = FILES[runtime]
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / 'float.onnx'
        onnx.save(prepare(source, fp32.input), prepared)
        if runtime == 'onnxruntime':
            quantize_onnxruntime(prepared, folder / names[0], pictures)
        else:
            quantize_openvino(prepared, folder / names[0], pictures)
    return ModelFile(
        path=names[0],
        runtimes=(runtime,),
        precision='int8',
        input=fp32.input,
        decode_inside=fp32.decode_inside,
        cpu_features=CPU_FEATURES[runtime],
        sha256=dict.fromkeys(names, ''),
    )


def prepare(path: Path, spec: InputSpec) -> onnx.ModelProto:
    """Read a float graph, give its input the fixed size of `spec`, and name every node.

    Raises:
        UserError: no ONNX file, already quantized, or without convolutions.
    """
    try:
        model = onnx.load(path)
    except (OSError, DecodeError) as error:
        raise UserError(
            f'{path} is no valid ONNX model ({type(error).__name__}); export it again.'
        ) from None
    if is_quantized(model):
        raise UserError(f'{path} is quantized already; give the FP32 model it was made from.')
    if not any(node.op_type in CONVOLUTIONS for node in model.graph.node):
        raise UserError(f'{path} has no convolution, so it is no detector that can be quantized.')
    if opset(model) < MIN_OPSET:
        try:
            model = onnx.version_converter.convert_version(model, MIN_OPSET)
        except Exception:  # the converter raises plain RuntimeErrors and its own
            raise UserError(
                f'{path} has opset {opset(model)}; export it with {MIN_OPSET} or later.'
            ) from None
    _fix_size(model, spec)
    name_nodes(model)
    return model


def _fix_size(model: onnx.ModelProto, spec: InputSpec) -> None:
    shape = [1, 3, spec.height, spec.width]
    if spec.layout == 'nhwc':
        shape = [1, spec.height, spec.width, 3]
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    if [d.dim_value for d in dimensions] == shape:
        return
    for dimension, length in zip(dimensions, shape, strict=True):
        dimension.dim_value = length
    # They speak of the old size; the shapes are inferred anew.
    del model.graph.value_info[:]
