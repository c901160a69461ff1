# SPDX-License-Identifier: Apache-2.0
"""Makes the INT8 files of an artifact from its FP32 graph, one for each runtime."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from kd_yolo_ros.cpu import architecture
from kd_yolo_ros.manifest import InputSpec, ModelFile

from . import tensorrt_int8
from .candidates import AUTO
from .judge import Judge
from .onnxruntime_dynamic import quantize_dynamic
from .onnxruntime_int8 import ARM64, VNNI, X64, Kernels, OnnxRuntimeQuantizer
from .openvino_int8 import OpenVinoQuantizer
from .prepare import prepare
from .simplify import simplify
from .static import Job, Record, calibrate, keep_layers
from .targets import OVERFLOW, find_target, overflows_here, refuse_overflow
from .tflite_int8 import TfliteQuantizer


def quantize(
    source: Path,
    fp32: ModelFile,
    runtime: str,
    pictures: Collection[np.ndarray],
    folder: Path,
    method: str = 'default',
    judge: Judge | None = None,
    calibrator: str = AUTO,
    max_drop: float = 0.003,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[Iterable, str], Iterable] = lambda items, what: items,
) -> tuple[ModelFile, Record]:
    """Write the INT8 file of a runtime into a folder and describe it.

    Args:
        source: the FP32 ONNX graph; for 'tflite' the float .tflite that `export_tflite` wrote.
        fp32: what the manifest says of it.
        runtime: one that `targets.TARGETS` has for the method.
        pictures: calibration tensors; they are iterated more than once.
        folder: where the files of `TARGETS[method][runtime]` go.
        method: 'default', 'accuracy-aware' (which needs a judge) or 'dynamic' (which looks at no
            picture).
        judge: on the pictures for choices; None where there are none.
        calibrator: one of `ranges.CALIBRATORS`, or AUTO; not for TensorRT.
        max_drop: of `Verdict.judged` that 'accuracy-aware' may lose.
        say: shows a line of progress.
        progress: wraps what takes long to go through, with its description.

    Returns:
        The file, and how it was made: method, calibrator, candidates, layers kept in float.

    Raises:
        UserError: the graph cannot be quantized in this way; the sentence says why.

    A judge whose verdict would be wrong here (`overflows_here`) is not asked: it is said, and
    nothing is chosen.
    """
    target = find_target(method, runtime)
    if judge and overflows_here(runtime):
        refuse_overflow(method, runtime)
        say(f'  {OVERFLOW}: nothing is chosen by AP for {runtime}.')
        judge = None
    file = replace(
        fp32,
        path=target.files[0],
        runtimes=(target.runtime,),
        precision='int8',
        cpu_features=target.cpu_features,
        sha256=dict.fromkeys(target.files, ''),
        accuracy=(),
    )
    model, record = None, {'runtime': runtime, 'method': method}
    if runtime == 'tflite':
        file = replace(file, input=InputSpec(fp32.input.width, fp32.input.height))
    else:
        before = prepare(source, fp32.input)
        model = simplify(before)
        record['nodes'] = {'before': len(before.graph.node), 'after': len(model.graph.node)}
        say('  simplified: {before} nodes, now {after}'.format(**record['nodes']))
    path = folder / file.path
    job = Job(
        *(model, source, fp32, file, path, pictures, judge, calibrator, max_drop, say, progress)
    )
    record.update(MAKERS[method][runtime](job))
    if runtime == 'tensorrt':
        file = replace(file, input=record.pop('input'))
    return file, record


def _onnxruntime(job: Job, kernels: Kernels) -> Record:
    return calibrate(job, OnnxRuntimeQuantizer(job.model, job.calibration(), kernels))[1]


def _onnxruntime_aware(job: Job, kernels: Kernels) -> Record:
    quantizer = OnnxRuntimeQuantizer(job.model, job.calibration(), kernels)
    # Kernels of another processor are emulated, at times of no interest.
    return keep_layers(job, quantizer, timed=kernels != ARM64 or architecture() == 'arm64')


def _openvino(job: Job) -> Record:
    return calibrate(job, OpenVinoQuantizer(job.model, job.calibration()))[1]


def _openvino_aware(job: Job) -> Record:
    return keep_layers(job, OpenVinoQuantizer(job.model, job.calibration()), timed=True)


def _tensorrt(job: Job) -> Record:
    spec = tensorrt_int8.quantize_tensorrt(job.model, job.fp32.input, job.path, job.pictures)
    return {'calibrator': tensorrt_int8.CALIBRATOR, 'input': spec}


def _tflite(job: Job) -> Record:
    return calibrate(job, TfliteQuantizer(job.source, job.calibration()))[1]


def _dynamic(job: Job) -> Record:
    quantize_dynamic(job.model, job.path)
    return {}


MAKERS: Mapping[str, Mapping[str, Callable[[Job], Record]]] = {
    'default': {
        'onnxruntime-vnni': partial(_onnxruntime, kernels=VNNI),
        'onnxruntime': partial(_onnxruntime, kernels=X64),
        'onnxruntime-arm64': partial(_onnxruntime, kernels=ARM64),
        'openvino': _openvino,
        'tensorrt': _tensorrt,
        'tflite': _tflite,
    },
    'accuracy-aware': {
        'onnxruntime-vnni': partial(_onnxruntime_aware, kernels=VNNI),
        'onnxruntime': partial(_onnxruntime_aware, kernels=X64),
        'onnxruntime-arm64': partial(_onnxruntime_aware, kernels=ARM64),
        'openvino': _openvino_aware,
    },
    'dynamic': {'onnxruntime': _dynamic},
}
