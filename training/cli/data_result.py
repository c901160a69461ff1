# SPDX-License-Identifier: Apache-2.0
"""How every verb that makes a data set ends: files, a table, a plot and what was wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kd_yolo_ros.cli.common import print_table
from kd_yolo_ros.metrics.report import new_report, write_json, write_whole

if TYPE_CHECKING:
    from ..data.dataset import Picture, Problem

SHOWN = 10
REPORT, PLOT = 'instances.json', 'instances.png'


def write_result(
    out: Path,
    names: Sequence[str],
    images: Path,
    splits: Mapping[str, Sequence[Picture]],
    source: Mapping[str, Any],
    problems: Sequence[Problem] = (),
    json_file: Path | None = None,
    counts: Mapping[str, Any] | None = None,
) -> None:
    """Write a prepared data set with instances.json and instances.png, and print the table.

    Args:
        out: the data set's folder.
        names: class names by class id.
        images: folder of the pictures.
        splits: pictures by split.
        source: where they came from, with `verb` and `data`; plain values.
        problems: what was left out.
        json_file: where to write the report too.
        counts: what else to report, by name.

    Raises:
        UserError: no picture, or the folder cannot be written.
    """
    from ..data.prepared import write_prepared
    from ..data.summary import count, plot, table

    version = metadata.version('kd_yolo_ros')
    prepared = write_prepared(out, names, images, splits, {**source, 'version': version})
    instances = count({split: splits[split] for split in prepared.splits}, names)
    report = new_report(
        f'data {source["verb"]}',
        data=source['data'],
        source=dict(source),
        splits=instances,
        problems=[{'file': str(problem.file), 'what': problem.what} for problem in problems],
        **(counts or {}),
    )
    write_json(out / REPORT, report)
    if json_file:
        write_json(json_file, report)
    title = f'{source["verb"]} · {source["data"]}'
    write_whole(out / PLOT, plot(instances, title))
    columns, rows = table(instances)
    print_table(f'{title} in {out}', columns, rows)
    for name, value in (counts or {}).items():
        click.echo(f'{name.replace("_", " ")}: {value}')
    if problems:
        click.echo(f'{len(problems)} problems, all in {out / REPORT}:')
        for problem in problems[:SHOWN]:
            click.echo(f'  {problem.file}: {problem.what}')
