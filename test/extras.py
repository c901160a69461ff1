# SPDX-License-Identifier: Apache-2.0
"""What only the extra `training` brings, by the names that are imported."""

from __future__ import annotations

import re
from importlib import metadata


def _packages(*extras: str) -> set[str]:
    """Return the packages of some extras; those of every installation for ''."""
    found = set()
    for line in metadata.requires('kd_yolo_ros') or []:
        extra = re.search(r'extra == "([\w-]+)"', line)
        if (extra[1] if extra else '') in extras:
            found.add(re.match(r'[\w-]+', line)[0].replace('-', '_'))
    return found


# Pillow (PIL) comes with matplotlib too.
TRAINING_ONLY = sorted(
    _packages('training') - _packages('', 'onnxruntime', 'openvino') - {'pillow'}
)
