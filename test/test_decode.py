# SPDX-License-Identifier: Apache-2.0
"""The decode against one written as loops over every cell, from the paper's formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kd_yolo_ros.decode import decode_anchor_grid, decode_decoded
from kd_yolo_ros.manifest import Head, Thresholds

COCO_ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
COCO = Head('anchor_grid', (8, 16, 32), COCO_ANCHORS)
UNEVEN = Head('anchor_grid', (4, 16), (((5, 7),), ((9, 4), (20, 30))))
MASKS = Head('anchor_grid', (8, 16, 32), COCO_ANCHORS, mask_coefficients=4)
ANCHOR_FREE = Head('anchor_free')


def raw_outputs(head, classes, height, width, seed=0):
    """Logits around zero, so that about every score occurs."""
    random = np.random.default_rng(seed)
    values = 5 + classes + head.mask_coefficients
    return [
        random.normal(0, 2.5, (1, len(anchors) * values, height // s, width // s)).astype('f')
        for s, anchors in zip(head.strides, head.anchors, strict=True)
    ]


def sigmoid(logit):
    return 1 / (1 + math.exp(-float(logit)))


def slow_candidates(outputs, head, classes, thresholds):
    """(x1, y1, x2, y2, score, class) of every cell that counts, one after the other."""
    found = []
    values = 5 + classes + head.mask_coefficients
    for output, stride, anchors in zip(outputs, head.strides, head.anchors, strict=True):
        for index, (anchor_width, anchor_height) in enumerate(anchors):
            first = index * values
            for row in range(output.shape[2]):
                for column in range(output.shape[3]):
                    p = [sigmoid(v) for v in output[0, first : first + 5 + classes, row, column]]
                    x = (2 * p[0] - 0.5 + column) * stride
                    y = (2 * p[1] - 0.5 + row) * stride
                    w, h = (2 * p[2]) ** 2 * anchor_width, (2 * p[3]) ** 2 * anchor_height
                    corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
                    found += chosen(corners, [p[4] * c for c in p[5:]], thresholds)
    return found


def chosen(corners, scores, thresholds):
    """The classes of one box that count."""
    pairs = list(enumerate(scores))
    if not thresholds.multi_label:
        pairs = [max(pairs, key=lambda pair: pair[1])]
    return [
        (*corners, score, class_id)
        for class_id, score in pairs
        if score > thresholds.score
        and (thresholds.class_ids is None or class_id in thresholds.class_ids)
    ]


def assert_same(candidates, expected):
    """The same candidates, in whatever order."""
    assert candidates.boxes.dtype == candidates.scores.dtype == np.float32
    assert candidates.boxes.shape == (len(expected), 4)
    got = np.column_stack([candidates.boxes, candidates.scores, candidates.class_ids])
    expected = np.array(expected, np.float64).reshape(-1, 6)
    order = np.lexsort(np.round(got, 2).T), np.lexsort(np.round(expected, 2).T)
    np.testing.assert_allclose(got[order[0]], expected[order[1]], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('multi_label', [False, True])
@pytest.mark.parametrize(
    ('head', 'classes', 'height', 'width'),
    [
        (COCO, 3, 96, 96),
        (COCO, 3, 64, 160),
        (COCO, 3, 160, 32),
        (COCO, 1, 32, 32),
        (UNEVEN, 2, 48, 80),
        (MASKS, 2, 64, 96),
    ],
)
def test_raw_outputs_as_a_slow_decode(head, classes, height, width, multi_label):
    outputs = raw_outputs(head, classes, height, width)
    for score in (0.001, 0.25, 0.6):
        thresholds = Thresholds(score=score, multi_label=multi_label)
        expected = slow_candidates(outputs, head, classes, thresholds)
        assert expected, 'or nothing is compared'
        assert_same(decode_anchor_grid(outputs, head, classes, thresholds), expected)


@pytest.mark.parametrize('multi_label', [False, True])
def test_only_some_classes(multi_label):
    thresholds = Thresholds(score=0.1, multi_label=multi_label, class_ids=(0, 3))
    outputs = raw_outputs(COCO, 4, 64, 96)
    expected = slow_candidates(outputs, COCO, 4, thresholds)
    assert {candidate[5] for candidate in expected} == {0, 3}
    assert_same(decode_anchor_grid(outputs, COCO, 4, thresholds), expected)


def test_several_labels_are_more_candidates():
    outputs = raw_outputs(COCO, 4, 64, 96)
    one = decode_anchor_grid(outputs, COCO, 4, Thresholds(score=0.1))
    many = decode_anchor_grid(outputs, COCO, 4, Thresholds(score=0.1, multi_label=True))
    assert len(many.scores) > len(one.scores)


def test_a_threshold_of_0_keeps_every_cell_and_1_keeps_none():
    outputs = raw_outputs(COCO, 2, 64, 96)
    cells = sum(output.shape[2] * output.shape[3] for output in outputs)
    everything = decode_anchor_grid(outputs, COCO, 2, Thresholds(score=0))
    assert len(everything.scores) == 3 * cells
    nothing = decode_anchor_grid(outputs, COCO, 2, Thresholds(score=1))
    assert nothing.boxes.shape == (0, 4) and nothing.class_ids.shape == (0,)


@pytest.mark.filterwarnings('error')
def test_extreme_and_undefined_logits():
    outputs = [np.full_like(output, -1e30) for output in raw_outputs(COCO, 2, 64, 64)]
    assert len(decode_anchor_grid(outputs, COCO, 2, Thresholds()).scores) == 0
    outputs[1][0, :, 2, 1] = 1e30  # every anchor of one cell
    found = decode_anchor_grid(outputs, COCO, 2, Thresholds())
    assert found.scores.tolist() == [1, 1, 1]
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    np.testing.assert_allclose(sides, 4 * np.array(COCO_ANCHORS[1]))
    outputs[1][0, :, 2, 1] = np.nan
    assert len(decode_anchor_grid(outputs, COCO, 2, Thresholds()).scores) == 0


def decoded_rows(boxes, classes, seed=0):
    """(1, boxes, 5 + classes) as the decode inside an anchor-grid graph gives it."""
    random = np.random.default_rng(seed)
    centre, size = random.random((boxes, 2)) * 600, random.random((boxes, 2)) * 200
    return np.concatenate([centre, size, random.random((boxes, 1 + classes))], 1).astype('f')[None]


def slow_rows(rows, classes, with_objectness, thresholds):
    found = []
    for row in rows:
        x, y, w, h = row[:4]
        objectness = row[4] if with_objectness else 1
        first = 5 if with_objectness else 4
        scores = [float(objectness * p) for p in row[first : first + classes]]
        corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        found += chosen(corners, scores, thresholds)
    return found


@pytest.mark.parametrize('multi_label', [False, True])
@pytest.mark.parametrize('masks', [0, 7])
def test_decoded_anchor_grid(multi_label, masks):
    thresholds = Thresholds(score=0.3, multi_label=multi_label)
    output = decoded_rows(200, 4 + masks)
    expected = slow_rows(output[0], 4, True, thresholds)
    head = Head('anchor_grid', mask_coefficients=masks)
    assert_same(decode_decoded(output, head, 4, thresholds), expected)


@pytest.mark.parametrize('multi_label', [False, True])
@pytest.mark.parametrize('masks', [0, 7])
def test_decoded_anchor_free(multi_label, masks):
    thresholds = Thresholds(score=0.3, multi_label=multi_label)
    rows = decoded_rows(200, 4 + masks)[0, :, [*range(4), *range(5, 9 + masks)]].T
    expected = slow_rows(rows, 4, False, thresholds)
    head = Head('anchor_free', mask_coefficients=masks)
    assert_same(decode_decoded(rows.T[None], head, 4, thresholds), expected)


def test_decoded_with_nothing_above_the_threshold():
    for head, output in (
        (Head('anchor_grid'), decoded_rows(50, 2)),
        (ANCHOR_FREE, decoded_rows(50, 1).transpose(0, 2, 1)),
    ):
        assert len(decode_decoded(output, head, 2, Thresholds(score=1)).scores) == 0


@pytest.mark.parametrize('bad', [np.inf, -np.inf, np.nan])
def test_a_box_that_is_nowhere_is_no_candidate(bad):
    """Graphs of other tools may overflow; the other objects must not suffer for it."""
    rows = decoded_rows(5, 2)
    rows[0, :, 4:] = 0.9
    rows[0, 3, 2] = bad
    found = decode_decoded(rows, Head('anchor_grid'), 2, Thresholds())
    assert found.boxes.shape == (4, 4) and np.isfinite(found.boxes).all()
    assert len(found.scores) == len(found.class_ids) == 4
