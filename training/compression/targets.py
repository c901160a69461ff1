# SPDX-License-Identifier: Apache-2.0
"""What is quantized for which runtime: its files, their order, what a CPU computes right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kd_yolo_ros.cpu import architecture, cpu_features
from kd_yolo_ros.errors import UserError

VNNI_NAMES = ('avx512_vnni', 'avx_vnni')
WITH_8_BIT_WEIGHTS = ('onnxruntime-vnni', 'onnxruntime-arm64')


@dataclass(frozen=True)
class Target:
    """What is made for a runtime.

    Attributes:
        runtime: that loads it.
        files: names of its files, the one that is loaded first.
        cpu_features: instruction sets without which it must not run.
    """

    runtime: str
    files: tuple[str, ...]
    cpu_features: tuple[str, ...] = ()


STATIC = {
    'onnxruntime-vnni': Target('onnxruntime', ('onnxruntime-vnni.onnx',), ('|'.join(VNNI_NAMES),)),
    'onnxruntime': Target('onnxruntime', ('onnxruntime-x64.onnx',), ('avx2',)),
    'onnxruntime-arm64': Target('onnxruntime', ('onnxruntime-arm64.onnx',), ('asimd',)),
    'openvino': Target('openvino', ('openvino.xml', 'openvino.bin')),
}
# TensorRT's engines are made, and judged, on the machines that run them.
TENSORRT = {'tensorrt': Target('tensorrt', ('tensorrt.onnx',))}
# Made of the artifact's float .tflite, not of its ONNX graph.
TFLITE = {'tflite': Target('tflite', ('int8.tflite',))}
DYNAMIC = {'onnxruntime': Target('onnxruntime', ('onnxruntime-dynamic.onnx',))}
TARGETS: Mapping[str, Mapping[str, Target]] = {
    'default': {**STATIC, **TENSORRT, **TFLITE},
    'accuracy-aware': STATIC,
    'dynamic': DYNAMIC,
}

# Of a manifest's files that fit a wish the first one is run: whatever the order in which they were
# made, they stand in this one.
ORDER = tuple(
    target.files[0]
    for targets in (STATIC, TENSORRT, TFLITE, DYNAMIC)
    for target in targets.values()
)

OVERFLOW = (
    'Without VNNI, as here, ONNX Runtime lets the products of 8-bit weights overflow, so AP would '
    'be wrong'
)


def find_target(method: str, runtime: str) -> Target:
    """Return what a method makes for a runtime.

    Raises:
        UserError: nothing.
    """
    known = TARGETS[method]
    if runtime not in known:
        raise UserError(f'The method {method} is not for {runtime}, only for {", ".join(known)}.')
    return known[runtime]


def overflows_here(runtime: str) -> bool:
    """Tell whether this machine computes a target's file wrongly."""
    no_vnni = architecture() == 'x64' and not cpu_features() & {*VNNI_NAMES}
    return no_vnni and runtime in WITH_8_BIT_WEIGHTS


def refuse_overflow(method: str, runtime: str) -> None:
    """Raise UserError where a method needs AP that cannot be measured here."""
    if method == 'accuracy-aware' and overflows_here(runtime):
        raise UserError(
            f'{OVERFLOW}; quantize for {runtime} on another machine, or by another method.'
        )
