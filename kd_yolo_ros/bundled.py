# SPDX-License-Identifier: Apache-2.0
"""Models that come with this package: found by name, and run where no other is named."""

from __future__ import annotations

from pathlib import Path
from typing import Union

from kd_yolo_ros.manifest import MANIFEST

MODELS = Path(__file__).resolve().parent / 'models'
DEFAULT = MODELS / 'street'
NOTE = (
    'The model street comes with kd_yolo_ros and has seen generated scenes only: '
    'it is there to try things out, not to drive by.'
)


def find_model(path: Union[str, Path]) -> Path:
    """Return where a model lies: `path`, or the bundled model if that is all that it names.

    A file or folder of that name in the current directory comes first.
    """
    path = Path(path).expanduser()
    bundled = MODELS / path.name
    if path == Path(path.name) and not path.exists() and (bundled / MANIFEST).is_file():
        return bundled
    return path


def is_bundled(path: Path) -> bool:
    """Tell whether the folder of a model is that of a bundled one, of which NOTE is true."""
    return path.resolve().parent == MODELS
