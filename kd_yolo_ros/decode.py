# SPDX-License-Identifier: Apache-2.0
"""From network outputs to candidates: boxes in network pixels, scores and classes.

Candidates are cut by score first; nothing is computed for the thousands of other cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from kd_yolo_ros.manifest import Head, Thresholds


@dataclass(frozen=True)
class Candidates:
    """Boxes before non-maximum suppression.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in network pixels.
        scores: (N,) float32.
        class_ids: (N,) int64.
    """

    boxes: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray


def decode_anchor_grid(
    outputs: Sequence[np.ndarray], head: Head, num_classes: int, thresholds: Thresholds
) -> Candidates:
    """Decode YOLOv5's raw head convolutions.

    A cell's box is centred at (2 sigmoid(t_xy) - 0.5 + cell) * stride and sized
    (2 sigmoid(t_wh))^2 * anchor; a class score is objectness times class probability
    (YOLOv5 v6.0, doi:10.5281/zenodo.5563715).

    Args:
        outputs: for each stride (1, anchors * (5 + classes + mask coefficients), H, W) float32.
        head: strides and anchors, in the order of `outputs`.
        num_classes: number of classes.
        thresholds: `score` cuts the candidates; `multi_label` keeps every class above it.
    """
    # The score never exceeds the objectness, so that one channel decides what is looked at.
    least_logit = _logit(thresholds.score)
    rows, cells, anchors, strides = [], [], [], []
    for output, stride, level_anchors in zip(outputs, head.strides, head.anchors):
        _, _, height, width = output.shape
        grid = output.reshape(len(level_anchors), -1, height * width)
        # Flat, and then split: many times faster than nonzero() over two axes.
        hits = np.flatnonzero(grid[:, 4] > least_logit)
        if not len(hits):
            continue
        anchor_index, cell = np.divmod(hits, height * width)
        rows.append(grid[anchor_index, :, cell])
        cells.append(np.stack((cell % width, cell // width), 1))
        anchors.append(np.asarray(level_anchors, np.float32)[anchor_index])
        strides.append(np.full((len(cell), 1), stride, np.float32))
    if not rows:
        return Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), hits)
    values = _sigmoid(np.concatenate(rows)[:, : 5 + num_classes])
    centre = (values[:, :2] * 2 - 0.5 + np.concatenate(cells)) * np.concatenate(strides)
    size = np.square(values[:, 2:4] * 2) * np.concatenate(anchors)
    return _classify(centre, size, values[:, 5:] * values[:, 4:5], thresholds)


def decode_decoded(
    output: np.ndarray, head: Head, num_classes: int, thresholds: Thresholds
) -> Candidates:
    """Read a tensor in which the graph has already decoded the boxes.

    Args:
        output: (1, N, 5 + classes + …) for an anchor grid: centre, size, objectness, class
            probabilities; (1, 4 + classes + …, N) for an anchor-free head, without objectness.
        head: says which of the two.
        num_classes: number of classes.
        thresholds: as in `decode_anchor_grid`.
    """
    if head.layout == 'anchor_grid':
        rows = output[0]
        rows = rows[rows[:, 4] > thresholds.score]
        scores = rows[:, 5 : 5 + num_classes] * rows[:, 4:5]
    else:
        columns = output[0]
        keep = columns[4 : 4 + num_classes].max(0) > thresholds.score
        rows = columns[:, keep].T
        scores = rows[:, 4 : 4 + num_classes]
    return _classify(rows[:, :2], rows[:, 2:4], scores, thresholds)


def _classify(
    centre: np.ndarray, size: np.ndarray, scores: np.ndarray, thresholds: Thresholds
) -> Candidates:
    """Choose each box's classes and turn centre and size (N, 2) into corners."""
    if thresholds.multi_label:
        box_index, class_ids = np.nonzero(scores > thresholds.score)
    else:
        best = scores.argmax(1)
        box_index = np.flatnonzero(scores[np.arange(len(best)), best] > thresholds.score)
        class_ids = best[box_index]
    if thresholds.class_ids is not None:
        wanted = np.isin(class_ids, thresholds.class_ids)
        box_index, class_ids = box_index[wanted], class_ids[wanted]
    half = size[box_index] / 2
    centre = centre[box_index]
    boxes = np.concatenate((centre - half, centre + half), 1).astype(np.float32, copy=False)
    finite = np.isfinite(boxes).all(1)  # one that overflowed would spoil all others in the NMS
    return Candidates(boxes[finite], scores[box_index, class_ids][finite], class_ids[finite])


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    # Through tanh: it cannot overflow, however large a logit is.
    return np.tanh(logits * np.float32(0.5)) * np.float32(0.5) + np.float32(0.5)


def _logit(probability: float) -> float:
    if probability <= 0:
        return -np.inf
    return np.inf if probability >= 1 else float(np.log(probability / (1 - probability)))
