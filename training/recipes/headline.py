# SPDX-License-Identifier: Apache-2.0
"""Of a verb's report the one line that stands in the table of a recipe's steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kd_yolo_ros.metrics.judged import BOX, TITLES, judged_by


def headline(report: Mapping[str, Any]) -> str:
    """Return what a step's report is read for first; nothing where that is not known.

    Args:
        report: what a verb wrote for its --json.
    """
    if report.get('kind') == 'recipe':
        return next((row['result'] for row in reversed(report['steps']) if row['result']), '')
    decision = report.get('decision')
    if decision:
        return f'takes {decision["arm"]}'
    best = report.get('best') or report
    figure = judged_by([best])
    if best.get(figure) is not None:
        return f'{TITLES[figure]} {best[figure]:.3f}'
    rows = report.get('arms') or report.get('results') or []
    rows = [row for row in rows if row.get(BOX) is not None]
    figure = judged_by(rows)
    if rows:
        measured = (f'{_name(row)} {row[figure]:.3f}' for row in rows)
        return f'{TITLES[figure]} {", ".join(measured)}'
    if report.get('size_mb') is not None:
        return f'{report["size_mb"]:.1f} MB'
    return ''


def _name(row: Mapping[str, Any]) -> str:
    return row.get('name') or f'{row.get("runtime")} {row.get("precision")}'
