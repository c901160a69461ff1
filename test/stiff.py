# SPDX-License-Identifier: Apache-2.0
"""The tiny detector of `artifacts`, with two layers more that 8 bits ruin and float does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from artifacts import tiny_manifest, tiny_model
from onnx import helper, numpy_helper

from kd_yolo_ros.artifact import write_artifact

# The first layer adds a channel of giants that the second one drops: beside them, what matters is
# less than one step of 8 bits.
GIANT = 1e4
LAYERS = ('widen', 'narrow')


def stiff_model() -> onnx.ModelProto:
    """Return the graph; its outputs are those of the tiny detector."""
    model = tiny_model()
    graph = model.graph
    widen, narrow = np.zeros((4, 3, 1, 1)), np.zeros((3, 4, 1, 1))
    for channel in range(3):
        widen[channel, channel] = narrow[channel, channel] = 1
    widen[3] = GIANT
    for name, weight in (('widen/weight', widen), ('narrow/weight', narrow)):
        graph.initializer.append(numpy_helper.from_array(weight.astype(np.float32), name))
    position = next(i for i, node in enumerate(graph.node) if node.name == 'colour') + 1
    for node in list(graph.node)[position:]:
        for index, tensor in enumerate(node.input):
            if tensor == 'colour':
                node.input[index] = 'narrowed'
    for node in (
        helper.make_node('Conv', ['widened', 'narrow/weight'], ['narrowed'], 'narrow'),
        helper.make_node('Conv', ['colour', 'widen/weight'], ['widened'], 'widen'),
    ):
        graph.node.insert(position, node)
    onnx.checker.check_model(model, full_check=True)
    return model


def write_stiff_artifact(folder: Path) -> Path:
    """Write it as an artifact; return its folder."""
    source = folder.parent / f'{folder.name}.onnx'
    onnx.save(stiff_model(), source)
    try:
        return write_artifact(folder, tiny_manifest(), {'model.onnx': source}).folder
    finally:
        source.unlink()
