# SPDX-License-Identifier: Apache-2.0
"""Which classes are taken for which, which objects are missed, and where nothing was.

Every detection above the score threshold counts, each class of a box on its own.
"""

from __future__ import annotations

from typing import Iterable, Iterator, Tuple

import numpy as np

from kd_yolo_ros.metrics.compared import ComparedPicture

SCORE = 0.25  # of operation; AP's own 0.001 would show noise
IOU = 0.5


def confusion_matrix(
    pictures: Iterable[ComparedPicture], classes: int, score: float = SCORE, iou: float = IOU
) -> np.ndarray:
    """Count what the objects of each class were detected as.

    Objects and detections of all classes are paired greedily, the largest overlap first and of
    equal ones the higher score. Detections inside a crowd region of their class count nowhere.

    Args:
        pictures: with their detections.
        classes: number of classes.
        score: detections below it do not count.
        iou: the least overlap of a pair.

    Returns:
        (classes + 1, classes + 1) int64. Rows are what is there, columns what was detected; the
        last row is background (false alarms), the last column too (missed objects).
    """
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    for picture in pictures:
        for actual, detected in _pairs(picture, classes, score, iou):
            matrix[actual, detected] += 1
    return matrix


def _pairs(
    picture: ComparedPicture, background: int, score: float, iou: float
) -> Iterator[Tuple[int, int]]:
    """Yield (actual class, detected class) of every object and detection that counts."""
    from pycocotools import mask

    order = np.argsort(-picture.scores, kind='stable')
    order = order[picture.scores[order] >= score]
    boxes, detected = picture.boxes[order], picture.classes[order]
    actual, crowd = picture.truth_classes, picture.crowd
    overlaps = np.zeros((len(boxes), len(actual)))
    if overlaps.size:
        # Of a crowd region it is the share of the detection that lies inside.
        overlaps = mask.iou(boxes, picture.truth_boxes, crowd.astype(np.uint8).tolist())
    rows, columns = np.nonzero((overlaps >= iou) & ~crowd)
    found, explained = np.zeros(len(actual), bool), np.zeros(len(boxes), bool)
    for pair in np.argsort(-overlaps[rows, columns], kind='stable'):
        row, column = rows[pair], columns[pair]
        if not explained[row] and not found[column]:
            explained[row] = found[column] = True
            yield actual[column], detected[row]
    in_crowd = ((overlaps >= iou) & crowd & (detected[:, None] == actual)).any(axis=1)
    for class_id in actual[~found & ~crowd]:
        yield class_id, background
    for class_id in detected[~explained & ~in_crowd]:
        yield background, class_id
