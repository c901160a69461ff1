# SPDX-License-Identifier: Apache-2.0
"""The detection loss and its gradient against a slow implementation of the published definition.

Written from the definition of YOLOv5 v6 and v7, in plain Python numbers, cell by cell, without
a look at our implementation: matching, CIoU, targets, balance and gains.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from kd_yolo_training.losses.detection import DetectionLoss
from kd_yolo_training.models.detect import Detect

STRIDES = (8, 16, 32)
BALANCE = (4.0, 1.0, 0.4)
MAX_RATIO = 4.0
BOX, OBJECTNESS, CLASSES = 0.05, 1.0, 0.5

ANCHORS = (((10, 13), (16, 30), (33, 23)), ((30, 61), (62, 45), (59, 119)),
           ((116, 90), (156, 198), (373, 326)))  # fmt: skip

Target = tuple[int, int, float, float, float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Claim:
    """One object in one cell and anchor of a level; sizes in cells."""

    picture: int
    class_id: int
    anchor: int
    row: int
    column: int
    box: Box
    anchor_size: tuple[float, float]


@dataclass
class Slow:
    """What the slow implementation finds; gradients by (level, picture, channel, row, column)."""

    box: float = 0.0
    objectness: float = 0.0
    classes: float = 0.0
    gradients: dict[tuple[int, int, int, int, int], float] = field(default_factory=dict)

    def add(self, place: tuple[int, int, int, int, int], value: float) -> None:
        self.gradients[place] = self.gradients.get(place, 0.0) + value


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def cross_entropy(logit: float, wanted: float) -> float:
    # -t ln σ(x) - (1 - t) ln(1 - σ(x)), with ln σ(x) = -ln(1 + e^-x)
    softplus = math.log1p(math.exp(-abs(logit))) + max(-logit, 0.0)
    return wanted * softplus + (1 - wanted) * (softplus + logit)


def neighbours(centre: float, cells: int) -> list[int]:
    """Return the cells along one axis: the centre's own and the nearer neighbour, if it is in.

    A centre exactly on the line between two cells is near to both ends of its cell. The far end
    is still in that cell, so the published definition counts its own cell twice.
    """
    own = [math.floor(centre)]
    if centre % 1 < 0.5 and centre > 1:
        own.append(math.floor(centre - 0.5))
    from_end = cells - centre
    if from_end % 1 < 0.5 and from_end > 1:
        own.append(math.floor(centre + 0.5))
    return own


def claims(
    targets: Iterable[Target], anchors: list[tuple[float, float]], height: int, width: int
) -> list[Claim]:
    found = []
    for index, (anchor_w, anchor_h) in enumerate(anchors):
        for picture, class_id, x, y, w, h in targets:
            x, y, w, h = x * width, y * height, w * width, h * height
            ratios = (w / anchor_w, anchor_w / w, h / anchor_h, anchor_h / h)
            if max(ratios) >= MAX_RATIO:
                continue
            columns, rows = neighbours(x, width), neighbours(y, height)
            # The own cell, the neighbours beside it and those above and below: no diagonal ones.
            cells = [(rows[0], column) for column in columns]
            cells += [(row, columns[0]) for row in rows[1:]]
            for row, column in cells:
                row = min(max(row, 0), height - 1)
                column = min(max(column, 0), width - 1)
                box = (x - column, y - row, w, h)
                found.append(
                    Claim(picture, class_id, index, row, column, box, (anchor_w, anchor_h))
                )
    return found


def iou_terms(a: Box, b: Box) -> tuple[float, float, float]:
    """Return IoU, the centres' distance over the diagonal (squared), and v of the paper."""
    overlap_w = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    overlap_h = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    overlap = max(overlap_w, 0.0) * max(overlap_h, 0.0)
    iou = overlap / (a[2] * a[3] + b[2] * b[3] - overlap)
    hull_w = max(a[0] + a[2] / 2, b[0] + b[2] / 2) - min(a[0] - a[2] / 2, b[0] - b[2] / 2)
    hull_h = max(a[1] + a[3] / 2, b[1] + b[3] / 2) - min(a[1] - a[3] / 2, b[1] - b[3] / 2)
    distance = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
    v = 4 / math.pi**2 * (math.atan(b[2] / b[3]) - math.atan(a[2] / a[3])) ** 2
    return iou, distance / (hull_w**2 + hull_h**2), v


def ciou(a: Box, b: Box, alpha: float | None = None) -> tuple[float, float]:
    """Return CIoU and its alpha, which is taken as given where it is given."""
    iou, distance, v = iou_terms(a, b)
    if alpha is None:
        alpha = v / (1 - iou + v) if v else 0.0
    return iou - distance - alpha * v, alpha


def box_of(logits: list[float], anchor: tuple[float, float]) -> Box:
    x, y, w, h = (sigmoid(value) for value in logits)
    return 2 * x - 0.5, 2 * y - 0.5, (2 * w) ** 2 * anchor[0], (2 * h) ** 2 * anchor[1]


def slow_loss(
    outputs: list[np.ndarray],
    targets: list[Target],
    anchors_px: list,
    classes: int,
    imgsz: int,
    smoothing: float = 0.0,
) -> Slow:
    """Return the weighted parts for one picture, and gradients of their sum times the batch."""
    result = Slow()
    levels, batch = len(outputs), len(outputs[0])
    box_gain = BOX * 3 / levels
    class_gain = CLASSES * classes / 80 * 3 / levels
    objectness_gain = OBJECTNESS * (imgsz / 640) ** 2 * 3 / levels
    values = 5 + classes
    for level, output in enumerate(outputs):
        _, _, height, width = output.shape
        anchors = [tuple(side / STRIDES[level] for side in anchor) for anchor in anchors_px[level]]
        found = claims(targets, anchors, height, width)
        wanted: dict[tuple[int, int, int, int], float] = {}
        for claim in found:
            first = claim.anchor * values
            cell = (claim.picture, slice(first, first + values), claim.row, claim.column)
            logits = [float(value) for value in output[cell]]
            overlap, alpha = ciou(box_of(logits[:4], claim.anchor_size), claim.box)
            result.box += box_gain * (1 - overlap) / len(found)
            for channel in range(4):
                place = (level, claim.picture, first + channel, claim.row, claim.column)
                slope = box_slope(logits[:4], channel, claim, alpha)
                result.add(place, -box_gain * slope / len(found) * batch)
            spot = (claim.picture, claim.anchor, claim.row, claim.column)
            # Several objects in one cell: the best overlap is what it should be sure of.
            wanted[spot] = max(wanted.get(spot, 0.0), overlap, 0.0)
            if classes > 1:
                for class_id in range(classes):
                    target = 1 - smoothing / 2 if class_id == claim.class_id else smoothing / 2
                    logit = logits[5 + class_id]
                    share = class_gain / (len(found) * classes)
                    result.classes += share * cross_entropy(logit, target)
                    channel = first + 5 + class_id
                    place = (level, claim.picture, channel, claim.row, claim.column)
                    result.add(place, share * (sigmoid(logit) - target) * batch)
        cells = batch * len(anchors) * height * width
        share = objectness_gain * BALANCE[level] / cells
        for picture, anchor, row, column in np.ndindex(batch, len(anchors), height, width):
            channel = anchor * values + 4
            logit = float(output[picture, channel, row, column])
            target = wanted.get((picture, anchor, row, column), 0.0)
            result.objectness += share * cross_entropy(logit, target)
            slope = share * (sigmoid(logit) - target) * batch
            result.add((level, picture, channel, row, column), slope)
    return result


def box_slope(logits: list[float], channel: int, claim: Claim, alpha: float) -> float:
    """Return dCIoU/dlogit by central differences, alpha held still."""
    step = 1e-6
    ends = []
    for sign in (1, -1):
        moved = list(logits)
        moved[channel] += sign * step
        ends.append(ciou(box_of(moved, claim.anchor_size), claim.box, alpha)[0])
    return (ends[0] - ends[1]) / (2 * step)


def check(
    targets: list[Target],
    *,
    classes: int = 3,
    imgsz: int = 64,
    size: tuple[int, int] | None = None,
    batch: int = 2,
    smoothing: float = 0.0,
    anchors: tuple = ANCHORS,
    seed: int = 0,
    scale: float = 1.0,
) -> Slow:
    """Compare both implementations on random outputs; return what the slow one found."""
    height, width = size or (imgsz, imgsz)
    head = Detect(classes, (4, 4, 4), torch.tensor(anchors, dtype=torch.float32))
    generator = torch.Generator().manual_seed(seed)
    outputs = tuple(
        (
            scale
            * torch.randn(
                batch, 3 * (5 + classes), height // stride, width // stride, generator=generator
            )
        ).requires_grad_()
        for stride in STRIDES
    )
    rows = torch.tensor(targets, dtype=torch.float32).reshape(-1, 6)
    targets = [(int(row[0]), int(row[1]), *row[2:]) for row in rows.tolist()]  # as rounded there
    parts = DetectionLoss(head, imgsz, label_smoothing=smoothing)(outputs, rows)
    parts['loss'].backward()

    arrays = [output.detach().numpy() for output in outputs]
    anchors_px = head.anchors_px.tolist()
    slow = slow_loss(arrays, targets, anchors_px, classes, imgsz, smoothing)
    for name in ('box', 'objectness', 'classes'):
        assert parts[name].item() == pytest.approx(getattr(slow, name), rel=1e-5, abs=1e-9), name
    total = batch * (slow.box + slow.objectness + slow.classes)
    assert parts['loss'].item() == pytest.approx(total, rel=1e-5)

    for level, output in enumerate(outputs):
        expected = np.zeros(output.shape)
        for (at, *place), value in slow.gradients.items():
            if at == level:
                expected[tuple(place)] = value
        assert output.grad is not None
        np.testing.assert_allclose(output.grad.numpy(), expected, rtol=1e-4, atol=1e-8)
    return slow


def random_targets(count: int, batch: int, classes: int, seed: int) -> list[Target]:
    random = np.random.default_rng(seed)
    return [
        (
            int(random.integers(batch)),
            int(random.integers(classes)),
            *(float(v) for v in random.uniform(0.02, 0.98, 2)),
            *(float(v) for v in np.exp(random.uniform(np.log(0.05), np.log(1.0), 2))),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize('seed', range(6))
def test_random_objects(seed: int) -> None:
    slow = check(random_targets(8, 2, 3, seed), seed=seed)
    assert slow.box > 0 and slow.classes > 0


def test_logits_far_from_zero() -> None:
    # Farther out, boxes of no size depend on the guard against division by zero.
    check(random_targets(8, 2, 3, 7), seed=7, scale=2.0)


@pytest.mark.parametrize(('classes', 'smoothing'), [(1, 0.0), (1, 0.1), (2, 0.1), (10, 0.2)])
def test_classes_and_smoothing(classes: int, smoothing: float) -> None:
    slow = check(random_targets(6, 2, classes, 3), classes=classes, smoothing=smoothing)
    assert (slow.classes > 0) == (classes > 1)


@pytest.mark.parametrize('imgsz', [32, 96, 160])
def test_gain_of_objectness_grows_with_the_area(imgsz: int) -> None:
    check(random_targets(5, 1, 3, 5), imgsz=imgsz, batch=1)


def test_rectangular_pictures() -> None:
    check(random_targets(8, 2, 3, 11), imgsz=96, size=(64, 96))


def test_no_objects() -> None:
    slow = check([])
    assert slow.box == slow.classes == 0 < slow.objectness


def test_one_picture_of_several_is_empty() -> None:
    check([(2, 0, 0.3, 0.6, 0.3, 0.3)], batch=3)


def test_crowded_cell() -> None:
    """Several objects, of other classes and sizes, claim one cell and anchor."""
    crowd = [(0, i % 3, 0.41, 0.59, 0.20 + 0.03 * i, 0.25 + 0.02 * i) for i in range(5)]
    check(crowd)
    check(crowd[::-1])


def test_the_same_object_twice() -> None:
    check([(0, 1, 0.41, 0.59, 0.3, 0.3)] * 2)


@pytest.mark.parametrize('y', [0.0, 1.0, 0.01, 0.99])
@pytest.mark.parametrize('x', [0.0, 1.0, 0.01, 0.99, 0.5])
def test_borders_and_corners(x: float, y: float) -> None:
    slow = check([(0, 1, x, y, 0.25, 0.3)], batch=1)
    assert slow.box > 0


@pytest.mark.parametrize('x', [1 / 8, 2 / 8, 3.5 / 8, 6 / 8, 7 / 8, 1.5 / 8, 7.5 / 8])
def test_centres_on_cell_edges_and_in_cell_middles(x: float) -> None:
    check([(0, 1, x, 0.3, 0.25, 0.3)], batch=1)
    check([(0, 1, x, x, 0.25, 0.3)], batch=1)


@pytest.mark.parametrize('side', [1e-4, 0.5 / 64, 50.0])
def test_boxes_that_fit_no_anchor(side: float) -> None:
    slow = check([(0, 1, 0.4, 0.4, side, side)], batch=1)
    assert slow.box == slow.classes == 0


def test_thin_boxes_fit_by_both_sides() -> None:
    check([(0, 1, 0.4, 0.4, 0.9, 0.02), (0, 0, 0.4, 0.4, 0.02, 0.9)], batch=1)


# One anchor near 8 pixels; the rest are more than 4 times anything that is tried with it.
ALONE = (((8, 8), (300, 300), (400, 400)), ((500, 500),) * 3, ((600, 600),) * 3)


@pytest.mark.parametrize(('side', 'fits'), [(4.0, False), (3.9375, True), (0.25, False)])
def test_ratio_of_four_is_too_much(side: float, fits: bool) -> None:
    for w, h in ((side, 1.0), (1.0, side)):
        slow = check([(0, 0, 0.4, 0.4, w * 8 / 64, h * 8 / 64)], batch=1, anchors=ALONE)
        assert (slow.box > 0) == fits


def by_hand(target: Target, classes: int = 2) -> dict[str, float]:
    """Return the loss's parts where every logit is 0: boxes of anchor size in cell middles."""
    head = Detect(classes, (4, 4, 4), torch.tensor(ALONE, dtype=torch.float32))
    outputs = tuple(torch.zeros(1, 3 * (5 + classes), 64 // s, 64 // s) for s in STRIDES)
    parts = DetectionLoss(head, 64)(outputs, torch.tensor([target]))
    return {name: value.item() for name, value in parts.items()}


def test_perfect_box_worked_by_hand() -> None:
    """A box of anchor size in the middle of cell (2, 3): CIoU 1, one claim."""
    parts = by_hand((0, 1, 3.5 / 8, 2.5 / 8, 1 / 8, 1 / 8))
    assert parts['box'] == pytest.approx(0, abs=1e-6)
    # Every logit of 0 costs ln 2, whatever it should be; the area's factor is (64/640)² = 0.01.
    assert parts['objectness'] == pytest.approx(0.01 * (4 + 1 + 0.4) * math.log(2))
    assert parts['classes'] == pytest.approx(0.5 * 2 / 80 * math.log(2))
    assert parts['loss'] == pytest.approx(sum(parts[k] for k in ('box', 'objectness', 'classes')))


def test_wide_box_worked_by_hand() -> None:
    """Twice the anchor's width around the same centre: IoU 1/2, no distance, unequal aspect.

    v = 4/π² (atan 2 - atan 1)² = 0.0419566, alpha = v / (0.5 + v) = 0.0774161, so
    CIoU = 0.5 - alpha v = 0.4967519.
    """
    parts = by_hand((0, 1, 3.5 / 8, 2.5 / 8, 2 / 8, 1 / 8))
    assert parts['box'] == pytest.approx(0.05 * (1 - 0.4967519), rel=1e-5)


def test_shifted_box_worked_by_hand() -> None:
    """A box of anchor size a quarter of a cell to the right of the middle of cell (2, 3).

    It also claims the cell to the right, whose box is 3/4 of a cell away. Shift s: IoU =
    (1 - s)/(1 + s), diagonal² = (1 + s)² + 1, distance² = s². For s = 1/4: 0.6 - 0.0625/2.5625
    = 0.5756098; for s = 3/4: 0.1428571 - 0.5625/4.0625 = 0.0043956. Box: the mean of 1 - CIoU.
    """
    parts = by_hand((0, 1, 3.75 / 8, 2.5 / 8, 1 / 8, 1 / 8))
    assert parts['box'] == pytest.approx(0.05 * (1 - (0.5756098 + 0.0043956) / 2), rel=1e-5)


def test_objectness_aims_at_the_overlap_worked_by_hand() -> None:
    """The gradient in the claimed cell is (σ(0) - CIoU) by its share; in empty cells σ(0)."""
    head = Detect(2, (4, 4, 4), torch.tensor(ALONE, dtype=torch.float32))
    outputs = tuple(torch.zeros(1, 21, 64 // s, 64 // s, requires_grad=True) for s in STRIDES)
    target = torch.tensor([(0, 1, 3.5 / 8, 2.5 / 8, 2 / 8, 1 / 8)])
    DetectionLoss(head, 64)(outputs, target)['loss'].backward()
    share = 0.01 * 4 / (3 * 8 * 8)
    gradient = outputs[0].grad
    assert gradient is not None
    assert gradient[0, 4, 2, 3].item() == pytest.approx(share * (0.5 - 0.4967519), rel=1e-3)
    assert gradient[0, 4, 0, 0].item() == pytest.approx(share * 0.5)
