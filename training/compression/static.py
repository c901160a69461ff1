# SPDX-License-Identifier: Apache-2.0
"""Static quantization, whatever the runtime: ranges by AP, then layers back into float by AP."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx

from kd_yolo_ros.backends import backend_class
from kd_yolo_ros.manifest import Head, ModelFile
from kd_yolo_ros.metrics.judged import TITLES, judged_by

from . import accuracy_aware
from .accuracy_aware import Step
from .candidates import Candidate, Floors, choose
from .judge import Judge, Verdict

# Layers are ranked on so many pictures: their outputs are compared number by number, so that few
# pictures tell more than AP on many.
RANKING_PICTURES = 8

# At most this share of the layers goes back into float: beyond, the FP32 file is the better one.
MOST_FLOAT = 0.75

# What a run does and on which networks, to be printed, and to be kept in the manifest.
Record = dict[str, Any]


class Quantizer(Protocol):
    """Writes INT8 files of one float network that it has seen the calibration pictures through.

    Attributes:
        silu_floors: see `candidates.choose`.
    """

    silu_floors: Floors

    def write(self, target: Path, calibrator: str, silu_floor: float | None) -> None:
        """Write one with these ranges."""


class LayerQuantizer(Quantizer, Protocol):
    """One that can leave layers in float.

    Attributes:
        layers: names of those that it quantizes otherwise.
    """

    layers: Collection[str]

    def write(
        self,
        target: Path,
        calibrator: str,
        silu_floor: float | None,
        kept: Collection[str] = (),
    ) -> None:
        """Write one with these ranges and these layers in float."""


@dataclass(frozen=True)
class Job:
    """One file to make.

    Attributes:
        model: the float graph, simplified, all nodes named; None where the source is no ONNX.
        source: where the artifact's own float graph lies.
        fp32: what the manifest says of it.
        file: what it will say of the file to make.
        path: where that goes.
        pictures: calibration tensors as the graph takes them; iterated more than once.
        judge: on the pictures for choices; None where there are none.
        calibrator: one of `ranges.CALIBRATORS`, or AUTO.
        max_drop: of `Verdict.judged` that 'accuracy-aware' may lose.
        say: shows a line of progress.
        progress: wraps a list that takes long to go through.
    """

    model: onnx.ModelProto | None
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

    def calibration(self) -> Iterable[np.ndarray]:
        """Return the pictures, to be gone through once."""
        return self.progress(self.pictures, 'calibrate')


def calibrate(job: Job, quantizer: Quantizer) -> tuple[Candidate, Record]:
    """Write the file with the ranges that are best; return these, and all that were tried."""
    verdicts: dict[Candidate, Verdict] = {}

    def measure(candidate: Candidate) -> float:
        quantizer.write(job.path, candidate.calibrator, candidate.silu_floor)
        verdicts[candidate] = verdict = job.judge(job.path, job.file)
        job.say(f'  {_text(candidate)}: {_worth(verdict)}')
        return verdict.judged

    floors = quantizer.silu_floors
    chosen, tried = choose(job.calibrator, measure if job.judge else None, floors)
    quantizer.write(job.path, chosen.calibrator, chosen.silu_floor)
    return chosen, {
        'calibrator': chosen.calibrator,
        'silu_floor': chosen.silu_floor,
        'candidates': [
            {'calibrator': c.calibrator, 'silu_floor': c.silu_floor, **verdicts[c].figures}
            for c in tried
        ],
    }


def keep_layers(job: Job, quantizer: LayerQuantizer, timed: bool) -> Record:
    """Write the file with the fewest layers in float that loses no more than allowed.

    Args:
        job: with a judge.
        quantizer: for the runtime.
        timed: whether inference times on this machine mean anything.
    """
    chosen, record = calibrate(job, quantizer)

    def write(kept: Collection[str] = ()) -> Path:
        quantizer.write(job.path, chosen.calibrator, chosen.silu_floor, kept)
        return job.path

    runtime = job.file.runtimes[0]
    before = job.judge(job.source, job.fp32, runtime)
    target = before.judged - job.max_drop
    default = Step((), job.judge(write(), job.file), 0.0)
    ranked: dict[str, float] = {}
    if default.verdict.judged < target:
        few = [picture for picture, _ in zip(job.pictures, range(RANKING_PICTURES), strict=False)]

        def outputs(path: Path) -> list[list[np.ndarray]]:
            file = job.fp32 if path == job.source else job.file
            backend = backend_class(runtime)(path, file, file.precision, None)
            return [[array.copy() for array in backend.infer(picture)] for picture in few]

        layers = job.progress(list(quantizer.layers), 'rank layers')
        prototypes = job.judge.manifest.head.mask_coefficients > 0
        ranked = accuracy_aware.rank(
            *(outputs(job.source), layers, write, outputs, _raw_head(job), prototypes)
        )

    def try_out(kept: Sequence[str]) -> Verdict:
        verdict = job.judge(write(kept), job.file)
        job.say(f'  {len(kept)} layers in float: {_worth(verdict)}')
        return verdict

    most = math.ceil(MOST_FLOAT * len(ranked))
    restored = accuracy_aware.restore(list(ranked)[:most], default, target, try_out)
    write(restored.chosen.kept)
    return {
        **record,
        **_outcome(job, before, restored.chosen),
        'damage': {layer: round(share, 4) for layer, share in ranked.items()},
        'steps': [
            {
                'kept': len(step.kept),
                **step.verdict.figures,
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


def _outcome(job: Job, before: Verdict, chosen: Step) -> Record:
    """Return what came of putting layers back into float, and say it."""
    after = chosen.verdict
    met = after.judged >= before.judged - job.max_drop
    reached = (
        f'{len(chosen.kept)} layers in float, {_worth(after)} against {before.judged:.4f} in FP32'
    )
    if not met:
        lost = before.judged - after.judged
        reached += f': {lost:.4f} lost where {job.max_drop} were allowed, the best found'
    job.say(f'  {reached}.')
    return {
        'max_drop': job.max_drop,
        **{f'fp32_{name}': ap for name, ap in before.figures.items()},
        **after.figures,
        'met': met,
        'kept_in_float': list(chosen.kept),
    }


def _worth(verdict: Verdict) -> str:
    return f'{TITLES[judged_by([verdict.figures])]} {verdict.judged:.4f}'


def _text(candidate: Candidate) -> str:
    floor = 'no floor' if candidate.silu_floor is None else f'floor {candidate.silu_floor:g}'
    return f'{candidate.calibrator}, {floor} under SiLU'
