# SPDX-License-Identifier: Apache-2.0
"""Puts YOLOv5's decode into a graph that ends at the head convolutions, for other consumers.

Our own nodes do not want it: they decode only the few cells that pass the threshold.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import Head

OUTPUT = 'output0'
PREFIX = 'decode'


def add_decode(model: onnx.ModelProto, head: Head, num_classes: int) -> onnx.ModelProto:
    """Return a graph whose output is decoded: (1, N, 5 + classes) float32.

    A row is centre x, centre y, width, height in pixels of the network's input, objectness, and
    the probability of each class; levels go from fine to coarse, in each anchors, rows, columns.
    The equations are those of `kd_yolo_ros.decode.decode_anchor_grid`, computed in float, so that
    boxes and scores never share one integer scale.

    Args:
        model: gives (1, anchors * (5 + classes), H, W) float32 for each stride, shapes fixed; it
            is left as it is.
        head: strides and anchors, in the order of the graph's outputs.
        num_classes: number of classes.

    Raises:
        UserError: the graph's outputs are others than that.
    """
    decoded = onnx.ModelProto.FromString(model.SerializeToString())
    graph = decoded.graph
    shapes = [[d.dim_value for d in o.type.tensor_type.shape.dim] for o in graph.output]
    wanted = [len(anchors) * (5 + num_classes) for anchors in head.anchors]
    if head.layout != 'anchor_grid' or head.mask_coefficients or not head.strides:
        raise UserError('The decode can only be put behind raw detection heads with anchors.')
    if [shape[1] if len(shape) == 4 else 0 for shape in shapes] != wanted:
        raise UserError(
            f'The graph gives {shapes}, which are not the raw outputs of {num_classes} classes; '
            f'export its checkpoint again.'
        )
    levels = [
        _decode_level(graph, number, output.name, shape, stride, anchors, num_classes)
        for number, (output, shape, stride, anchors) in enumerate(
            zip(graph.output, shapes, head.strides, head.anchors, strict=True)
        )
    ]
    graph.node.append(helper.make_node('Concat', levels, [OUTPUT], f'{PREFIX}/Concat', axis=1))
    rows = sum(
        len(anchors) * shape[2] * shape[3]
        for shape, anchors in zip(shapes, head.anchors, strict=True)
    )
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, rows, 5 + num_classes])
    )
    return decoded


def _decode_level(
    graph: onnx.GraphProto,
    number: int,
    raw: str,
    shape: list[int],
    stride: int,
    anchors: tuple[tuple[float, float], ...],
    num_classes: int,
) -> str:
    """Add the nodes that decode one level; return the name of its (1, N, 5 + classes) rows."""
    scope = f'{PREFIX}/{number}'
    _, _, height, width = shape
    count, values = len(anchors), 5 + num_classes
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    cells = np.stack((columns, rows), -1)[None, None].astype(np.float32)  # (1, 1, H, W, 2)
    sizes = np.asarray(anchors, np.float32).reshape(1, count, 1, 1, 2)

    def constant(name: str, array: np.ndarray) -> str:
        graph.initializer.append(numpy_helper.from_array(array, f'{scope}/{name}'))
        return f'{scope}/{name}'

    def node(operator: str, inputs: list[str], outputs: list[str], **attributes: object) -> str:
        names = [f'{scope}/{output}' for output in outputs]
        name = f'{scope}/{operator}_{outputs[0]}'
        graph.node.append(helper.make_node(operator, inputs, names, name, **attributes))
        return names[0]

    grid = np.array([1, count, values, height, width])
    split = node('Reshape', [raw, constant('grid', grid)], ['anchors'])
    last = node('Transpose', [split], ['values_last'], perm=[0, 1, 3, 4, 2])
    share = node('Sigmoid', [last], ['sigmoid'])
    parts = constant('parts', np.array([2, 2, 1 + num_classes]))
    node('Split', [share, parts], ['xy', 'wh', 'scores'], axis=4)
    # (2 xy - 0.5 + cell) * stride = xy * 2 stride + (cell - 0.5) * stride
    scaled = node('Mul', [f'{scope}/xy', constant('step', np.float32([2 * stride]))], ['steps'])
    corner = constant('corner', (cells - np.float32(0.5)) * np.float32(stride))
    centre = node('Add', [scaled, corner], ['centre'])
    # (2 wh)^2 * anchor = wh^2 * 4 anchor
    squared = node('Mul', [f'{scope}/wh', f'{scope}/wh'], ['squared'])
    size = node('Mul', [squared, constant('anchor', 4 * sizes)], ['size'])
    joined = node('Concat', [centre, size, f'{scope}/scores'], ['joined'], axis=4)
    flat = constant('flat', np.array([1, count * height * width, values]))
    return node('Reshape', [joined, flat], ['rows'])
