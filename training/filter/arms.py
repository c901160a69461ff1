# SPDX-License-Identifier: Apache-2.0
"""Arms, each a few networks that differ in their seed, measured and compared with one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from kd_yolo_ros.metrics.bootstrap import Difference, ResampledAP, paired_differences
from kd_yolo_ros.metrics.class_map import map_classes
from kd_yolo_ros.metrics.coco_ap import CocoAP

from ..data.dataset import DataSet
from ..engine.validation import ground_truth
from .found import Found, find, found_file, pictures_hash
from .models import Model


def measure(
    arms: Mapping[str, Sequence[Model]],
    data: DataSet,
    folder: Path,
    threads: int | None = None,
    progress: Callable[..., Iterable] = lambda items, *_: items,
) -> dict[str, list[ResampledAP]]:
    """Run every network on the pictures; what is in `folder` already is not run again.

    Args:
        arms: the networks by name of their arm, which have passed `check_alike`.
        data: the pictures; all of them readable.
        folder: keeps the detections.
        threads: of one inference.
        progress: as in `find`.

    Raises:
        UserError: a network does not run, or the folder cannot be written.
    """
    measured: dict[str, list[ResampledAP]] = {}
    pictures = pictures_hash(data)
    for arm, models in arms.items():
        for number, model in enumerate(models, 1):
            title = f'{arm} {number} of {len(models)}'
            found = find(
                model, data, found_file(folder, model, pictures), threads, progress, title
            )
            measured.setdefault(arm, []).append(resampled_ap(data, found))
    return measured


def resampled_ap(data: DataSet, found: Sequence[Found]) -> ResampledAP:
    """Compare what a network found, picture by picture, with the labels."""
    truth = ground_truth(data)
    ap = CocoAP(truth, data.names, map_classes(data.names, truth))
    for number, one in enumerate(found):
        ap.process(str(number), *one)
    return ResampledAP(ap)


def differences(
    measured: Mapping[str, Sequence[ResampledAP]],
    baseline: str,
    resamples: int,
    level: float,
    seed: int,
    progress: Callable[..., Iterable] = lambda items, *_: items,
) -> dict[str, Difference]:
    """Return what `paired_differences` returns for every arm but the baseline, by its name."""
    others = {arm: models for arm, models in measured.items() if arm != baseline}
    return paired_differences(
        measured[baseline],
        others,
        resamples,
        level,
        seed,
        lambda items, title, total: progress(items, title, total, ' resamples'),
    )
