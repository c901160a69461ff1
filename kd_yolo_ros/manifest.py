# SPDX-License-Identifier: Apache-2.0
"""What an artifact's `artifact.yaml` says, as validated dataclasses.

Every missing, unknown or absurd field is refused with one sentence that names it.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Dict, List, Mapping, Optional, Tuple

from kd_yolo_ros.errors import UserError

MANIFEST = 'artifact.yaml'
SCHEMA = 2
READABLE_SCHEMAS = (1, 2)  # 2 only adds fields that have defaults

TASKS = ('detect', 'segment')
HEAD_LAYOUTS = ('anchor_grid', 'anchor_free', 'end_to_end', 'detections')
READY_LAYOUTS = ('end_to_end', 'detections')  # one box for each object: no suppression
PRECISIONS = ('fp32', 'bf16', 'fp16', 'int8')
MIN_SIDE, MAX_SIDE = 32, 8192
MAX_CLASSES = 10_000


@dataclass(frozen=True)
class InputSpec:
    """The tensor that a model file takes for one picture.

    Attributes:
        width, height: pixels of the letterboxed picture.
        dtype: 'uint8' or 'float32'.
        layout: 'nhwc' or 'nchw'.
        colour_order: 'bgr' or 'rgb'.
        scale: factor from 0..255 pixel values to the network's own.
    """

    width: int
    height: int
    dtype: str = 'uint8'
    layout: str = 'nhwc'
    colour_order: str = 'bgr'
    scale: float = 1.0

    def validate(self, where: str) -> None:
        """Raise UserError when a value makes no sense."""
        for name in ('width', 'height'):
            side = getattr(self, name)
            if not MIN_SIDE <= side <= MAX_SIDE:
                raise UserError(
                    f'{where}: {name} {side} is not in {MIN_SIDE}..{MAX_SIDE} pixels; '
                    f'import the model with another --imgsz.'
                )
        _one_of(self.dtype, ('uint8', 'float32'), f'{where}: dtype')
        _one_of(self.layout, ('nhwc', 'nchw'), f'{where}: layout')
        _one_of(self.colour_order, ('bgr', 'rgb'), f'{where}: colour_order')
        if not 0 < self.scale <= 1:
            raise UserError(f'{where}: scale {self.scale} is not in (0, 1]; make it 1/255 or 1.')


@dataclass(frozen=True)
class Head:
    """How the network's outputs are laid out.

    Attributes:
        layout: 'anchor_grid' (YOLOv5: three anchors a cell, with objectness), 'anchor_free',
            'end_to_end' (rows of box, score and class that need no suppression) or 'detections'
            (boxes, labels and scores as outputs of their own, likewise ready).
        strides: pixels of each level's cells, finest first; empty where the decode is inside
            every file.
        anchors: for each level, (width, height) in pixels of each anchor.
        mask_coefficients: numbers a detection carries for its mask; 0 for detection models.
        first_label: what ready detections give for the first class; labels below are background.
    """

    layout: str
    strides: Tuple[int, ...] = ()
    anchors: Tuple[Tuple[Tuple[float, float], ...], ...] = ()
    mask_coefficients: int = 0
    first_label: int = 0

    def validate(self, where: str) -> None:
        """Raise UserError when a value makes no sense."""
        _one_of(self.layout, HEAD_LAYOUTS, f'{where}: layout')
        if list(self.strides) != sorted(set(self.strides)) or any(s < 1 for s in self.strides):
            raise UserError(
                f'{where}: strides {list(self.strides)} must be positive and ascending; '
                f'import the model again.'
            )
        if self.layout == 'anchor_grid' and len(self.anchors) != len(self.strides):
            raise UserError(
                f'{where}: {len(self.anchors)} levels of anchors for {len(self.strides)} '
                f'strides; import the model again.'
            )
        if any(not 0 < v <= MAX_SIDE for level in self.anchors for a in level for v in a):
            raise UserError(
                f'{where}: an anchor is not between 0 and {MAX_SIDE} pixels; '
                f'import the model again.'
            )
        if not 0 <= self.mask_coefficients <= 1024:
            raise UserError(
                f'{where}: mask_coefficients {self.mask_coefficients} is not in 0..1024; '
                f'import the model again.'
            )
        if self.layout == 'detections' and self.mask_coefficients:
            raise UserError(
                f'{where}: mask_coefficients {self.mask_coefficients} do not fit the layout '
                f'detections, whose outputs hold none; import the model again.'
            )
        if not 0 <= self.first_label <= 1:
            raise UserError(
                f'{where}: first_label {self.first_label} is not 0 or 1; import the model again.'
            )


@dataclass(frozen=True)
class Thresholds:
    """What is kept of the network's candidates.

    Attributes:
        score: lowest score that is reported.
        iou: two boxes of a class that overlap by more than this are one object.
        max_detections: most objects of a picture.
        multi_label: every class above the threshold is a candidate, not only the best one.
        class_agnostic: boxes of different classes suppress each other too.
        class_ids: only these classes are reported; None for all.
    """

    score: float = 0.25
    iou: float = 0.45
    max_detections: int = 300
    multi_label: bool = False
    class_agnostic: bool = False
    class_ids: Optional[Tuple[int, ...]] = None

    def validate(self, where: str) -> None:
        """Raise UserError when a value makes no sense."""
        for name in ('score', 'iou'):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise UserError(f'{where}: {name} {value} is not in 0..1.')
        if not 1 <= self.max_detections <= 30_000:
            raise UserError(f'{where}: max_detections {self.max_detections} is not in 1..30000.')


# How AP is measured everywhere: every candidate counts, and the overlap is COCO practice.
AP_THRESHOLDS = Thresholds(score=0.001, iou=0.65, max_detections=300, multi_label=True)


@dataclass(frozen=True)
class ModelFile:
    """One model file of the artifact, for one precision.

    Attributes:
        path: file name inside the artifact's folder; the part that the runtime loads.
        runtimes: runtimes that load it.
        precision: 'fp32', 'bf16', 'fp16' or 'int8'.
        input: the tensor it takes.
        decode_inside: boxes come out decoded; otherwise the raw head convolutions do.
        output_layout: 'nchw' or 'nhwc', of the raw head convolutions and of mask prototypes.
        normalized_boxes: decoded boxes are shares of the input's sides instead of pixels.
        box_order: 'xyxy' or 'yxyx', of ready detections.
        outputs: places of the head's outputs among those of the graph, in the head's order and
            then that of the mask prototypes; empty where they come first and in that order.
        cpu_features: instruction sets without which it must not run; of 'a|b' one suffices.
        sha256: hash of every file it consists of, by file name.
        accuracy: measured AP, one entry for each data set and runtime.
    """

    path: str
    runtimes: Tuple[str, ...]
    precision: str
    input: InputSpec
    decode_inside: bool = False
    output_layout: str = 'nchw'
    normalized_boxes: bool = False
    box_order: str = 'xyxy'
    outputs: Tuple[int, ...] = ()
    cpu_features: Tuple[str, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict)
    accuracy: Tuple[Mapping[str, Any], ...] = ()

    def validate(self, where: str) -> None:
        """Raise UserError when a value makes no sense."""
        for name in (self.path, *self.sha256):
            pure = PurePosixPath(name)
            if not name or pure.is_absolute() or len(pure.parts) != 1 or pure.parts[0] == '..':
                raise UserError(
                    f"{where}: '{name}' is not a file name inside the artifact's folder; "
                    f'take an artifact whose files lie beside its {MANIFEST}.'
                )
        if self.sha256 and self.path not in self.sha256:
            raise UserError(f"{where}: '{self.path}' has no sha256; import the model again.")
        weights = str(PurePosixPath(self.path).with_suffix('.bin'))
        if self.path.endswith('.xml') and self.sha256 and weights not in self.sha256:
            raise UserError(f"{where}: '{weights}' has no sha256; import the model again.")
        _one_of(self.precision, PRECISIONS, f'{where}: precision')
        _one_of(self.output_layout, ('nchw', 'nhwc'), f'{where}: output_layout')
        _one_of(self.box_order, ('xyxy', 'yxyx'), f'{where}: box_order')
        if len(set(self.outputs)) != len(self.outputs) or any(i < 0 for i in self.outputs):
            raise UserError(
                f'{where}: outputs {list(self.outputs)} must be different places from 0 on; '
                f'import the model again.'
            )
        if not self.runtimes:
            raise UserError(f'{where}: no runtime is named; import the model again.')
        self.input.validate(f'{where}: input')


@dataclass(frozen=True)
class Manifest:
    """What `artifact.yaml` says.

    Attributes:
        name: short name for tables and logs.
        task: 'detect' or 'segment'.
        class_names: by class id.
        head: layout of the outputs.
        files: the model files, at least one.
        thresholds: defaults for operation.
        licence: licence of the weights.
        provenance: where the weights come from, free form.
    """

    name: str
    task: str
    class_names: Tuple[str, ...]
    head: Head
    files: Tuple[ModelFile, ...]
    thresholds: Thresholds = Thresholds()
    licence: str = 'unknown'
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def validate(self, where: str) -> None:
        """Raise UserError when a value makes no sense."""
        _one_of(self.task, TASKS, f'{where}: task')
        if not 1 <= len(self.class_names) <= MAX_CLASSES:
            raise UserError(
                f'{where}: {len(self.class_names)} class names; there must be 1 to {MAX_CLASSES}.'
            )
        if len(set(self.class_names)) != len(self.class_names):
            raise UserError(f'{where}: a class name stands there twice; give each its own.')
        if not self.files:
            raise UserError(f'{where}: no model file is listed; import the model again.')
        self.head.validate(f'{where}: head')
        self.thresholds.validate(f'{where}: thresholds')
        absent = [i for i in self.thresholds.class_ids or () if not 0 <= i < len(self.class_names)]
        if absent:
            raise UserError(
                f'{where}: thresholds: class_ids {absent} are not in '
                f'0..{len(self.class_names) - 1}, the classes of this model.'
            )
        for number, file in enumerate(self.files):
            file.validate(f'{where}: files[{number}]')
            if not file.decode_inside:
                self._validate_raw_output(file.input, f'{where}: files[{number}]')
        if (self.task == 'segment') != (self.head.mask_coefficients > 0):
            raise UserError(
                f"{where}: task '{self.task}' does not fit {self.head.mask_coefficients} mask "
                f'coefficients; import the model again.'
            )

    def _validate_raw_output(self, network: InputSpec, where: str) -> None:
        if self.head.layout != 'anchor_grid':
            raise UserError(
                f'{where}: decode_inside must be true, as a head in {self.head.layout} layout '
                f'is never raw; import the model again.'
            )
        if not self.head.strides:
            raise UserError(
                f'{where} gives raw head outputs, but head.strides is empty; '
                f'import the model again.'
            )
        coarsest = self.head.strides[-1]
        if network.width % coarsest or network.height % coarsest:
            raise UserError(
                f'{where}: input {network.height}x{network.width} is not a multiple of the '
                f'stride {coarsest}; import the model with another --imgsz.'
            )

    def to_dict(self) -> Dict[str, Any]:
        """Return plain containers, as they stand in the YAML file."""
        return {'schema': SCHEMA, **_plain(dataclasses.asdict(self))}

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Manifest:
        """Read and validate plain containers; `where` names their file in messages."""
        if not isinstance(data, dict):
            raise UserError(f'{where} is not an artifact manifest; give a folder made by kd-yolo.')
        data = dict(data)
        schema = data.pop('schema', None)
        if isinstance(schema, bool) or schema not in READABLE_SCHEMAS:
            known = ' and '.join(str(number) for number in READABLE_SCHEMAS)
            raise UserError(
                f'{where}: schema {schema!r} is not known here (this version reads {known}); '
                f'import the model again or update kd_yolo_ros.'
            )
        manifest = _read_dataclass(cls, data, where)
        manifest.validate(where)
        return manifest


def _one_of(value: Any, allowed: Tuple[str, ...], where: str) -> None:
    if value not in allowed:
        raise UserError(f'{where} {value!r} is not one of {", ".join(allowed)}.')


def _plain(value: Any) -> Any:
    """Turn tuples into lists and mappings into dicts, as YAML's safe types need."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


# What stands in the YAML for each field's type: a converter that raises on anything else.
def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError('a whole number')
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError('a number')
    if not abs(value) <= sys.float_info.max:  # infinite, undefined, or a giant whole number
        raise TypeError('a number')
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError('a text')
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError('true or false')
    return value


def _mapping(value: Any) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError('a mapping')
    return value


def _list(value: Any) -> List[Any]:
    if not isinstance(value, list):
        raise TypeError('a list')
    return value


_CONVERTERS = {
    'int': _integer,
    'float': _number,
    'str': _text,
    'bool': _truth,
    'Tuple[str, ...]': lambda v: tuple(_text(item) for item in _list(v)),
    'Tuple[int, ...]': lambda v: tuple(_integer(item) for item in _list(v)),
    'Optional[Tuple[int, ...]]': lambda v: (
        None if v is None else tuple(_integer(item) for item in _list(v))
    ),
    'Tuple[Tuple[Tuple[float, float], ...], ...]': lambda v: tuple(
        tuple(tuple(_number(side) for side in _pair(a)) for a in _list(level))
        for level in _list(v)
    ),
    'Mapping[str, str]': lambda v: {_text(k): _text(s) for k, s in _mapping(v).items()},
    'Mapping[str, Any]': _mapping,
    'Tuple[Mapping[str, Any], ...]': lambda v: tuple(_mapping(item) for item in _list(v)),
}


def _pair(value: Any) -> List[Any]:
    if len(_list(value)) != 2:
        raise TypeError('a list of two numbers')
    return value


def _read_dataclass(cls: Any, data: Any, where: str) -> Any:
    """Build a dataclass from a mapping; the fields' annotations say what is expected."""
    if not isinstance(data, dict):
        raise UserError(f'{where} is not a mapping of names to values; import the model again.')
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for name in data:
        if name not in fields:
            raise UserError(f"{where}: '{name}' is not a known field; import the model again.")
    values = {}
    for name, f in fields.items():
        if name not in data:
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
                raise UserError(f"{where}: '{name}' is missing; import the model again.")
            continue
        values[name] = _read_value(str(f.type), data[name], f'{where}: {name}')
    return cls(**values)


def _read_value(annotation: str, value: Any, where: str) -> Any:
    nested = {'Head': Head, 'Thresholds': Thresholds, 'InputSpec': InputSpec}
    if annotation in nested:
        return _read_dataclass(nested[annotation], value, where)
    if annotation == 'Tuple[ModelFile, ...]':
        if not isinstance(value, list):
            raise UserError(f'{where} is not a list of files; import the model again.')
        return tuple(
            _read_dataclass(ModelFile, item, f'{where}[{number}]')
            for number, item in enumerate(value)
        )
    try:
        return _CONVERTERS[annotation](value)
    except TypeError as error:
        raise UserError(f'{where}: {value!r} is not {error}; import the model again.') from None
