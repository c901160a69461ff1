# SPDX-License-Identifier: Apache-2.0
"""Exports a network as a PyTorch program (.pt2) that holds nothing but data."""

from __future__ import annotations

import io
import tempfile
import warnings
from pathlib import Path

import torch
from torch.export import ExportedProgram

from kd_yolo_ros.backends.torch import TorchBackend
from kd_yolo_ros.manifest import InputSpec, ModelFile
from kd_yolo_ros.metrics.report import write_whole

from ..models.yolov5 import YOLOv5
from .export import CameraInput, check_answers, check_size

# What the exporter notes of each node beside its result: source lines and paths of this machine.
TRACES = ('from_node', 'nn_module_stack', 'source_fn_stack', 'stack_trace', 'torch_fn')


def export_torch(network: YOLOv5, path: Path, height: int, width: int) -> ModelFile:
    """Write the network as an exported program, after comparing its answer with the network's.

    Its input is (1, height, width, 3) uint8 BGR; its outputs are the raw head convolutions,
    float32 (1, height/s, width/s, anchors * (5 + classes)). Nothing in the file is a pickle, so
    `kd_yolo_ros.backends.torch_program` reads it without executing anything.

    Returns:
        What a manifest says of it.

    Raises:
        UserError: the size does not fit the network, or the program answers differently.
    """
    check_size(height, width)
    module = CameraInput(network, 'nhwc').eval().to(memory_format=torch.channels_last)
    picture = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    content = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        program = torch.export.export(module, (picture,))
        _tidy(program)
        torch.export.save(program, content)
    file = ModelFile(path.name, ('torch',), 'fp32', InputSpec(width, height), output_layout='nhwc')
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / path.name
        written.write_bytes(content.getvalue())
        backend = TorchBackend(written, file, 'fp32', None)
        check_answers(network, backend.infer, height, width, file.output_layout)
    write_whole(path, content.getvalue())
    return file


def _tidy(program: ExportedProgram) -> None:
    """Drop what is no part of the computation, first of all the example picture: a pickle."""
    program._example_inputs = None
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.target is torch.ops.aten._assert_tensor_metadata.default:
            graph.erase_node(node)
            continue
        for name in TRACES:
            node.meta.pop(name, None)
