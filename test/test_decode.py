# SPDX-License-Identifier: Apache-2.0
"""The decode against one written as loops over every cell, from the paper's formulas."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from kd_yolo_ros.decode import (
    decode,
    decode_anchor_grid,
    decode_decoded,
    expected_outputs,
    prototypes,
    read_detections,
    read_end_to_end,
)
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import Head, InputSpec, ModelFile, Thresholds

COCO_ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
COCO = Head('anchor_grid', (8, 16, 32), COCO_ANCHORS)
UNEVEN = Head('anchor_grid', (4, 16), (((5, 7),), ((9, 4), (20, 30))))
MASKS = Head('anchor_grid', (8, 16, 32), COCO_ANCHORS, mask_coefficients=4)
ANCHOR_FREE = Head('anchor_free')
ROWS = Head('end_to_end')


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


def channels_last(outputs):
    return [np.ascontiguousarray(output.transpose(0, 2, 3, 1)) for output in outputs]


@pytest.mark.parametrize('multi_label', [False, True])
@pytest.mark.parametrize(
    ('head', 'classes', 'height', 'width'),
    [(COCO, 3, 64, 160), (UNEVEN, 2, 48, 80), (MASKS, 2, 64, 96)],
)
def test_raw_outputs_with_the_channels_last(head, classes, height, width, multi_label):
    outputs = raw_outputs(head, classes, height, width)
    for score in (0.001, 0.6, 1):
        thresholds = Thresholds(score=score, multi_label=multi_label, class_ids=(1,))
        expected = slow_candidates(outputs, head, classes, thresholds)
        assert bool(expected) == (score < 1)
        found = decode_anchor_grid(channels_last(outputs), head, classes, thresholds, 'nhwc')
        assert_same(found, expected)


END_TO_END = np.array(
    [
        [10, 20, 30, 50, 0.9, 2],
        [10, 21, 30, 50, 0.8, 2],  # overlaps the first: the graph has decided that both stay
        [0, 0, 5, 5, 0.3, 0],
        [1, 2, 3, 4, 0.2, 1],
        [0, 0, 0, 0, 0, 0],  # padding
    ],
    np.float32,
)[None]


def test_end_to_end_rows():
    found = read_end_to_end(END_TO_END, ROWS, 3, Thresholds(score=0.25))
    assert_same(found, [[*row[:4], row[4], row[5]] for row in END_TO_END[0, :3]])
    found = read_end_to_end(
        END_TO_END, ROWS, 3, Thresholds(score=0, class_ids=(1, 2), multi_label=True)
    )
    assert found.class_ids.tolist() == [2, 2, 1] and found.class_ids.dtype == np.int64
    assert len(read_end_to_end(END_TO_END, ROWS, 3, Thresholds(score=1)).scores) == 0


def test_end_to_end_rows_carry_mask_coefficients_too():
    coefficients = np.arange(5 * 32, dtype=np.float32).reshape(1, 5, 32)
    wide = np.concatenate([END_TO_END, coefficients], 2)
    expected = read_end_to_end(END_TO_END, ROWS, 3, Thresholds())
    assert expected.coefficients is None
    wider = dataclasses.replace(ROWS, mask_coefficients=32)
    found = read_end_to_end(wide, wider, 3, Thresholds(class_ids=(0, 2)))
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.coefficients, coefficients[0, :3])
    assert read_end_to_end(wide, wider, 3, Thresholds(score=1)).coefficients.shape == (0, 32)


@pytest.mark.parametrize(
    'thresholds',
    [
        Thresholds(score=0.3),
        Thresholds(score=0.1, multi_label=True),
        Thresholds(score=0.3, class_ids=(1, 3)),
        Thresholds(score=1),
    ],
)
def test_coefficients_stay_with_their_boxes(thresholds):
    """In every layout; the first coefficient tells the box's centre."""
    rows = decoded_rows(200, 4 + 7)
    rows[0, 5, 2] = np.inf  # the one that is nowhere takes its coefficients along
    rows[..., -7:] = np.random.default_rng(3).normal(size=(1, 200, 7)) * 50
    rows[..., -7] = rows[..., 0]
    grid, free = Head('anchor_grid', mask_coefficients=7), Head('anchor_free', mask_coefficients=7)
    for found in (
        decode_decoded(rows, grid, 4, thresholds),
        decode_decoded(np.delete(rows, 4, 2).transpose(0, 2, 1), free, 4, thresholds),
    ):
        assert found.coefficients.shape == (len(found.scores), 7)
        assert found.coefficients.dtype == np.float32
        assert len(found.scores) or thresholds.score == 1
        centre = (found.boxes[:, 0] + found.boxes[:, 2]) / 2
        np.testing.assert_allclose(found.coefficients[:, 0], centre, atol=1e-3)
        assert len(np.unique(found.coefficients[:, 1:], axis=0)) == len(np.unique(centre))


@pytest.mark.parametrize('multi_label', [False, True])
@pytest.mark.parametrize('score', [0.001, 0.5, 1])
def test_coefficients_of_raw_outputs(score, multi_label):
    """They are no logits: what the convolutions give, and the last ones of each anchor."""
    outputs = raw_outputs(MASKS, 2, 64, 96)
    thresholds = Thresholds(score=score, multi_label=multi_label)
    for given, layout in ((outputs, 'nchw'), (channels_last(outputs), 'nhwc')):
        found = decode_anchor_grid(given, MASKS, 2, thresholds, layout)
        assert found.coefficients.shape == (len(found.scores), 4)
        assert len(found.scores) or score == 1
        cells = {
            tuple(output[0, a * 11 + 7 : a * 11 + 11, y, x])
            for output in outputs
            for a in range(3)
            for y in range(output.shape[2])
            for x in range(output.shape[3])
            if sigmoid(output[0, a * 11 + 4, y, x])
            * max(sigmoid(v) for v in output[0, a * 11 + 5 : a * 11 + 7, y, x])
            > score
        }
        assert {tuple(row) for row in found.coefficients} == cells


@pytest.mark.parametrize('place', [0, 1, 2])
def test_prototypes_wherever_they_stand(place):
    protos = np.random.default_rng(0).random((1, 7, 16, 24), np.float32)
    outputs = [decoded_rows(20, 2 + 7), np.zeros((1, 1))]
    outputs.insert(place, protos)
    file = dataclasses.replace(FILE, outputs=(0 if place else 1, place))
    head = Head('anchor_grid', mask_coefficients=7)
    np.testing.assert_array_equal(prototypes(outputs, head, file), protos[0])
    outputs[place] = np.ascontiguousarray(protos.transpose(0, 2, 3, 1))
    last = dataclasses.replace(file, output_layout='nhwc')
    found = prototypes(outputs, head, last)
    np.testing.assert_array_equal(found, protos[0])
    assert np.shares_memory(found, outputs[place])


def test_prototypes_of_raw_outputs():
    outputs = [*raw_outputs(MASKS, 2, 64, 96), np.ones((1, 4, 16, 24), np.float32)]
    assert prototypes(outputs, MASKS, RAW).shape == (4, 16, 24)
    assert prototypes(channels_last(outputs), MASKS, RAW_LAST).shape == (4, 16, 24)


BOXES = np.array([[1, 2, 11, 22], [3, 4, 13, 24], [5, 6, 15, 26]], np.float32)
SCORES = np.array([0.9, 0.1, 0.5], np.float32)


def test_torchvisions_detections():
    """Label 0 is the background, so that label 1 is the first class."""
    head = Head('detections', first_label=1)
    outputs = [BOXES, np.array([2, 1, 1]), SCORES]
    found = read_detections(outputs, head, 2, Thresholds(score=0.25))
    assert_same(found, [(1, 2, 11, 22, 0.9, 1), (5, 6, 15, 26, 0.5, 0)])
    background = [BOXES, np.array([0, 0, 1]), SCORES]
    assert read_detections(background, head, 2, Thresholds()).class_ids.tolist() == [0]
    named = Head('detections')  # the background has a name of its own
    assert read_detections(outputs, named, 3, Thresholds()).class_ids.tolist() == [2, 1]
    nothing = [np.zeros((0, 4), 'f'), np.zeros(0, np.int64), np.zeros(0, 'f')]
    assert read_detections(nothing, head, 2, Thresholds(score=0)).boxes.shape == (0, 4)


def test_tensorflows_detections():
    """A batch of y1 x1 y2 x2 as shares, classes as floats, and how many of them count."""
    outputs = [BOXES[None] / 64, np.float32([[1, 0, 0]]), SCORES[None], np.float32([2])]
    found = read_detections(outputs, Head('detections'), 2, Thresholds(score=0), 'yxyx')
    expected = np.array([[2, 1, 22, 11, 64 * 0.9, 64], [4, 3, 24, 13, 64 * 0.1, 0]]) / 64
    assert_same(found, expected)


@pytest.mark.parametrize('label', [-1, 3])
def test_a_class_without_a_name_is_an_error(label):
    rows = END_TO_END.copy()
    rows[0, 1, 5] = label
    with pytest.raises(UserError, match=f'of class {label}, but names only 0 to 2 are known'):
        read_end_to_end(rows, ROWS, 3, Thresholds())
    assert len(read_end_to_end(rows, ROWS, 3, Thresholds(score=0.85)).scores) == 1


@pytest.mark.filterwarnings('error')
def test_ready_boxes_that_are_nowhere():
    rows = END_TO_END.copy()
    rows[0, 0, 2], rows[0, 2, 4], rows[0, 4, 5] = np.inf, np.nan, np.nan
    assert read_end_to_end(rows, ROWS, 3, Thresholds()).scores.tolist() == [np.float32(0.8)]


FILE = ModelFile('m', ('r',), 'fp32', InputSpec(96, 64), decode_inside=True)


def test_shares_become_pixels():
    """Of whatever layout that is decoded inside; 96 wide and 64 high."""
    shares = decoded_rows(20, 2)
    shares[..., :4] /= 800
    file = dataclasses.replace(FILE, normalized_boxes=True)
    for head, output in (
        (Head('anchor_grid'), shares),
        (ANCHOR_FREE, np.delete(shares, 4, 2).transpose(0, 2, 1)),
    ):
        pixels = decode([output], head, file, 2, Thresholds(score=0.1)).boxes
        expected = decode([output], head, FILE, 2, Thresholds(score=0.1)).boxes
        assert len(pixels) > 5
        np.testing.assert_allclose(pixels, expected * [96, 64, 96, 64], rtol=1e-6)


@pytest.mark.parametrize('head', [Head('anchor_grid'), Head('end_to_end')])
def test_pixels_that_are_said_to_be_shares_are_refused(head):
    file = dataclasses.replace(FILE, normalized_boxes=True)
    rows = END_TO_END if head.layout == 'end_to_end' else decoded_rows(20, 2)
    with pytest.raises(UserError, match='boxes in pixels, not as shares .* normalized_boxes: fal'):
        decode([rows], head, file, 3 if rows is END_TO_END else 2, Thresholds(score=0.1))
    shares = rows.copy()
    shares[..., :4] /= 800
    shares[0, 1, :4] *= 999  # a single one that is nowhere is nothing to stop for
    decode([shares], head, file, 3 if rows is END_TO_END else 2, Thresholds(score=0.1))


def test_outputs_in_other_places():
    file = dataclasses.replace(FILE, outputs=(2, 0, 1))
    outputs = [np.array([1, 0, 1]), SCORES, BOXES]
    found = decode(outputs, Head('detections'), file, 2, Thresholds())
    assert_same(found, [(1, 2, 11, 22, 0.9, 1), (5, 6, 15, 26, 0.5, 1)])


RAW = ModelFile('m', ('r',), 'fp32', InputSpec(96, 64))
RAW_LAST = dataclasses.replace(RAW, output_layout='nhwc')
DETECTIONS = Head('detections')
LEVELS = [(1, 21, 8, 12), (1, 21, 4, 6), (1, 21, 2, 3)]
LEVELS_LAST = [(1, 8, 12, 21), (1, 4, 6, 21), (1, 2, 3, 21)]
PROTOS, PROTOS_LAST = (1, 4, 16, 24), (1, 16, 24, 4)
MASK_LEVELS = [(1, 33, 8, 12), (1, 33, 4, 6), (1, 33, 2, 3)]
MASK_LEVELS_LAST = [(1, 8, 12, 33), (1, 4, 6, 33), (1, 2, 3, 33)]
GRID_MASKS, FREE_MASKS = (
    Head(name, mask_coefficients=4) for name in ('anchor_grid', 'anchor_free')
)
DECODED_LAST = dataclasses.replace(FILE, output_layout='nhwc')


@pytest.mark.parametrize(
    ('head', 'file', 'good', 'bad', 'expected'),
    [
        (COCO, RAW, LEVELS, LEVELS_LAST, '(1, 21, 8, 12)'),
        (COCO, RAW_LAST, LEVELS_LAST, LEVELS, '(1, 8, 12, 21)'),
        (COCO, RAW, LEVELS, LEVELS[:2], '(1, 21, 2, 3)'),
        (COCO, FILE, [(1, 9, 7)], [(1, 9, 8)], '7 values a box'),
        (ANCHOR_FREE, FILE, [(1, 6, 9), (1, 2)], [(1, 9, 6)], '6 values a box'),
        (ROWS, FILE, [(1, 300, 6)], [(1, 300, 7)], '6 values a box'),
        (ROWS, FILE, [(1, 300, 6)], [], '6 values a box'),
        (DETECTIONS, FILE, [(5, 4), (5,), (5,)], [(5, 4), (5,), (4,)], 'N labels and N scores'),
        (DETECTIONS, FILE, [(1, 5, 4), (1, 5), (1, 5), (1,)], [(5, 4), (5,)], '(N, 4) boxes'),
        (DETECTIONS, FILE, [(0, 4), (0,), (0,)], [(5, 5), (5,), (5,)], '(N, 4) boxes'),
        (MASKS, RAW, [*MASK_LEVELS, PROTOS], MASK_LEVELS, 'prototypes (1, 4, 16, 24)'),
        (MASKS, RAW, [*MASK_LEVELS, PROTOS], [PROTOS, *MASK_LEVELS], 'prototypes (1, 4, 16, 24)'),
        (MASKS, RAW, [*MASK_LEVELS, PROTOS], [*LEVELS, PROTOS], '(1, 33, 8, 12)'),
        (MASKS, RAW_LAST, [*MASK_LEVELS_LAST, PROTOS_LAST], [*MASK_LEVELS_LAST, PROTOS], '24, 4)'),
        (COCO, RAW, LEVELS, [*LEVELS, PROTOS], '(1, 21, 8, 12)'),
        (GRID_MASKS, FILE, [(1, 9, 11), PROTOS], [(1, 9, 11)], 'prototypes'),
        (GRID_MASKS, FILE, [(1, 9, 11), PROTOS], [(1, 9, 7), PROTOS], '11 values a box'),
        (FREE_MASKS, DECODED_LAST, [(1, 10, 9), PROTOS_LAST], [(1, 10, 9), PROTOS], 'prototypes'),
        (
            FREE_MASKS,
            dataclasses.replace(FILE, outputs=(2, 0)),
            [PROTOS, (7,), (1, 10, 9)],
            [(1, 10, 9), (7,), PROTOS],
            'prototypes (1, 4, 16, 24)',
        ),
        (
            DETECTIONS,
            dataclasses.replace(FILE, outputs=(3, 0, 1)),
            [(5,), (5,), (7, 7), (5, 4)],
            [(5,), (5,), (5, 4)],
            'at least 4 outputs',
        ),
    ],
)
def test_outputs_that_do_not_fit_are_told(head, file, good, bad, expected):
    assert expected_outputs(good, head, file, 2) == ''
    assert expected in expected_outputs(bad, head, file, 2)
