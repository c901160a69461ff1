# SPDX-License-Identifier: Apache-2.0
"""Detector exports of other tools, which carry no manifest: ONNX, OpenVINO and TFLite.

What can be known is read from the graph's shapes and from Ultralytics' metadata, where there.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

from kd_yolo_ros.artifact import Artifact, load_artifact, sha256_of
from kd_yolo_ros.bundled import find_model
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.graphs import RUNTIMES, Graph, read_graph
from kd_yolo_ros.manifest import MANIFEST, Head, InputSpec, Manifest, ModelFile

DEFAULT_SIDE = 640


def open_model(path: Union[str, Path]) -> Artifact:
    """Read an artifact folder, or a plain export that needs no manifest.

    Args:
        path: an artifact folder, an ONNX, OpenVINO or TFLite file, an OpenVINO export folder, or
            the name of a bundled model.

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
        path: an `.onnx`, `.xml` or `.tflite` file, or a folder with one of them.
        class_names: by class id; None reads them from the export, and where it carries none
            numbers the classes. Those of ready detections have to be known.

    Raises:
        UserError: not a detector that can be decoded here; the sentence says why.
    """
    path = _model_file(path)
    graph = read_graph(path)
    layout, num_classes, masks, outputs = _read_head(graph, path, class_names)
    names = tuple(class_names or names_of(graph) or (f'class_{i}' for i in range(num_classes)))
    if not names:
        raise UserError(
            f'{path} says neither which classes it finds nor how many; '
            f'name them with kd-yolo import {path.name} --names FILE --out DIR.'
        )
    if num_classes and len(names) != num_classes:
        raise UserError(
            f'{path} predicts {num_classes} classes, but {len(names)} names were given; '
            f'correct the list of names.'
        )
    parts = [path, path.with_suffix('.bin')] if path.suffix == '.xml' else [path]
    ready = layout == 'detections'
    tensorflow = ready and _is_tensorflow(graph, outputs)
    precision = 'int8' if graph.quantized or _is_int8(graph) else 'fp32'
    file = ModelFile(
        path=path.name,
        runtimes=_runtimes_of(graph, path, precision),
        precision=precision,
        input=_input_of(graph, path),
        decode_inside=True,
        output_layout=_prototype_layout(path) if masks else 'nchw',
        normalized_boxes=tensorflow if ready else graph.normalized_boxes,
        box_order='yxyx' if tensorflow else 'xyxy',
        outputs=outputs,
        sha256={part.name: sha256_of(part) for part in parts},
    )
    manifest = Manifest(
        name=path.stem,
        task='segment' if masks else 'detect',
        class_names=names,
        head=Head(
            layout,
            mask_coefficients=masks,
            first_label=_first_label(path, names) if ready else 0,
        ),
        files=(file,),
        licence=str(graph.metadata.get('license', 'unknown')),
        provenance={'export': {k: str(v) for k, v in graph.metadata.items()}},
    )
    manifest.validate(str(path))
    return Artifact(path.parent, manifest)


def _model_file(path: Path) -> Path:
    if path.is_dir():
        found = [file for suffix in RUNTIMES for file in sorted(path.glob(f'*{suffix}'))]
        if len(found) != 1:
            raise UserError(
                f'{path} is no artifact (it has no artifact.yaml) and holds {len(found)} model '
                f'files; give the folder of an artifact or one {", ".join(RUNTIMES)} file.'
            )
        path = found[0]
    if path.suffix not in RUNTIMES:
        name = path.name if path.suffix == '.pt' else 'MODEL.pt'
        raise UserError(
            f'{path} is neither an artifact folder nor an {", ".join(RUNTIMES)} export; a YOLOv5 '
            f'checkpoint becomes an artifact with kd-yolo import {name} --out DIR.'
        )
    if path.suffix == '.xml' and not path.with_suffix('.bin').is_file():
        raise UserError(f'{path.with_suffix(".bin")} is missing; copy it beside {path.name}.')
    return path


def _runtimes_of(graph: Graph, path: Path, precision: str) -> Tuple[str, ...]:
    if path.suffix == '.tflite' and graph.dtype != 'float32':
        return ('tflite',)  # the others would want its own integers instead of pixels
    # OpenCV has no arithmetic for quantized graphs.
    return tuple(n for n in RUNTIMES[path.suffix] if n != 'opencv' or precision == 'fp32')


class _Outputs(NamedTuple):
    """What the outputs hold.

    Attributes:
        layout: of the head.
        num_classes: 0 where only the class names tell it.
        masks: number of mask coefficients.
        places: of the head's outputs, where they are not the first ones and in its order.
    """

    layout: str
    num_classes: int
    masks: int
    places: Tuple[int, ...]


def _read_head(graph: Graph, path: Path, class_names: Optional[Sequence[str]]) -> _Outputs:
    shapes = graph.output_shapes
    ready = _ready_outputs(graph)
    if ready:
        return _Outputs('detections', 0, 0, ready)
    place = next((i for i, shape in enumerate(shapes) if len(shape) == 3), 0)
    head = shapes[place]
    prototypes = [i for i, shape in enumerate(shapes) if len(shape) == 4][:1]
    masks = sum(shapes[i][1 if _prototype_layout(path) == 'nchw' else 3] for i in prototypes)
    places = (place, *prototypes)
    if places == tuple(range(len(places))):
        places = ()
    names = class_names or names_of(graph)
    if len(head) == 3 and head[0] in (1, -1):
        if head[2] - masks == 6 and _is_end_to_end(graph, names):
            return _Outputs('end_to_end', 0, masks, places)
        # Boxes outnumber the values of a box; an unknown length is the number of boxes.
        by_rows = head[1] == -1 or head[1] > head[2] > 0
        values = (head[2] if by_rows else head[1]) - masks
        num_classes = values - (5 if by_rows else 4)
        if num_classes > 0 and (not names or class_names or len(names) == num_classes):
            layout = 'anchor_grid' if by_rows else 'anchor_free'
            return _Outputs(layout, num_classes, masks, places)
    raise UserError(
        f'{path} is no detector that can be decoded here: its outputs are '
        f'{[tuple(s) for s in shapes]}, where (1, boxes, 5 + classes), (1, 4 + classes, boxes), '
        f'(1, boxes, 6), or boxes, labels and scores are expected; export it with the boxes '
        f'decoded.'
    )


def _prototype_layout(path: Path) -> str:
    return 'nhwc' if path.suffix == '.tflite' else 'nchw'


def _is_end_to_end(graph: Graph, names: Sequence[str]) -> bool:
    """Tell whether six values are a box, its score and class, and not YOLOv5's of one class."""
    arguments = _literal(graph.metadata.get('args'))
    nms = isinstance(arguments, dict) and arguments.get('nms')
    return bool(_literal(graph.metadata.get('end2end')) or nms or len(names) > 1)


def _ready_outputs(graph: Graph) -> Tuple[int, ...]:
    """Return the places of boxes, labels, scores and maybe their number, or nothing.

    By name, as torchvision's exports (boxes, labels, scores) and TensorFlow's have them. Where
    the names say nothing, by shape and type: labels are whole numbers, or the outputs are four
    in the order of TFLite: boxes, classes, scores and count, or scores, boxes, count and classes.
    """
    shapes = graph.output_shapes
    boxes = [i for i, s in enumerate(shapes) if s[-1:] == (4,) and len(s) in (2, 3)]
    lists = [i for i, s in enumerate(shapes) if len(s) in (1, 2) and i not in boxes]
    named = [
        _named(graph, boxes, 'boxes'),
        _named(graph, lists, 'labels', 'classes'),
        _named(graph, lists, 'scores'),
    ]
    if all(named):
        return tuple(i for found in (*named, _named(graph, lists, 'num', 'count')) for i in found)
    if len(boxes) != 1:
        return ()
    labels = [i for i in lists if 'int' in graph.output_dtypes[i]]
    if len(lists) == 2 and len(labels) == 1:
        return (*boxes, *labels, *(i for i in lists if i not in labels))
    if len(shapes) == 4 and len(lists) == 3:
        # Either order is the other one turned round.
        after = [(boxes[0] + step) % 4 for step in (1, 2, 3)]
        count = [i for i in after if len(shapes[i]) == 1]
        return (*boxes, *(i for i in after if i not in count), *count) if len(count) == 1 else ()
    return ()


def _named(graph: Graph, among: Sequence[int], *names: str) -> List[int]:
    """Return the output of one of these names, alone in a list; TensorFlow adds to them."""
    wanted = {
        spelt for name in names for spelt in (name, f'detection_{name}', f'{name}_detections')
    }
    return [i for i in among if graph.output_names[i].split(':')[0] in wanted][:1]


def _is_tensorflow(graph: Graph, outputs: Tuple[int, ...]) -> bool:
    """Tell TensorFlow's boxes (y1 x1 y2 x2 as shares) from torchvision's (x1 y1 x2 y2, pixels)."""
    return len(outputs) == 4 or graph.output_names[outputs[0]].startswith('detection_')


def _first_label(path: Path, names: Sequence[str]) -> int:
    """Return the label of the first class: 0 is the background, where the names leave it out."""
    # In TFLite files, TensorFlow's labels do not count it.
    background = names[0].strip('_').lower() == 'background'
    return int(not background and path.suffix != '.tflite')


def _input_of(graph: Graph, path: Path) -> InputSpec:
    shape, layout = graph.input_shape, 'nchw'
    if len(shape) == 3:  # torchvision's take one picture, not a batch; the backends see to it
        shape = (1, *shape)
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


def names_of(graph: Graph) -> Tuple[str, ...]:
    """Return the class names that the exporter wrote into the file, or none."""
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
