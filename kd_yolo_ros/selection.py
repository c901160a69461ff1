# SPDX-License-Identifier: Apache-2.0
"""Which runtime, precision and file of an artifact to run on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List

from kd_yolo_ros.backends import backend_class, installed_runtimes
from kd_yolo_ros.cpu import architecture, cpu_features, has_fast_int8
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import PRECISIONS, Manifest, ModelFile

# Where several runtimes serve a model, the faster one on the CPUs measured comes first
# (docs/performance.md).
PREFERENCE = ('openvino', 'onnxruntime')


@dataclass(frozen=True)
class Selection:
    """What to run.

    Attributes:
        runtime: the backend's name.
        precision: what the runtime is to compute in.
        file: the model file.
    """

    runtime: str
    precision: str
    file: ModelFile


def select(manifest: Manifest, runtime: str = 'auto', precision: str = 'auto') -> Selection:
    """Choose what to run; 'auto' is the fastest INT8 that the machine runs well, else FP32.

    Raises:
        UserError: the artifact has nothing for that wish, or the machine cannot run it.
    """
    if precision != 'auto' and precision not in PRECISIONS:
        raise UserError(
            f"There is no precision '{precision}'; known are auto, {', '.join(PRECISIONS)}."
        )
    if runtime == 'auto':
        runtimes = _by_preference(installed_runtimes())
        if not runtimes:
            raise UserError('No runtime is installed; pip install onnxruntime or openvino.')
    else:
        backend_class(runtime)
        runtimes = [runtime]
    if precision == 'auto':
        wishes = [(name, 'int8') for name in runtimes if _runs_int8_well(name)]
        wishes += [(name, other) for other in ('fp32', 'fp16', 'int8') for name in runtimes]
    else:
        wishes = [(name, precision) for name in runtimes]
    missing_features = set()
    for name, wish in wishes:
        for file in manifest.files:
            if name not in file.runtimes or not _serves(file, wish, name):
                continue
            lacking = set(file.cpu_features) - cpu_features()
            if not lacking:
                return Selection(name, wish, file)
            missing_features |= lacking
    if missing_features:
        ways = ['quantize for this machine']
        if any(file.precision == 'fp32' for file in manifest.files):
            ways.insert(0, 'choose --precision fp32')
        others = {name for file in manifest.files for name in file.runtimes} - set(runtimes)
        if others:
            ways.insert(0, f'take the runtime {", ".join(sorted(others))}')
        raise UserError(
            f'{manifest.name}: this CPU lacks {", ".join(sorted(missing_features))}, which the '
            f'file needs; {" or ".join(ways)}.'
        )
    offered = sorted({f'{name} {f.precision}' for f in manifest.files for name in f.runtimes})
    raise UserError(
        f'{manifest.name} has nothing for runtime {runtime} in precision {precision} here; '
        f'it offers {", ".join(offered)}.'
    )


def _runs_int8_well(runtime: str) -> bool:
    # ONNX Runtime on x86-64 gains nothing from INT8 in a model with SiLU, VNNI or not
    # (docs/performance.md).
    return has_fast_int8() and (runtime, architecture()) != ('onnxruntime', 'x64')


def _serves(file: ModelFile, precision: str, runtime: str) -> bool:
    # OpenVINO computes an FP32 file in bf16 when told to.
    return file.precision == precision or (
        precision == 'bf16' and file.precision == 'fp32' and runtime == 'openvino'
    )


def _by_preference(runtimes: List[str]) -> List[str]:
    known = [name for name in PREFERENCE if name in runtimes]
    return known + [name for name in runtimes if name not in PREFERENCE]
