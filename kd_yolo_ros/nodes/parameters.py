# SPDX-License-Identifier: Apache-2.0
"""The inference nodes' parameters: declared once, with descriptions, ranges and checks."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence, Tuple

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import PRECISIONS, Thresholds

Type = Parameter.Type

# Read when the node is configured.
MODEL_PARAMETERS = (
    'artifact',
    'runtime',
    'provider',
    'precision',
    'threads',
    'image_transport',
    'class_id',
)
# May change at any time.
THRESHOLD_PARAMETERS = (
    'score_threshold',
    'iou_threshold',
    'max_detections',
    'class_agnostic',
    'multi_label',
    'classes',
)

CHOICES = {
    'precision': ('auto', *PRECISIONS),
    'image_transport': ('raw', 'compressed'),
    'class_id': ('name', 'index'),
}


def declare(node: Node) -> None:
    """Declare all parameters; an override of a wrong type or range raises rclpy's exception."""
    unit = FloatingPointRange(from_value=0.0, to_value=1.0)
    rows: Sequence[Tuple[str, Any, str, Any]] = (
        (
            'artifact',
            '',
            'Model: an artifact or plain export; empty for the bundled detector',
            None,
        ),
        ('runtime', 'auto', 'Runtime that runs it: auto, onnxruntime, openvino, …', None),
        ('provider', '', 'What of the runtime executes: cpu, cuda, …; empty for its CPU', None),
        ('precision', 'auto', 'auto, fp32, bf16, fp16 or int8', None),
        ('threads', 0, 'Threads of one inference; 0 for the runtime choice', (0, 1024)),
        ('image_transport', 'raw', 'raw: topic image; compressed: topic image/compressed', None),
        ('class_id', 'name', 'What stands as class_id: name or index', None),
        ('autostart', True, 'Configure and activate at start, without a lifecycle manager', None),
        ('max_age', 0.0, 'Skip pictures whose stamp is older, in seconds; 0 for never', None),
        ('class_agnostic', False, 'Boxes of different classes suppress each other too', None),
        ('multi_label', False, 'Every class above the threshold counts, as for AP', None),
        ('classes', [''], 'Only these class names are reported; empty for all', None),
    )
    for name, default, description, limits in rows:
        descriptor = ParameterDescriptor(description=description)
        if limits:
            descriptor.integer_range = [IntegerRange(from_value=limits[0], to_value=limits[1])]
        if name == 'max_age':
            descriptor.floating_point_range = [FloatingPointRange(from_value=0.0, to_value=3600.0)]
        if name in CHOICES:
            descriptor.additional_constraints = 'one of ' + ', '.join(CHOICES[name])
        if name == 'autostart':
            descriptor.read_only = True
        node.declare_parameter(name, default, descriptor)
    # Unset until the artifact's own values are known.
    for name, kind, description, limits in (
        ('score_threshold', Type.DOUBLE, "Lowest score; the artifact's own if unset", unit),
        (
            'iou_threshold',
            Type.DOUBLE,
            "Overlap for one object; the artifact's own if unset",
            unit,
        ),
        ('max_detections', Type.INTEGER, "Most objects; the artifact's own if unset", None),
    ):
        descriptor = ParameterDescriptor(description=description, dynamic_typing=True)
        if kind == Type.DOUBLE:
            descriptor.floating_point_range = [limits]
        else:
            descriptor.integer_range = [IntegerRange(from_value=1, to_value=30_000)]
        node.declare_parameter(name, None, descriptor)
        problem = check(node.get_parameter(name), None)
        if problem:
            raise UserError(problem)
    for name in CHOICES:
        problem = check(node.get_parameter(name), None)
        if problem:
            raise UserError(problem)


def check(parameter: Parameter, class_names: Optional[Sequence[str]]) -> str:
    """Return what is wrong with a new value in one sentence, or an empty text.

    Args:
        parameter: the new value.
        class_names: of the loaded model, None before there is one.
    """
    name, value, kind = parameter.name, parameter.value, parameter.type_
    if name in CHOICES and value not in CHOICES[name]:
        return f"{name} is '{value}'; it must be one of {', '.join(CHOICES[name])}."
    if name in ('score_threshold', 'iou_threshold') and kind != Type.NOT_SET:
        is_number = kind in (Type.DOUBLE, Type.INTEGER)
        return '' if is_number and 0 <= value <= 1 else f'{name} is {value!r}; it must be in 0..1.'
    if name == 'max_detections' and kind != Type.NOT_SET:
        fits = kind == Type.INTEGER and 1 <= value <= 30_000
        return '' if fits else f'{name} is {value!r}; it must be a whole number in 1..30000.'
    if name == 'classes' and class_names is not None:
        unknown = [item for item in value if item and item not in class_names]
        if unknown:
            return (
                f'classes names {", ".join(unknown)}, which the model does not have; '
                f'it has {", ".join(class_names)}.'
            )
    return ''


def thresholds(
    values: Dict[str, Any], class_names: Sequence[str], default: Thresholds
) -> Thresholds:
    """Return the thresholds that parameter values amount to; unset ones are the default's."""

    def value_or(name: str, otherwise: Any) -> Any:
        value = values.get(name)
        return otherwise if value is None else value

    wanted = [name for name in values.get('classes') or () if name]
    return Thresholds(
        score=float(value_or('score_threshold', default.score)),
        iou=float(value_or('iou_threshold', default.iou)),
        max_detections=int(value_or('max_detections', default.max_detections)),
        multi_label=bool(value_or('multi_label', default.multi_label)),
        class_agnostic=bool(value_or('class_agnostic', default.class_agnostic)),
        class_ids=tuple(list(class_names).index(name) for name in wanted) if wanted else None,
    )
