# SPDX-License-Identifier: Apache-2.0
"""What a manifest says of how its INT8 files were made."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from typing import TYPE_CHECKING, Any

from kd_yolo_ros.backends import backend_class
from kd_yolo_ros.manifest import Manifest, ModelFile

if TYPE_CHECKING:
    from .picture_sets import PictureSets

PACKAGES = ('nncf', 'onnx', 'onnxruntime', 'onnxslim', 'openvino')

# Of how a file was made, what is shown once and not kept in the manifest.
SHOWN_ONCE = ('damage',)


def with_records(
    manifest: Manifest,
    kept: Iterable[ModelFile],
    records: dict[str, dict[str, Any]],
    sets: PictureSets,
) -> dict[str, Any]:
    """Return the provenance with how each INT8 file was made, those that stay included."""
    before = (manifest.provenance.get('quantization') or {}).get('files') or {}
    stay = {file.path for file in kept}
    new = {}
    for path, record in records.items():
        shown = {key: value for key, value in record.items() if key not in SHOWN_ONCE}
        looked_at = describe_sets(sets)
        if not (record.get('candidates') or record.get('steps')):
            looked_at.pop('select', None)  # nothing was chosen
        new[path] = {**shown, **looked_at, 'versions': versions()}
    return {
        **manifest.provenance,
        'quantization': {
            'files': {**{path: one for path, one in before.items() if path in stay}, **new}
        },
    }


def describe_sets(sets: PictureSets) -> dict[str, Any]:
    """Return what the pictures of each kind are."""
    named = {'calibration': sets.calibration, 'select': sets.choices, 'report': sets.report}
    return {name: one.describe() for name, one in named.items() if one is not None}


def versions() -> dict[str, str]:
    """Return the version of each package that makes INT8 files."""
    runtimes = {name: backend_class(name).version() for name in ('onnxruntime', 'openvino')}
    others = {name: metadata.version(name) for name in PACKAGES if name not in runtimes}
    return {**runtimes, **others}
