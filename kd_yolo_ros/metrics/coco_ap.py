# SPDX-License-Identifier: Apache-2.0
"""COCO's average precision of boxes and masks, computed by pycocotools.

300 detections per picture, IoU 0.50:0.95 (Lin et al., Microsoft COCO, 2014). Masks are measured
where the model finds them and the data has them (`knows_masks`).
"""

from __future__ import annotations

import contextlib
import io
from functools import cached_property
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics import confusion, curves
from kd_yolo_ros.metrics.class_map import ClassMap, knows_masks
from kd_yolo_ros.metrics.compared import ComparedMasks, ComparedPicture, to_xywh
from kd_yolo_ros.metrics.ground_truth import GroundTruth, Truth
from kd_yolo_ros.metrics.matching import instances as count_instances
from kd_yolo_ros.metrics.matching import match
from kd_yolo_ros.metrics.rle import EncodedMasks, encode
from kd_yolo_ros.metrics.semantic import class_iou, count_pixels, found_map, truth_map

SIZES = ('small', 'medium', 'large')  # COCO's: area below 32x32, below 96x96, above


class CocoAP:
    """Collects detections picture by picture and then computes AP.

    Only pictures that were processed count, and only classes with objects in them enter the
    mean. Objects of classes that the model lacks are left out (`ClassMap.missing`).

    Args:
        truth: the labelled pictures.
        names: the model's class names.
        class_map: from `map_classes`.
        score: from which on a detection is painted into the semantic map, whose mean IoU is
            measured; that of operation.

    Attributes:
        pictures: what was collected so far, by picture, for figures over the same pictures.
    """

    def __init__(
        self,
        truth: GroundTruth,
        names: Sequence[str],
        class_map: ClassMap,
        score: float = confusion.SCORE,
    ) -> None:
        self.truth = truth
        self.names = list(names)
        self.class_map = class_map
        self.score = score
        self.reset()

    @cached_property
    def _knows_masks(self) -> bool:
        """Whether there are masks in the data, also in pictures that do not come."""
        return knows_masks(self.truth.pictures.values(), self.class_map)

    @property
    def has_masks(self) -> bool:
        """Whether there are masks in the data, and came with the detections of every picture."""
        return bool(self.pictures) and all(p.masks for p in self.pictures.values())

    def reset(self) -> None:
        """Forget all pictures."""
        self.pictures: Dict[str, ComparedPicture] = {}

    def process(
        self,
        image_id: str,
        detections: Detections,
        size: Tuple[int, int],
        masks: Optional[EncodedMasks] = None,
    ) -> None:
        """Take one picture's detections.

        Args:
            image_id: a key of the ground truth (`GroundTruth.find`).
            detections: in pixels of the picture, at most 300 count.
            size: (width, height) of that picture.
            masks: of the detections, where they are compressed already.

        Raises:
            UserError: the picture came before, its annotations were made on the picture turned
                by 90 degrees, or a mask in them is broken.
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
        if masks is None and detections.masks is not None and self._knows_masks:
            masks = encode(detections.masks)
        self.pictures[image_id] = ComparedPicture(
            image_id,
            to_xywh(truth.boxes_on(width, height))[known],
            classes[known],
            truth.crowd[known],
            to_xywh(detections.boxes),
            detections.class_ids,
            detections.scores.astype(np.float64),
            self._compared_masks(image_id, truth, classes, detections, size, masks),
        )

    def _compared_masks(
        self,
        image_id: str,
        truth: Truth,
        classes: np.ndarray,
        detections: Detections,
        size: Tuple[int, int],
        masks: Optional[EncodedMasks],
    ) -> Optional[ComparedMasks]:
        """Return a picture's masks on both sides, None where one of them has none.

        Args:
            image_id: names it in messages.
            truth: its objects.
            classes: of the objects by the model's numbers, -1 for one that the model lacks.
            detections: in the order of `masks`.
            size: (width, height) of the picture; masks may be of another scale.
            masks: of the detections.
        """
        if masks is None or not self._knows_masks:
            return None
        known = classes >= 0
        height, width = masks.size
        try:
            rles = truth.masks_on(width, height)
        except UserError as error:
            raise UserError(f'{image_id} of {self.truth.description}: {error}') from None
        of_truth = [rle for rle, is_known in zip(rles, known) if is_known]
        ignored = (truth.crowd | ~truth.has_mask)[known]
        found = masks.rles()
        pixels = count_pixels(
            truth_map(of_truth, classes[known], ignored, masks.size),
            found_map(found, detections.class_ids, detections.scores, self.score, masks.size),
        )
        pixel_area = size[0] * size[1] / (width * height)
        return ComparedMasks(of_truth, ignored, found, pixel_area, pixels)

    def evaluate(self, details: bool = False) -> Dict[str, Any]:
        """Return map50_95, map50, per_class {name: map50_95, map50, instances} and images.

        AP is in 0..1, and None where no object was there to be found. Where there are masks,
        mask_map50_95 and mask_map50 stand beside them, and miou, by class iou, see `iou`.

        Args:
            details: also compute, at several times the cost, for each class and over all:
                mar50_95, the mean recall; by_size, AP and instances of SIZES in pixels of the
                picture, with masks mask_by_size; best_f1, the score threshold with the best F1
                at IoU 0.5 (over all: of the mean F1). And `curves` and `confusion`, as
                report.schema.json has them. Where it says nothing of masks, boxes are meant.
        """
        evaluation = _accumulated(self.matched(details))
        precision = _precision(evaluation)
        instances = count_instances(evaluation)
        present = np.flatnonzero(instances[:, 0])
        keys = {int(c): self.class_key(int(c)) for c in present}
        per_class: Dict[str, Dict[str, Any]] = {
            key: _ap(precision[:, :, [c], 0]) for c, key in keys.items()
        }
        result = _ap(precision[:, :, present, 0])
        if self.has_masks:
            self._add_masks(result, per_class, keys, details)
        for c, key in keys.items():
            per_class[key]['instances'] = int(instances[c, 0])
        result.update(per_class=per_class, images=len(self.pictures))
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

    def iou(self) -> Tuple[Optional[float], Dict[str, float]]:
        """Return the mean IoU of the semantic maps, and that of each class with objects in it.

        Detections with the score of operation or above are painted, the best on top, and so are
        the objects, the smaller on top (`kd_yolo_ros.metrics.semantic`).
        """
        found = class_iou(p.masks.pixels for p in self.pictures.values() if p.masks)
        mean = float(np.mean(list(found.values()))) if found else None
        return mean, {self.class_key(class_id): value for class_id, value in found.items()}

    def _add_masks(
        self,
        result: Dict[str, Any],
        per_class: Dict[str, Dict[str, Any]],
        keys: Dict[int, str],
        details: bool,
    ) -> None:
        evaluation = _accumulated(self.matched(details, masks=True))
        precision, instances = _precision(evaluation), count_instances(evaluation)
        present = np.flatnonzero(instances[:, 0])
        mean, iou = self.iou()
        result.update(_named(_ap(precision[:, :, present, 0])), miou=mean)
        if details:
            result['mask_by_size'] = _by_size(precision, instances, present)
        for c, key in keys.items():
            its = np.intersect1d(present, [c])  # empty where all of its objects have boxes only
            per_class[key].update(_named(_ap(precision[:, :, its, 0])), iou=iou.get(key))
            if details:
                per_class[key]['mask_by_size'] = _by_size(precision, instances, its)

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

    def matched(self, by_size: bool = False, masks: bool = False) -> Any:
        """Return a COCOeval that has matched, but not accumulated, see `match`.

        Its `evalImgs` go by class, size, and picture in the order of `pictures`.

        Args:
            by_size: match over each of SIZES too, after all sizes.
            masks: by masks instead of boxes; only where there are, see `has_masks`.
        """
        return match(list(self.pictures.values()), self.names, by_size, masks)


def _accumulated(evaluation: Any) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):  # it prints progress
        evaluation.accumulate()
    return evaluation


def _precision(evaluation: Any) -> np.ndarray:
    """Return it by IoU, recall, class and size."""
    return evaluation.eval['precision'][..., 0]


def _named(ap: Dict[str, Any]) -> Dict[str, Any]:
    return {f'mask_{key}': value for key, value in ap.items()}


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
