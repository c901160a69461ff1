# SPDX-License-Identifier: Apache-2.0
"""The table of average precision that `evaluate` and `replay` end with."""

from __future__ import annotations

from typing import Any, List, Mapping

from kd_yolo_ros.cli.common import print_table


def print_accuracy(title: str, result: Mapping[str, Any]) -> None:
    """Print AP of each class and of all, of masks or else by size; the report has more.

    Args:
        title: stands above the table.
        result: of `CocoAP.evaluate(details=True)`.
    """
    from kd_yolo_ros.metrics.coco_ap import SIZES

    objects = sum(one['instances'] for one in result['per_class'].values())
    classes = [*result['per_class'].items(), ('all', {**result, 'instances': objects})]
    masks = 'mask_map50_95' in result
    rows: List[List[Any]] = []
    for name, one in classes:
        more = [one[key] for key in ('mask_map50_95', 'mask_map50')] if masks else []
        more += [size['map50_95'] for size in one['by_size'].values()] if not masks else []
        more += [one['miou' if one is classes[-1][1] else 'iou']] if masks else []
        rows.append([name, one['map50_95'], one['map50'], *more, one['instances']])
    columns = ['mask AP50-95', 'mask AP50', 'IoU'] if masks else SIZES
    print_table(title, ['class', 'AP50-95', 'AP50', *columns, 'objects'], rows)
