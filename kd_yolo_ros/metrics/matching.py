# SPDX-License-Identifier: Apache-2.0
"""Objects and detections of compared pictures, matched by pycocotools: by boxes or by masks."""

from __future__ import annotations

import contextlib
import io
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from kd_yolo_ros.metrics.compared import ComparedPicture
from kd_yolo_ros.metrics.rle import Rle, areas

MAX_DETECTIONS = 300  # per picture, as YOLOv5's own validation; COCO's default is 100


def match(
    pictures: Sequence[ComparedPicture],
    names: Sequence[str],
    by_size: bool = False,
    masks: bool = False,
) -> Any:
    """Return a COCOeval that has matched, but not accumulated.

    Its `evalImgs` go by class, size, and picture in the order given.

    Args:
        pictures: all of them with masks, where those are to be matched.
        names: the model's class names.
        by_size: match over small, medium and large objects too, after all sizes.
        masks: by the IoU of masks instead of boxes, and sizes by their area.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations: List[Dict[str, Any]] = []
    for number, picture in enumerate(pictures, 1):
        annotations += _objects(number, picture, len(annotations), masks)
    content = {
        'info': {},
        # It asks for the sides, which it does not need for masks that are compressed.
        'images': [{'id': n + 1, 'height': 0, 'width': 0} for n in range(len(pictures))],
        'annotations': annotations,
        'categories': [{'id': n + 1, 'name': name} for n, name in enumerate(names)],
    }
    with contextlib.redirect_stdout(io.StringIO()):  # it prints progress
        truth = _index(COCO(), content)
        if masks:
            results = _index(COCO(), {**content, 'annotations': _found_masks(pictures)})
        else:
            results = _found_boxes(pictures, truth)
        evaluation = COCOeval(truth, results, 'segm' if masks else 'bbox')
        params = evaluation.params
        params.maxDets = [MAX_DETECTIONS]
        if not by_size:
            params.areaRng, params.areaRngLbl = params.areaRng[:1], params.areaRngLbl[:1]
        evaluation.evaluate()
    return evaluation


def instances(evaluation: Any) -> np.ndarray:
    """Return the number of objects, (classes, sizes), as pycocotools counted them."""
    params = evaluation.params
    counts = np.zeros((len(params.catIds), len(params.areaRng)), np.int64)
    for number, entry in enumerate(evaluation.evalImgs):
        if entry is not None:
            index = np.unravel_index(number // len(params.imgIds), counts.shape)
            counts[index] += int((np.asarray(entry['gtIgnore']) == 0).sum())
    return counts


def _index(coco: Any, content: Dict[str, Any]) -> Any:
    """Fill pycocotools' COCO, which else only reads files."""
    coco.dataset = content
    coco.createIndex()
    return coco


def _objects(
    number: int, picture: ComparedPicture, before: int, masks: bool
) -> List[Dict[str, Any]]:
    """Return a picture's objects as COCO has them; ids from 1, 0 is "no match" to pycocotools."""
    boxes, ignored = picture.truth_boxes, picture.crowd
    sizes, shapes = boxes[:, 2] * boxes[:, 3], [{'bbox': box.tolist()} for box in boxes]
    if masks and picture.masks is not None:
        ignored = picture.masks.ignored
        sizes, shapes = _areas_and_shapes(picture.masks.truth, picture.masks.pixel_area)
    return [
        {
            'id': before + index,
            'image_id': number,
            'category_id': int(class_id) + 1,
            'area': float(area),
            'iscrowd': int(is_ignored),
            **shape,
        }
        for index, (class_id, area, is_ignored, shape) in enumerate(
            zip(picture.truth_classes, sizes, ignored, shapes), 1
        )
    ]


def _found_boxes(pictures: Sequence[ComparedPicture], truth: Any) -> Any:
    rows = [np.zeros((0, 7))]
    for number, picture in enumerate(pictures, 1):
        columns = [np.full(len(picture.scores), number), *picture.boxes.T, picture.scores]
        rows.append(np.stack([*columns, picture.classes + 1], axis=1))
    found = np.concatenate(rows)
    if len(found):
        return truth.loadRes(found)
    return _index(type(truth)(), {**truth.dataset, 'annotations': []})  # it loads no empty one


def _found_masks(pictures: Sequence[ComparedPicture]) -> List[Dict[str, Any]]:
    annotations: List[Dict[str, Any]] = []
    for number, picture in enumerate(pictures, 1):
        if picture.masks is not None:
            sizes, shapes = _areas_and_shapes(picture.masks.found, picture.masks.pixel_area)
            annotations += [
                {
                    'id': len(annotations) + index,
                    'image_id': number,
                    'category_id': class_id + 1,
                    'score': score,
                    'area': float(area),
                    'iscrowd': 0,
                    **shape,
                }
                for index, (class_id, score, area, shape) in enumerate(
                    zip(picture.classes.tolist(), picture.scores.tolist(), sizes, shapes), 1
                )
            ]
    return annotations


def _areas_and_shapes(
    rles: Sequence[Rle], pixel_area: float
) -> Tuple[np.ndarray, List[Dict[str, Any]]]:
    return areas(rles) * pixel_area, [{'segmentation': rle} for rle in rles]
