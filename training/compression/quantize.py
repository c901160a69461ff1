# SPDX-License-Identifier: Apache-2.0
"""Makes the INT8 files of an artifact from its FP32 ONNX graph, one for each runtime."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from kd_yolo_ros.cpu import architecture, cpu_features
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import Head, ModelFile

from . import accuracy_aware, openvino_int8, tensorrt_int8, tflite_int8
from .accuracy_aware import Step
from .candidates import AUTO, Candidate, choose
from .judge import Judge
from .onnxruntime_dynamic import quantize_dynamic
from .onnxruntime_int8 import ARM64, VNNI, X64, Kernels, OnnxRuntimeQuantizer
from .prepare import prepare
from .simplify import simplify

# Layers are ranked on so many pictures: their outputs are compared number by number, so that few
# pictures tell more than AP on many.
RANKING_PICTURES = 8

# At most this share of the layers goes back into float: beyond, the FP32 file is the better one.
MOST_FLOAT = 0.75

VNNI_NAMES = ('avx512_vnni', 'avx_vnni')
WITH_8_BIT_WEIGHTS = ('onnxruntime-vnni', 'onnxruntime-arm64')

# What a run does and on which networks, to be printed, and to be kept in the manifest.
Record = dict[str, Any]


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


@dataclass(frozen=True)
class Job:
    """One file to make.

    Attributes:
        model: the float graph, simplified, all nodes named.
        source: where the artifact's own float graph lies.
        fp32: what the manifest says of it.
        file: what it will say of the file to make.
        path: where that goes.
        pictures: calibration tensors as the graph takes them; iterated more than once.
        judge: on the pictures for choices; None where there are none.
        calibrator: one of `ranges.CALIBRATORS`, or AUTO.
        max_drop: of AP50-95 that 'accuracy-aware' may lose.
        say: shows a line of progress.
        progress: wraps a list that takes long to go through.
    """

    model: onnx.ModelProto
    source: Path
    fp32: ModelFile
    file: ModelFile
    path: Path
    pictures: Collection[np.ndarray]
    judge: Judge | None
    calibrator: str
    max_drop: float
    say: Callable[[str], None]
    progress: Callable[[Iterable, str], Iterable]


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
        runtime: one that `TARGETS` has for the method.
        pictures: calibration tensors; they are iterated more than once.
        folder: where the files of `TARGETS[method][runtime]` go.
        method: 'default', 'accuracy-aware' (which needs a judge) or 'dynamic' (which looks at no
            picture).
        judge: on the pictures for choices; None where there are none.
        calibrator: one of `ranges.CALIBRATORS`, or AUTO; for ONNX Runtime.
        max_drop: of AP50-95 that 'accuracy-aware' may lose.
        say: shows a line of progress.
        progress: wraps what takes long to go through, with its description.

    Returns:
        The file, and how it was made: method, calibrator, candidates, layers kept in float.

    Raises:
        UserError: the graph cannot be quantized in this way; the sentence says why.

    A judge whose verdict would be wrong here (`overflows_here`) is not asked: it is said, and
    nothing is chosen.
    """
    if runtime not in TARGETS[method]:
        known = ', '.join(TARGETS[method])
        raise UserError(f'The method {method} is not for {runtime}, only for {known}.')
    target = TARGETS[method][runtime]
    if judge and overflows_here(runtime):
        refuse_overflow(method, runtime)
        say(f'  {OVERFLOW}: nothing is chosen by AP for {runtime}.')
        judge = None
    if runtime == 'tflite':
        return _tflite(source, target, folder, pictures, progress)
    before = prepare(source, fp32.input)
    model = simplify(before)
    file = replace(
        fp32,
        path=target.files[0],
        runtimes=(target.runtime,),
        precision='int8',
        cpu_features=target.cpu_features,
        sha256=dict.fromkeys(target.files, ''),
        accuracy=(),
    )
    path = folder / file.path
    job = Job(
        *(model, source, fp32, file, path, pictures, judge, calibrator, max_drop, say, progress)
    )
    say(f'  simplified: {len(before.graph.node)} nodes, now {len(model.graph.node)}')
    record = MAKERS[method][runtime](job)
    if runtime == 'tensorrt':
        file = replace(file, input=record.pop('input'))
    nodes = {'before': len(before.graph.node), 'after': len(model.graph.node)}
    return file, {'runtime': runtime, 'method': method, 'nodes': nodes, **record}


OVERFLOW = (
    'Without VNNI, as here, ONNX Runtime lets the products of 8-bit weights overflow, so AP would '
    'be wrong'
)


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


def _dynamic(job: Job) -> Record:
    quantize_dynamic(job.model, job.path)
    return {}


def _onnxruntime(job: Job, kernels: Kernels) -> Record:
    return _calibrated(job, kernels)[1]


def _calibrated(job: Job, kernels: Kernels) -> tuple[Callable[..., Path], Record]:
    """Write the file with the ranges that are best; return how to write it otherwise too."""
    quantizer = OnnxRuntimeQuantizer(job.model, job.progress(job.pictures, 'calibrate'), kernels)

    def measure(candidate: Candidate) -> float:
        quantizer.write(job.path, candidate.calibrator, candidate.silu_floor)
        ap = job.judge(job.path, job.file).map50_95
        job.say(f'  {_text(candidate)}: AP50-95 {ap:.4f}')
        return ap

    chosen, tried = choose(job.calibrator, measure if job.judge else None)

    def write(kept: Collection[str] = ()) -> Path:
        quantizer.write(job.path, chosen.calibrator, chosen.silu_floor, kept)
        return job.path

    write()
    return write, {
        'calibrator': chosen.calibrator,
        'silu_floor': chosen.silu_floor,
        'candidates': [
            {'calibrator': c.calibrator, 'silu_floor': c.silu_floor, 'map50_95': round(ap, 5)}
            for c, ap in tried.items()
        ],
        'layers': list(quantizer.layers),
    }


def _onnxruntime_aware(job: Job, kernels: Kernels) -> Record:
    write, record = _calibrated(job, kernels)
    judge = job.judge
    float_ap = judge(job.source, replace(job.fp32, runtimes=('onnxruntime',))).map50_95
    target = float_ap - job.max_drop
    default = Step((), judge(write(), job.file), 0.0)
    ranked: dict[str, float] = {}
    if default.verdict.map50_95 < target:
        few = [picture for picture, _ in zip(job.pictures, range(RANKING_PICTURES), strict=False)]
        layers = job.progress(record['layers'], 'rank layers')
        ranked = accuracy_aware.rank(job.source, layers, write, few, _raw_head(job))

    def try_out(kept: Collection[str]) -> Any:
        verdict = judge(write(kept), job.file)
        job.say(f'  {len(kept)} layers in float: AP50-95 {verdict.map50_95:.4f}')
        return verdict

    # Kernels of another processor are emulated, at times of no interest.
    timed = kernels != ARM64 or architecture() == 'arm64'
    most = math.ceil(MOST_FLOAT * len(ranked))
    restored = accuracy_aware.restore(list(ranked)[:most], default, target, try_out)
    write(restored.chosen.kept)
    return {
        **record,
        **_outcome(job, float_ap, restored.chosen.kept, restored.chosen.verdict.map50_95),
        'damage': {layer: round(share, 4) for layer, share in ranked.items()},
        'steps': [
            {
                'kept': len(step.kept),
                'map50_95': round(step.verdict.map50_95, 5),
                **({'infer_ms': round(step.verdict.infer_ms, 2)} if timed else {}),
                'seconds': round(step.seconds, 1),
            }
            for step in sorted(restored.steps, key=lambda step: len(step.kept))
        ],
    }


def _raw_head(job: Job) -> Head | None:
    """Return the head whose raw outputs the graph gives; None where it gives other ones."""
    head = job.judge.manifest.head
    raw = head.layout == 'anchor_grid' and not job.fp32.decode_inside
    return head if raw and job.fp32.output_layout == 'nchw' else None


def _openvino(job: Job) -> Record:
    openvino_int8.quantize_openvino(job.model, job.path, job.pictures)
    return {}


def _openvino_aware(job: Job) -> Record:
    float_ap, tried, chosen = openvino_int8.quantize_with_accuracy_control(
        job.model, job.path, job.pictures, job.judge, job.fp32, job.max_drop, job.say
    )
    return {
        **_outcome(job, float_ap, chosen.kept, chosen.map50_95),
        'steps': [{'kept': len(t.kept), 'map50_95': round(t.map50_95, 5)} for t in tried],
    }


def _tensorrt(job: Job) -> Record:
    spec = tensorrt_int8.quantize_tensorrt(job.model, job.fp32.input, job.path, job.pictures)
    return {'calibrator': tensorrt_int8.CALIBRATOR, 'input': spec}


def _tflite(
    source: Path,
    target: Target,
    folder: Path,
    pictures: Collection[np.ndarray],
    progress: Callable[[Iterable, str], Iterable],
) -> tuple[ModelFile, Record]:
    path = folder / target.files[0]
    file = tflite_int8.quantize_tflite(source, path, progress(pictures, 'calibrate'))
    record = {'runtime': 'tflite', 'method': 'default', 'calibrator': tflite_int8.CALIBRATOR}
    return replace(file, sha256=dict.fromkeys(target.files, '')), record


def _outcome(job: Job, float_ap: float, kept: Collection[str], ap: float) -> Record:
    """Return what came of putting layers back into float, and say it."""
    met = ap >= float_ap - job.max_drop
    reached = f'{len(kept)} layers in float, AP50-95 {ap:.4f} against {float_ap:.4f} in FP32'
    if not met:
        reached += f': {float_ap - ap:.4f} lost where {job.max_drop} were allowed, the best found'
    job.say(f'  {reached}.')
    return {
        'max_drop': job.max_drop,
        'fp32_map50_95': round(float_ap, 5),
        'map50_95': round(ap, 5),
        'met': met,
        'kept_in_float': list(kept),
    }


def _text(candidate: Candidate) -> str:
    floor = 'no floor' if candidate.silu_floor is None else f'floor {candidate.silu_floor:g}'
    return f'{candidate.calibrator}, {floor} under SiLU'


MAKERS: Mapping[str, Mapping[str, Callable[[Job], Record]]] = {
    'default': {
        'onnxruntime-vnni': partial(_onnxruntime, kernels=VNNI),
        'onnxruntime': partial(_onnxruntime, kernels=X64),
        'onnxruntime-arm64': partial(_onnxruntime, kernels=ARM64),
        'openvino': _openvino,
        'tensorrt': _tensorrt,
    },
    'accuracy-aware': {
        'onnxruntime-vnni': partial(_onnxruntime_aware, kernels=VNNI),
        'onnxruntime': partial(_onnxruntime_aware, kernels=X64),
        'onnxruntime-arm64': partial(_onnxruntime_aware, kernels=ARM64),
        'openvino': _openvino_aware,
    },
    'dynamic': {'onnxruntime': _dynamic},
}
