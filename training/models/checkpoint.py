# SPDX-License-Identifier: Apache-2.0
"""Reads public YOLOv5 checkpoints (.pt), also of segmentation: weights, names, anchors, size.

Nothing in the file is executed; what is no YOLOv5 of the v6.0 layout is refused in a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kd_yolo_ros.errors import UserError

from .inert_pickle import InertObject, load_inert
from .layout import SIZES, STRIDES
from .yolov5 import YOLOv5

HEAD = 'model.24'
ANCHORS_PER_CELL = 3

# The largest published network has 500 modules. A hostile file can nest one module in itself.
MAX_MODULES = 20_000
MAX_DEPTH = 32


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        state: the network's tensors by name, floating point as float32.
        names: class names by class id; empty where the file has none.
        anchors: (3, 3, 2) float32, pixels.
        strides: pixels of a cell for each level.
        size: n, s, m, l or x.
        epoch: the epoch it was saved after; None when training had ended.
        ema: whether these are the averaged weights, which are preferred where both are there.
        imgsz: (height, width) that it was trained with; None where the file does not tell.
        training: what the file tells of its training; empty for public checkpoints.
    """

    state: dict[str, Tensor]
    names: tuple[str, ...]
    anchors: Tensor
    strides: tuple[int, ...]
    size: str
    epoch: int | None
    ema: bool
    imgsz: tuple[int, int] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return _classes(self.state)

    @property
    def masks(self) -> int:
        """Coefficients of a mask; 0 where it finds boxes alone."""
        return _masks(self.state)

    @property
    def task(self) -> str:
        """'detect' or 'segment'."""
        return 'segment' if self.masks else 'detect'

    def build(self) -> YOLOv5:
        """Return the network with these weights, in eval mode."""
        model = YOLOv5(self.size, self.classes, masks=self.masks)
        model.load_state_dict(self.state)
        return model.eval()


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a YOLOv5 checkpoint, or a plain state dict with its tensor names.

    Raises:
        UserError: the file is missing, damaged, hostile, or another kind of model.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f'{path} is not a file; give a YOLOv5 checkpoint (.pt).')
    content = load_inert(path)
    model, is_ema = _weights_of(content, path)
    tensors = dict(_tensors(model, path))
    tensors.pop(f'{HEAD}.anchor_grid', None)  # derived from the anchors in some versions
    size, state = checked_state(tensors, path)
    _check_strides(model, path)
    epoch = content.get('epoch')
    return Checkpoint(
        state=state,
        names=_names(model, content, _classes(state), path),
        anchors=anchors_px(state),
        strides=STRIDES,
        size=size,
        epoch=epoch if type(epoch) is int and epoch >= 0 else None,
        ema=is_ema,
    )


def checked_state(tensors: Mapping[str, Tensor], path: Path) -> tuple[str, dict[str, Tensor]]:
    """Return the size of the YOLOv5 that these tensors are, and its state, floats as float32.

    Raises:
        UserError: they are another network, or not finite; `path` names them.
    """
    size = _size_of(tensors, path)
    state = {
        name: tensor.float().contiguous() if tensor.is_floating_point() else tensor.contiguous()
        for name, tensor in tensors.items()
    }
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise UserError(f'{path} holds weights that are not finite numbers; take an earlier one.')
    return size, state


def anchors_px(state: Mapping[str, Tensor]) -> Tensor:
    """Return the anchors of a state in pixels, (levels, anchors, 2)."""
    return state[f'{HEAD}.anchors'] * torch.tensor(STRIDES).view(-1, 1, 1)


def _weights_of(content: Any, path: Path) -> tuple[Any, bool]:
    """Return the module or state dict to take, and whether it is the averaged one."""
    if not isinstance(content, dict):
        raise UserError(f'{path} holds no YOLOv5 weights but a {type(content).__name__}.')
    for key in ('ema', 'model', 'state_dict'):
        if isinstance(content.get(key), (InertObject, dict)):
            return content[key], key == 'ema'
    return content, False


def _tensors(model: Any, path: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield name and tensor of a state dict or of a module tree, as torch would name them."""
    if isinstance(model, dict):
        for name, tensor in model.items():
            if not isinstance(name, str) or not isinstance(tensor, Tensor):
                raise UserError(f'{path} holds no YOLOv5 weights (at {str(name)[:60]!r}).')
            yield name, tensor
        return
    stack = [('', model)]
    seen = 0
    while stack:
        prefix, module = stack.pop()
        state = _attributes(module)
        for name, tensor in (*_items(state, '_parameters'), *_items(state, '_buffers')):
            if isinstance(tensor, Tensor):
                yield f'{prefix}{name}', tensor
        children = [(f'{prefix}{name}.', child) for name, child in _items(state, '_modules')]
        stack += children
        seen += len(children)
        if seen > MAX_MODULES or prefix.count('.') > MAX_DEPTH:
            raise UserError(f'{path} nests more modules than any YOLOv5 has.')


def _attributes(module: Any) -> Mapping[str, Any]:
    state = module.state if isinstance(module, InertObject) else None
    return state if isinstance(state, dict) else {}


def _items(state: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    members = state.get(key)
    return list(members.items()) if isinstance(members, dict) else []


def _size_of(tensors: Mapping[str, Tensor], path: Path) -> str:
    """Return the size whose tensors have exactly these names and shapes."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    bias = shapes.get(f'{HEAD}.m.0.bias', ())
    if len(bias) == 1 and bias[0] % ANCHORS_PER_CELL == 0 and _classes(tensors) > 0:
        for size in SIZES:
            with torch.device('meta'):
                network = YOLOv5(size, _classes(tensors), masks=_masks(tensors))
            expected = network.state_dict()
            if shapes == {name: tuple(tensor.shape) for name, tensor in expected.items()}:
                return size
    raise UserError(f'{path} {_what_it_is(shapes)}')


def _classes(tensors: Mapping[str, Tensor]) -> int:
    return tensors[f'{HEAD}.m.0.bias'].shape[0] // ANCHORS_PER_CELL - 5 - _masks(tensors)


def _masks(tensors: Mapping[str, Tensor]) -> int:
    last = tensors.get(f'{HEAD}.proto.cv3.conv.weight')
    return len(last) if last is not None and last.dim() else 0


def _what_it_is(shapes: Mapping[str, tuple]) -> str:
    """Say which known relative of YOLOv5 v6.0 these tensors belong to."""
    export = 'export it to ONNX with the tool that made it and import that.'
    if not any(name.startswith('model.0.') for name in shapes):
        first = next(iter(shapes), 'no tensor at all')
        return f"is not a YOLOv5 checkpoint: its tensors start with '{first[:60]}'."
    if any('.dfl.' in name or '.one2one_' in name for name in shapes):
        return f'is a newer, anchor-free model, which is not read from .pt; {export}'
    if 'model.0.conv.conv.weight' in shapes:
        return f'has the layout from before YOLOv5 v6.0; {export}'
    if 'model.33.m.0.weight' in shapes:
        return f'is a YOLOv5 of four levels (P6), which is not read from .pt; {export}'
    return f'is not one of the YOLOv5 sizes n, s, m, l, x; {export}'


def _check_strides(model: Any, path: Path) -> None:
    stride = _attributes(model).get('stride')
    if isinstance(stride, Tensor) and stride.tolist() != list(STRIDES):
        raise UserError(f'{path} has strides {stride.tolist()}, not {list(STRIDES)}.')


def _names(model: Any, content: Mapping[str, Any], classes: int, path: Path) -> tuple[str, ...]:
    names = _attributes(model).get('names', content.get('names'))
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise UserError(f'{path}: its class names are not numbered from 0 on.')
        names = [names[i] for i in range(len(names))]
    if names is None:
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f'{path}: its class names are not a list of texts.')
    if len(names) != classes:
        raise UserError(f'{path} has {len(names)} class names for {classes} classes.')
    return tuple(names)
