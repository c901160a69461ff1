# SPDX-License-Identifier: Apache-2.0
"""The masks' part of the segmentation loss, against a slow one that looks at every pixel alone."""

from __future__ import annotations

import math

import pytest
import torch

from kd_yolo_training.data.outlines import UNKNOWN
from kd_yolo_training.losses import mask_crops
from kd_yolo_training.losses.assignment import assign
from kd_yolo_training.losses.detection import DetectionLoss
from kd_yolo_training.losses.segmentation import SegmentationLoss
from kd_yolo_training.models.detect import Segment

CLASSES, MASKS, IMGSZ, BATCH = 2, 4, 64, 3
SIDE = IMGSZ // 4
# Picture, class, centre and size. The third picture is empty; a box reaches over the border, one
# lies in its corner, one is thinner than a cell of the prototypes, one fills all.
TARGETS = torch.tensor(
    [
        [0, 1, 0.40, 0.40, 0.30, 0.25],
        [0, 0, 0.98, 0.55, 0.20, 0.35],
        [0, 1, 0.02, 0.03, 0.10, 0.12],
        [1, 0, 0.50, 0.50, 1.00, 1.00],
        [1, 1, 0.33, 0.52, 0.03, 0.55],
        [1, 0, 0.71, 0.73, 0.22, 0.21],
    ]
)


def head() -> Segment:
    return Segment(CLASSES, (4, 4, 4), None, MASKS, 8)


def random_outputs(seed: int = 0) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    values = 3 * (5 + CLASSES + MASKS)
    shapes = [(BATCH, values, IMGSZ // s, IMGSZ // s) for s in (8, 16, 32)]
    return [
        torch.randn(shape, requires_grad=True) for shape in (*shapes, (BATCH, MASKS, SIDE, SIDE))
    ]


def random_masks(targets: torch.Tensor, seed: int = 1) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (len(targets), SIDE, SIDE), generator=random, dtype=torch.uint8)


def slowly(outputs, targets, masks, anchors) -> float:
    """Return the part without its gain: pictures, levels, answers and pixels one by one."""
    *levels, protos = (output.detach() for output in outputs)
    total = 0.0
    for output, level_anchors in zip(levels, anchors, strict=True):
        height, width = output.shape[2:]
        found = assign(targets, level_anchors, height, width)
        for picture in range(BATCH):
            values, weights = [], []
            for m in range(len(found.target)):
                row = found.target[m]
                if found.picture[m] != picture or masks[row, 0, 0] == UNKNOWN:
                    continue
                start = found.anchor[m] * (5 + CLASSES + MASKS) + 5 + CLASSES
                cell = output[picture, :, found.row[m], found.column[m]]
                coefficients = cell[start : start + MASKS]
                x, y, w, h = (targets[row, 2:6] * SIDE).tolist()
                added = 0.0
                for j in range(SIDE):
                    for i in range(SIDE):
                        at_x = abs(i + 0.5 - x) <= w / 2 or i == math.floor(x)
                        at_y = abs(j + 0.5 - y) <= h / 2 or j == math.floor(y)
                        if at_x and at_y:
                            logit = float(coefficients @ protos[picture, :, j, i])
                            p = 1 / (1 + math.exp(-logit))
                            added -= math.log(p if masks[row, j, i] else 1 - p)
                values.append(added / max(w * h, 1))
                weights.append(float(targets[row, 6]) if targets.shape[1] > 6 else 1.0)
            if values:
                mean = sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
                total += mean / BATCH
    return total


def unknown(masks: torch.Tensor, *rows: int) -> torch.Tensor:
    masks = masks.clone()
    masks[list(rows)] = UNKNOWN
    return masks


@pytest.mark.parametrize(
    ('targets', 'missing'),
    [
        (TARGETS, ()),
        (TARGETS, (0, 4)),
        (TARGETS[3:], (0, 1, 2)),
        (TARGETS[:0], ()),
        (torch.cat((TARGETS, torch.tensor([[1, 0.3, 0.5, 1, 0.2, 0.9]]).T), 1), (2,)),
    ],
)
def test_it_is_the_slow_one(targets, missing):
    outputs, known = random_outputs(), unknown(random_masks(targets), *missing)
    parts = SegmentationLoss(head(), IMGSZ)(outputs, targets, known)
    wanted = 0.05 * slowly(outputs, targets, known, head().anchors)
    assert parts['masks'].item() == pytest.approx(wanted, rel=1e-5, abs=1e-9)
    assert (wanted == 0) == (len(missing) == len(targets))
    boxes = DetectionLoss(head(), IMGSZ)(outputs[:3], targets)
    for name in ('box', 'objectness', 'classes'):
        assert torch.equal(parts[name], boxes[name])
    whole = boxes['loss'] + parts['masks'] * BATCH
    torch.testing.assert_close(parts['loss'], whole, rtol=1e-6, atol=0)


def test_gradients_are_those_of_the_masks_in_the_boxes():
    """Against autograd through whole masks of all answers, the boxes cut out afterwards."""
    outputs, known = random_outputs(), random_masks(TARGETS)
    loss = SegmentationLoss(head(), IMGSZ)
    loss(outputs, TARGETS, known)['loss'].backward()
    mine = [output.grad.clone() for output in outputs]
    again = random_outputs()
    total = loss.total(loss.match(tuple(again[:3]), TARGETS))['loss']
    for matches in loss.match(tuple(again[:3]), TARGETS):
        for picture in range(BATCH):
            which = (matches.found.picture == picture).nonzero().flatten()
            for m in which:
                row = matches.found.target[m]
                logits = torch.einsum('c,cij->ij', matches.rows[m, -MASKS:], again[3][picture])
                entropy = torch.nn.functional.binary_cross_entropy_with_logits(
                    logits, known[row].float(), reduction='none'
                )
                x, y, w, h = TARGETS[row, 2:6] * SIDE
                at = torch.arange(SIDE) + 0.5
                columns = ((at - x).abs() <= w / 2) | (at.floor() == x.floor())
                rows = ((at - y).abs() <= h / 2) | (at.floor() == y.floor())
                value = (entropy * rows[:, None] * columns).sum() / (w * h).clamp(min=1)
                total = total + 0.05 * value / len(which)
    total.backward()
    for a, b in zip(mine, again, strict=True):
        torch.testing.assert_close(a, b.grad, rtol=1e-4, atol=1e-6)
    assert mine[3][2].abs().max() == 0, 'nothing is asked of the prototypes of an empty picture'


def test_a_right_mask_costs_little_and_a_wrong_one_much():
    """Two prototypes say left and right; the cells' coefficients choose one."""
    target, known = TARGETS[3:4], torch.zeros(1, SIDE, SIDE, dtype=torch.uint8)
    known[:, :, : SIDE // 2] = 1
    costs = []
    for sign in (1, -1):
        outputs = [torch.zeros_like(output) for output in random_outputs()]
        outputs[3][:, 0, :, : SIDE // 2], outputs[3][:, 0, :, SIDE // 2 :] = 1, -1
        for output in outputs[:3]:
            output.view(BATCH, 3, -1, *output.shape[2:])[:, :, -MASKS] = 8 * sign
        costs.append(SegmentationLoss(head(), IMGSZ)(outputs, target, known)['masks'].item())
    levels = sum(len(assign(target, anchors, 8, 8).target) > 0 for anchors in head().anchors)
    assert levels > 0
    for logit, cost in zip((8, -8), costs, strict=True):  # in one picture of three
        expected = 0.05 * levels * math.log1p(math.exp(-logit)) / BATCH
        assert cost == pytest.approx(expected, rel=1e-3)


def test_few_at_a_time_or_all_at_once(monkeypatch):
    outputs, known = random_outputs(), random_masks(TARGETS)
    results = []
    for most in (1, 1 << 22):
        monkeypatch.setattr(mask_crops, 'MOST_VALUES', most)
        for output in outputs:
            output.grad = None
        parts = SegmentationLoss(head(), IMGSZ)(outputs, TARGETS, known)
        parts['loss'].backward()
        results.append((parts['masks'], *(output.grad.clone() for output in outputs)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_every_answer_is_in_one_crop_with_its_own_object():
    torch.manual_seed(0)
    answering = torch.randint(0, len(TARGETS), (40,))
    seen = []
    for crops in mask_crops.crops_of(TARGETS, answering, SIDE, SIDE):
        for row, target in enumerate(crops.target):
            mine = crops.answers[row][crops.real[row]]
            assert (answering[mine] == target).all()
            seen += mine.tolist()
            places = crops.places[row][crops.inside[row]]
            assert len(places.unique()) == len(places) >= 1
            assert (places // SIDE**2 == TARGETS[target, 0]).all()
    assert sorted(seen) == list(range(40))


def test_prototypes_have_gradients_where_no_object_is():
    """Processes that train together wait for those of all parameters."""
    outputs = random_outputs()
    none = TARGETS[:0]
    SegmentationLoss(head(), IMGSZ)(outputs, none, random_masks(none))['loss'].backward()
    assert outputs[3].grad.abs().max() == 0


def test_autocast_changes_nothing():
    outputs, known = random_outputs(), random_masks(TARGETS)
    loss = SegmentationLoss(head(), IMGSZ)
    with torch.autocast('cpu', torch.bfloat16):
        half = loss(outputs, TARGETS, known)['masks']
    assert torch.equal(half, loss(outputs, TARGETS, known)['masks'])
