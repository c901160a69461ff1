# SPDX-License-Identifier: Apache-2.0
"""A report's results as CSV: a row for each, with a column for every figure but those by class."""

from __future__ import annotations

import csv
import io
from typing import Any, Iterator, Mapping, Sequence, Tuple

from kd_yolo_ros.metrics.text import size_text


def results_csv(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the results; what is nested is named by its way, as in model_ms.p50."""
    rows = [dict(_flat(result)) for result in results]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(values: Mapping[str, Any], way: str = '') -> Iterator[Tuple[str, Any]]:
    for name, value in values.items():
        if name.endswith('per_class'):  # hundreds of columns; the JSON has them
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f'{way}{name}.')
        elif isinstance(value, list) and any(isinstance(item, str) for item in value):
            yield f'{way}{name}', ', '.join(map(str, value))
        else:
            yield f'{way}{name}', size_text(value)
