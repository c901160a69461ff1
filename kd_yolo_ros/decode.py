# SPDX-License-Identifier: Apache-2.0
"""From network outputs to candidates: boxes in network pixels, scores and classes.

Candidates are cut by score first; nothing is computed for the thousands of other cells.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Optional, Sequence, Tuple

import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import MANIFEST, Head, ModelFile, Thresholds

# Of coordinates that are shares of a side, a few may lie outside of 0..1, but never half of them.
MAX_SHARE = 2

PROTOTYPE_STRIDE = 4  # network pixels of a prototype's cell, in every YOLO with masks


@dataclass(frozen=True)
class Candidates:
    """Boxes before non-maximum suppression.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in network pixels.
        scores: (N,) float32.
        class_ids: (N,) int64.
        coefficients: (N, M) float32, of each one's mask; None in detection models.
    """

    boxes: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray
    coefficients: Optional[np.ndarray] = None


def decode(
    outputs: Sequence[np.ndarray],
    head: Head,
    file: ModelFile,
    num_classes: int,
    thresholds: Thresholds,
) -> Candidates:
    """Read a model file's outputs, whatever their layout.

    Args:
        outputs: of the graph, all of them.
        head: what they hold.
        file: in which places and units they give it.
        num_classes: number of classes.
        thresholds: `score` cuts the candidates, and `class_ids` chooses among them;
            `multi_label` keeps every class of a box, where the head gives several.

    Raises:
        UserError: a detection of a class that the manifest does not name, or boxes that are no
            shares of the input though the manifest says so.
    """
    outputs = _in_order(outputs, file)
    if not file.decode_inside:
        return decode_anchor_grid(outputs, head, num_classes, thresholds, file.output_layout)
    if head.layout == 'detections':
        candidates = read_detections(outputs, head, num_classes, thresholds, file.box_order)
    elif head.layout == 'end_to_end':
        candidates = read_end_to_end(outputs[0], head, num_classes, thresholds)
    else:
        candidates = decode_decoded(outputs[0], head, num_classes, thresholds)
    if file.normalized_boxes:
        if len(candidates.boxes) and np.median(candidates.boxes) > MAX_SHARE:
            raise UserError(
                f'{file.path} gives boxes in pixels, not as shares of the picture; import it with '
                f'kd-yolo import and write normalized_boxes: false into {MANIFEST}.'
            )
        sides = np.array([file.input.width, file.input.height] * 2, np.float32)
        candidates = dataclasses.replace(candidates, boxes=candidates.boxes * sides)
    return candidates


def prototypes(outputs: Sequence[np.ndarray], head: Head, file: ModelFile) -> np.ndarray:
    """Return the prototypes of the masks among a model file's outputs, as a view (M, h, w)."""
    protos = _in_order(outputs, file)[_prototypes_place(head, file)][0]
    return protos.transpose(2, 0, 1) if file.output_layout == 'nhwc' else protos


def expected_outputs(
    shapes: Sequence[Tuple[int, ...]], head: Head, file: ModelFile, num_classes: int
) -> str:
    """Return what `decode` would need in place of outputs of these shapes, or an empty text."""
    if any(place >= len(shapes) for place in file.outputs):
        return f'at least {max(file.outputs) + 1} outputs'
    shapes = list(_in_order(shapes, file))
    masks = head.mask_coefficients
    if masks:
        rows, columns = (s // PROTOTYPE_STRIDE for s in (file.input.height, file.input.width))
        last = file.output_layout == 'nhwc'
        wanted = (1, rows, columns, masks) if last else (1, masks, rows, columns)
        place = _prototypes_place(head, file)
        if len(shapes) <= place or shapes.pop(place) != wanted:
            return f'prototypes {wanted} behind the boxes'
    first = shapes[0] if shapes else ()
    values = 4 + num_classes + masks
    if not file.decode_inside:
        levels = []
        for stride, anchors in zip(head.strides, head.anchors):
            height, width = file.input.height // stride, file.input.width // stride
            channels = len(anchors) * (values + 1)
            nchw = (1, channels, height, width)
            levels.append(nchw if file.output_layout == 'nchw' else (1, height, width, channels))
        return '' if shapes == levels else f'{levels}'
    if head.layout == 'detections':
        ready = len(shapes) >= 3 and first[-1:] == (4,) and len(first) in (2, 3)
        n = math.prod(first[:-1])
        fits = ready and n == math.prod(shapes[1]) == math.prod(shapes[2])
        return '' if fits else '(N, 4) boxes, N labels and N scores'
    if head.layout == 'end_to_end':
        values = 6 + masks
    elif head.layout == 'anchor_grid':
        values += 1
    axis = 1 if head.layout == 'anchor_free' else 2
    fits = len(first) == 3 and first[0] == 1 and first[axis] == values
    return '' if fits else f'{values} values a box'


def decode_anchor_grid(
    outputs: Sequence[np.ndarray],
    head: Head,
    num_classes: int,
    thresholds: Thresholds,
    layout: str = 'nchw',
) -> Candidates:
    """Decode YOLOv5's raw head convolutions.

    A cell's box is centred at (2 sigmoid(t_xy) - 0.5 + cell) * stride and sized
    (2 sigmoid(t_wh))^2 * anchor; a class score is objectness times class probability
    (YOLOv5 v6.0, doi:10.5281/zenodo.5563715).

    Args:
        outputs: for each stride (1, anchors * (5 + classes + mask coefficients), H, W) float32,
            or with the channels last.
        head: strides and anchors, in the order of `outputs`.
        num_classes: number of classes.
        thresholds: `score` cuts the candidates; `multi_label` keeps every class above it.
        layout: 'nchw' or 'nhwc'.
    """
    # The score never exceeds the objectness, so that one channel decides what is looked at.
    least_logit = _logit(thresholds.score)
    rows, cells, anchors, strides = [], [], [], []
    for output, stride, level_anchors in zip(outputs, head.strides, head.anchors):
        if layout == 'nhwc':
            output = output.transpose(0, 3, 1, 2)  # a view, and so is its reshape
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
        none = np.zeros((0, 4 + head.mask_coefficients), np.float32)
        return Candidates(none[:, :4], none[:, 0], hits, _coefficients(none, head))
    found = np.concatenate(rows)
    values = _sigmoid(found[:, : 5 + num_classes])
    centre = (values[:, :2] * 2 - 0.5 + np.concatenate(cells)) * np.concatenate(strides)
    size = np.square(values[:, 2:4] * 2) * np.concatenate(anchors)
    scores = values[:, 5:] * values[:, 4:5]
    return _classify(centre, size, scores, thresholds, _coefficients(found, head))


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
    return _classify(rows[:, :2], rows[:, 2:4], scores, thresholds, _coefficients(rows, head))


def read_end_to_end(
    output: np.ndarray, head: Head, num_classes: int, thresholds: Thresholds
) -> Candidates:
    """Read rows in which the graph has left one box for each object.

    Args:
        output: (1, N, 6 + …): x1 y1 x2 y2, score, class; rows of score 0 are padding.
        head: says how many mask coefficients follow.
        num_classes: number of classes.
        thresholds: as in `decode`.
    """
    rows = output[0]
    rows = rows[rows[:, 4] > thresholds.score]
    class_ids = np.rint(rows[:, 5]).astype(np.int64)
    return _ready(
        rows[:, :4], rows[:, 4], class_ids, num_classes, thresholds, _coefficients(rows, head)
    )


def read_detections(
    outputs: Sequence[np.ndarray],
    head: Head,
    num_classes: int,
    thresholds: Thresholds,
    box_order: str = 'xyxy',
) -> Candidates:
    """Read ready detections, as torchvision's and TensorFlow's detectors give them.

    Args:
        outputs: boxes (N, 4), labels (N,) as whole numbers of any type, scores (N,), and maybe
            the number of those that count; each may have a leading axis of length 1.
        head: `first_label` is the label of class 0; labels below it are background.
        num_classes: number of classes.
        thresholds: as in `decode`.
        box_order: 'xyxy', or 'yxyx' for y1 x1 y2 x2.
    """
    count = int(outputs[3].reshape(-1)[0]) if len(outputs) > 3 else None
    scores = outputs[2].reshape(-1)[:count]
    keep = np.flatnonzero(scores > thresholds.score)
    class_ids = np.rint(outputs[1].reshape(-1)[keep]).astype(np.int64) - head.first_label
    keep, class_ids = keep[class_ids >= 0], class_ids[class_ids >= 0]
    boxes = outputs[0].reshape(-1, 4)[keep]
    if box_order == 'yxyx':
        boxes = boxes[:, [1, 0, 3, 2]]
    return _ready(boxes, scores[keep], class_ids, num_classes, thresholds)


def _ready(
    boxes: np.ndarray,
    scores: np.ndarray,
    class_ids: np.ndarray,
    num_classes: int,
    thresholds: Thresholds,
    coefficients: Optional[np.ndarray] = None,
) -> Candidates:
    """Return one candidate for each box (N, 4), less those of classes that are not wanted."""
    if len(class_ids) and not 0 <= class_ids.min() <= class_ids.max() < num_classes:
        strange = class_ids[(class_ids < 0) | (class_ids >= num_classes)][0]
        raise UserError(
            f'The model found an object of class {strange}, but names only 0 to '
            f'{num_classes - 1} are known; import it with the whole list of names.'
        )
    keep = np.isfinite(boxes).all(1)
    if thresholds.class_ids is not None:
        keep &= np.isin(class_ids, thresholds.class_ids)
    return Candidates(
        boxes[keep].astype(np.float32),
        scores[keep].astype(np.float32),
        class_ids[keep],
        None if coefficients is None else coefficients[keep],
    )


def _in_order(values: Sequence[Any], file: ModelFile) -> Sequence[Any]:
    return [values[place] for place in file.outputs] if file.outputs else values


def _prototypes_place(head: Head, file: ModelFile) -> int:
    return 1 if file.decode_inside else len(head.strides)


def _coefficients(rows: np.ndarray, head: Head) -> Optional[np.ndarray]:
    """Return the mask coefficients, which are the last values of each row."""
    masks = head.mask_coefficients
    return rows[:, -masks:].astype(np.float32, copy=False) if masks else None


def _classify(
    centre: np.ndarray,
    size: np.ndarray,
    scores: np.ndarray,
    thresholds: Thresholds,
    coefficients: Optional[np.ndarray],
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
    if coefficients is not None:
        coefficients = coefficients[box_index[finite]]
    return Candidates(
        boxes[finite], scores[box_index, class_ids][finite], class_ids[finite], coefficients
    )


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    # Through tanh: it cannot overflow, however large a logit is.
    return np.tanh(logits * np.float32(0.5)) * np.float32(0.5) + np.float32(0.5)


def _logit(probability: float) -> float:
    if probability <= 0:
        return -np.inf
    return np.inf if probability >= 1 else float(np.log(probability / (1 - probability)))
