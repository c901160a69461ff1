# SPDX-License-Identifier: Apache-2.0
"""Do two predictors of one network answer alike? Their boxes, scores and masks, pair by pair."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.manifest import AP_THRESHOLDS
from kd_yolo_ros.metrics.compared import to_xywh
from kd_yolo_ros.metrics.found import Found, compressed
from kd_yolo_ros.predictor import Predictor

SURE = 0.25  # score from which a detection has to have a partner
IOU = 0.5  # least overlap of partners

# Runtimes sum the same products in another order. Between ONNX Runtime and OpenVINO that moves
# the boxes of YOLOv5n by 0.0003 pixels at most and scores by 4e-6. It may also decide which of two
# nearly equal boxes suppression keeps, so the worst box has no limit of its own.
FP32_LIMITS = {
    'box_median': 0.01, 'score_max': 0.001, 'unmatched_share': 0.001, 'mask_median': 0.001,
}  # fmt: skip
# Lower precision without ground truth: only gross damage can be told from rounding, which leaves
# 0.1 to 0.4 % of YOLOv5n's detections without partner; bf16 moves 0.5 % of a mask's pixels.
REDUCED_LIMITS = {'unmatched_share': 0.05, 'mask_median': 0.2}


def parity(
    reference: Predictor, other: Predictor, pictures: Iterable[np.ndarray]
) -> Dict[str, Any]:
    """Run two predictors with the thresholds of AP on the same pictures and compare them.

    Args:
        reference: what is taken as right.
        other: of the same network.
        pictures: (H, W, 3) uint8 BGR.

    Returns:
        See `compare_found`.
    """
    found: Tuple[List[Found], List[Found]] = ([], [])
    before = reference.thresholds, other.thresholds
    reference.thresholds = other.thresholds = AP_THRESHOLDS
    try:
        for picture in pictures:
            found[0].append(compressed(reference.predict(picture), picture))
            found[1].append(compressed(other.predict(picture), picture))
    finally:
        reference.thresholds, other.thresholds = before
    return compare_found(*found)


def compare_found(reference: Sequence[Found], other: Sequence[Found]) -> Dict[str, Any]:
    """Compare what two predictors found in the same pictures.

    Detections of a class are paired greedily, those that both are sure of (score > 0.25) first,
    then the largest overlap, down to an IoU of 0.5. A pair counts where either side is sure.

    Args:
        reference: of each picture, with the thresholds of AP.
        other: likewise.

    Returns:
        pictures; matched, the pairs that count; unmatched, detections with score > 0.25 of either
        side without partner, and unmatched_share of all that have such a score; box_max,
        box_median, score_max: largest difference of a box's coordinates in pixels of the picture,
        over pairs, and of scores; None without pairs. Where both have masks, mask_max and
        mask_median: pixels that one of the two masks covers and the other does not, as a share of
        all that they cover.
    """
    boxes, scores, masks = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    unmatched = 0
    for first, second in zip(reference, other):
        one, two = first.detections, second.detections
        rows, columns = _pairs(one, two)
        boxes.append(np.abs(one.boxes[rows] - two.boxes[columns]).max(axis=1, initial=0))
        scores.append(np.abs(one.scores[rows] - two.scores[columns]))
        masks.append(_mask_differences(first, second, rows, columns))
        for side, partnered in ((one, rows), (two, columns)):
            alone = np.ones(len(side), bool)
            alone[partnered] = False
            unmatched += int((alone & (side.scores > SURE)).sum())
    box, score = np.concatenate(boxes).astype(float), np.concatenate(scores).astype(float)
    sure = sum(int((one.detections.scores > SURE).sum()) for one in (*reference, *other))
    compared = {
        'pictures': len(reference),
        'matched': len(box),
        'unmatched': unmatched,
        'unmatched_share': unmatched / sure if sure else 0.0,
        'box_max': float(box.max()) if len(box) else None,
        'box_median': float(np.median(box)) if len(box) else None,
        'score_max': float(score.max()) if len(score) else None,
    }
    if all(one.masks is not None for one in (*reference, *other)):
        mask = np.concatenate(masks)
        compared['mask_max'] = float(mask.max()) if len(mask) else None
        compared['mask_median'] = float(np.median(mask)) if len(mask) else None
    return compared


def _mask_differences(one: Found, two: Found, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return 1 - IoU of the masks of each pair; nothing where either side has none."""
    from pycocotools import mask

    if one.masks is None or two.masks is None:
        return np.zeros(0)
    pairs = zip(one.masks.select(rows).rles(), two.masks.select(columns).rles())
    # Two that cover nothing have no IoU, and are the same.
    return np.array([0 if a == b else 1 - mask.iou([a], [b], [0])[0, 0] for a, b in pairs])


def differs(
    compared: Dict[str, Any],
    precision: str,
    ap_drop: Optional[float] = None,
    max_drop: float = 0.01,
    figure: str = 'AP50-95',
) -> Optional[str]:
    """Return why a comparison fails, None where it does not.

    Args:
        compared: `compare_found`'s answer.
        precision: of the other; 'fp32' is held to FP32_LIMITS.
        ap_drop: AP of the reference less that of the other, in -1..1; None where unknown. Where
            it is known, it alone decides on lower precisions.
        max_drop: most that it may be.
        figure: the name of that AP.
    """
    if not compared['matched'] and not compared['unmatched']:
        return f'no detection with score > {SURE} on these pictures: nothing was compared'
    limits = FP32_LIMITS if precision == 'fp32' else REDUCED_LIMITS if ap_drop is None else {}
    for name, limit in limits.items():
        if (compared.get(name) or 0) > limit:
            return f'{name} {compared[name]:.3g} > {limit:g}'
    if ap_drop is not None and ap_drop > max_drop:
        return f'{figure} falls by {ap_drop:.4f} > {max_drop:g}'
    return None


def _pairs(one: Detections, two: Detections) -> Tuple[np.ndarray, np.ndarray]:
    """Return the indices of partners of which at least one is sure."""
    from pycocotools import mask

    if not len(one) or not len(two):
        return np.zeros(0, int), np.zeros(0, int)
    overlaps = mask.iou(to_xywh(one.boxes), to_xywh(two.boxes), [0] * len(two))
    overlaps[one.class_ids[:, None] != two.class_ids] = 0
    rows, columns = np.nonzero(overlaps >= IOU)
    both = np.minimum(one.scores[rows], two.scores[columns]) > SURE
    order = np.lexsort((-overlaps[rows, columns], ~both))
    free_rows, free_columns = np.ones(len(one), bool), np.ones(len(two), bool)
    pairs = []
    for row, column in zip(rows[order], columns[order]):
        if free_rows[row] and free_columns[column]:
            free_rows[row] = free_columns[column] = False
            pairs.append((row, column))
    found = np.array(pairs, int).reshape(-1, 2)
    counts = np.maximum(one.scores[found[:, 0]], two.scores[found[:, 1]]) > SURE
    return found[counts, 0], found[counts, 1]
