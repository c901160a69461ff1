# SPDX-License-Identifier: Apache-2.0
"""Entry points: a new verb, backend or model form is one file and one line in setup.py."""

from __future__ import annotations

from importlib import metadata
from typing import Any, Dict

BACKENDS = 'kd_yolo_ros.backends'
MODELS = 'kd_yolo_ros.models'
VERBS = 'kd_yolo_ros.verbs'


def entry_points(group: str) -> Dict[str, metadata.EntryPoint]:
    """Return the entry points of a group by name, loading none of them."""
    found = metadata.entry_points()
    # Before Python 3.10 it is a plain dictionary of groups.
    points: Any = found.select(group=group) if hasattr(found, 'select') else found.get(group, ())
    return {point.name: point for point in points}
