# SPDX-License-Identifier: Apache-2.0
"""Which runtime, precision and file of an artifact to run on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List

from kd_yolo_ros.backends import backend_class, installed_runtimes
from kd_yolo_ros.cpu import cpu_features, has_fast_int8
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
        wanted = ['int8', 'fp32'] if has_fast_int8() else ['fp32', 'int8']
        wanted.append('fp16')
    else:
        wanted = [precision]
    missing_features = set()
    for wish in wanted:
        for name in runtimes:
            for file in manifest.files:
                if name not in file.runtimes or not _serves(file, wish, name):
                    continue
                lacking = set(file.cpu_features) - cpu_features()
                if lacking:
                    missing_features |= lacking
                    continue
                return Selection(name, wish, file)
    if missing_features:
        raise UserError(
            f'{manifest.name}: this CPU lacks {", ".join(sorted(missing_features))}, which the '
            f'file needs; choose --precision fp32 or quantize for this machine.'
        )
    offered = sorted({f'{name} {f.precision}' for f in manifest.files for name in f.runtimes})
    raise UserError(
        f'{manifest.name} has nothing for runtime {runtime} in precision {precision} here; '
        f'it offers {", ".join(offered)}.'
    )


def _serves(file: ModelFile, precision: str, runtime: str) -> bool:
    # OpenVINO computes an FP32 file in bf16 when told to.
    return file.precision == precision or (
        precision == 'bf16' and file.precision == 'fp32' and runtime == 'openvino'
    )


def _by_preference(runtimes: List[str]) -> List[str]:
    known = [name for name in PREFERENCE if name in runtimes]
    return known + [name for name in runtimes if name not in PREFERENCE]
