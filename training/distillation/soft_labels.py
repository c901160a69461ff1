# SPDX-License-Identifier: Apache-2.0
"""Soft labels: what teachers of any kind found in a picture, beside what a person labelled.

A soft label is a label with a weight below 1, the teachers' score. Any model that answers with
boxes can make them, whatever its head and runtime.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.class_map import ClassMapFile, map_classes
from kd_yolo_ros.metrics.ground_truth import GroundTruth, Truth

from ..data.dataset import Picture

SUREST = 0.999999  # a score of 1 would make a person's label of it
MIN_SIDE = 1.0  # px; smaller boxes are noise


def teacher_classes(
    names: Sequence[str], teacher_names: Sequence[str], class_map: ClassMapFile = None
) -> np.ndarray:
    """Return for each of a teacher's classes the data set's class id, -1 for none.

    Args:
        names: the data set's class names by class id.
        teacher_names: the teacher's.
        class_map: see `kd_yolo_ros.metrics.class_map.map_classes`.

    Raises:
        UserError: no class is common to both, or one of the teacher's would be two of the data
            set's.
    """
    ids = np.arange(len(names))
    every = Truth(np.zeros((len(ids), 4)), ids, np.zeros(len(ids), bool))
    truth = GroundTruth({'': every}, dict(enumerate(names)), 'the data set')
    classes = np.full(len(teacher_names), -1)
    for class_id, theirs in map_classes(teacher_names, truth, class_map).to_model.items():
        if classes[theirs] >= 0:
            raise UserError(
                f"the teacher's {teacher_names[theirs]!r} would be {names[classes[theirs]]!r} and "
                f'{names[class_id]!r}; set one of them to null in the class map.'
            )
        classes[theirs] = class_id
    return classes


def in_classes(found: Detections, classes: np.ndarray) -> Detections:
    """Return a teacher's detections in the data set's classes, without those that it lacks.

    Args:
        found: in the teacher's classes.
        classes: from `teacher_classes`.
    """
    ids = classes[found.class_ids]
    return Detections(found.boxes, found.scores, ids).select(ids >= 0)


def merge(found: Sequence[Detections], known: np.ndarray, iou: float) -> Detections:
    """Make one set of detections of those that several teachers have.

    Boxes of one class and of different teachers that overlap become their mean, weighted with
    their scores; its score is the mean over the teachers that know the class, 0 for one that did
    not find the object. In the spirit of weighted boxes fusion (Solovyev et al., Image and Vision
    Computing, 2021, arXiv 1910.13302), where a teacher may have several boxes in one.

    Args:
        found: of each teacher, in the data set's classes; boxes in one unit.
        known: (teachers, classes) bool, which classes each teacher has.
        iou: boxes have to overlap by more than this to be one.

    Returns:
        Highest score first.
    """
    boxes = np.concatenate([d.boxes for d in found]).astype(np.float64)
    scores = np.concatenate([d.scores for d in found]).astype(np.float64)
    class_ids = np.concatenate([d.class_ids for d in found])
    teachers = np.repeat(np.arange(len(found)), [len(d) for d in found])
    # Of each object that is made: its mean box, the sum of its scores, its class, its teachers.
    means, sums = np.zeros_like(boxes), np.zeros_like(scores)
    objects = np.zeros_like(class_ids)
    seen = np.zeros((len(boxes), len(found)), bool)
    count = 0
    for row in np.argsort(-scores, kind='stable'):
        free = np.flatnonzero((objects[:count] == class_ids[row]) & ~seen[:count, teachers[row]])
        overlap = overlaps(boxes[row : row + 1], means[free])[0]
        if len(free) and overlap.max() > iou:
            into = free[overlap.argmax()]
        else:
            into, count = count, count + 1
        total = sums[into] + scores[row]
        means[into] = (means[into] * sums[into] + boxes[row] * scores[row]) / total
        sums[into], objects[into], seen[into, teachers[row]] = total, class_ids[row], True
    objects = objects[:count]
    merged = Detections(
        means[:count].astype(np.float32),
        (sums[:count] / known.sum(0)[objects]).astype(np.float32),
        objects,
    )
    return merged.select(np.argsort(-merged.scores, kind='stable'))


def with_soft_labels(picture: Picture, found: Detections, iou: float) -> Picture:
    """Return a picture with its person's labels, and what teachers found beside them.

    A detection that overlaps a labelled object of its class is left out, as the label says it
    better, and so is one inside a crowd region of its class. Soft labels that the picture had are
    replaced.

    Args:
        picture: with its size.
        found: merged, with relative boxes.
        iou: the least overlap that is too much; of a crowd region the share of the detection
            that lies inside.
    """
    rows = np.flatnonzero(~picture.soft)
    assert picture.size is not None, picture.file
    sides = (found.boxes[:, 2:] - found.boxes[:, :2]) * picture.size
    same = found.class_ids[:, None] == picture.class_ids[rows]
    covered = overlaps(found.boxes, picture.boxes[rows], picture.crowd[rows]) > iou
    new = found.select((sides >= MIN_SIDE).all(1) & ~(same & covered).any(1))
    return dataclasses.replace(
        picture,
        boxes=np.concatenate((picture.boxes[rows], new.boxes.astype(np.float32))),
        class_ids=np.concatenate((picture.class_ids[rows], new.class_ids)),
        crowd=np.concatenate((picture.crowd[rows], np.zeros(len(new), bool))),
        polygons=(*(picture.polygons[row] for row in rows), *((),) * len(new)),
        weights=np.concatenate(
            (np.ones(len(rows), np.float32), np.minimum(new.scores, np.float32(SUREST)))
        ),
    )


def overlaps(boxes: np.ndarray, others: np.ndarray, crowd: np.ndarray | None = None) -> np.ndarray:
    """Return the IoU of all pairs, (N, M).

    Args:
        boxes: (N, 4) x1 y1 x2 y2, of any unit.
        others: (M, 4), of the same.
        crowd: (M,) bool; of a crowd region it is the share of the box that lies inside.
    """
    from pycocotools import mask

    if not len(boxes) or not len(others):
        return np.zeros((len(boxes), len(others)))
    with_sides = [
        np.concatenate((b[:, :2], b[:, 2:] - b[:, :2]), 1).astype(np.float64)
        for b in (boxes, others)
    ]
    flags = np.zeros(len(others)) if crowd is None else crowd
    return mask.iou(*with_sides, flags.astype(np.uint8).tolist())
