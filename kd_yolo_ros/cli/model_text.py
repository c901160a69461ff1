# SPDX-License-Identifier: Apache-2.0
"""A model in one line: its name, task, classes and licence."""

from __future__ import annotations

from kd_yolo_ros.manifest import Manifest

SHOWN_CLASSES = 4


def model_text(manifest: Manifest) -> str:
    """Return what a model is called, what it finds, and under which licence its weights are."""
    names = manifest.class_names
    shown = ', '.join(names[:SHOWN_CLASSES]) + (', …' if len(names) > SHOWN_CLASSES else '')
    classes = f'{len(names)} class{"" if len(names) == 1 else "es"} ({shown})'
    return f'{manifest.name}: {manifest.task}, {classes}, licence {manifest.licence}'
