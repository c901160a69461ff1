# SPDX-License-Identifier: Apache-2.0
"""A tiny detector with known answers, in the form of our graphs, for tests without real weights.

It finds pure red, green and blue squares that fill one cell of 8, 16 or 32 pixels and nothing
else: grey of any brightness is background. `scene` paints such squares and tells the boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kd_yolo_ros.artifact import write_artifact
from kd_yolo_ros.manifest import Head, InputSpec, Manifest, ModelFile

HEIGHT, WIDTH = 64, 96
CLASS_NAMES = ('red', 'green', 'blue')
BGR = {'red': (0, 0, 255), 'green': (0, 255, 0), 'blue': (255, 0, 0)}
STRIDES = (8, 16, 32)
ANCHORS = tuple(((s, s), (2 * s, s), (s, 2 * s)) for s in STRIDES)

# Only the first anchor of a level answers. Its objectness is sigmoid(60 (x - 0.8)), where x is
# how full of colour the cell is, less the mean of its eight neighbours: 1 for a square that fills
# the cell, at most 0.625 for the cells of a larger one, 0.25 for a smaller one.
SHARPNESS, FULL = 60, 0.8
NEVER = -30


class Square(NamedTuple):
    """A coloured cell: its class, its side in network pixels, its column and row at that side."""

    name: str
    stride: int
    column: int
    row: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x1 y1 x2 y2 in network pixels."""
        x, y, s = self.column * self.stride, self.row * self.stride, self.stride
        return x, y, x + s, y + s


# One square of each class and of each size, with an empty cell around each.
SQUARES = (Square('red', 8, 1, 1), Square('green', 16, 1, 2), Square('blue', 32, 2, 0))


def scene(
    squares: Sequence[Square] = SQUARES, scale: int = 1, background: int = 60
) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of `scale` times the network's size, and the (N, 4) boxes in it."""
    picture = np.full((HEIGHT * scale, WIDTH * scale, 3), background, np.uint8)
    boxes = np.array([square.box for square in squares], np.float32).reshape(-1, 4) * scale
    for square, (left, top, right, bottom) in zip(squares, boxes.astype(int), strict=True):
        picture[top:bottom, left:right] = BGR[square.name]
    return picture, boxes


def tiny_model(height: int = HEIGHT, width: int = WIDTH) -> onnx.ModelProto:
    """Return the graph: uint8 (1, H, W, 3) BGR in, raw head convolutions of three levels out."""
    # How much of each class's colour a pixel has: that channel less the mean of the other two.
    colours = (np.eye(3)[::-1] * 1.5 - 0.5) / 255  # rows red, green, blue from columns b, g, r
    weights = {'colours/weight': colours.reshape(3, 3, 1, 1)}
    nodes = [
        helper.make_node('Transpose', ['images'], ['planes'], perm=[0, 3, 1, 2]),
        helper.make_node('Cast', ['planes'], ['float'], to=TensorProto.FLOAT),
        helper.make_node('Conv', ['float', 'colours/weight'], ['signed']),
        helper.make_node('Relu', ['signed'], ['colour']),
    ]
    for level, stride in enumerate(STRIDES, 3):
        sides = {'kernel_shape': [stride] * 2, 'strides': [stride] * 2}
        head = [f'cells{level}', f'head{level}/weight', f'head{level}/bias']
        weights[head[1]], weights[head[2]] = _head()
        nodes += [
            helper.make_node('AveragePool', ['colour'], head[:1], **sides),
            helper.make_node('Conv', head, [f'p{level}'], pads=[1] * 4),
        ]
    for node in nodes:
        node.name = node.output[0]
    channels = 3 * (5 + len(CLASS_NAMES))
    graph = helper.make_graph(
        nodes,
        'tiny',
        [helper.make_tensor_value_info('images', TensorProto.UINT8, [1, height, width, 3])],
        [
            helper.make_tensor_value_info(
                f'p{level}', TensorProto.FLOAT, [1, channels, height // s, width // s]
            )
            for level, s in enumerate(STRIDES, 3)
        ],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=8, producer_name='tests'
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _head() -> tuple[np.ndarray, np.ndarray]:
    """Return weights (24, 3, 3, 3) and biases of a level: three anchors, x y w h o and classes."""
    classes = len(CLASS_NAMES)
    weight, bias = np.zeros((3, 5 + classes, classes, 3, 3)), np.zeros((3, 5 + classes))
    bias[:, 4] = NEVER
    weight[0, 4] = -SHARPNESS / 8
    weight[0, 4, :, 1, 1] = SHARPNESS
    bias[0, 4] = -SHARPNESS * FULL
    for index in range(classes):
        weight[:, 5 + index, index, 1, 1] = 20
        bias[:, 5 + index] = -10
    return weight.reshape(-1, classes, 3, 3), bias.reshape(-1)


def tiny_manifest(**changes: Any) -> Manifest:
    """Return the manifest of the tiny detector, with other values for some fields."""
    file = ModelFile(
        path='model.onnx',
        runtimes=('openvino', 'onnxruntime'),
        precision='fp32',
        input=InputSpec(WIDTH, HEIGHT),
    )
    fields: Mapping[str, Any] = {
        'name': 'tiny',
        'task': 'detect',
        'class_names': CLASS_NAMES,
        'head': Head('anchor_grid', STRIDES, ANCHORS),
        'files': (file,),
        'licence': 'Apache-2.0',
    }
    return Manifest(**{**fields, **changes})


def write_tiny_artifact(folder: Path) -> Path:
    """Write the tiny detector as an artifact; return its folder."""
    source = folder.parent / f'{folder.name}.onnx'
    onnx.save(tiny_model(), source)
    try:
        return write_artifact(folder, tiny_manifest(), {'model.onnx': source}).folder
    finally:
        source.unlink()


def write_dataset(folder: Path) -> Path:
    """Write a YOLO data set of scenes that the tiny detector gets all right; return its folder."""
    for name in ('images', 'labels'):
        (folder / name).mkdir(parents=True)
    for number, square in enumerate([*SQUARES, None]):
        squares = [square] if square else []
        assert cv2.imwrite(str(folder / 'images' / f'{number}.png'), scene(squares, scale=2)[0])
        lines = [
            f'{CLASS_NAMES.index(s.name)} {(s.column + 0.5) * s.stride / WIDTH} '
            f'{(s.row + 0.5) * s.stride / HEIGHT} {s.stride / WIDTH} {s.stride / HEIGHT}\n'
            for s in squares
        ]
        (folder / 'labels' / f'{number}.txt').write_text(''.join(lines))
    (folder / 'classes.txt').write_text('\n'.join(CLASS_NAMES))
    return folder
