# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo report`: accuracy and cost of models in every precision and runtime, in one table."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Set, Tuple

import click

from kd_yolo_ros.cli.bench import PICTURES, add_speed, add_start_up, read_pictures
from kd_yolo_ros.cli.common import (
    EXISTING,
    check_out,
    common_options,
    csv_option,
    find_artifact,
    print_table,
    progress,
)
from kd_yolo_ros.cli.variants import (
    Loaded,
    describe,
    load_variants,
    say_left_out,
    variant_options,
)

if TYPE_CHECKING:
    from kd_yolo_ros.metrics.bootstrap import ResampledAP
    from kd_yolo_ros.metrics.found import Found
    from kd_yolo_ros.metrics.pool import LabelledSet

DETECTIONS = 'detections'  # the folder of what was found
LEVEL = 0.95  # of the intervals
RESAMPLES = 1000  # that many are enough for the ends of such an interval, see enough_resamples


@click.command()
@click.argument('models', nargs=-1, type=EXISTING)
@click.option(
    '--data',
    multiple=True,
    required=True,
    metavar='DATA[=CLASS_MAP]',
    help="YOLO folder, COCO json or bag, and a YAML of its classes to the models'; may be "
    'repeated: all pictures are judged together.',
)
@click.option(
    '--exclude',
    type=EXISTING,
    multiple=True,
    help='Leave these out, by content: those of calibration and selection (also a COCO json).',
)
@click.option('--out', type=EXISTING, required=True, help='Folder for the report.')
@click.option(
    '--rounds',
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help='Of timing, see kd-yolo bench; 0 leaves out times and memory.',
)
@click.option(
    '--source',
    type=EXISTING,
    help=f'Pictures for timing, the first {PICTURES}.  [default: those of the first --data]',
)
@click.option(
    '--resamples',
    type=click.IntRange(min=RESAMPLES),
    default=RESAMPLES,
    show_default=True,
    help='Draws of pictures for the intervals.',
)
@click.option('--seed', type=click.IntRange(min=0), default=0, help='Of the draws.')
@variant_options
@csv_option
@common_options
def report(
    models: Tuple[Path, ...],
    data: Tuple[str, ...],
    exclude: Tuple[Path, ...],
    out: Path,
    rounds: int,
    source: Optional[Path],
    resamples: int,
    seed: int,
    runtimes: Tuple[str, ...],
    precisions: Tuple[str, ...],
    provider: Optional[str],
    threads: Optional[int],
    csv_file: Path,
    json_file: Optional[Path],
) -> None:
    """Measure MODELS in every precision on every runtime: AP, its loss, times, size and memory.

    The loss is against the best FP32 of the same network, with an interval from resampled
    pictures. What a model found is kept in --out: an interrupted report goes on, and the next
    one asks only new models. Without MODELS, the bundled one is measured.
    """
    from kd_yolo_ros.metrics.bootstrap import ResampledAP
    from kd_yolo_ros.metrics.pool import class_maps, open_sets, pooled_ap, read_sets
    from kd_yolo_ros.metrics.report import append_csv, new_report, write_json, write_report

    check_out(out, ['report.json', DETECTIONS])
    named = [find_artifact(model) for model in models or (None,)]
    every, failed = load_variants(named, runtimes, precisions, provider, threads)
    left_out = say_left_out(failed, named=bool(runtimes and precisions))
    loaded = _distinct(every)
    sets = open_sets(data)
    for one in loaded:
        for one_set in sets:
            class_maps(one_set, one.predictor.class_names)  # refuses now, not after the work
            if one.predictor.manifest.task == 'segment':
                one_set.truth.check_masks()
    read_sets(sets, _digests(exclude), progress)
    pictures = []
    if rounds:
        pictures = read_pictures(source) if source else _first_pictures(sets[0])
    results = [describe(one) for one in loaded]
    measured = []
    for one, result in zip(loaded, results):
        predictor = one.predictor
        score = predictor.manifest.thresholds.score
        ap = pooled_ap(sets, predictor.class_names, _found(one, sets, out), score)
        measured.append(ResampledAP(ap))
        result.update(measured[-1].evaluate(), missing_classes=ap.class_map.missing)
    _add_differences(results, measured, resamples, seed)
    if rounds:
        add_start_up(results, loaded, threads)
        add_speed(results, loaded, pictures, rounds)
    content = new_report(
        'report',
        data=[
            {
                'name': one.name,
                'images': len(one),
                'pictures_sha256': one.digest,
                'left_out': one.left_out,
                'repeated': one.repeated,
                'unlabelled': one.unlabelled,
                'skipped': [list(skipped) for skipped in one.source.skipped],
            }
            for one in sets
        ],
        images=sum(map(len, sets)),
        resamples=resamples,
        level=LEVEL,
        seed=seed,
        rounds=rounds,
        results=results,
        left_out=left_out,
    )
    _print(content)
    if json_file:
        write_json(json_file, content)
    click.echo(f'Report: {write_report(out, content)}')
    append_csv(csv_file, content)


def _distinct(loaded: Sequence[Loaded]) -> List[Loaded]:
    """Return each file on each runtime once: quantizations of one network bring its FP32 along.

    With thresholds of its own it is another model: times and mean IoU depend on them.
    """
    seen: Set[Any] = set()
    kept = []
    for one in loaded:
        key = _key(one), one.predictor.class_names, one.predictor.manifest.thresholds
        if key not in seen:
            kept.append(one)
        seen.add(key)
    return kept


def _key(loaded: Loaded) -> str:
    """Return a hash of all that detections depend on beside the pictures."""
    from importlib.metadata import version

    predictor = loaded.predictor
    file, manifest = predictor.file, predictor.manifest
    content = (
        *(version('kd_yolo_ros'), predictor.running, sorted(file.sha256.values())),
        *(file.input, file.decode_inside, file.output_layout, file.normalized_boxes),
        *(file.box_order, file.outputs, manifest.head, len(manifest.class_names)),
    )
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _digests(sources: Sequence[Path]) -> Set[str]:
    """Return the digests of all pictures of some sources, of a COCO json those it names."""
    from kd_yolo_ros.frames import open_source
    from kd_yolo_ros.frames.held_out import picture_digest
    from kd_yolo_ros.metrics.dataset import open_dataset

    opened = [
        (path, *(open_dataset(path) if path.suffix == '.json' else (open_source(path), None)))
        for path in sources
    ]
    digests: Set[str] = set()
    for path, source, truth in opened:
        for frame in progress(source, f'exclude {path.name}', len(source), ' pictures'):
            if truth is None or truth.find(frame) is not None:
                digests.add(picture_digest(frame.image))
    return digests


def _found(loaded: Loaded, sets: Sequence[LabelledSet], out: Path) -> List[List[Found]]:
    """Return what a variant finds in each set; a set whose answers are kept is not run again."""
    from kd_yolo_ros.manifest import AP_THRESHOLDS
    from kd_yolo_ros.metrics.found import find, read_found, write_found
    from kd_yolo_ros.metrics.pool import has_masks

    predictor = loaded.predictor
    segments = predictor.manifest.head.mask_coefficients > 0
    masks = segments and has_masks(sets, predictor.class_names)
    kind = '-boxes' if segments and not masks else ''
    title = f'{loaded.label} {loaded.variant.runtime} {loaded.variant.precision}'
    every = []
    for one in sets:
        file = out / DETECTIONS / f'{_key(loaded)[:16]}-{one.digest[:16]}{kind}.npz'
        found = read_found(file, len(one), masks)
        if found is None:
            operating, predictor.thresholds = predictor.thresholds, AP_THRESHOLDS
            frames = progress(one.frames(), f'{title} {one.name}', len(one), ' pictures')
            found = find(predictor, frames, masks)
            predictor.thresholds = operating
            write_found(file, found)
        every.append(found)
    return every


def _first_pictures(one: LabelledSet) -> List[Any]:
    from itertools import islice

    return [frame.image for frame in islice(one.frames(), PICTURES)]


def _add_differences(
    results: Sequence[Dict[str, Any]],
    measured: Sequence[ResampledAP],
    resamples: int,
    seed: int,
) -> None:
    """Add `difference` to results: AP less that of the best FP32 of the same network.

    The best is that by masks, where there are. It is None for that FP32 itself, and where a
    network has none.
    """
    from kd_yolo_ros.metrics.bootstrap import paired_differences
    from kd_yolo_ros.metrics.judged import judged_by
    from kd_yolo_ros.metrics.speed import same_network

    for result in results:
        result['difference'] = None
    compared: Dict[int, List[int]] = {}  # by what they are compared with
    floats = [i for i, result in enumerate(results) if result['precision'] == 'fp32']
    for number, result in enumerate(results):
        alike = [
            i
            for i in floats
            if same_network(result, results[i])
            and (measured[i].names, measured[i].figures)
            == (measured[number].names, measured[number].figures)
        ]
        figure = judged_by(results[i] for i in alike)
        best = max(alike, key=lambda i: results[i][figure] or 0, default=number)
        if best != number:
            compared.setdefault(best, []).append(number)
    for best, others in compared.items():
        found = paired_differences(
            [measured[best]],
            {str(i): [measured[i]] for i in others},
            resamples,
            LEVEL,
            seed,
            lambda items, title, total: progress(items, title, total, ' resamples'),
        )
        for i, difference in found.items():
            results[int(i)]['difference'] = difference.to_dict()


def _print(content: Dict[str, Any]) -> None:
    from kd_yolo_ros.metrics.judged import MASK, judged_by
    from kd_yolo_ros.metrics.text import interval_text, labels

    results = content['results']
    timed = bool(content['rounds'])
    masks = any(MASK in result for result in results)
    rows = []
    for label, result in zip(labels(results), results):
        found = result['difference'] or {}
        difference = found.get(judged_by([found]))
        row = [label, _points(result['map50_95'])]
        row += [_points(result.get(MASK))] if masks else []
        row.append(interval_text(difference) if difference else None)
        if timed:
            row += [result['model_ms']['p50'], result['ratio']]
        rows.append([*row, result['size_mb']])
    of_masks = ['mask AP'] if masks else []
    columns = ['', 'AP', *of_masks, 'to FP32', *(['p50', '×fp32'] if timed else []), 'MB']
    print_table(f'{content["images"]} pictures', columns, rows)
    difference = 'the difference of mask AP' if masks else 'its difference'
    click.echo(
        f'AP: AP50-95 in points. to FP32: {difference} to the best FP32 of the network, with '
        f'a {LEVEL:.0%} interval. p50: infer + decode + nms, ms; the report has the rest.'
    )


def _points(ap: Optional[float]) -> Optional[str]:
    return None if ap is None else f'{100 * ap:.2f}'
