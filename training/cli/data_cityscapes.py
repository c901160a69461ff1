# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo data cityscapes`: Cityscapes as a prepared data set of boxes and instance outlines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kd_yolo_ros.cli.common import EXISTING, common_options, progress
from kd_yolo_ros.errors import UserError

from .data_shares import comma_separated

if TYPE_CHECKING:
    from ..data.dataset import Picture

SELECT, CALIBRATE = 0.1, 0.05  # of the pictures of train


@click.command()
@click.argument('root', type=EXISTING)
@click.option('--out', type=EXISTING, required=True, help='Folder of the prepared data set.')
@click.option(
    '--select-cities', callback=comma_separated, help='Cities of train for select: ulm,jena.'
)
@click.option('--calibrate-cities', callback=comma_separated, help='The same for calibrate.')
@common_options
def cityscapes(
    root: Path,
    out: Path,
    select_cities: tuple[str, ...],
    calibrate_cities: tuple[str, ...],
    json_file: Path | None,
) -> None:
    """Convert ROOT, with leftImg8bit/ and gtFine/, to the 10 classes; pictures stay there.

    The official val is only val. Whole cities of train go to calibrate and select, about 5 and
    10 % of its pictures unless they are named; the others are fit.
    """
    from ..data.cityscapes import (
        IMAGES,
        NAMES,
        SPLITS,
        find_frames,
        labels_without_picture,
        read_frame,
    )
    from .data_result import write_result

    problems = []
    cities: dict[str, dict[str, list[Picture]]] = {split: {} for split in SPLITS}
    frames = [(split, frame) for split in SPLITS for frame in find_frames(root, split)]
    if not frames:
        raise UserError(f'{root / IMAGES} holds no picture in train/CITY/ or val/CITY/.')
    for split, frame in progress(frames, 'cityscapes', len(frames)):
        picture, wrong = read_frame(frame)
        problems += wrong
        if picture is not None:
            cities[split].setdefault(frame.city, []).append(picture)
    for split in SPLITS:
        problems += labels_without_picture(root, split)
    shares = split_cities(cities['train'], select_cities, calibrate_cities)
    train = {
        split: [picture for city in names for picture in cities['train'][city]]
        for split, names in shares.items()
    }
    val = [picture for city in sorted(cities['val']) for picture in cities['val'][city]]
    source = {'verb': 'cityscapes', 'data': root.resolve().name, 'cities': shares}
    write_result(out, NAMES, root / IMAGES, {**train, 'val': val}, source, problems, json_file)


def split_cities(
    cities: dict[str, list[Picture]], select: Sequence[str], calibrate: Sequence[str]
) -> dict[str, list[str]]:
    """Return the cities of fit, calibrate and select; those not named are chosen by size.

    Raises:
        UserError: a city is not there, or is named for both.
    """
    from ..data.split import split_groups

    named = [*select, *calibrate]
    for city in named:
        if city not in cities:
            raise UserError(f'train has no city {city!r}; it has {", ".join(sorted(cities))}.')
        if named.count(city) > 1:
            raise UserError(f'the city {city!r} is named twice; it can be in one split only.')
    shares = {}
    if not select:
        shares['select'] = SELECT
    if not calibrate:
        shares['calibrate'] = CALIBRATE
    left = {city: [city] * len(found) for city, found in cities.items() if city not in named}
    chosen = {split: sorted(set(names)) for split, names in split_groups(left, shares).items()}
    return {
        'fit': chosen['fit'],
        'calibrate': sorted(calibrate) or chosen['calibrate'],
        'select': sorted(select) or chosen['select'],
    }
