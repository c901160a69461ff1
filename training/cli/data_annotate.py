# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo data annotate`: teachers of any kind add soft labels to a data set."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import click

from kd_yolo_ros.cli.common import EXISTING, check_out, common_options, model_options, progress
from kd_yolo_ros.errors import UserError

from .data_shares import names_option, refuse_itself, with_sizes

DETECTIONS, SHEET = 'detections', 'soft-labels.png'
SHOWN, WIDTH = 16, 320  # pictures of the sheet, and their width


@click.command()
@click.argument('sources', type=EXISTING, nargs=-1, required=True, metavar='SOURCE...')
@click.option(
    '--teacher',
    'teachers',
    type=EXISTING,
    multiple=True,
    required=True,
    help='An artifact, an export, a checkpoint or a training run; may be repeated.',
)
@click.option('--out', type=EXISTING, required=True, help='Folder of the new data set.')
@click.option(
    '--split',
    type=click.Choice(['fit', 'calibrate']),
    default='fit',
    show_default=True,
    help='The split that is annotated; all others stay as they are.',
)
@click.option(
    '--score',
    type=click.FloatRange(0.05, 1),
    default=0.2,
    show_default=True,
    help='Lowest score of a soft label, the mean over the teachers.',
)
@click.option(
    '--match-iou',
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help='Boxes of a class that overlap by more are one object.',
)
@click.option('--class-map', type=EXISTING, help="YAML: data set's class to the teachers'.")
@names_option
@model_options
@common_options
def annotate(
    sources: tuple[Path, ...],
    teachers: tuple[Path, ...],
    out: Path,
    split: str,
    score: float,
    match_iou: float,
    class_map: Path | None,
    names: tuple[str, ...],
    runtime: str,
    precision: str,
    threads: int | None,
    provider: str | None,
    json_file: Path | None,
) -> None:
    """Write the SOURCEs as one prepared data set with what teachers find as soft labels.

    A SOURCE is a prepared data set, a COCO json, a YOLO folder, or a folder of pictures that
    nobody labelled, whose classes are those of another SOURCE, of --names, or of the first
    teacher. A run that was interrupted goes on where it was.
    """
    import numpy as np

    from kd_yolo_ros.checkpoints import open_predictor
    from kd_yolo_ros.metrics.report import write_whole

    from ..data.gather import gather
    from ..data.prepared import FILE
    from ..data.sheet import contact_sheet
    from ..data.subset import common_folder, draw
    from ..distillation.soft_labels import in_classes, merge, teacher_classes, with_soft_labels
    from ..distillation.teacher_detections import THRESHOLDS, DetectionFile, detect_all
    from .data_result import write_result

    check_out(out, (FILE, DETECTIONS))
    _refuse_sources(sources, out)
    every = gather(sources, split)
    if names and every.names and names != every.names:
        raise UserError(f'--names differs from the names of {every.description}; leave it away.')
    predictors = [
        open_predictor(teacher, runtime, precision, threads, THRESHOLDS, provider=provider)
        for teacher in teachers
    ]
    names = every.names or names or tuple(predictors[0].class_names)
    classes = [teacher_classes(names, p.class_names, class_map) for p in predictors]
    known = np.array([np.isin(np.arange(len(names)), one) for one in classes])

    splits, problems = {}, list(every.problems)
    for name, pictures in every.splits.items():
        splits[name], wrong = with_sizes(pictures)
        problems += wrong
    with ExitStack() as stack:
        kept = {
            teacher: stack.enter_context(closing(DetectionFile(out / DETECTIONS, teacher, one)))
            for teacher, one in dict(zip(teachers, predictors, strict=True)).items()
        }
        problems += detect_all([*kept.values()], splits[split], progress)
    files = [kept[teacher] for teacher in teachers]  # of which one may be named twice
    annotated = []
    for picture in splits[split]:
        if not all(picture.file in file for file in files):
            continue
        found = [
            in_classes(file[picture.file], one) for file, one in zip(files, classes, strict=True)
        ]
        merged = merge(found, known, match_iou)
        annotated.append(
            with_soft_labels(picture, merged.select(merged.scores >= score), match_iou)
        )
    splits[split] = annotated

    source = {
        'verb': 'annotate',
        'data': every.description,
        'teachers': [file.description for file in files],
        'split': split,
        'score': score,
        'match_iou': match_iou,
    }
    softs = [picture for picture in annotated if picture.soft.any()]
    if softs:
        write_whole(out / SHEET, contact_sheet(draw(softs, SHOWN, 0), names, WIDTH)[0])
    counts = {
        'soft_labels': sum(int(picture.soft.sum()) for picture in annotated),
        'pictures_with_soft_labels': len(softs),
        'left_out_as_labelled_elsewhere': every.known,
    }
    folder = common_folder([picture for pictures in splits.values() for picture in pictures])
    write_result(out, names, folder, splits, source, problems, json_file, counts)


def _refuse_sources(sources: Sequence[Path], out: Path) -> None:
    """Refuse to write where it is read: pictures of the result would be annotated next time."""
    from ..data.gather import is_unlabelled

    for source in sources:
        refuse_itself(source, out)
        if is_unlabelled(source) and out.resolve().is_relative_to(source.resolve()):
            raise UserError(f'{out} lies among the pictures of {source}; name another folder.')
