# SPDX-License-Identifier: Apache-2.0
"""How values are written in tables, plots and the CSV alike."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, List, Mapping, Sequence

# Of a result, what may tell it from the others, and the unit.
_TELLING = {'artifact': '', 'runtime': '', 'precision': '', 'input': '', 'threads': ' threads'}


def size_text(value: Any) -> Any:
    """Return an input's [height, width] as 384x640, and anything else as it is."""
    return 'x'.join(map(str, value)) if isinstance(value, list) else value


def labels(results: Sequence[Mapping[str, Any]]) -> List[str]:
    """Name each of a report's results by what tells it from the others."""
    several = [
        key
        for key in _TELLING
        if len({str(r[key]) for r in results if r.get(key) is not None}) > 1
    ]
    keys = list(dict.fromkeys([*several, 'runtime', 'precision']))
    ordered = [key for key in _TELLING if key in keys]
    names = [
        ' · '.join(
            f'{size_text(result[key])}{_TELLING[key]}'
            for key in ordered
            if result.get(key) is not None
        )
        for result in results
    ]
    counts = Counter(names)
    return [
        f'{name} · {result["file"]}' if counts[name] > 1 and result.get('file') else name
        for name, result in zip(names, results)
    ]


def short_names(paths: Sequence[Path]) -> List[str]:
    """Return the last part of each path, with as many before it as tell it from the others."""
    resolved = [path.resolve() for path in paths]

    def last(path: Path, count: int) -> str:
        return '/'.join(path.parts[-count:])

    return [
        next(
            last(path, count)
            for count in range(1, len(path.parts) + 1)
            if all(last(other, count) != last(path, count) for other in resolved if other != path)
        )
        for path in resolved
    ]


def interval_text(interval: Mapping[str, float]) -> str:
    """Return a difference of AP and its interval in points: -0.31 [-0.80, +0.15]."""
    middle, low, high = (100 * interval[key] for key in ('difference', 'low', 'high'))
    return f'{middle:+.2f} [{low:+.2f}, {high:+.2f}]'
