# SPDX-License-Identifier: Apache-2.0
"""COCO's average precision of boxes, computed by pycocotools.

300 detections per picture, all areas, IoU 0.50:0.95 (Lin et al., Microsoft COCO, 2014).
"""

from __future__ import annotations

import contextlib
import io
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.class_map import ClassMap
from kd_yolo_ros.metrics.ground_truth import GroundTruth

MAX_DETECTIONS = 300  # per picture, as YOLOv5's own validation; COCO's default is 100


class CocoAP:
    """Collects detections picture by picture and then computes AP.

    Only pictures that were processed count, and only classes with objects in them enter the
    mean. Objects of classes that the model lacks are left out (`ClassMap.missing`).

    Args:
        truth: the labelled pictures.
        names: the model's class names.
        class_map: from `map_classes`.
    """

    def __init__(self, truth: GroundTruth, names: Sequence[str], class_map: ClassMap) -> None:
        self.truth = truth
        self.names = list(names)
        self.class_map = class_map
        self.reset()

    def reset(self) -> None:
        """Forget all pictures."""
        self._images: Dict[str, int] = {}
        self._annotations: List[Dict[str, Any]] = []
        self._rows: List[np.ndarray] = []

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
        if image_id in self._images:
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
        number = self._images[image_id] = len(self._images) + 1
        self._add_truth(number, truth.boxes_on(width, height), truth.class_ids, truth.crowd)
        boxes = detections.boxes.astype(np.float64)
        rows = np.empty((len(detections), 7))
        rows[:, 0] = number
        rows[:, 1:3] = boxes[:, :2]
        rows[:, 3:5] = boxes[:, 2:] - boxes[:, :2]
        rows[:, 5] = detections.scores
        rows[:, 6] = detections.class_ids + 1
        self._rows.append(rows)

    def _add_truth(
        self, number: int, boxes: np.ndarray, class_ids: np.ndarray, crowd: np.ndarray
    ) -> None:
        for (x1, y1, x2, y2), class_id, ignored in zip(boxes, class_ids, crowd):
            model_class = self.class_map.to_model.get(int(class_id))
            if model_class is None:
                continue
            w, h = float(x2 - x1), float(y2 - y1)
            self._annotations.append(
                {
                    'id': len(self._annotations) + 1,  # 0 means "no match" to pycocotools
                    'image_id': number,
                    'category_id': model_class + 1,
                    'bbox': [float(x1), float(y1), w, h],
                    'area': w * h,
                    'iscrowd': int(ignored),
                }
            )

    def evaluate(self) -> Dict[str, Any]:
        """Return map50_95, map50, per_class {name: map50_95, map50, instances} and images.

        AP is in 0..1, and None where no object was there to be found.
        """
        per_class = {}
        means: List[Tuple[float, float]] = []
        precision = self._precision()
        instances = np.bincount(
            [a['category_id'] - 1 for a in self._annotations if not a['iscrowd']],
            minlength=len(self.names),
        )
        for class_id, name in enumerate(self.names):
            if not instances[class_id]:
                continue
            of_class = precision[:, :, class_id]
            ap = (float(of_class.mean()), float(of_class[0].mean()))
            means.append(ap)
            key = name if self.names.count(name) == 1 else f'{name} ({class_id})'
            per_class[key] = {
                'map50_95': ap[0],
                'map50': ap[1],
                'instances': int(instances[class_id]),
            }
        mean = np.mean(means, axis=0) if means else (None, None)
        return {
            'map50_95': None if mean[0] is None else float(mean[0]),
            'map50': None if mean[1] is None else float(mean[1]),
            'per_class': per_class,
            'images': len(self._images),
        }

    def _precision(self) -> np.ndarray:
        """Return pycocotools' precision, (IoU thresholds, recall thresholds, classes)."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        rows = np.concatenate(self._rows) if self._rows else np.zeros((0, 7))
        categories = [{'id': n + 1, 'name': name} for n, name in enumerate(self.names)]
        if not self._annotations or not len(rows):  # pycocotools cannot load nothing
            return np.zeros((10, 101, len(self.names)))
        with contextlib.redirect_stdout(io.StringIO()):  # it prints progress
            truth = COCO()
            truth.dataset = {
                'info': {},
                'images': [{'id': number} for number in self._images.values()],
                'annotations': self._annotations,
                'categories': categories,
            }
            truth.createIndex()
            evaluation = COCOeval(truth, truth.loadRes(rows), 'bbox')
            evaluation.params.maxDets = [MAX_DETECTIONS]
            evaluation.params.areaRng = evaluation.params.areaRng[:1]
            evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
            evaluation.evaluate()
            evaluation.accumulate()
        return evaluation.eval['precision'][:, :, :, 0, 0]
