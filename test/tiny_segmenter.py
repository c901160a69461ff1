# SPDX-License-Identifier: Apache-2.0
"""The tiny detector of artifacts.py with masks: the squares it finds are covered exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from artifacts import CLASS_NAMES, HEIGHT, STRIDES, WIDTH, tiny_manifest, tiny_model, write_dataset
from onnx import TensorProto, helper, numpy_helper

from kd_yolo_ros.artifact import write_artifact

COEFFICIENTS = len(CLASS_NAMES) + 1  # one for each colour, and one for the constant prototype
PROTO_STRIDE = 4
STEEP = 20
FAINT = 0.1  # so low that no corner of a square is lost between the cells


def tiny_segmenter() -> onnx.ModelProto:
    """Return the graph: the detector's, with coefficients in its heads and prototypes last.

    A prototype is how much of a colour a cell has, the last one is 1 everywhere. A mask's logit
    is then STEEP * (colour - FAINT) for the colour of the object.
    """
    model = tiny_model()
    graph = model.graph
    classes = len(CLASS_NAMES)
    weights = {w.name: numpy_helper.to_array(w) for w in graph.initializer}
    for level in range(3, 3 + len(STRIDES)):
        names = f'head{level}/weight', f'head{level}/bias'
        weight = weights[names[0]].reshape(3, 5 + classes, classes, 3, 3)
        bias = weights[names[1]].reshape(3, 5 + classes)
        more = np.zeros((3, COEFFICIENTS, classes, 3, 3), np.float32)
        for index in range(classes):
            more[:, index, index, 1, 1] = STEEP
        constant = np.zeros((3, COEFFICIENTS), np.float32)
        constant[:, -1] = -STEEP * FAINT
        weights[names[0]] = np.concatenate((weight, more), 1).reshape(-1, classes, 3, 3)
        weights[names[1]] = np.concatenate((bias, constant), 1).reshape(-1)
    planes = np.zeros((COEFFICIENTS, classes, 1, 1), np.float32)
    planes[:classes, :, 0, 0] = np.eye(classes)
    weights['protos/weight'] = planes
    weights['protos/bias'] = np.eye(COEFFICIENTS, dtype=np.float32)[-1]
    sides = {'kernel_shape': [PROTO_STRIDE] * 2, 'strides': [PROTO_STRIDE] * 2}
    graph.node.append(helper.make_node('AveragePool', ['colour'], ['small'], 'small', **sides))
    inputs = ['small', 'protos/weight', 'protos/bias']
    graph.node.append(helper.make_node('Conv', inputs, ['protos'], 'protos'))
    del graph.initializer[:], graph.output[:]
    graph.initializer.extend(numpy_helper.from_array(w, name) for name, w in weights.items())
    channels = 3 * (5 + classes + COEFFICIENTS)
    shapes = {
        f'p{level}': [1, channels, HEIGHT // s, WIDTH // s] for level, s in enumerate(STRIDES, 3)
    }
    shapes['protos'] = [1, COEFFICIENTS, HEIGHT // PROTO_STRIDE, WIDTH // PROTO_STRIDE]
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in shapes.items()
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def write_squares_with_outlines(folder: Path) -> Path:
    """Write the data set of artifacts.py with rows of outlines; return its folder."""
    for file in (write_dataset(folder) / 'labels').iterdir():
        rows = []
        for line in file.read_text().splitlines():
            class_id, *box = line.split()
            x, y, w, h = map(float, box)
            left, top, right, bottom = x - w / 2, y - h / 2, x + w / 2, y + h / 2
            corners = left, top, right, top, right, bottom, left, bottom
            rows.append(' '.join(map(str, (class_id, *corners))))
        file.write_text('\n'.join(rows))
    return folder


def write_tiny_segmenter(folder: Path, **changes: Any) -> Path:
    """Write the tiny segmenter as an artifact, its manifest changed; return its folder."""
    source = folder.parent / f'{folder.name}.onnx'
    onnx.save(tiny_segmenter(), source)
    head = replace(tiny_manifest().head, mask_coefficients=COEFFICIENTS)
    manifest = tiny_manifest(name='tiny-seg', task='segment', head=head, **changes)
    try:
        return write_artifact(folder, manifest, {'model.onnx': source}).folder
    finally:
        source.unlink()
