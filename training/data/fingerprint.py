# SPDX-License-Identifier: Apache-2.0
"""Whether two data sets are the same."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from .dataset import DataSet


def fingerprint(data: DataSet) -> str:
    """Return a hash of names, files and labels: equal data sets train equal networks."""
    digest = hashlib.sha256(json.dumps([data.names]).encode())
    for picture in data.pictures:
        digest.update(picture.file.name.encode())
        rings = [ring for polygons in picture.polygons for ring in polygons]
        for array in (picture.boxes, picture.class_ids, picture.crowd, *rings):
            digest.update(np.ascontiguousarray(array).tobytes())
        if picture.soft.any():
            digest.update(np.ascontiguousarray(picture.weights).tobytes())
    return digest.hexdigest()[:16]
