# SPDX-License-Identifier: Apache-2.0
"""A comparison as the values of its report: what JSON, page, plots and tables are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kd_yolo_ros.metrics.bootstrap import BOXES, MASKS, ResampledAP
from kd_yolo_ros.metrics.judged import judged_by

from .cost import network_cost
from .fairness import unlike
from .models import Model

Row = dict[str, Any]


def result_rows(
    arms: Mapping[str, Sequence[Model]], measured: Mapping[str, Sequence[ResampledAP]]
) -> list[Row]:
    """Return a row for every network: what it is, and its AP."""
    return [
        {
            'arm': arm,
            'artifact': model.name,
            'sha256': model.sha256,
            'seed': model.seed,
            'epoch': model.epoch,
            'runtime': model.runtime,
            'precision': model.precision,
            'input': list(model.imgsz),
            'train_minutes': model.train_minutes,
            **ap.evaluate(),
        }
        for arm, models in arms.items()
        for model, ap in zip(models, measured[arm], strict=True)
    ]


def arm_rows(arms: Mapping[str, Sequence[Model]], results: Sequence[Row]) -> list[Row]:
    """Return a row for every arm: means over its networks, and what one of them costs.

    Args:
        arms: the networks by name of their arm; the first arm is the baseline.
        results: `result_rows`'.
    """
    differing = unlike(arms)
    return [
        {
            **_arm(name, models[0], [row for row in results if row['arm'] == name]),
            'unlike': differing[name],
        }
        for name, models in arms.items()
    ]


def unjudged(ap: ResampledAP, results: Sequence[Row]) -> list[str]:
    """Return the classes that networks were not judged by: without an object, or its mask.

    Args:
        ap: of any network.
        results: `result_rows`'.
    """
    figure = judged_by(results)
    of_class = results[0]['per_class']
    return [*ap.absent, *(name for name, one in of_class.items() if one[figure] is None)]


def _arm(name: str, model: Model, rows: Sequence[Row]) -> Row:
    classes = len(model.class_names)
    cost = model.size and network_cost(model.size, classes, model.imgsz, model.masks)
    minutes = [row['train_minutes'] for row in rows]
    figures = BOXES + MASKS if 'miou' in rows[0] else BOXES
    whole = (*figures, 'miou') if figures != BOXES else figures
    of_class = (*figures, 'iou') if figures != BOXES else figures
    return {
        'name': name,
        'runs': len(rows),
        'images': rows[0]['images'],
        **_means(rows, whole),
        **{f'{key}_sd': _sd([row[key] for row in rows]) for key in whole},
        'per_class': {
            name: {
                **_means([row['per_class'][name] for row in rows], of_class),
                'instances': one['instances'],
            }
            for name, one in rows[0]['per_class'].items()
        },
        'train_minutes': None if None in minutes else float(np.mean(minutes)),
        'parameters': cost.parameters if cost else None,
        'gflops': cost.gflops if cost else None,
    }


def _means(rows: Sequence[Row], keys: Sequence[str]) -> Row:
    """Return the mean of each figure; None where a row has none."""
    columns = {key: [row[key] for row in rows] for key in keys}
    return {key: None if None in c else float(np.mean(c)) for key, c in columns.items()}


def _sd(values: Sequence[float]) -> float | None:
    """Return the sample's standard deviation; one value has none."""
    return float(np.std(values, ddof=1)) if len(values) > 1 and None not in values else None
