# SPDX-License-Identifier: Apache-2.0
"""What an ONNX file says of its graph, read without the onnx package, which robots do not have.

The format is Protocol Buffers; the numbers of its fields are those of onnx.proto.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Iterator, List, NamedTuple, Sequence, Set, Tuple

from kd_yolo_ros.errors import UserError

GRAPH = 7  # of a model
NODE, OUTPUT = 1, 12  # of a graph
OP_TYPE = 4  # of a node
NAME = 1  # of an output

MAX_VARINT_BYTES = 10


class OnnxFile(NamedTuple):
    """The names that stand in a graph.

    Attributes:
        outputs: of the graph, in its order.
        operators: kinds of its nodes, such as 'Conv'; not of those inside of other nodes.
    """

    outputs: Sequence[str]
    operators: Set[str]


def read_onnx_file(path: Path) -> OnnxFile:
    """Read the names of a graph; weights are skipped.

    Raises:
        UserError: no ONNX file.
    """
    outputs: List[str] = []
    operators: Set[str] = set()
    try:
        with open(path, 'rb') as file, mmap.mmap(
            file.fileno(), 0, access=mmap.ACCESS_READ
        ) as content:
            for graph in _fields(content, (0, len(content)), GRAPH):
                for value in _fields(content, graph, OUTPUT):
                    outputs += [_text(content, name) for name in _fields(content, value, NAME)]
                for node in _fields(content, graph, NODE):
                    operators.update(
                        _text(content, kind) for kind in _fields(content, node, OP_TYPE)
                    )
    except (OSError, ValueError, IndexError):
        raise UserError(f'{path} is no ONNX file; export the model again.') from None
    return OnnxFile(outputs, operators)


def _fields(content: mmap.mmap, where: Tuple[int, int], wanted: int) -> Iterator[Tuple[int, int]]:
    """Yield where the fields of that number lie in a message; they hold messages or texts."""
    position, end = where
    while position < end:
        key, position = _varint(content, position)
        kind = key & 7
        if kind == 0:
            _, position = _varint(content, position)
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        elif kind == 2:
            length, position = _varint(content, position)
            if key >> 3 == wanted:
                yield position, position + length
            position += length
        else:
            raise ValueError('a field of no known kind')
    if position != end:
        raise ValueError('a field that is longer than what it is in')


def _varint(content: mmap.mmap, position: int) -> Tuple[int, int]:
    """Return a whole number of 7 bits a byte, the lowest first, and where it ends."""
    value = 0
    for step in range(MAX_VARINT_BYTES):
        byte = content[position + step]
        value |= (byte & 127) << 7 * step
        if byte < 128:
            return value, position + step + 1
    raise ValueError('a number without end')


def _text(content: mmap.mmap, where: Tuple[int, int]) -> str:
    return content[slice(*where)].decode('utf-8')
