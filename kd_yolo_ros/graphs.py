# SPDX-License-Identifier: Apache-2.0
"""What a model file says of itself: its input, its outputs, and what its exporter wrote into it.

One reader for each format, found by the file's suffix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import yaml

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.onnx_file import read_onnx_file

# Which runtimes load a file of which suffix.
RUNTIMES = {
    '.onnx': ('openvino', 'onnxruntime', 'opencv'),
    '.xml': ('openvino',),
    '.tflite': ('openvino', 'tflite'),
}


@dataclass(frozen=True)
class Graph:
    """What a runtime says of a model file; unknown lengths are -1.

    Attributes:
        dtype: of the first input, as numpy spells it.
        input_shape: of the first input.
        output_shapes: of all outputs.
        metadata: what the exporter wrote into the file.
        output_names: of all outputs; empty texts where they have none.
        output_dtypes: of all outputs, as numpy spells them.
        normalized_boxes: boxes are shares of the input's sides, as the format's exporters do.
        quantized: weights or activations are 8-bit integers, as far as the format tells.
    """

    dtype: str
    input_shape: Tuple[int, ...]
    output_shapes: List[Tuple[int, ...]]
    metadata: Mapping[str, Any]
    output_names: Sequence[str] = ()
    output_dtypes: Sequence[str] = ()
    normalized_boxes: bool = False
    quantized: bool = False


def read_graph(path: Path) -> Graph:
    """Read an `.onnx`, `.xml` or `.tflite` file.

    Raises:
        UserError: it cannot be read, or lacks input or output.
    """
    if path.suffix == '.tflite':
        from kd_yolo_ros.tflite_file import read_tflite  # it reads the format without its runtime

        graph = read_tflite(path)
    else:
        graph = _read_onnx(path) if path.suffix == '.onnx' else _read_openvino(path)
    if path.suffix == '.onnx':
        operators = read_onnx_file(path).operators
        graph = replace(graph, quantized=any(map(_is_quantized, operators)))
    if not graph.output_shapes:
        raise UserError(f'{path} has no input or no output; export the detector again.')
    return graph


def _read_onnx(path: Path) -> Graph:
    try:
        import onnxruntime
    except ImportError:
        return _read_openvino(path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=['CPUExecutionProvider']
        )
    except Exception as error:  # its exceptions share no narrower base class
        raise UserError(
            f'{path} is no ONNX model that ONNX Runtime can load ({str(error).splitlines()[0]}); '
            f'export it again.'
        ) from None
    inputs, outputs = session.get_inputs(), session.get_outputs()
    return Graph(
        dtype=_onnx_dtype(inputs[0].type) if inputs else '',
        input_shape=_lengths(inputs[0].shape) if inputs else (),
        output_shapes=[_lengths(output.shape) for output in outputs] if inputs else [],
        metadata=session.get_modelmeta().custom_metadata_map,
        output_names=[output.name for output in outputs],
        output_dtypes=[_onnx_dtype(output.type) for output in outputs],
    )


def _read_openvino(path: Path) -> Graph:
    try:
        import openvino
    except ImportError:
        raise UserError(
            f'{path} needs a runtime to be read; pip install onnxruntime or openvino.'
        ) from None
    try:
        model = openvino.Core().read_model(str(path))
    except RuntimeError:
        raise UserError(f'{path} is no model that OpenVINO can load; export it again.') from None
    inputs, outputs = model.inputs, model.outputs
    return Graph(
        dtype=_openvino_dtype(inputs[0]) if inputs else '',
        input_shape=_partial(inputs[0].get_partial_shape()) if inputs else (),
        output_shapes=[_partial(o.get_partial_shape()) for o in outputs] if inputs else [],
        metadata=_read_metadata(path.with_name('metadata.yaml')),
        output_names=[min(output.get_names(), default='') for output in outputs],
        output_dtypes=[_openvino_dtype(output) for output in outputs],
        quantized=any(one.get_type_name() == 'FakeQuantize' for one in model.get_ops()),
    )


def _read_metadata(path: Path) -> Dict[str, Any]:
    """Read what Ultralytics writes beside an IR; nothing where there is none."""
    if not path.is_file():
        return {}
    try:
        metadata = yaml.safe_load(path.read_text(encoding='utf-8')) or {}
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise UserError(f'{path} is not readable as metadata of a model; export it again.')
    return metadata


def _is_quantized(operator: str) -> bool:
    """Tell whether an operator of ONNX, or of ONNX Runtime, is one of quantized graphs."""
    starts = ('QuantizeLinear', 'DequantizeLinear', 'DynamicQuantize', 'QLinear')
    return operator.startswith(starts) or operator.endswith('Integer')


def _onnx_dtype(kind: str) -> str:
    """Return numpy's name of what ONNX Runtime calls 'tensor(float)'; others as they are."""
    name = kind[len('tensor(') : -1] if kind.startswith('tensor(') else kind
    return {'float': 'float32', 'double': 'float64'}.get(name, name)


def _openvino_dtype(port: Any) -> str:
    name = port.get_element_type().get_type_name()
    named = {'f32': 'float32', 'f16': 'float16', 'u8': 'uint8', 'i32': 'int32', 'i64': 'int64'}
    return named.get(name, name)


def _lengths(shape: Sequence[Any]) -> Tuple[int, ...]:
    return tuple(length if isinstance(length, int) else -1 for length in shape)


def _partial(shape: Any) -> Tuple[int, ...]:
    if shape.rank.is_dynamic:
        return ()
    return tuple(d.get_length() if d.is_static else -1 for d in shape)
