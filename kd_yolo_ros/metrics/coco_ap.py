# SPDX-License-Identifier: Apache-2.0
"""COCO's average precision of boxes, computed by pycocotools.

300 detections per picture, IoU 0.50:0.95 (Lin et al., Microsoft COCO, 2014).
"""

from __future__ import annotations

import contextlib
import io
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics import confusion, curves
from kd_yolo_ros.metrics.class_map import ClassMap
from kd_yolo_ros.metrics.compared import ComparedPicture, to_xywh
from kd_yolo_ros.metrics.ground_truth import GroundTruth

MAX_DETECTIONS = 300  # per picture, as YOLOv5's own validation; COCO's default is 100
SIZES = ('small', 'medium', 'large')  # COCO's: box area below 32x32, below 96x96, above


class CocoAP:
    """Collects detections picture by picture and then computes AP.

    Only pictures that were processed count, and only classes with objects in them enter the
    mean. Objects of classes that the model lacks are left out (`ClassMap.missing`).

    Args:
        truth: the labelled pictures.
        names: the model's class names.
        class_map: from `map_classes`.

    Attributes:
        pictures: what was collected so far, by picture, for figures over the same pictures.
    """

    def __init__(self, truth: GroundTruth, names: Sequence[str], class_map: ClassMap) -> None:
        self.truth = truth
        self.names = list(names)
        self.class_map = class_map
        self.reset()

    def reset(self) -> None:
        """Forget all pictures."""
        self.pictures: Dict[str, ComparedPicture] = {}

    def process(self, image_id: str, detections: Detections, size: Tuple[int, int]) -> None:
        """Take one picture's detections.

        Args:
            image_id: a key of the ground truth (`GroundTruth.find`).
            detections: in pixels of the picture, at most 300 count.
            size: (width, height) of that picture.

        Raises:
            UserError: the picture came before, or its annotations were made on the picture
                turned by 90 degrees.
        """
        if image_id in self.pictures:
            raise UserError(
                f'{image_id} of {self.truth.description} came twice: '
                'names (or, in bags, stamps) must be unique'
            )
        truth = self.truth.pictures[image_id]
        width, height = size
        if truth.size == (height, width) and width != height:
            raise UserError(
                f'{image_id}: the picture is {width}x{height} pixels, its annotations are for '
                f'{height}x{width}: they ignore the orientation that its EXIF data name'
            )
        to_model = self.class_map.to_model
        classes = np.array([to_model.get(int(c), -1) for c in truth.class_ids], np.int64)
        known = classes >= 0
        self.pictures[image_id] = ComparedPicture(
            image_id,
            to_xywh(truth.boxes_on(width, height))[known],
            classes[known],
            truth.crowd[known],
            to_xywh(detections.boxes),
            detections.class_ids,
            detections.scores.astype(np.float64),
        )

    def evaluate(self, details: bool = False) -> Dict[str, Any]:
        """Return map50_95, map50, per_class {name: map50_95, map50, instances} and images.

        AP is in 0..1, and None where no object was there to be found.

        Args:
            details: also compute, at several times the cost, for each class and over all:
                mar50_95, the mean recall; by_size, AP and instances of SIZES in pixels of the
                picture; best_f1, the score threshold with the best F1 at IoU 0.5 (over all: of
                the mean F1). And `curves` and `confusion`, as report.schema.json has them.
        """
        evaluation = self.matched(details)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints progress
            evaluation.accumulate()
        precision = evaluation.eval['precision'][..., 0]  # IoU, recall, class, size
        instances = _instances(evaluation)
        present = np.flatnonzero(instances[:, 0])
        keys = {int(c): self.class_key(int(c)) for c in present}
        per_class: Dict[str, Dict[str, Any]] = {
            key: {**_ap(precision[:, :, [c], 0]), 'instances': int(instances[c, 0])}
            for c, key in keys.items()
        }
        result = {
            **_ap(precision[:, :, present, 0]),
            'per_class': per_class,
            'images': len(self.pictures),
        }
        if details:
            recall = evaluation.eval['recall'][:, :, 0, 0]  # IoU, class
            for c, key in keys.items():
                per_class[key]['mar50_95'] = float(recall[:, c].mean())
                per_class[key]['by_size'] = _by_size(precision, instances, np.array([c]))
            result['mar50_95'] = float(recall[:, present].mean()) if len(present) else None
            result['by_size'] = _by_size(precision, instances, present)
            self._add_curves(result, evaluation, keys)
            result['confusion'] = self._confusion()
        return result

    def class_key(self, class_id: int) -> str:
        """Return what a class is called in results: its name, with its number if need be."""
        name = self.names[class_id]
        return name if self.names.count(name) == 1 else f'{name} ({class_id})'

    def _add_curves(self, result: Dict[str, Any], evaluation: Any, keys: Dict[int, str]) -> None:
        per_class = result['per_class']
        on_grid = {}
        for c, key in keys.items():
            ranked = curves.ranked_hits(evaluation, c)
            objects = per_class[key]['instances']
            per_class[key]['best_f1'] = curves.best_f1(*ranked, objects)
            on_grid[key] = curves.at_thresholds(*ranked, objects, curves.GRID)
        result['best_f1'] = curves.best_mean_f1(list(on_grid.values()))
        precision = evaluation.eval['precision'][0, :, :, 0, 0]
        result['curves'] = {
            'iou': 0.5,
            'recall': evaluation.params.recThrs.round(4).tolist(),
            'precision': {key: precision[:, c].round(4).tolist() for c, key in keys.items()},
            'score': curves.GRID[::10].round(4).tolist(),
            'f1': {key: curve[2, ::10].round(4).tolist() for key, curve in on_grid.items()},
        }

    def _confusion(self) -> Dict[str, Any]:
        """Return the confusion matrix of the classes that occur, and background."""
        matrix = confusion.confusion_matrix(self.pictures.values(), len(self.names))
        occurs = np.flatnonzero(matrix.any(axis=0) | matrix.any(axis=1))
        occurs = np.union1d(occurs, [len(self.names)])
        return {
            'score': confusion.SCORE,
            'iou': confusion.IOU,
            'classes': [self.class_key(int(c)) for c in occurs[:-1]],
            'matrix': matrix[np.ix_(occurs, occurs)].tolist(),
        }

    def matched(self, by_size: bool = False) -> Any:
        """Return a COCOeval that has matched, but not accumulated.

        Its `evalImgs` go by class, size, and picture in the order of `pictures`.

        Args:
            by_size: match over each of SIZES too, after all sizes.
        """
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        annotations: List[Dict[str, Any]] = []
        rows = [np.zeros((0, 7))]
        for number, picture in enumerate(self.pictures.values(), 1):
            annotations += _annotations(number, picture, len(annotations))
            count = len(picture.scores)
            columns = [np.full(count, number), *picture.boxes.T, picture.scores]
            rows.append(np.stack([*columns, picture.classes + 1], axis=1))
        found = np.concatenate(rows)
        content = {
            'info': {},
            'images': [{'id': n + 1} for n in range(len(self.pictures))],
            'annotations': annotations,
            'categories': [{'id': n + 1, 'name': name} for n, name in enumerate(self.names)],
        }
        with contextlib.redirect_stdout(io.StringIO()):  # it prints progress
            truth = _index(COCO(), content)
            if len(found):
                results = truth.loadRes(found)
            else:  # which it cannot load
                results = _index(COCO(), {**content, 'annotations': []})
            evaluation = COCOeval(truth, results, 'bbox')
            params = evaluation.params
            params.maxDets = [MAX_DETECTIONS]
            if not by_size:
                params.areaRng, params.areaRngLbl = params.areaRng[:1], params.areaRngLbl[:1]
            evaluation.evaluate()
        return evaluation


def _index(coco: Any, content: Dict[str, Any]) -> Any:
    """Fill pycocotools' COCO, which else only reads files."""
    coco.dataset = content
    coco.createIndex()
    return coco


def _annotations(number: int, picture: ComparedPicture, before: int) -> List[Dict[str, Any]]:
    """Return a picture's objects as COCO has them; ids from 1, 0 is "no match" to pycocotools."""
    return [
        {
            'id': before + index,
            'image_id': number,
            'category_id': int(class_id) + 1,
            'bbox': box.tolist(),
            'area': float(box[2] * box[3]),
            'iscrowd': int(crowd),
        }
        for index, (box, class_id, crowd) in enumerate(
            zip(picture.truth_boxes, picture.truth_classes, picture.crowd), 1
        )
    ]


def _instances(evaluation: Any) -> np.ndarray:
    """Return the number of objects, (classes, sizes), as pycocotools counted them."""
    params = evaluation.params
    counts = np.zeros((len(params.catIds), len(params.areaRng)), np.int64)
    for number, entry in enumerate(evaluation.evalImgs):
        if entry is not None:
            index = np.unravel_index(number // len(params.imgIds), counts.shape)
            counts[index] += int((np.asarray(entry['gtIgnore']) == 0).sum())
    return counts


def _ap(precision: np.ndarray) -> Dict[str, Any]:
    """Return the means over (IoU, recall, class); None without classes."""
    if not precision.shape[2]:
        return {'map50_95': None, 'map50': None}
    return {'map50_95': float(precision.mean()), 'map50': float(precision[0].mean())}


def _by_size(precision: np.ndarray, instances: np.ndarray, classes: np.ndarray) -> Dict[str, Any]:
    answer = {}
    for index, size in enumerate(SIZES, 1):  # the first is all sizes
        present = classes[instances[classes, index] > 0]
        answer[size] = {
            **_ap(precision[:, :, present, index]),
            'instances': int(instances[classes, index].sum()),
        }
    return answer
