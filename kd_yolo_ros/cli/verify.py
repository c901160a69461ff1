# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo verify`: do all files of a model answer alike, on every runtime?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

import click

from kd_yolo_ros.cli.common import EXISTING, common_options, find_artifact, print_table, progress
from kd_yolo_ros.cli.variants import (
    Loaded,
    describe,
    load_variants,
    name_of,
    say_left_out,
    variant_options,
)
from kd_yolo_ros.errors import UnsupportedError, UserError

if TYPE_CHECKING:
    from kd_yolo_ros.metrics.found import Found

REFERENCE = ('onnxruntime', 'fp32')


@click.command()
@click.argument('artifact', required=False, type=EXISTING)
@click.option('--source', type=EXISTING, help='Pictures without labels: a folder, video or bag.')
@click.option(
    '--limit',
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help='Take at most so many pictures of --source, the first.',
)
@click.option(
    '--data',
    multiple=True,
    metavar='DATA[=CLASS_MAP]',
    help='Pictures with labels, for AP too; may be repeated, see kd-yolo report.',
)
@click.option(
    '--max-drop',
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help='Most that AP50-95 (0 to 1; of masks, where there are) may fall in a precision below '
    'FP32.',
)
@variant_options
@common_options
def verify(
    artifact: Optional[Path],
    source: Optional[Path],
    limit: int,
    data: Tuple[str, ...],
    max_drop: float,
    runtimes: Tuple[str, ...],
    precisions: Tuple[str, ...],
    provider: Optional[str],
    threads: Optional[int],
    json_file: Optional[Path],
) -> None:
    """Run all files of ARTIFACT on all runtimes and compare what they find.

    Exits with 1 where one differs or does not load. The FP32 file on ONNX Runtime is what the
    others are compared to, or without one the first FP32 that runs. Without ARTIFACT, the bundled
    model is verified.
    """
    from kd_yolo_ros.exports import open_model
    from kd_yolo_ros.manifest import AP_THRESHOLDS
    from kd_yolo_ros.metrics.report import new_report, write_json

    if (source is None) == (not data):
        raise UserError('Give the pictures to compare on: --source PICTURES or --data DATA.')
    model = find_artifact(artifact)
    opened = open_model(model)
    for file in opened.manifest.files:
        opened.model_path(file)  # says which is not what the manifest describes
    loaded, failed = load_variants([model], runtimes, precisions, provider, threads, AP_THRESHOLDS)
    lacking = [one for one in failed if isinstance(one.error, UnsupportedError)]
    left_out = say_left_out(lacking, named=bool(runtimes and precisions))
    broken = [one for one in failed if one not in lacking]
    if len(loaded) < 2 and not broken:
        raise UserError(
            f'{loaded[0].label} runs in one way here, {loaded[0].variant.runtime} '
            f'{loaded[0].variant.precision}, so there is nothing to compare it with.'
        )
    reference = _reference(loaded)
    ordered = [reference, *(one for one in loaded if one is not reference)]
    results = _on_data(ordered, data) if data else _on_source(ordered, source, limit)
    _judge(results, max_drop)
    results += [{**name_of(one), 'verdict': 'differs', 'reason': str(one.error)} for one in broken]
    report = new_report(
        'verify',
        artifact=reference.label,
        max_drop=max_drop,
        results=results,
        left_out=left_out,
    )
    if json_file:
        write_json(json_file, report)
    _print(report)
    if any(result['verdict'] == 'differs' for result in results):
        raise SystemExit(1)


def _reference(loaded: Sequence[Loaded]) -> Loaded:
    def rank(one: Loaded) -> Tuple[bool, bool]:
        running = one.predictor.running
        is_reference = (running.runtime, running.precision) == REFERENCE
        return not is_reference, running.precision != REFERENCE[1]

    return min(loaded, key=rank)


def _on_source(loaded: Sequence[Loaded], source: Any, limit: int) -> List[Dict[str, Any]]:
    """Return a result for each variant, the reference first, on pictures without labels."""
    from itertools import islice

    from kd_yolo_ros.frames import open_source
    from kd_yolo_ros.metrics.found import compressed
    from kd_yolo_ros.metrics.parity import compare_found

    frames = open_source(source)
    found: List[List[Found]] = [[] for _ in loaded]
    total = limit if frames.length is None else min(limit, frames.length)
    for frame in progress(islice(frames, limit), 'verify', total, ' pictures'):
        picture = frame.image
        for one, answers in zip(loaded, found):
            answers.append(compressed(one.predictor.predict(picture), picture))
    return [
        {**describe(one), **compare_found(found[0], answers)}
        for one, answers in zip(loaded, found)
    ]


def _on_data(loaded: Sequence[Loaded], data: Sequence[str]) -> List[Dict[str, Any]]:
    """Return a result for each variant, the reference first, with AP."""
    from kd_yolo_ros.metrics.found import find
    from kd_yolo_ros.metrics.judged import judged_by
    from kd_yolo_ros.metrics.parity import compare_found
    from kd_yolo_ros.metrics.pool import class_maps, open_sets, pooled_ap, read_sets

    sets = open_sets(data)
    for one_set in sets:
        class_maps(one_set, loaded[0].predictor.class_names)  # refuses now, not after the work
        if loaded[0].predictor.manifest.task == 'segment':
            one_set.truth.check_masks()
    read_sets(sets, progress=progress)
    results: List[Dict[str, Any]] = []
    reference: List[Found] = []
    for one in loaded:
        found = []
        for one_set in sets:
            title = f'{one.variant.runtime} {one.variant.precision} {one_set.name}'
            frames = progress(one_set.frames(), title, len(one_set), ' pictures')
            found.append(find(one.predictor, frames))
        answers = [answer for of_set in found for answer in of_set]
        reference = reference or answers
        score = one.predictor.manifest.thresholds.score
        ap = pooled_ap(sets, one.predictor.class_names, found, score).evaluate()
        results.append({**describe(one), **compare_found(reference, answers), **ap})
    figure = judged_by(results)
    for result in results:
        result['ap_drop'] = (results[0][figure] or 0) - (result[figure] or 0)
    return results


def _judge(results: Sequence[Dict[str, Any]], max_drop: float) -> None:
    """Add `verdict` and `reason` to the results, of which the first is the reference."""
    from kd_yolo_ros.metrics.judged import TITLES, judged_by
    from kd_yolo_ros.metrics.parity import differs

    figure = TITLES[judged_by(results)]
    for result in results:
        drop = result.get('ap_drop')
        result['reason'] = differs(result, result['precision'], drop, max_drop, figure)
        result['verdict'] = 'differs' if result['reason'] else 'ok'
    if results[0]['verdict'] == 'ok':
        results[0]['verdict'] = 'reference'


def _print(report: Dict[str, Any]) -> None:
    from kd_yolo_ros.metrics.judged import MASK, judged_by
    from kd_yolo_ros.metrics.text import labels

    results = report['results']
    compared = [result for result in results if 'pictures' in result]
    figure = judged_by(compared)
    measured = results[0].get(figure) is not None
    masks = 'mask_median' in results[0]
    differences = ['box_median', 'box_max', 'score_max', *(['mask_median'] if masks else [])]
    rows = [
        [
            label,
            *(_short(result.get(key)) for key in differences),
            *(
                _figures(result, figure if measured else None)
                if 'pictures' in result
                else [None] * (1 + 2 * measured)
            ),
            result['verdict'],
        ]
        for label, result in zip(labels(results), results)
    ]
    ap = ['mask AP' if figure == MASK else 'AP', 'Δ'] if measured else []
    columns = ['', 'box p50', 'max', 'score', *(['mask'] if masks else []), 'unpaired', *ap, '']
    print_table(f'{report["artifact"]} on {results[0]["pictures"]} pictures', columns, rows)
    click.echo(
        'Largest difference of a box in pixels (median and maximum over detections) and of a '
        'score; unpaired: detections with score > 0.25 without a partner.'
        + (' mask: median share of their pixels that two masks do not share.' if masks else '')
    )
    for label, result in zip(labels(results), results):
        if result['reason']:
            click.echo(f'{label} differs: {result["reason"]}')


def _figures(result: Dict[str, Any], figure: Optional[str]) -> List[str]:
    counts = f'{result["unmatched"]}/{result["matched"] + result["unmatched"]}'
    if figure is None:
        return [counts]
    change = round(-result['ap_drop'], 4) + 0  # never -0
    return [counts, f'{result[figure]:.4f}', f'{change:+.4f}']


def _short(value: Optional[float]) -> Optional[str]:
    return None if value is None else f'{value:.2g}'
