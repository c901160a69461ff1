# SPDX-License-Identifier: Apache-2.0
"""Reports as the schema wants them."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA = json.loads(
    resources.files('kd_yolo_ros.metrics').joinpath('report.schema.json').read_text()
)


def read_report(path: Path, kind: str) -> dict[str, Any]:
    """Return a report of that kind, after checking it against the schema."""
    report = json.loads(path.read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    assert report['kind'] == kind
    return report
