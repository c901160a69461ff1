# SPDX-License-Identifier: Apache-2.0
"""Looks at ONNX graphs: node names, and which nodes are the decode that stays in float."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

CONVOLUTIONS = frozenset({'Conv', 'ConvTranspose', 'ConvInteger', 'QLinearConv'})
MOVES = frozenset({'Identity', 'Reshape', 'Transpose'})
# SiLU stands as Sigmoid and Mul, both of which read the convolution; HardSwish likewise.
ACTIVATIONS = frozenset(
    {'Clip', 'HardSigmoid', 'HardSwish', 'LeakyRelu', 'Mul', 'Relu', 'Sigmoid', 'Swish'}
)
QUANTIZED = frozenset(
    {'QuantizeLinear', 'DequantizeLinear', 'DynamicQuantizeLinear', 'QLinearConv', 'ConvInteger'}
)


def name_nodes(model: onnx.ModelProto, scopes: Sequence[str] | None = None) -> None:
    """Give every node a name of its own, scope/operator; tensors between nodes get it too.

    Args:
        model: changed in place.
        scopes: for each node, the part of the network it belongs to; without, only nodes that
            have no name or share it are named.
    """
    graph = model.graph
    if scopes is None:
        _name_the_nameless(graph.node)
        return
    used: Counter[str] = Counter()
    renamed: dict[str, str] = {}
    fixed = {value.name for value in graph.output}
    for node, scope in zip(graph.node, scopes, strict=True):
        name = f'{scope}/{node.op_type}' if scope else node.op_type
        used[name] += 1
        node.name = name if used[name] == 1 else f'{name}_{used[name]}'
        for index, tensor in enumerate(node.output):
            if tensor not in fixed:
                renamed[tensor] = node.name if index == 0 else f'{node.name}:{index}'
                node.output[index] = renamed[tensor]
        for index, tensor in enumerate(node.input):
            node.input[index] = renamed.get(tensor, tensor)


def _name_the_nameless(nodes: Iterable[onnx.NodeProto]) -> None:
    taken: set[str] = set()
    for index, node in enumerate(nodes):
        if not node.name or node.name in taken:
            node.name = f'{node.op_type}_{index}'
            while node.name in taken:
                node.name += '_'
        taken.add(node.name)


def is_quantized(model: onnx.ModelProto) -> bool:
    """Tell whether the graph already holds 8-bit arithmetic."""
    return any(node.op_type in QUANTIZED for node in model.graph.node)


def head_convolutions(model: onnx.ModelProto) -> list[str]:
    """Return the names of the convolutions from which no other convolution is reached."""
    convolutions = _learned_convolutions(model)
    reaching = _before(model, convolutions)
    return [node.name for node in convolutions if node.name not in reaching]


def decode_nodes(model: onnx.ModelProto) -> set[str]:
    """Return the names of the nodes after the head convolutions, which stay in float.

    Boxes up to 640 and scores up to 1 cannot share an INT8 scale. Where the graph ends at the
    head convolutions, as ours do, the set is empty. All nodes must have names (`name_nodes`).
    """
    heads = set(head_convolutions(model))
    consumers = _consumers(model)
    found: set[str] = set()
    queue = [node for node in model.graph.node if node.name in heads]
    while queue:
        for tensor in queue.pop().output:
            for consumer in consumers[tensor]:
                if consumer.name not in found:
                    found.add(consumer.name)
                    queue.append(consumer)
    return found


def float_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that quantization leaves alone: head convolutions and decode.

    The head convolutions' outputs are boxes and scores already; 8-bit ones cost accuracy in every
    runtime, and as float they cost no measurable time.
    """
    return sorted({*head_convolutions(model), *decode_nodes(model)})


def layers(model: onnx.ModelProto, excluded: Collection[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return for each convolution's name those of the nodes that are left in float with it.

    They are the convolution and what only bends its output: SiLU as Sigmoid and Mul, ReLU, ….

    Args:
        model: all nodes named.
        excluded: names of nodes that are no part of the answer.
    """
    consumers = _consumers(model)
    return {
        node.name: (
            node.name,
            *dict.fromkeys(c.name for c in consumers[node.output[0]] if c.op_type in ACTIVATIONS),
        )
        for node in _learned_convolutions(model)
        if node.name not in excluded
    }


def feed_floats(model: onnx.ModelProto, names: Collection[str], original: onnx.ModelProto) -> None:
    """Give some nodes of a Q/DQ graph the float tensors again that they had before.

    Args:
        model: changed in place; quantizers that nobody reads any more go.
        names: of the nodes.
        original: the float graph, which has the weights that `model` holds as integers.
    """
    graph = model.graph
    givers = _producers(model)
    before = {node.name: node for node in original.graph.node}
    constants = {initializer.name: initializer for initializer in original.graph.initializer}
    for node in graph.node:
        if node.name not in names:
            continue
        for index, tensor in enumerate(node.input):
            giver = givers.get(tensor)
            if giver is None or giver.op_type != 'DequantizeLinear':
                continue
            source = givers.get(giver.input[0])
            if source is not None:
                node.input[index] = source.input[0]
                continue
            weight = before[node.name].input[index]
            node.input[index] = weight
            if weight not in {initializer.name for initializer in graph.initializer}:
                graph.initializer.append(constants[weight])
    for operator in ('DequantizeLinear', 'QuantizeLinear'):
        read = {tensor for node in graph.node for tensor in node.input}
        read.update(value.name for value in graph.output)
        for node in [n for n in graph.node if n.op_type == operator]:
            if node.output[0] not in read:
                graph.node.remove(node)


def _consumers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for tensor in node.input:
            consumers[tensor].append(node)
    return consumers


def _learned_convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return all convolutions but those that anchor-free decodes use as a weighted sum.

    Distribution focal loss (Li et al., 2020) reads a box side as the mean of a softmax, which
    exports write as a convolution right after it.
    """
    producers = _producers(model)

    def is_mean_of_softmax(node: onnx.NodeProto) -> bool:
        before = producers.get(node.input[0])
        while before is not None and before.op_type in MOVES:
            before = producers.get(before.input[0])
        return before is not None and before.op_type == 'Softmax'

    return [
        node
        for node in model.graph.node
        if node.op_type in CONVOLUTIONS and not is_mean_of_softmax(node)
    ]


def _before(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Return the names of the nodes from which one of `nodes` is reached."""
    producers = _producers(model)
    found: set[str] = set()
    queue = list(nodes)
    while queue:
        for tensor in queue.pop().input:
            producer = producers.get(tensor)
            if producer is not None and producer.name not in found:
                found.add(producer.name)
                queue.append(producer)
    return found


def _producers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {tensor: node for node in model.graph.node for tensor in node.output}


def opset(model: onnx.ModelProto) -> int:
    """Return the version of the standard operators that the graph uses."""
    return next(entry.version for entry in model.opset_import if entry.domain in ('', 'ai.onnx'))
