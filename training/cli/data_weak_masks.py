# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo data weak-masks`: instance masks from boxes and semantic maps alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kd_yolo_ros.cli.common import EXISTING, check_out, common_options, print_table, progress
from kd_yolo_ros.errors import UserError

from .data_shares import refuse_itself, with_sizes

if TYPE_CHECKING:
    import numpy as np

    from ..data.dataset import Picture, Problem
    from ..data.weak_masks import Agreement

REPORT, SHEET = 'weak-masks.json', 'weak-masks.png'
SHOWN, WIDTH = 16, 480  # pictures of the sheet, and their width
GOOD = (0.5, 0.75, 0.9)  # IoU


@click.command('weak-masks')
@click.option('--data', type=EXISTING, required=True, help='A data set, of which boxes are used.')
@click.option('--out', type=EXISTING, required=True, help='Folder of the new data set.')
@click.option(
    '--semantic',
    type=EXISTING,
    metavar='FOLDER',
    help="Cityscapes' gtFine/ or the like, with labelTrainIds or labelIds.  [default: maps are "
    'painted from the outlines of --data]',
)
@click.option(
    '--split',
    type=click.Choice(['fit', 'calibrate', 'select', 'val']),
    default='fit',
    show_default=True,
    help='The split that gets them; all others keep the masks that they have.',
)
@common_options
def weak_masks(
    data: Path, out: Path, semantic: Path | None, split: str, json_file: Path | None
) -> None:
    """Write DATA with masks made of its boxes and of semantic maps, in place of its own.

    Of the pixels of an object's class in its box those are its mask that no smaller box of the
    class holds. Where DATA has masks, the new ones are compared with them.
    """
    from kd_yolo_ros.metrics.report import new_report, write_json, write_whole

    from ..data.gather import gather
    from ..data.prepared import FILE
    from ..data.semantic_maps import SemanticMaps
    from ..data.sheet import contact_sheet
    from ..data.subset import common_folder, draw
    from ..data.weak_masks import painted
    from .data_result import write_result

    check_out(out, (FILE,))
    refuse_itself(data, out)
    every = gather([data], split)
    if not every.names:
        raise UserError(f'{data} holds pictures without labels; masks are made of boxes.')
    read = SemanticMaps(semantic, every.names).read if semantic else painted
    splits, problems = {}, list(every.problems)
    for name, pictures in every.splits.items():
        splits[name], wrong = with_sizes(pictures)
        problems += wrong
    splits[split], compared, wrong = _with_masks(splits[split], read)
    problems += wrong
    rows = agreement_rows(every.names, compared)
    masked = sum(bool(one) for picture in splits[split] for one in picture.polygons)
    source = {
        'verb': 'weak-masks',
        'data': every.description,
        'semantic': semantic.resolve().name if semantic else 'painted from the outlines',
        'split': split,
    }
    drawn = draw(splits[split], SHOWN, 0)
    write_whole(out / SHEET, contact_sheet(drawn, every.names, WIDTH)[0])
    folder = common_folder([picture for pictures in splits.values() for picture in pictures])
    counts = {'pseudo_masks': masked}
    write_result(out, every.names, folder, splits, source, problems, None, counts)
    report = new_report('data weak-masks', **source, **counts, agreement=rows)
    write_json(out / REPORT, report)
    if json_file:
        write_json(json_file, report)
    if rows:
        shares = [f'IoU > {limit}' for limit in GOOD]
        print_table(
            'pseudo masks against the true ones',
            ['class', 'objects', 'without', 'mean IoU', *shares],
            [list(row.values()) for row in rows],
        )
    click.echo(f'Masks: {out / SHEET}')


def _with_masks(
    pictures: Sequence[Picture], read: Any
) -> tuple[list[Picture], list[Agreement], list[Problem]]:
    """Return the pictures with pseudo masks, their agreement, and what has no map.

    Args:
        pictures: with sizes.
        read: returns a picture's semantic map.
    """
    import dataclasses

    from ..data.dataset import Problem
    from ..data.weak_masks import agreement, with_pseudo_masks

    masked, compared, problems = [], [], []
    for picture in progress(pictures, 'weak masks', len(pictures), ' pictures'):
        wrong = 'has no semantic map; its objects keep their boxes only'
        try:
            labels: np.ndarray | None = read(picture)
        except UserError as error:
            labels, wrong = None, f'{error}; its objects keep their boxes only'
        if labels is None:
            problems.append(Problem(picture.file, wrong))
            nothing: tuple[tuple[np.ndarray, ...], ...] = ((),) * len(picture.boxes)
            masked.append(dataclasses.replace(picture, polygons=nothing))
        else:
            masked.append(with_pseudo_masks(picture, labels))
            compared.append(agreement(picture, masked[-1]))
    return masked, compared, problems


def agreement_rows(names: Sequence[str], compared: Sequence[Agreement]) -> list[dict[str, Any]]:
    """Return objects, how many got no mask, the mean IoU and shares, of each class and all."""
    import numpy as np

    class_ids = np.concatenate([np.zeros(0, int), *(one.class_ids for one in compared)])
    iou = np.concatenate([np.zeros(0), *(one.iou for one in compared)])
    masked = np.concatenate([np.zeros(0, bool), *(one.masked for one in compared)])
    chosen = [(name, class_ids == number) for number, name in enumerate(names)]
    return [
        {
            'class': name,
            'objects': int(of_class.sum()),
            'without': int((~masked[of_class]).sum()),
            'iou': float(iou[of_class].mean()),
            **{f'above_{limit}': float((iou[of_class] > limit).mean()) for limit in GOOD},
        }
        for name, of_class in [*chosen, ('all', class_ids >= 0)]
        if of_class.any()
    ]
