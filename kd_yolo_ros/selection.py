# SPDX-License-Identifier: Apache-2.0
"""Which runtime, precision and file of an artifact to run on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Set

from kd_yolo_ros.backends import backend_class, how_to_install, installed_runtimes
from kd_yolo_ros.cpu import architecture, cpu_features, has_fast_int8
from kd_yolo_ros.errors import UnsupportedError, UserError
from kd_yolo_ros.manifest import PRECISIONS, Manifest, ModelFile

# Where several runtimes serve a model, the faster one on the machines measured comes first
# (docs/performance.md). TensorRT is only installed where there is a GPU for it, and TFLite's
# kernels are made for ARM.
PREFERENCE = ('tensorrt', 'openvino', 'onnxruntime', 'tflite', 'torch', 'opencv')
PREFERENCE_ON_ARM = ('tensorrt', 'tflite', 'openvino', 'onnxruntime', 'torch', 'opencv')


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


def select(
    manifest: Manifest,
    runtime: str = 'auto',
    precision: str = 'auto',
    provider: Optional[str] = None,
) -> Selection:
    """Choose what to run; 'auto' is the fastest INT8 that the machine runs well, else FP32.

    Args:
        manifest: of the model.
        runtime: a backend's name, or 'auto'.
        precision: one of `PRECISIONS`, or 'auto'.
        provider: what of the runtime is to execute, see `Backend`; None for its CPU.

    Raises:
        UserError: the artifact has nothing for that wish, or the machine cannot run it.
    """
    if precision != 'auto' and precision not in PRECISIONS:
        raise UserError(
            f"There is no precision '{precision}'; known are auto, {', '.join(PRECISIONS)}."
        )
    if provider is not None and runtime == 'auto':
        raise UserError(
            f"The provider '{provider}' needs a runtime: each has providers of its own; "
            f'name it with --runtime, kd-yolo doctor shows them.'
        )
    if runtime == 'auto':
        runtimes = _by_preference(installed_runtimes())
    else:
        backend_class(runtime)
        runtimes = [runtime]
    if precision == 'auto':
        wishes = [(name, 'int8') for name in runtimes if _runs_int8_well(name, provider)]
        wishes += [(name, other) for other in ('fp32', 'fp16', 'int8') for name in runtimes]
    else:
        wishes = [(name, precision) for name in runtimes]
    missing_features = set()
    without_device = set()
    for name, wish in wishes:
        for file in manifest.files:
            if name not in file.runtimes or not serves(file, wish, name):
                continue
            lacking = missing_cpu_features(file)
            missing_features |= lacking
            if runtime == 'auto' and not lacking and not can_execute(name):
                without_device.add(name)
            elif not lacking:
                return Selection(name, wish, file)
    names = {name for file in manifest.files for name in file.runtimes}
    if missing_features:
        ways = ['quantize for this machine']
        if any(file.precision == 'fp32' for file in manifest.files):
            ways.insert(0, 'choose --precision fp32')
        others = names - set(runtimes)
        if others:
            ways.insert(0, f'take the runtime {", ".join(sorted(others))}')
        lacks = ', '.join(name.replace('|', ' or ') for name in sorted(missing_features))
        raise UnsupportedError(
            f'{manifest.name}: this CPU lacks {lacks}, which the file needs; {" or ".join(ways)}.'
        )
    offered = sorted({f'{name} {f.precision}' for f in manifest.files for name in f.runtimes})
    nothing_installed = runtime == 'auto' and not names & set(runtimes)
    ways = how_to_install(sorted(names)) if nothing_installed else []
    raise UserError(
        f'{manifest.name} has nothing for runtime {runtime} in precision {precision} here; '
        f'it offers {", ".join(offered)}'
        + (f'; get it with {", or ".join(ways)}' if ways else '')
        + ''.join(f' ({name} finds no device)' for name in sorted(without_device))
        + '.'
    )


def missing_cpu_features(file: ModelFile) -> Set[str]:
    """Return those of a file's `cpu_features` that this CPU lacks; of 'a|b' one suffices."""
    return {wanted for wanted in file.cpu_features if not cpu_features() & {*wanted.split('|')}}


def can_execute(runtime: str) -> bool:
    """Tell whether an installed runtime finds anything here to run on; imports it."""
    try:
        return bool(backend_class(runtime).providers())
    except (ImportError, OSError):  # without the libraries of the GPU that it is for
        return False


def _runs_int8_well(runtime: str, provider: Optional[str]) -> bool:
    if runtime == 'tensorrt':
        return True
    provider = (provider or 'cpu').lower()
    if provider != 'cpu':
        return provider != 'cuda'  # which computes a quantized graph in float, step by step
    # ONNX Runtime on x86-64 gains nothing from INT8 in a model with SiLU, VNNI or not
    # (docs/performance.md).
    return has_fast_int8() and (runtime, architecture()) != ('onnxruntime', 'x64')


def serves(file: ModelFile, precision: str, runtime: str) -> bool:
    """Tell whether a runtime computes a file in that precision, if the machine can."""
    # OpenVINO and PyTorch compute an FP32 file in bf16 when told to.
    return file.precision == precision or (
        precision == 'bf16' and file.precision == 'fp32' and runtime in ('openvino', 'torch')
    )


def _by_preference(runtimes: List[str]) -> List[str]:
    preference = PREFERENCE_ON_ARM if architecture() == 'arm64' else PREFERENCE
    known = [name for name in preference if name in runtimes]
    return known + [name for name in runtimes if name not in preference]
