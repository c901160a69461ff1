# SPDX-License-Identifier: Apache-2.0
"""Exports a network to the ONNX graph of our artifacts.

It takes the letterboxed camera picture as it is and ends at the raw head convolutions.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import MAX_SIDE, MIN_SIDE
from kd_yolo_ros.metrics.report import write_whole

from ..models.layout import STRIDES
from ..models.yolov5 import YOLOv5
from .graph import name_nodes

if TYPE_CHECKING:
    import onnx

INPUT = 'images'
OUTPUTS = ('p3', 'p4', 'p5')
PROTOS = 'protos'  # the fourth, of segmentation models

# The oldest that torch's exporter writes without a conversion, and its oldest IR version: the
# runtimes of older boards (JetPack 5) read both.
OPSET = 18
IR_VERSION = 8

# Largest difference to torch, as a share of the largest output. Fusing and another order of
# summation cost about 1e-5; a wrong layout or colour order costs more than 0.1.
TOLERANCE = 1e-3


class CameraInput(nn.Module):
    """A network that takes (1, H, W, 3) BGR in 0..255 instead of (1, 3, H, W) RGB in 0..1.

    Channel order and scale go into the first convolution's weights, where they cost nothing. The
    pixels are uint8 or float.

    Args:
        network: is copied.
        output_layout: 'nchw' or 'nhwc'. Runtimes that compute with the channels last need not
            reorder a number for the latter.
    """

    def __init__(self, network: YOLOv5, output_layout: str = 'nchw') -> None:
        super().__init__()
        self.channels_last = output_layout == 'nhwc'
        self.network = copy.deepcopy(network).fuse()
        first = self.network.model[0].conv
        first.weight.data = first.weight.data.flip(1) / 255

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Return the raw head outputs."""
        outputs = self.network(picture.permute(0, 3, 1, 2).float())
        if self.channels_last:
            return tuple(output.permute(0, 2, 3, 1) for output in outputs)
        return outputs


def export_onnx(
    network: YOLOv5, path: Path, height: int, width: int, output_layout: str = 'nchw'
) -> None:
    """Write the network as an ONNX file, after comparing ONNX Runtime's answer with torch's.

    The graph's input `images` is (1, height, width, 3) uint8 BGR; its outputs `p3`, `p4`, `p5`
    are the raw head convolutions, float32 (1, anchors * (5 + classes + masks), height/s, width/s),
    and `protos`, where it has masks, the prototypes (1, masks, height/4, width/4); or with the
    channels last.

    Raises:
        UserError: the size does not fit the network, or the exported graph answers differently.
    """
    check_size(height, width)
    graph_input = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            CameraInput(network, output_layout).eval(),
            (graph_input,),
            input_names=[INPUT],
            output_names=output_names(network),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    model = program.model_proto
    _tidy(model)
    check_answers(network, _onnx_answers(model), height, width, output_layout)
    write_whole(path, model.SerializeToString(deterministic=True))


def output_names(network: YOLOv5) -> list[str]:
    """Return what a graph's outputs are called, in order."""
    return [*OUTPUTS, PROTOS] if network.head.masks else [*OUTPUTS]


def check_size(height: int, width: int) -> None:
    """Raise UserError unless the network can take pictures of this size."""
    for name, side in (('height', height), ('width', width)):
        if side % STRIDES[-1] or not MIN_SIDE <= side <= MAX_SIDE:
            raise UserError(
                f'The input {name} {side} is not a multiple of {STRIDES[-1]} in '
                f'{MIN_SIDE}..{MAX_SIDE}; give another --imgsz.'
            )


def _tidy(model: onnx.ModelProto) -> None:
    """Name nodes and tensors after the network's modules; drop paths of this machine.

    The exporter notes each node's module, and also its stack trace with source paths.
    """
    graph = model.graph
    model.ir_version = IR_VERSION
    graph.name = 'yolov5'
    name_nodes(model, [_scope(node) for node in graph.node])
    for holder in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del holder.metadata_props[:]
    del graph.value_info[:]


def _scope(node: onnx.NodeProto) -> str:
    scopes = [p.value for p in node.metadata_props if p.key == 'pkg.torch.onnx.name_scopes']
    # A list as text, such as "['', 'network', 'network.model.0', 'conv2d']"; the last is the call.
    names = [name.strip("' ") for name in scopes[0].strip('[]').split(',')] if scopes else []
    module = names[-2] if len(names) > 1 else ''
    return module.removeprefix('network').removeprefix('.')


def _onnx_answers(model: onnx.ModelProto) -> Callable[[np.ndarray], Sequence[np.ndarray]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=['CPUExecutionProvider']
    )
    return lambda picture: session.run(None, {INPUT: picture})


def check_answers(
    network: YOLOv5,
    answers_of: Callable[[np.ndarray], Sequence[np.ndarray]],
    height: int,
    width: int,
    output_layout: str = 'nchw',
) -> None:
    """Refuse an export that does not answer as the network does.

    Args:
        network: what was exported.
        answers_of: runs the export on a (1, height, width, 3) uint8 BGR picture.
        height: of the picture.
        width: of the picture.
        output_layout: of the answers.

    Raises:
        UserError: the answers differ by more than `TOLERANCE`.
    """
    picture = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
    rgb = torch.from_numpy(picture[..., ::-1].copy()).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = copy.deepcopy(network).eval()(rgb.float() / 255)
    names = output_names(network)
    for name, answer, tensor in zip(names, answers_of(picture), expected, strict=True):
        if output_layout == 'nhwc':
            answer = answer.transpose(0, 3, 1, 2)
        difference = np.abs(answer - tensor.numpy()).max()
        if not difference <= TOLERANCE * max(1.0, tensor.abs().max().item()):
            raise UserError(
                f'The exported graph differs from the network by {difference:.3g} at {name}; '
                f'nothing was written, try other versions of torch and the exporter.'
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on torchvision and deprecations off the terminal."""
    logger = logging.getLogger('torch.onnx')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)
