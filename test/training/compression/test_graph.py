# SPDX-License-Identifier: Apache-2.0
"""Which nodes are the decode, in graphs of ours, of other tools, and of anchor-free heads."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper
from random_yolov5 import random_yolov5

from kd_yolo_training.compression.export import export_onnx
from kd_yolo_training.compression.graph import (
    CONVOLUTIONS,
    decode_nodes,
    head_convolutions,
    is_quantized,
    layers,
    name_nodes,
)


def graph_of(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        'g',
        [value('images', TensorProto.FLOAT, [1, 3, 8, 8])],
        [value(nodes[-1].output[0], TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph)
    name_nodes(model)
    return model


def node(operator: str, inputs: str, output: str) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), [output])


def test_our_graphs_have_no_decode(tmp_path):
    export_onnx(random_yolov5(), tmp_path / 'model.onnx', 64, 64)
    model = onnx.load(tmp_path / 'model.onnx')
    heads = ['model.24.m.0/Conv', 'model.24.m.1/Conv', 'model.24.m.2/Conv']
    assert head_convolutions(model) == heads
    assert decode_nodes(model) == set()


def test_a_layer_is_a_convolution_and_what_bends_its_output():
    model = graph_of(
        node('Conv', 'images w', 'a'),
        node('Sigmoid', 'a', 'gate'),
        node('Mul', 'a gate', 'b'),
        node('Conv', 'b w', 'c'),
        node('Relu', 'c', 'd'),
        node('MaxPool', 'd', 'e'),
        node('Conv', 'e w', 'head'),
    )
    names = [part.name for part in model.graph.node]
    assert layers(model, excluded=[names[6]]) == {
        names[0]: tuple(names[:3]),
        names[3]: tuple(names[3:5]),
    }


def test_a_real_export_with_the_decode_inside(data_dir):
    model = onnx.load(data_dir / 'weights' / 'yolov5n-seg.onnx')
    for part in model.graph.node[::2]:
        part.name = ''
    name_nodes(model)
    nodes = {part.name: part for part in model.graph.node}
    assert len(nodes) == len(model.graph.node)
    heads = head_convolutions(model)
    assert len(heads) == 4, 'three levels and the mask prototypes'
    decode = decode_nodes(model)
    assert not {nodes[name].op_type for name in decode} & CONVOLUTIONS
    assert {'Reshape', 'Transpose', 'Sigmoid', 'Concat'} <= {nodes[n].op_type for n in decode}
    outputs = {value.name for value in model.graph.output}
    assert all(nodes[n].output[0] in outputs or n in decode for n in nodes if _is_last(nodes, n))


def _is_last(nodes: dict, name: str) -> bool:
    used = {tensor for part in nodes.values() for tensor in part.input}
    return not set(nodes[name].output) & used and nodes[name].op_type not in CONVOLUTIONS


def test_the_mean_of_a_softmax_is_decode():
    model = graph_of(
        node('Conv', 'images w0', 'stem'),
        node('Conv', 'stem w1', 'box'),
        node('Conv', 'stem w2', 'class'),
        node('Softmax', 'box', 'softmax'),
        node('Transpose', 'softmax', 'turned'),
        node('Conv', 'turned dfl', 'sides'),
        node('Sigmoid', 'class', 'scores'),
        node('Concat', 'sides scores', 'output'),
    )
    assert head_convolutions(model) == ['Conv_1', 'Conv_2']
    assert decode_nodes(model) == {
        *('Softmax_3', 'Transpose_4', 'Conv_5', 'Sigmoid_6', 'Concat_7')
    }


def test_names_that_are_shared_or_missing():
    model = graph_of(node('Relu', 'images', 'a'), node('Relu', 'a', 'b'), node('Relu', 'b', 'c'))
    parts = model.graph.node
    parts[0].name, parts[1].name, parts[2].name = 'same', 'same', ''
    name_nodes(model)
    assert [part.name for part in parts] == ['same', 'Relu_1', 'Relu_2']


def test_quantized_graphs_are_recognised():
    assert not is_quantized(graph_of(node('Relu', 'images', 'a')))
    assert is_quantized(graph_of(node('QuantizeLinear', 'images scale', 'a')))
