# SPDX-License-Identifier: Apache-2.0
"""The time that the arithmetic of an INT8 network takes at least, on one core of this machine.

Counts the multiplications of the graph's convolutions, measures how many a second OpenVINO gets
done in large INT8 convolutions, which wait for nothing else, and divides.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.exports import open_model
from kd_yolo_ros.manifest import InputSpec, ModelFile
from kd_yolo_training.compression.graph import name_nodes
from kd_yolo_training.compression.openvino_int8 import OpenVinoQuantizer
from kd_yolo_training.compression.prepare import prepare
from kd_yolo_training.compression.sources import float_onnx

# Channels and side of the convolutions that are measured: weights and pictures stay in the second
# cache, and all vectors are full.
CHANNELS, SIDE = 128, 40
FEW, MANY = 2, 10  # so many in a row; what the ends of a graph cost is in both


def main() -> None:
    """Print the floor of what the command line names, or leave with one sentence."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('artifact', type=Path, help='with an FP32 ONNX file')
    parser.add_argument('--runs', type=int, default=200)
    given = parser.parse_args()
    try:
        artifact = open_model(given.artifact)
        file = float_onnx(artifact)
        macs = multiplications(prepare(artifact.model_path(file), file.input))
    except UserError as error:
        sys.exit(f'Error: {error}')
    print(f'{file.path} at {file.input.height}x{file.input.width}: {macs / 1e9:.2f} GMAC')
    print('| convolution | GMAC/s in INT8, one core | floor, ms |\n|---|---:|---:|')
    for kernel in (1, 3):
        rate = peak(kernel, given.runs)
        print(f'| {kernel}x{kernel} | {rate / 1e9:.0f} | {macs / rate * 1e3:.2f} |')


def multiplications(model: onnx.ModelProto) -> int:
    """Return the multiplications with additions of a graph's convolutions, for one picture."""
    known = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*known.value_info, *known.output)
    }
    weights = {constant.name: constant.dims for constant in known.initializer}
    # A weight holds output channels, input channels of a group, rows and columns.
    return sum(
        int(np.prod(shapes[node.output[0]])) * int(np.prod(weights[node.input[1]][1:]))
        for node in known.node
        if node.op_type == 'Conv'
    )


def peak(kernel: int, runs: int) -> float:
    """Return the multiplications a second of large INT8 convolutions on one core."""
    few, many = (_fastest(_chain(kernel, count), runs) for count in (FEW, MANY))
    return (MANY - FEW) * (CHANNELS * SIDE * kernel) ** 2 / max(many - few, 1e-9)


def _chain(kernel: int, count: int) -> onnx.ModelProto:
    """Return `count` convolutions in a row, and a small one that stays in float at the end."""
    value, random = helper.make_tensor_value_info, np.random.default_rng(0)
    sizes = [(CHANNELS, CHANNELS, kernel, kernel)] * count + [(1, CHANNELS, 1, 1)]
    shape = [1, CHANNELS, SIDE, SIDE]
    nodes = []
    for i, size in enumerate(sizes):
        pads = [size[2] // 2] * 4
        nodes.append(helper.make_node('Conv', [f't{i}', f'w{i}'], [f'c{i}'], pads=pads))
        # Unsigned integers, of which kernels are fastest; ReLU comes for nothing.
        nodes.append(helper.make_node('Relu', [f'c{i}'], [f't{i + 1}']))
    graph = helper.make_graph(
        nodes,
        'chain',
        [value('t0', TensorProto.FLOAT, shape)],
        [value(f't{len(sizes)}', TensorProto.FLOAT, [1, 1, SIDE, SIDE])],
        [
            numpy_helper.from_array(
                random.normal(0, 1 / (kernel * CHANNELS**0.5), size).astype(np.float32), f'w{i}'
            )
            for i, size in enumerate(sizes)
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)
    name_nodes(model)
    return model


def _fastest(model: onnx.ModelProto, runs: int) -> float:
    """Return the shortest time of an INT8 inference on one thread, in seconds."""
    from kd_yolo_ros.backends.openvino import OpenVinoBackend

    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    picture = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    spec = InputSpec(SIDE, SIDE, 'float32', 'nchw')
    file = ModelFile('chain.xml', ('openvino',), 'int8', spec)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file.path
        OpenVinoQuantizer(model, [picture]).write(path, 'minmax')
        backend = OpenVinoBackend(path, file, 'int8', 1)
        times = []
        for _ in range(runs):
            started = perf_counter()
            backend.infer(picture)
            times.append(perf_counter() - started)
    return min(times)


if __name__ == '__main__':
    main()
