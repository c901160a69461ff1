# SPDX-License-Identifier: Apache-2.0
"""What each kind of operator takes of an inference, as stacked bars."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

from kd_yolo_ros.metrics.figure import GREY, GRID, make_figure, to_png

CONVOLUTIONS = 'convolutions'
# As these OpenVINO computes a 1x1 convolution with compressed weights, such as a head.
MATRICES = ('FullyConnected', 'FullyConnectedCompressed')
# OpenVINO and ONNX Runtime have names of their own for the same work.
GROUPS: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    (CONVOLUTIONS, ('Conv', 'QLinearConv', 'Convolution', 'FusedConv', 'ConvInteger', *MATRICES)),
    ('activations', ('QuickGelu', 'Sigmoid', 'Mul', 'QLinearSigmoid', 'QLinearMul', 'Swish')),
    ('moving and reordering', ('Transpose', 'Concat', 'Upsample', 'Interpolate')),
    ('casts', ('Cast', 'Convert', 'Quantize', 'Dequantize', 'DynamicQuantize')),
)
MOVES = ('Reorder', 'QLinearConcat', 'Resize')
OTHER = 'other'


def group(kind: str) -> str:
    """Return the group of a kind of operator, such as 'Convolution I8' or 'QLinearMul'."""
    first = kind.split()[0]
    for name, kinds in GROUPS:
        if first in kinds:
            return name
    if first.startswith(MOVES):
        return GROUPS[2][0]
    return GROUPS[3][0] if first.startswith(('Quantize', 'Dequantize')) else OTHER


def operator_plot(report: Mapping[str, Any]) -> bytes:
    """Return a PNG of a profile report: a bar for each runtime and precision."""
    results: List[Mapping[str, Any]] = report['results']
    names = [name for name, _ in GROUPS] + [OTHER]
    heading = f'{results[0]["artifact"]}: time by operator'
    below = f'{results[0]["threads"]} threads · {report["host"]["cpu"]}'
    figure, axes = make_figure(heading, below, 1.6 + 0.5 * len(results))
    places = range(len(results))
    starts = [0.0] * len(results)
    for number, name in enumerate(names):
        sums = [_sum_of(result, name) for result in results]
        axes.barh(places, sums, left=starts, color=f'C{number}', label=name, height=0.6)
        starts = [start + value for start, value in zip(starts, sums)]
    for place, total in zip(places, starts):
        axes.text(total, place, f' {total:.1f}', va='center', fontsize=9, color=GREY)
    axes.set_yticks(
        places, [f'{r["runtime"]} {r["precision"]}\n{r["file"]}' for r in results], fontsize=8
    )
    axes.invert_yaxis()
    axes.set_xlabel('ms an inference')
    axes.grid(axis='x', color=GRID)
    axes.legend(
        loc='lower left', bbox_to_anchor=(-0.01, 0.99), ncol=len(names), frameon=False, fontsize=8
    )
    return to_png(figure)


def _sum_of(result: Mapping[str, Any], name: str) -> float:
    operators: List[Dict[str, Any]] = result['operators']
    return float(sum(o['ms'] for o in operators if group(o['kind']) == name))
