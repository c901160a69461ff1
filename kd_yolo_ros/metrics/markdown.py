# SPDX-License-Identifier: Apache-2.0
"""A report as Markdown: what was measured, on what, in tables and plots.

Written for the person who has to decide by it.
"""

from __future__ import annotations

from typing import Any, List, Mapping, Tuple

from kd_yolo_ros.metrics.markdown_table import milliseconds, score, table
from kd_yolo_ros.metrics.variant_page import variant_sections

Report = Mapping[str, Any]

_HEADINGS = {
    'evaluate': 'Accuracy',
    'bench': 'Speed',
    'replay': 'Replay',
    'report': 'Models, precisions and runtimes',
}
_MASKS = {'mask_map50_95': 'mask AP50-95', 'mask_map50': 'mask AP50', 'miou': 'mIoU'}
_SUMMARY = ('p50', 'p95', 'p99', 'mean', 'max')


def to_markdown(report: Report, pictures: Mapping[str, str]) -> str:
    """Return the report's text; `pictures` is {file name: title} of the plots beside it."""
    heading = _HEADINGS.get(report['kind'], report['kind'].capitalize())
    if report.get('artifact'):
        heading += f' of {report["artifact"]}'
    parts = [f'# {heading}', _measured(report), *_sections(report)]
    parts += [f'![{title}]({name})' for name, title in pictures.items()]
    parts += ['## Measured on', *machine(report)]
    return '\n\n'.join(part for part in parts if part) + '\n'


def _measured(report: Report) -> str:
    keys = ('runtime', 'provider', 'precision', 'threads', 'mode', 'source')
    pairs = [f'{key} {report[key]}' for key in keys if report.get(key) is not None]
    lines = [f'{report["created"]}' + (f': {", ".join(pairs)}.' if pairs else '.')]
    if report.get('command'):
        lines.append(f'`{report["command"]}`')
    return '\n\n'.join(lines)


def _sections(report: Report) -> List[str]:
    parts: List[str] = []
    if report.get('results'):
        parts += variant_sections(report)
    if report.get('frames'):
        frames = report['frames']
        parts += ['## Frames', table(list(frames), [list(frames.values())])]
    if report.get('latency_ms'):
        row = ['send to answer', *_summary(report['latency_ms'])]
        parts += ['## Latency (ms)', table(['', *_SUMMARY], [row])]
    if report.get('stages_ms'):
        rows = [[stage, *_summary(times)] for stage, times in report['stages_ms'].items()]
        parts += ['## Stages (ms)', table(['stage', *_SUMMARY], rows)]
    ap = report.get('ap') or report
    if 'per_class' in ap:
        parts += _accuracy(ap)
    missing = report.get('missing_classes') or ap.get('missing_classes')
    if missing:
        parts.append(f'Classes that the model lacks, not counted: {", ".join(missing)}.')
    return parts


def _accuracy(ap: Mapping[str, Any]) -> List[str]:
    masks = _MASKS if 'miou' in ap else {}
    whole = [score(ap[key]) for key in ('map50_95', 'map50', *masks)]
    head = ['AP50-95', 'AP50', *masks.values(), 'pictures']
    parts = ['## Average precision', table(head, [[*whole, ap['images']]])]
    head, rows = _accuracy_table(ap)
    parts.append(table(head, [[score(v) if _is_score(v) else v for v in row] for row in rows]))
    if ap.get('by_size'):
        parts.append(
            'Sizes are of the box in the picture: small is below 32x32 pixels, large above 96x96. '
            'AR is the mean recall at IoU 0.50:0.95; F1 is the best at IoU 0.5, reached with the '
            'score beside it as threshold.'
        )
    if masks:
        parts.append(
            'AP50-95 and AP50 are of boxes, mask AP of masks. IoU is that of the semantic maps '
            'that detections above the score of operation and the objects paint; mIoU its mean '
            'over the classes.'
        )
    if ap.get('mask_by_size'):
        rows_by_size = [
            [name, *(score(size['map50_95']) for size in one['mask_by_size'].values())]
            for name, one in [*ap['per_class'].items(), ('all', ap)]
        ]
        parts += [
            '## Mask AP50-95 by size',
            table(['class', *ap['mask_by_size']], rows_by_size),
            'Sizes are of the mask: small is below 32², large above 96² pixels of the picture.',
        ]
    best = ap.get('best_f1')
    if best:
        parts.append(
            f'One threshold for all classes: {best["score"]:.3f} gives the best mean F1, '
            f'{best["f1"]:.3f} (precision {best["precision"]:.3f}, recall {best["recall"]:.3f}).'
        )
    return parts


def _accuracy_table(ap: Mapping[str, Any]) -> Tuple[List[str], List[List[Any]]]:
    """Return head and rows of the table of classes; the last row is all of them."""
    detailed = ap.get('by_size') is not None
    objects = sum(one['instances'] for one in ap['per_class'].values())
    masks = ['mask AP50-95', 'mask AP50', 'IoU'] if 'miou' in ap else []
    whole = {**ap, 'instances': objects, 'iou': ap.get('miou')}
    rows = []
    for name, one in [*ap['per_class'].items(), ('all', whole)]:
        row: List[Any] = [name, one['map50_95'], one['map50']]
        if masks:
            row += [one['mask_map50_95'], one['mask_map50'], one['iou']]
        if detailed:
            best = one['best_f1'] or {}
            row += [size['map50_95'] for size in one['by_size'].values()]
            row += [one['mar50_95'], best.get('f1'), best.get('score')]
        rows.append([*row, one['instances']])
    extra = ['small', 'medium', 'large', 'AR', 'F1', 'score'] if detailed else []
    return ['class', 'AP50-95', 'AP50', *masks, *extra, 'objects'], rows


def _is_score(value: Any) -> bool:
    return value is None or isinstance(value, float)


def machine(report: Report) -> List[str]:
    """Return what it was measured on, as a table."""
    host, versions = report['host'], report['versions']
    facts = [
        ('board', host.get('board')),
        ('CPU', f'{host["cpu"]} ({host["cores"]} cores used)'),
        ('features', ' '.join(host['cpu_features'])),
        ('memory', None if host['memory_gb'] is None else f'{host["memory_gb"]} GB'),
        ('system', f'{host["os"]}, kernel {host.get("kernel")}'),
        ('versions', ', '.join(f'{name} {version}' for name, version in versions.items())),
    ]
    return [table(['', ''], [fact for fact in facts if fact[1]])]


def _summary(times: Mapping[str, Any]) -> List[str]:
    return [milliseconds(times.get(key)) for key in _SUMMARY]
