# SPDX-License-Identifier: Apache-2.0
"""Leaves the layers in float that INT8 hurts most, until a network has lost no more than allowed.

Layers are ranked by how much nearer the quantized network's outputs come to the float network's
if that layer alone is float; then the shortest head of that ranking is sought that is enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kd_yolo_ros.manifest import Head

from .judge import Verdict

Outputs = Sequence[Sequence[np.ndarray]]  # by picture

LEAST_WEIGHT = 1e-6  # of a cell, so that pictures without any object have an error too


@dataclass(frozen=True)
class Step:
    """A network that was tried.

    Attributes:
        kept: layers in float, worst first.
        verdict: on the pictures for choices.
        seconds: that it took to make and judge.
    """

    kept: tuple[str, ...]
    verdict: Verdict
    seconds: float


@dataclass(frozen=True)
class Restored:
    """What came of it.

    Attributes:
        steps: in the order they were tried; the first is the default, without a layer in float.
        chosen: of the steps that lost no more than allowed the one with the fewest layers in
            float; where there is none, the one with the highest AP.
        met: whether the chosen one lost no more than allowed.
    """

    steps: tuple[Step, ...]
    chosen: Step
    met: bool


def rank(
    expected: Outputs,
    layers: Iterable[str],
    write: Callable[[Sequence[str]], Path],
    outputs: Callable[[Path], Outputs],
    head: Head | None = None,
    prototypes: bool = False,
) -> dict[str, float]:
    """Return each layer's damage, the largest first.

    Damage is the share of the outputs' error that goes away when the layer alone is float. Errors
    count as much as the float network sees an object there: most cells are background, and how
    exactly they are rejected is of no interest.

    Args:
        expected: outputs of the float network, for each of some pictures.
        layers: their names; iterated once, so that it may show progress.
        write: makes an INT8 file with the layers named left in float.
        outputs: of a file, for the same pictures.
        head: of a graph that gives raw outputs with objectness, (1, channels, rows, columns);
            None for others, in which all values count the same.
        prototypes: whether the last output is those of masks.
    """

    def error(kept: Sequence[str]) -> float:
        return _error(outputs(write(kept)), expected, head, prototypes)

    whole = max(error(()), 1e-12)
    damage = {layer: 1 - error((layer,)) / whole for layer in layers}
    return dict(sorted(damage.items(), key=lambda pair: -pair[1]))


def restore(
    ranked: Sequence[str],
    default: Step,
    target: float,
    try_out: Callable[[Sequence[str]], Verdict],
) -> Restored:
    """Seek the fewest layers, from the worst on, that have to be float.

    Their number is doubled until AP is high enough, and then halved in between: some ten networks
    are made instead of one for each layer.

    Args:
        ranked: layers, worst first.
        default: the network without a layer in float.
        target: AP50-95 that is wanted at least, as `Verdict.judged`.
        try_out: makes and judges the network with these layers in float.
    """
    steps = {0: default}

    def enough(count: int) -> bool:
        if count not in steps:
            started = time.monotonic()
            verdict = try_out(ranked[:count])
            steps[count] = Step(tuple(ranked[:count]), verdict, time.monotonic() - started)
        return steps[count].verdict.judged >= target

    few, many = 0, 0
    while not enough(many) and many < len(ranked):
        few, many = many, min(max(1, 2 * many), len(ranked))
    if enough(many):
        while many - few > 1:
            middle = (few + many) // 2
            few, many = (few, middle) if enough(middle) else (middle, many)
    met = [count for count in steps if enough(count)]
    chosen = min(met) if met else max(steps, key=lambda n: (steps[n].verdict.judged, -n))
    return Restored(tuple(steps.values()), steps[chosen], bool(met))


def _error(got: Outputs, expected: Outputs, head: Head | None, prototypes: bool = False) -> float:
    """Return the mean squared error over all outputs of all pictures.

    Prototypes would outweigh by their number all cells that see an object; their error and that of
    the heads are added as shares of what each is when nothing is answered.
    """
    if not prototypes:
        return _mean_square(got, expected, head)
    nothing = [[np.zeros_like(array) for array in outputs] for outputs in expected]
    shares = []
    for part, its_head in ((slice(-1), head), (slice(-1, None), None)):
        mine, silent, wanted = ([one[part] for one in all_] for all_ in (got, nothing, expected))
        errors = [_mean_square(answers, wanted, its_head) for answers in (mine, silent)]
        shares.append(errors[0] / max(errors[1], 1e-12))
    return sum(shares)


def _mean_square(got: Outputs, expected: Outputs, head: Head | None) -> float:
    total, weights = 0.0, 0.0
    for mine, others in zip(got, expected, strict=True):
        for level, (a, b) in enumerate(zip(mine, others, strict=True)):
            weight = np.ones(1)
            if head is not None:
                anchors = len(head.anchors[level])
                a, b = (array.reshape(anchors, -1, *array.shape[2:]) for array in (a, b))
                objectness = 0.5 + 0.5 * np.tanh(b[:, 4:5] / 2)
                weight = np.maximum(objectness, LEAST_WEIGHT)
            total += float((np.square(a - b) * weight).sum())
            weights += float(np.broadcast_to(weight, b.shape).sum())
    return total / weights
