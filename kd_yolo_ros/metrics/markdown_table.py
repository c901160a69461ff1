# SPDX-License-Identifier: Apache-2.0
"""Tables of Markdown, and how numbers stand in them."""

from __future__ import annotations

from typing import Any, Iterable, Optional, Sequence

from kd_yolo_ros.metrics.text import size_text


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table; what is None shows as a dash."""
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(_cell(cell) for cell in line) + ' |' for line in lines)


def milliseconds(value: Optional[float]) -> str:
    """Return a time with two digits."""
    return '–' if value is None else f'{value:.2f}'


def score(value: Optional[float]) -> str:
    """Return a figure of 0..1 with three digits."""
    return '–' if value is None else f'{value:.3f}'


def _cell(value: Any) -> str:
    return '–' if value is None else str(size_text(value)).replace('|', '\\|').replace('\n', ' ')
