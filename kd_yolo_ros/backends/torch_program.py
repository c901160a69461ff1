# SPDX-License-Identifier: Apache-2.0
"""Reads an exported PyTorch program (.pt2) as data: nothing that stands in it is executed.

PyTorch's own loader, torch.export.load, unpickles parts of the archive, evaluates expressions and
compiles guards out of it. Here only JSON and raw numbers are read, and the graph may call nothing
but `OPERATORS`; so the file may come from anywhere.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from kd_yolo_ros.errors import UserError

# All that a YOLOv5 consists of, by operator and overload in the namespace aten.
OPERATORS = frozenset(
    {
        'add.Tensor',
        'cat.default',
        'conv2d.default',
        'max_pool2d.default',
        'permute.default',
        'silu.default',
        'silu_.default',
        'to.dtype',
        'upsample_nearest2d.vec',
    }
)
NAMESPACE = 'torch.ops.aten.'

# Numbers of the types in PyTorch's export schema.
BYTE, FLOAT = 1, 7
SCHEMA_MAJOR = 8

PLAIN = ('as_int', 'as_ints', 'as_float', 'as_floats', 'as_bool')


class Reference(NamedTuple):
    """An argument that is the result of an earlier step, an input or a weight, by its name."""

    name: str


class FloatType(NamedTuple):
    """An argument that stands for the type in which the program computes."""


@dataclass(frozen=True)
class Step:
    """One call.

    Attributes:
        operator: one of `OPERATORS`.
        arguments: positional; numbers, `Reference`, `FloatType`, or lists of references.
        keywords: the same, by name.
        result: name of what it gives.
        done: names that nothing needs after it.
    """

    operator: str
    arguments: Tuple[Any, ...]
    keywords: Mapping[str, Any]
    result: str
    done: Tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """An exported program.

    Attributes:
        steps: in order.
        weights: float32 tensors by name.
        input: name of the only input.
        outputs: names.
    """

    steps: Tuple[Step, ...]
    weights: Mapping[str, Any]
    input: str
    outputs: Tuple[str, ...]


def read_program(path: Path) -> Program:
    """Read a program that `kd-yolo export --runtime torch` wrote; imports torch.

    Raises:
        UserError: no such file, or it needs more than is known here; the sentence says what.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(_Archive(archive))
    except _Strange as error:
        raise UserError(f'{path} is no program that is run here: {error}.') from None
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError,
            RecursionError, zipfile.BadZipFile) as error:  # fmt: skip
        raise UserError(
            f'{path} is no exported program ({type(error).__name__}); export the model again.'
        ) from None


class _Strange(Exception):
    """What a program has that is not known here."""


class _Archive:
    """The parts of a .pt2, whose names all begin with the folder that was archived."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._parts = {}
        for part in archive.infolist():
            if part.compress_type != zipfile.ZIP_STORED:  # could unfold to any size
                raise _Strange(f'its part {part.filename} is compressed')
            self._parts[part.filename.partition('/')[2]] = part

    def read(self, name: str) -> bytes:
        return self._archive.read(self._parts[name])

    def json(self, name: str) -> Any:
        return json.loads(self.read(name))


def _read(archive: _Archive) -> Program:
    model = archive.json('models/model.json')
    if model['schema_version']['major'] != SCHEMA_MAJOR:
        raise _Strange(f'its schema is {model["schema_version"]}, not {SCHEMA_MAJOR}')
    if archive.json('data/constants/model_constants_config.json')['config']:
        raise _Strange('it holds constants')
    graph = model['graph_module']['graph']
    stored = _read_weights(archive)
    weights, inputs = {}, []
    for spec in model['graph_module']['signature']['input_specs']:
        ((kind, content),) = spec.items()
        if kind == 'user_input':
            inputs.append(content['arg']['as_tensor']['name'])
        elif kind in ('parameter', 'buffer'):
            weights[content['arg']['name']] = stored[content[f'{kind}_name']]
        else:
            raise _Strange(f'it takes a {kind}')
    if len(inputs) != 1:
        raise _Strange(f'it takes {len(inputs)} inputs, and a detector takes one picture')
    outputs = tuple(output['as_tensor']['name'] for output in graph['outputs'])
    return Program(
        steps=_steps(graph['nodes'], {inputs[0], *weights}, outputs),
        weights=weights,
        input=inputs[0],
        outputs=outputs,
    )


def _read_weights(archive: _Archive) -> Dict[str, Any]:
    import torch

    weights = {}
    for name, entry in archive.json('data/weights/model_weights_config.json')['config'].items():
        meta = entry['tensor_meta']
        if entry['use_pickle'] or meta['dtype'] != FLOAT:
            raise _Strange(f'its weight {name} is no plain array of float32')
        values = bytearray(archive.read(f'data/weights/{entry["path_name"]}'))
        weights[name] = torch.frombuffer(values, dtype=torch.float32).as_strided(
            _lengths(meta['sizes']),
            _lengths(meta['strides']),
            _lengths([meta['storage_offset']])[0],
        )
    return weights


def _steps(
    nodes: Sequence[Mapping[str, Any]], known: set, outputs: Tuple[str, ...]
) -> Tuple[Step, ...]:
    """Return the steps; every name they use must be given by an earlier one, or be `known`."""
    calls = []
    for node in nodes:
        operator = node['target'].replace(NAMESPACE, '', 1)
        if not node['target'].startswith(NAMESPACE) or operator not in OPERATORS:
            raise _Strange(f'it calls {node["target"]}')
        arguments: List[Any] = []
        keywords: Dict[str, Any] = {}
        for item in node['inputs']:
            value = _argument(item['arg'])
            missing = [r.name for r in _references([value]) if r.name not in known]
            if missing:
                raise _Strange(f'it uses {missing[0]} before it is there')
            if item['kind'] == 1:
                arguments.append(value)
            else:
                keywords[item['name']] = value
        (result,) = (output['as_tensor']['name'] for output in node['outputs'])
        known = {*known, result}
        calls.append((operator, tuple(arguments), keywords, result))
    if not known.issuperset(outputs):
        raise _Strange('it does not compute its outputs')
    # Backwards: a tensor is done with after the last step that uses it.
    steps: List[Step] = []
    needed = set(outputs)
    for operator, positional, named, result in reversed(calls):
        used = {r.name for r in _references([*positional, *named.values()])}
        done = tuple(sorted((used | {result}) - needed))
        needed |= used
        steps.append(Step(operator, positional, named, result, done))
    return tuple(reversed(steps))


def _argument(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == 'as_tensor':
        return Reference(content['name'])
    if kind == 'as_tensors':
        return [Reference(tensor['name']) for tensor in content]
    if kind == 'as_none':
        return None
    if kind == 'as_scalar_type' and content == FLOAT:
        return FloatType()
    if kind in PLAIN:
        return content
    raise _Strange(f'it passes {kind} {content}')


def _references(values: Sequence[Any]) -> List[Reference]:
    found: List[Reference] = []
    for value in values:
        if isinstance(value, Reference):
            found.append(value)
        elif isinstance(value, list):
            found += [item for item in value if isinstance(item, Reference)]
    return found


def _lengths(values: Sequence[Mapping[str, int]]) -> Tuple[int, ...]:
    return tuple(int(value['as_int']) for value in values)
