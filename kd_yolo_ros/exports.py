# SPDX-License-Identifier: Apache-2.0
"""Detector exports of other tools, which carry no manifest: ONNX and OpenVINO.

What can be known is read from the graph's shapes and from Ultralytics' metadata, where there.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import yaml

from kd_yolo_ros.artifact import Artifact, load_artifact, sha256_of
from kd_yolo_ros.bundled import find_model
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import MANIFEST, Head, InputSpec, Manifest, ModelFile

DEFAULT_SIDE = 640


@dataclass(frozen=True)
class Graph:
    """What a runtime says of a model file; unknown lengths are -1.

    Attributes:
        dtype: of the first input, as numpy spells it.
        input_shape: of the first input.
        output_shapes: of all outputs.
        metadata: what the exporter wrote into the file.
    """

    dtype: str
    input_shape: Tuple[int, ...]
    output_shapes: List[Tuple[int, ...]]
    metadata: Mapping[str, Any]


def open_model(path: Union[str, Path]) -> Artifact:
    """Read an artifact folder, or a plain export that needs no manifest.

    Args:
        path: an artifact folder, an ONNX or OpenVINO file, an OpenVINO export folder, or the name
            of a bundled model.

    Raises:
        UserError: nothing there, or neither; the message says which and what to do.
    """
    path = find_model(path)
    if (path / MANIFEST).is_file() or not path.exists():
        return load_artifact(path)
    return describe_export(path)


def describe_export(path: Path, class_names: Optional[Sequence[str]] = None) -> Artifact:
    """Return the artifact that a plain export amounts to.

    Args:
        path: an `.onnx` or `.xml` file, or a folder with one `.xml`.
        class_names: by class id; None reads them from the export, and where it carries none
            numbers the classes.

    Raises:
        UserError: not a detector that can be decoded here; the sentence says why.
    """
    path = _model_file(path)
    graph = _read_onnx(path) if path.suffix == '.onnx' else _read_openvino(path)
    layout, num_classes, masks = _head_of(graph, path, class_names)
    names = tuple(class_names or _names_of(graph) or (f'class_{i}' for i in range(num_classes)))
    if len(names) != num_classes:
        raise UserError(
            f'{path} predicts {num_classes} classes, but {len(names)} names were given; '
            f'correct the list of names.'
        )
    runtimes = ('openvino',) if path.suffix == '.xml' else ('openvino', 'onnxruntime')
    parts = [path] if path.suffix == '.onnx' else [path, path.with_suffix('.bin')]
    file = ModelFile(
        path=path.name,
        runtimes=runtimes,
        precision='int8' if _is_int8(graph) else 'fp32',
        input=_input_of(graph, path),
        decode_inside=True,
        sha256={part.name: sha256_of(part) for part in parts},
    )
    manifest = Manifest(
        name=path.stem,
        task='segment' if masks else 'detect',
        class_names=names,
        head=Head(layout, mask_coefficients=masks),
        files=(file,),
        licence=str(graph.metadata.get('license', 'unknown')),
        provenance={'export': {k: str(v) for k, v in graph.metadata.items()}},
    )
    manifest.validate(str(path))
    return Artifact(path.parent, manifest)


def _model_file(path: Path) -> Path:
    if path.is_dir():
        found = sorted(path.glob('*.xml')) + sorted(path.glob('*.onnx'))
        if len(found) != 1:
            raise UserError(
                f'{path} is no artifact (it has no artifact.yaml) and holds {len(found)} model '
                f'files; give the folder of an artifact or one .onnx or .xml file.'
            )
        path = found[0]
    if path.suffix not in ('.onnx', '.xml'):
        name = path.name if path.suffix == '.pt' else 'MODEL.pt'
        raise UserError(
            f'{path} is neither an artifact folder nor an .onnx or .xml export; a YOLOv5 '
            f'checkpoint becomes an artifact with kd-yolo import {name} --out DIR.'
        )
    if path.suffix == '.xml' and not path.with_suffix('.bin').is_file():
        raise UserError(f'{path.with_suffix(".bin")} is missing; copy it beside {path.name}.')
    return path


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
    if not session.get_inputs() or not session.get_outputs():
        raise UserError(f'{path} has no input or no output; export the detector again.')
    first = session.get_inputs()[0]
    return Graph(
        dtype={'tensor(float)': 'float32', 'tensor(uint8)': 'uint8'}.get(first.type, first.type),
        input_shape=_lengths(first.shape),
        output_shapes=[_lengths(output.shape) for output in session.get_outputs()],
        metadata=session.get_modelmeta().custom_metadata_map,
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
    if not model.inputs or not model.outputs:
        raise UserError(f'{path} has no input or no output; export the detector again.')
    element = model.input(0).get_element_type().get_type_name()
    return Graph(
        dtype={'f32': 'float32', 'u8': 'uint8'}.get(element, element),
        input_shape=_partial(model.input(0).get_partial_shape()),
        output_shapes=[_partial(output.get_partial_shape()) for output in model.outputs],
        metadata=_read_metadata(path.with_name('metadata.yaml')),
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


def _lengths(shape: Sequence[Any]) -> Tuple[int, ...]:
    return tuple(length if isinstance(length, int) else -1 for length in shape)


def _partial(shape: Any) -> Tuple[int, ...]:
    if shape.rank.is_dynamic:
        return ()
    return tuple(d.get_length() if d.is_static else -1 for d in shape)


def _head_of(
    graph: Graph, path: Path, class_names: Optional[Sequence[str]]
) -> Tuple[str, int, int]:
    """Tell the head's layout, number of classes and number of mask coefficients."""
    shapes = graph.output_shapes
    first = shapes[0]
    prototypes = [s for s in shapes[1:] if len(s) == 4]
    masks = prototypes[0][1] if prototypes else 0
    names = class_names or _names_of(graph)
    if len(first) == 3 and first[0] in (1, -1):
        # Boxes outnumber the values of a box; an unknown length is the number of boxes.
        by_rows = first[1] == -1 or first[1] > first[2] > 0
        values = (first[2] if by_rows else first[1]) - masks
        num_classes = values - (5 if by_rows else 4)
        if num_classes > 0 and (not names or class_names or len(names) == num_classes):
            return ('anchor_grid' if by_rows else 'anchor_free'), num_classes, masks
    raise UserError(
        f'{path} is no detector that can be decoded here: its outputs are '
        f'{[tuple(s) for s in shapes]}, where (1, boxes, 5 + classes) or '
        f'(1, 4 + classes, boxes) is expected; export it with the boxes decoded and without NMS.'
    )


def _input_of(graph: Graph, path: Path) -> InputSpec:
    shape, layout = graph.input_shape, 'nchw'
    if len(shape) == 4 and shape[3] == 3 and shape[1] != 3:
        layout = 'nhwc'
    if len(shape) != 4 or shape[0] not in (1, -1) or shape[1 if layout == 'nchw' else 3] != 3:
        raise UserError(
            f'{path} takes an input of shape {shape}; a detector takes one picture of three '
            f'channels.'
        )
    if graph.dtype not in ('float32', 'uint8'):
        raise UserError(
            f'{path} takes {graph.dtype} input; export it with float32 (without half precision).'
        )
    height, width = shape[2:] if layout == 'nchw' else shape[1:3]
    if height < 0 or width < 0:
        height, width = _imgsz_of(graph)
    scale = 1 / 255 if graph.dtype == 'float32' else 1.0
    return InputSpec(width, height, graph.dtype, layout, 'rgb', scale)


def _imgsz_of(graph: Graph) -> Tuple[int, int]:
    value = _literal(graph.metadata.get('imgsz'))
    if isinstance(value, (list, tuple)) and [type(side) for side in value] == [int, int]:
        return value[0], value[1]
    return DEFAULT_SIDE, DEFAULT_SIDE


def _names_of(graph: Graph) -> Tuple[str, ...]:
    names = _literal(graph.metadata.get('names'))
    if isinstance(names, dict):
        try:
            order = sorted(names, key=int)  # of texts too, where '10' must not precede '2'
        except (TypeError, ValueError):
            return ()
        return tuple(str(names[key]) for key in order)
    return tuple(str(name) for name in names) if isinstance(names, (list, tuple)) else ()


def _is_int8(graph: Graph) -> bool:
    arguments = _literal(graph.metadata.get('args'))
    return isinstance(arguments, dict) and bool(arguments.get('int8'))


def _literal(value: Any) -> Any:
    """Read Python containers that an exporter wrote as text; anything else stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return value
