# SPDX-License-Identifier: Apache-2.0
"""What `quantize` says at its end: AP in the manifest, size and AP in a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd_yolo_ros.artifact import Artifact
from kd_yolo_ros.cli.common import print_table, progress
from kd_yolo_ros.manifest import Manifest, ModelFile
from kd_yolo_ros.metrics.judged import MASK, TITLES

if TYPE_CHECKING:
    from ..compression.picture_sets import Labelled

APS = ('map50_95', 'map50', 'mask_map50_95', 'mask_map50')


def with_accuracy(
    result: Artifact,
    paths: Collection[str],
    runtimes: Collection[str],
    report: Labelled,
) -> Manifest:
    """Return the manifest with the AP of some of its files on the pictures of the report."""
    files = []
    for file in result.manifest.files:
        if file.path in paths:
            accuracy = tuple(
                measure(result, file, runtime, report)
                for runtime in file.runtimes
                if runtime in runtimes
            )
            new = {(e['pictures_sha256'], e['runtime']) for e in accuracy}
            others = tuple(
                e for e in file.accuracy if (e.get('pictures_sha256'), e['runtime']) not in new
            )
            file = dataclasses.replace(file, accuracy=(*others, *accuracy))
        files.append(file)
    return dataclasses.replace(result.manifest, files=tuple(files))


def measure(artifact: Artifact, file: ModelFile, runtime: str, report: Labelled) -> dict[str, Any]:
    """Return the AP entry for the manifest of one model file on one runtime."""
    from ..compression.judge import Judge

    def show(frames: Iterable) -> Iterable:
        return progress(frames, f'evaluate {runtime} {file.precision}', len(report))

    judge = Judge(artifact.manifest, report.sets, show)
    verdict = judge(artifact.model_path(file), file, runtime)
    described = report.describe()
    return {
        'data': described['data'],
        'pictures_sha256': described['pictures_sha256'],
        'images': verdict.images,
        'left_out': report.left_out,
        'runtime': runtime,
        'version': verdict.version,
        **{key: round(ap, 5) for key in APS if (ap := getattr(verdict, key)) is not None},
    }


def table_rows(
    artifact: Artifact, paths: Collection[str], runtimes: Collection[str], report: Labelled | None
) -> list[dict[str, Any]]:
    """Return one row for each runtime and file: size and, if measured on `report`, AP."""
    pictures = report.describe()['pictures_sha256'] if report else None
    rows = []
    for file in artifact.manifest.files:
        if file.path not in paths:
            continue
        size = sum((artifact.folder / name).stat().st_size for name in file.sha256)
        accuracy = {
            entry['runtime']: entry
            for entry in file.accuracy
            if report and entry.get('pictures_sha256') == pictures
        }
        for runtime in file.runtimes:
            if runtime in runtimes:
                entry = accuracy.get(runtime, {})
                rows.append(
                    {
                        'runtime': runtime,
                        'precision': file.precision,
                        'file': file.path,
                        'size_mb': round(size / 1e6, 2),
                        **{key: entry.get(key) for key in APS[:2]},
                        **{key: entry[key] for key in APS[2:] if key in entry},
                    }
                )
    return rows


def show_result(report: dict[str, Any], out: Path) -> None:
    """Print a table of the files that a run made or measured."""
    files = report['files']
    masks = [MASK] if any(MASK in row for row in report['results']) else []
    columns = ['runtime', 'precision', 'file', 'calibrator', 'float layers', 'MB']
    print_table(
        f'{report["artifact"]} in {out}, calibrated on {report["calibration_pictures"]} pictures',
        [*columns, 'AP50-95', 'AP50', *(TITLES[key] for key in masks)],
        [
            [
                *(row['runtime'], row['precision'], row['file']),
                files.get(row['file'], {}).get('calibrator'),
                _count(files.get(row['file'], {}).get('kept_in_float')),
                *(row['size_mb'], row['map50_95'], row['map50']),
                *(row.get(key) for key in masks),
            ]
            for row in report['results']
        ],
    )


def _count(names: Collection[str] | None) -> int | None:
    return None if names is None else len(names)
