# SPDX-License-Identifier: Apache-2.0
"""Mask AP is what pycocotools computes by itself of whole masks; when there is any."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from mask_scenes import HEIGHT, WIDTH, masks_in, random_found, random_truth
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.masks import Masks
from kd_yolo_ros.metrics.class_map import map_classes
from kd_yolo_ros.metrics.coco_ap import CocoAP
from kd_yolo_ros.metrics.ground_truth import GroundTruth, Truth
from kd_yolo_ros.metrics.rle import encode

NAMES = ['car', 'bus', 'tram']


def filled(truth, found, **options):
    ap = CocoAP(truth, NAMES, map_classes(NAMES, truth), **options)
    for name, detections in found.items():
        ap.process(name, detections, (WIDTH, HEIGHT))
    return ap


def by_hand(truth, found):
    """Return precision (IoU, recall, class, area) by pycocotools' own way, from a file's content.

    What has a box only is given as a crowd of that box.
    """
    coco = COCO()
    coco.dataset = {'info': {}, 'images': [], 'annotations': [], 'categories': []}
    coco.dataset['categories'] = [{'id': n, 'name': name} for n, name in enumerate(NAMES)]
    results = []
    for number, (name, one) in enumerate(truth.pictures.items()):
        coco.dataset['images'].append({'id': number, 'width': WIDTH, 'height': HEIGHT})
        for row, (x1, y1, x2, y2) in enumerate(one.boxes.tolist()):
            outlines = one.segmentations[row] or [[x1, y1, x2, y1, x2, y2, x1, y2]]
            rle = mask.merge(mask.frPyObjects(outlines, HEIGHT, WIDTH))
            coco.dataset['annotations'].append({
                'id': len(coco.dataset['annotations']) + 1,
                'image_id': number,
                'category_id': int(one.class_ids[row]),
                'bbox': [x1, y1, x2 - x1, y2 - y1],
                'segmentation': outlines,
                'area': float(mask.area(rle)),
                'iscrowd': int(one.crowd[row] or not one.segmentations[row]),
            })  # fmt: skip
        detections = found[name]
        results += [
            {
                'image_id': number,
                'category_id': int(detections.class_ids[row]),
                'score': float(detections.scores[row]),
                'segmentation': mask.encode(
                    np.asfortranarray(detections.masks.full(row), np.uint8)
                ),
            }
            for row in range(len(detections))
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), 'segm')
        evaluation.params.maxDets = [300]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval['precision'][..., 0]


@pytest.mark.parametrize('seed', range(3))
def test_against_pycocotools_by_hand(seed):
    truth = random_truth(seed)
    found = random_found(truth, seed)
    result = filled(truth, found).evaluate(details=True)
    precision = by_hand(truth, found)
    for class_id, name in enumerate(NAMES[:2]):
        one = result['per_class'][name]
        assert one['mask_map50_95'] == precision[:, :, class_id, 0].mean()
        assert one['mask_map50'] == precision[0, :, class_id, 0].mean()
        for index, size in enumerate(('small', 'medium'), 1):
            expected = precision[:, :, class_id, index].mean()
            assert one['mask_by_size'][size]['map50_95'] == (None if expected < 0 else expected)
    assert result['mask_map50_95'] == pytest.approx(precision[:, :, :2, 0].mean())
    assert 0.02 < result['mask_map50_95'] < result['mask_map50'] < 0.98
    assert result['mask_map50_95'] != result['map50_95']
    assert 'tram' not in result['per_class']


def test_boxes_are_judged_as_without_masks():
    truth = random_truth(0)
    found = random_found(truth, 0)
    boxes = GroundTruth(
        {n: Truth(t.boxes, t.class_ids, t.crowd, t.size) for n, t in truth.pictures.items()},
        None,
        'a test',
    )
    plain = filled(boxes, found)
    result = filled(truth, found).evaluate()
    assert not plain.has_masks
    for key, value in plain.evaluate().items():
        if key != 'per_class':
            assert result[key] == value
    assert 'miou' in result and 'miou' not in plain.evaluate()


def test_masks_of_another_scale():
    """The area of objects is that in the picture, whatever masks were computed at."""
    truth = random_truth(1)
    results = [
        filled(truth, random_found(truth, 1, scale=scale)).evaluate(details=True)
        for scale in (1, 0.5)
    ]
    counts = [
        {size: one['instances'] for size, one in result['mask_by_size'].items()}
        for result in results
    ]
    assert counts[0] == counts[1] and counts[0]['medium'] > 3
    assert results[1]['mask_map50'] == pytest.approx(results[0]['mask_map50'], abs=0.1)
    assert results[1]['miou'] == pytest.approx(results[0]['miou'], abs=0.1)


def test_a_perfect_model_and_one_that_draws_boxes():
    truth = random_truth(2, plain=0)
    perfect, boxy = {}, {}
    for name, one in truth.pictures.items():
        boxes = one.boxes.astype(np.float32)
        # As in the map of the objects, the smaller shall lie on top.
        order = np.argsort([mask.area(rle) for rle in one.masks_on(WIDTH, HEIGHT)])
        for found, masks in ((perfect, of_truth(one)), (boxy, whole_boxes(one))):
            scores = np.linspace(0.9, 0.5, len(boxes), dtype=np.float32)
            found[name] = Detections(
                boxes[order], scores, one.class_ids[order], masks.select(order)
            )
    result, other = (filled(truth, found).evaluate() for found in (perfect, boxy))
    assert result['mask_map50_95'] == pytest.approx(1) == result['map50_95']
    assert result['miou'] == 1
    assert other['map50_95'] == pytest.approx(1)
    # An ellipse fills pi / 4 of its box: hits up to an IoU of 0.75.
    assert 0.5 < other['mask_map50_95'] < 0.65 and other['mask_map50'] == pytest.approx(1)


def of_truth(one):
    pictures = [mask.decode(rle).astype(bool) for rle in one.masks_on(WIDTH, HEIGHT)]
    return Masks((HEIGHT, WIDTH), np.zeros((len(pictures), 2), np.int64), tuple(pictures))


def whole_boxes(one):
    rounded = np.round(one.boxes).astype(int)
    crops = tuple(np.ones((y2 - y1, x2 - x1), bool) for x1, y1, x2, y2 in rounded)
    return Masks((HEIGHT, WIDTH), rounded[:, :2], crops)


def one_object(*segmentations, crowd=False):
    box = np.array([[10.0, 10, 50, 50]] * len(segmentations))
    crowds = np.full(len(segmentations), crowd)
    ids = np.arange(len(segmentations))
    one = Truth(box, ids, crowds, (WIDTH, HEIGHT), segmentations)
    return GroundTruth({'a.png': one}, None, 'one')


SQUARE = [[10, 10, 50, 10, 50, 50, 10, 50]]
LEFT = np.array([[10, 10, 30, 50]], np.float32)


def found_there(box=LEFT, score=0.9):
    x1, y1, x2, y2 = box[0].astype(int)
    crop = np.ones((y2 - y1, x2 - x1), bool)
    masks = Masks((HEIGHT, WIDTH), np.array([[x1, y1]]), (crop,))
    return Detections(box, np.full(1, score, np.float32), np.zeros(1, np.int64), masks)


def test_mean_iou_by_hand():
    """Of a square its left half is found."""
    result = filled(one_object(SQUARE), {'a.png': found_there()}).evaluate()
    assert result['miou'] == result['per_class']['car']['iou'] == 0.5
    assert result['mask_map50_95'] == pytest.approx(0.1), 'IoU 0.5 is one of ten thresholds'


def test_mean_iou_is_of_what_is_seen_in_operation():
    found = {'a.png': found_there(score=0.3)}
    assert filled(one_object(SQUARE), found).evaluate()['miou'] == 0.5
    assert filled(one_object(SQUARE), found, score=0.4).evaluate()['miou'] == 0


def test_an_object_that_has_a_box_only_counts_for_boxes():
    """It is neither missed by masks nor are detections in its box false alarms."""
    truth = one_object(SQUARE, None)
    extra = found_there()
    found = Detections(
        np.vstack([extra.boxes] * 2),
        np.array([0.9, 0.8], np.float32),
        np.array([1, 0]),
        Masks((HEIGHT, WIDTH), np.array([[10, 10]] * 2), (np.ones((40, 40), bool),) * 2),
    )
    result = filled(truth, {'a.png': found}).evaluate()
    assert result['per_class']['bus']['mask_map50'] is None
    assert result['per_class']['bus']['iou'] is None
    assert result['per_class']['bus']['instances'] == 1
    assert result['mask_map50_95'] == pytest.approx(1) == result['per_class']['car']['mask_map50']


def test_without_masks_on_either_side_there_is_no_mask_ap():
    with_mask = found_there()
    without = Detections(with_mask.boxes, with_mask.scores, with_mask.class_ids)
    for truth, found in (
        (one_object(None), with_mask),
        (one_object(SQUARE), without),
        (one_object(None), without),
    ):
        ap = filled(truth, {'a.png': found})
        assert not ap.has_masks
        assert set(ap.evaluate()) == {'map50_95', 'map50', 'per_class', 'images'}
    assert not CocoAP(one_object(SQUARE), NAMES, map_classes(NAMES, one_object(SQUARE))).has_masks


def test_masks_that_are_not_judged_are_no_masks():
    """Those of crowds, and of classes that the model lacks."""
    box = np.array([[10.0, 10, 50, 50]] * 2)
    names = {0: 'car', 1: 'tree'}
    truths = [
        Truth(box, np.arange(2), np.array(crowd), (WIDTH, HEIGHT), masks)
        for crowd, masks in (((False, False), (None, SQUARE)), ((True, False), (SQUARE, None)))
    ]
    for one in truths:
        ap = filled(GroundTruth({'a.png': one}, names, 'one'), {'a.png': found_there()})
        assert not ap.has_masks and 'miou' not in ap.evaluate()
    known = Truth(box, np.arange(2), np.array((False, True)), (WIDTH, HEIGHT), (SQUARE, SQUARE))
    assert filled(GroundTruth({'a.png': known}, names, 'one'), {'a.png': found_there()}).has_masks


def test_a_broken_mask_is_named_with_its_picture():
    with pytest.raises(UserError, match='a.png of one: object 0 has a broken segmentation'):
        filled(one_object([[1, 2, 3]]), {'a.png': found_there()})


def test_detection_models_do_not_look_at_segmentations():
    found = found_there()
    plain = Detections(found.boxes, found.scores, found.class_ids)
    ap = filled(one_object([[1, 2, 3]]), {'a.png': plain})
    assert ap.evaluate()['map50'] == pytest.approx(1)


def test_masks_may_come_compressed():
    truth, found = one_object(SQUARE), found_there()
    ap = CocoAP(truth, NAMES, map_classes(NAMES, truth))
    plain = Detections(found.boxes, found.scores, found.class_ids)
    ap.process('a.png', plain, (WIDTH, HEIGHT), encode(found.masks))
    assert ap.evaluate() == filled(truth, {'a.png': found}).evaluate()


def test_three_hundred_detections_of_a_picture():
    """More than pycocotools takes in some of its calls at once."""
    boxes = np.tile(LEFT, (300, 1))
    found = Detections(
        boxes, np.full(300, 0.5, np.float32), np.zeros(300, np.int64), masks_in(boxes)
    )
    assert filled(one_object(SQUARE), {'a.png': found}).evaluate()['mask_map50'] == 0
