# SPDX-License-Identifier: Apache-2.0
"""Models in every precision and runtime as tables of Markdown, for `bench` and `report`."""

from __future__ import annotations

from typing import Any, Callable, List, Mapping, Sequence, Tuple

from kd_yolo_ros.metrics.judged import TITLES, judged_by, of_classes
from kd_yolo_ros.metrics.markdown_table import milliseconds, score, table
from kd_yolo_ros.metrics.text import interval_text, labels

Result = Mapping[str, Any]

# Heading, and the cell's text or None. A column in which nothing stands is left out.
_Column = Tuple[str, Callable[[Result], Any]]


def variant_sections(report: Mapping[str, Any]) -> List[str]:
    """Return the sections of a report with `results`: all of them, by class, and the data."""
    results = report['results']
    parts = ['## All of them', _table(_COLUMNS, results)]
    for one in report.get('left_out') or []:
        what = f'{one["artifact"]}, {one["file"]} on {one["runtime"]} in {one["precision"]}'
        parts.append(f'Left out: {what}: {one["reason"]}')
    timed = any(result.get('model_ms') for result in results)
    if any(result.get('difference') for result in results):
        parts.append(
            '`to FP32` is the difference of AP50-95 (of masks, for models that have them) in '
            'points to the best FP32 of the same network and input size, with a '
            f'{report["level"]:.0%} interval from {report["resamples"]} paired resamples of the '
            'pictures.'
        )
    if timed:
        parts.append(
            'Model is infer + decode + nms; × FP32 is its p50 to that of the fastest FP32 of the '
            'same network and input size on any runtime, in the same run. Start is from the start '
            'of a process to its first detections, RSS the most memory that process held.'
        )
        parts += ['## Times (ms)', _times(results)]
    if report.get('data') and isinstance(report['data'], list):
        parts += _data(report)
    if any(result.get('per_class') for result in results):
        figure = judged_by(results)
        parts += [f'## {TITLES[figure]} by class', _by_class(results, figure)]
    return parts


def _table(columns: Sequence[_Column], results: Sequence[Result]) -> str:
    cells = [[cell(result) for result in results] for _, cell in columns]
    shown = [i for i, column in enumerate(cells) if any(text is not None for text in column)]
    return table([columns[i][0] for i in shown], list(zip(*(cells[i] for i in shown))))


def _plain(key: str) -> Callable[[Result], Any]:
    return lambda result: result.get(key)


def _number(key: str, digits: int) -> Callable[[Result], Any]:
    def cell(result: Result) -> Any:
        value = result.get(key)
        return None if value is None else f'{value:.{digits}f}'

    return cell


def _time(key: str, percentile: str) -> Callable[[Result], Any]:
    def cell(result: Result) -> Any:
        value = (result.get(key) or {}).get(percentile)
        return None if value is None else milliseconds(value)

    return cell


def _to_fp32(result: Result) -> Any:
    difference = result.get('difference')
    return interval_text(difference[judged_by([difference])]) if difference else None


_COLUMNS: Sequence[_Column] = (
    ('model', _plain('artifact')),
    ('file', _plain('file')),
    ('runtime', _plain('runtime')),
    ('provider', _plain('provider')),
    ('precision', _plain('precision')),
    ('input', _plain('input')),
    ('threads', _plain('threads')),
    ('AP50-95', _number('map50_95', 4)),
    ('mask AP50-95', _number('mask_map50_95', 4)),
    ('to FP32', _to_fp32),
    ('AP50', _number('map50', 4)),
    ('mask AP50', _number('mask_map50', 4)),
    ('mIoU', _number('miou', 4)),
    ('infer p50', _time('infer_ms', 'p50')),
    ('model p50', _time('model_ms', 'p50')),
    ('× FP32', _number('ratio', 2)),
    ('size, MB', _number('size_mb', 2)),
    ('RSS, MB', _number('peak_rss_mb', 0)),
    ('start, s', _number('start_s', 2)),
)


def _times(results: Sequence[Result]) -> str:
    """Return the percentiles of inference, and of it with decode and suppression."""
    points = ('p10', 'p50', 'p90', 'p95', 'p99')
    rows = [
        [name, what, *(milliseconds((result.get(key) or {}).get(p)) for p in points)]
        for name, result in zip(labels(results), results)
        for what, key in (('infer', 'infer_ms'), ('model', 'model_ms'))
    ]
    return table(['', '', *points], rows)


def _data(report: Mapping[str, Any]) -> List[str]:
    rows = [
        [
            *(one['name'], one['images'], one['left_out'], one.get('repeated', 0)),
            *(one['unlabelled'], len(one['skipped'])),
        ]
        for one in report['data']
    ]
    head = ['data', 'pictures', 'left out', 'repeated', 'without labels', 'unreadable']
    parts = ['## Pictures', table(head, rows)]
    missing = {
        name: ', '.join(result['missing_classes'])
        for name, result in zip(labels(report['results']), report['results'])
        if result.get('missing_classes')
    }
    if len(set(missing.values())) == 1 and len(missing) == len(report['results']):
        parts.append(f'Not counted, no class of the models: {next(iter(missing.values()))}.')
    else:
        parts += [f'Not counted for {name}: {classes}.' for name, classes in missing.items()]
    if len({tuple(result['per_class']) for result in report['results']}) > 1:
        parts.append(
            '**The models do not share all classes: their AP is over different ones and cannot '
            'be compared.** Differences are within one network.'
        )
    return parts


def _by_class(results: Sequence[Result], figure: str) -> str:
    objects = {
        name: one['instances'] for result in results for name, one in result['per_class'].items()
    }
    names = sorted(objects, key=lambda name: (-objects[name], name))
    rows = [
        [name, objects[name], *(_class_cell(result, name, figure) for result in results)]
        for name in names
    ]
    return table(['class', 'objects', *labels(results)], rows)


def _class_cell(result: Result, name: str, figure: str) -> Any:
    """Return a class' AP, with its difference where there is one."""
    one = result['per_class'].get(name)
    if one is None:
        return None
    differences = result.get('difference')
    difference = of_classes(differences, figure).get(name) if differences else None
    text = score(one[figure])
    return f'{text} ({100 * difference["difference"]:+.1f})' if difference else text
