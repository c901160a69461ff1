# SPDX-License-Identifier: Apache-2.0
"""The one form in which every measurement is written: JSON, Markdown with plots, CSV.

`report.schema.json` beside this file describes the JSON.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import json
import os
import re
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Union

import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.host import host, versions
from kd_yolo_ros.metrics.text import size_text

SCHEMA = 1

AP_COLUMNS = ('map50_95', 'map50', 'mask_map50_95', 'mask_map50', 'miou', 'images')

CSV_COLUMNS = (
    'created', 'kind', 'artifact', 'runtime', 'precision', 'provider', 'input', 'threads', 'mode',
    'infer_p50_ms', 'infer_p95_ms', 'infer_p99_ms', 'total_p50_ms',
    'latency_p50_ms', 'latency_p95_ms', 'latency_p99_ms',
    *AP_COLUMNS,
    'frames_sent', 'frames_processed', 'frames_replaced', 'frames_skipped', 'frames_lost',
    'size_mb', 'peak_rss_mb', 'cpu', 'cores', 'version',
)  # fmt: skip

# A list of numbers, which json would write with a line for each. A text cannot match: in it a
# new line is written as \n.
FLAT_LIST = re.compile(r'\[\n[^\[\]{}"]*\]')

PathLike = Union[str, Path]
Report = Dict[str, Any]


def new_report(kind: str, command: Optional[str] = None, **fields: Any) -> Report:
    """Return the envelope with the host and versions of now, and the kind's own fields.

    Args:
        kind: evaluate, bench, replay, ….
        command: the verb and its options, without paths of the machine.
        fields: what the schema asks of that kind, and more.
    """
    report: Report = {
        'schema': SCHEMA,
        'kind': kind,
        'created': datetime.now(timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ'),
        'host': host(),
        'versions': versions(),
    }
    if command is not None:
        report['command'] = command
    report.update(fields)
    return report


def write_json(path: PathLike, report: Any) -> None:
    """Write a report, whole or not at all; UserError where that is not possible.

    Infinite and undefined numbers, which JSON lacks, become null.
    """
    text = json.dumps(_plain(report), indent=2, ensure_ascii=False, allow_nan=False)
    text = FLAT_LIST.sub(lambda found: ' '.join(found[0].split()), text)
    write_whole(path, (text + '\n').encode())


def write_report(folder: PathLike, report: Report) -> Path:
    """Write report.json, report.md and its plots to a folder; return the path of report.md.

    A report of several results also gets results.csv.
    """
    from kd_yolo_ros.metrics.markdown import to_markdown
    from kd_yolo_ros.metrics.plots import plots
    from kd_yolo_ros.metrics.results_csv import results_csv

    folder = Path(folder)
    plain = _plain(report)
    pictures = plots(plain)
    for name, (_, png) in pictures.items():
        write_whole(folder / name, png)
    text = to_markdown(plain, {name: title for name, (title, _) in pictures.items()})
    write_whole(folder / 'report.md', text.encode())
    if 'results' in plain:
        write_whole(folder / 'results.csv', results_csv(plain['results']).encode())
    write_json(folder / 'report.json', plain)
    return folder / 'report.md'


def check_csv(path: PathLike) -> None:
    """Raise UserError where `append_csv` would, before anything is measured for it."""
    path = Path(path)
    made = [folder for folder in path.absolute().parents if not folder.exists()]
    try:
        if path.exists():
            with open(path, 'a+', encoding='utf-8') as file:
                file.seek(0)
                _check_header(file.readline(), path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror}') from error
    finally:
        for folder in made:  # it may come to nothing yet
            with contextlib.suppress(OSError):
                folder.rmdir()


def _check_header(header: str, path: PathLike) -> None:
    if header and header.strip().split(',') != list(CSV_COLUMNS):
        raise UserError(f'{path} has other columns than this version writes: move it away')


def append_csv(path: PathLike, report: Report) -> None:
    """Append a row for each measured result; several processes may do so at the same time.

    Raises:
        UserError: the file cannot be written, or has other columns.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, 'a+', newline='', encoding='utf-8') as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
            file.seek(0)
            header = file.readline()
            _check_header(header, path)
            text = io.StringIO()
            writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator='\n')
            if not header:
                writer.writeheader()
            writer.writerows(csv_rows(_plain(report)))
            file.write(text.getvalue())
            file.flush()
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror}') from error


def csv_rows(report: Report) -> List[Dict[str, Any]]:
    """Return the rows of a report by CSV_COLUMNS: one, or one for each of a bench's results."""
    common = {
        'cpu': report['host'].get('board') or report['host']['cpu'],
        'cores': report['host']['cores'],
        'version': report['versions'].get('kd_yolo_ros'),
    }
    return [_csv_row({**report, **result}, common) for result in report.get('results', [{}])]


def _csv_row(result: Mapping[str, Any], common: Mapping[str, Any]) -> Dict[str, Any]:
    stages = result.get('stages_ms') or {}
    infer = result.get('infer_ms') or stages.get('infer') or {}
    latency = result.get('latency_ms') or {}
    ap = result.get('ap') or result
    row = {column: result.get(column) for column in CSV_COLUMNS}
    row.update({f'infer_{p}_ms': infer.get(p) for p in ('p50', 'p95', 'p99')})
    row.update({f'latency_{p}_ms': latency.get(p) for p in ('p50', 'p95', 'p99')})
    row.update({key: ap.get(key) for key in AP_COLUMNS})
    row.update({f'frames_{k}': v for k, v in (result.get('frames') or {}).items()})
    row['total_p50_ms'] = (stages.get('total') or {}).get('p50')
    row.update(common)
    return {column: _rounded(row.get(column)) for column in CSV_COLUMNS}


def _rounded(value: Any) -> Any:
    return float(f'{value:.6g}') if isinstance(value, float) else size_text(value)


def write_whole(path: PathLike, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it; UserError where that fails."""
    path = Path(path)
    scratch = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            scratch.write_bytes(content)
            os.replace(scratch, path)
        finally:
            with contextlib.suppress(FileNotFoundError):  # there only where it failed
                scratch.unlink()
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror}') from error


def _plain(value: Any) -> Any:
    """Return numpy's numbers, tuples, paths and undefined values as what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value
