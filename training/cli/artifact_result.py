# SPDX-License-Identifier: Apache-2.0
"""What `import` and `export` say at their end: the artifact in a table, and as JSON."""

from __future__ import annotations

from pathlib import Path

import click

from kd_yolo_ros.artifact import Artifact
from kd_yolo_ros.cli.common import print_table
from kd_yolo_ros.cli.model_text import model_text
from kd_yolo_ros.metrics.report import new_report, write_json


def report_artifact(kind: str, artifact: Artifact, json_file: Path | None) -> None:
    """Print a new artifact, a line for each file; write it to `json_file` too, where given."""
    manifest = artifact.manifest
    sizes_mb = [
        sum((artifact.folder / part).stat().st_size for part in file.sha256) / 1e6
        for file in manifest.files
    ]
    first = manifest.files[0].input
    if json_file:
        write_json(
            json_file,
            new_report(
                kind,
                artifact=manifest.name,
                task=manifest.task,
                classes=len(manifest.class_names),
                imgsz=[first.height, first.width],
                files=[file.path for file in manifest.files],
                size_mb=sum(sizes_mb),
            ),
        )
    click.echo(model_text(manifest))
    print_table(
        f'{artifact.folder}',
        ['name', 'task', 'classes', 'input', 'file', 'MB', 'runs on'],
        [
            [
                manifest.name,
                manifest.task,
                len(manifest.class_names),
                f'{file.input.height}x{file.input.width}',
                file.path,
                size_mb,
                ', '.join(file.runtimes),
            ]
            for file, size_mb in zip(manifest.files, sizes_mb, strict=True)
        ],
    )
