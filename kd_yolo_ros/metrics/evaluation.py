# SPDX-License-Identifier: Apache-2.0
"""The loop that measures a model's AP, the same for every command and runtime.

The predictor brings its thresholds; AP wants score > 0.001 and 300 boxes per picture.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Optional, Protocol, Sequence

import numpy as np

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.frame import Frame
from kd_yolo_ros.metrics.class_map import ClassMapFile, knows_masks, map_classes
from kd_yolo_ros.metrics.coco_ap import CocoAP
from kd_yolo_ros.metrics.confusion import SCORE
from kd_yolo_ros.metrics.ground_truth import GroundTruth
from kd_yolo_ros.metrics.latency import StageTimes


class Predicts(Protocol):
    """What `evaluate` needs of a predictor."""

    stages_ms: Dict[str, float]

    @property
    def class_names(self) -> Sequence[str]:
        """The model's class names in order."""

    def predict(self, picture: np.ndarray, masks: bool = True) -> Detections:
        """Return the objects in an (H, W, 3) uint8 BGR picture; sets stages_ms.

        Args:
            picture: of any size.
            masks: of a network that segments, compute them too.
        """


def evaluate(
    predictor: Predicts,
    frames: Iterable[Frame],
    truth: GroundTruth,
    class_map: ClassMapFile = None,
    progress: Optional[Callable[[], Any]] = None,
    details: bool = False,
    score: float = SCORE,
) -> Dict[str, Any]:
    """Return AP and stage times of a predictor on labelled pictures.

    Args:
        predictor: with the thresholds that AP wants already set.
        frames: a source; frames without ground truth are passed over.
        truth: what is in them.
        class_map: see `map_classes`.
        progress: called once per frame.
        details: see `CocoAP.evaluate`.
        score: of operation, see `CocoAP`.

    Returns:
        CocoAP's answer, and stages_ms, missing_classes and unlabelled (number of frames).

    Raises:
        UserError: no frame has ground truth, or the classes do not match.
    """
    mapping = map_classes(predictor.class_names, truth, class_map)
    ap = CocoAP(truth, predictor.class_names, mapping, score)
    masks = knows_masks(truth.pictures.values(), mapping)
    times = StageTimes()
    unlabelled = 0
    for frame in frames:
        key = truth.find(frame)
        if key is None:
            unlabelled += 1
        else:
            image = frame.image
            ap.process(key, predictor.predict(image, masks), (image.shape[1], image.shape[0]))
            times.add(predictor.stages_ms)
        if progress is not None:
            progress()
    result = ap.evaluate(details)
    if not result['images']:
        raise UserError(
            f'none of the {unlabelled} pictures has ground truth in {truth.description}: '
            'names (or, in bags, stamps) must be the same'
        )
    return {
        **result,
        'stages_ms': times.summary(),
        'missing_classes': mapping.missing,
        'unlabelled': unlabelled,
    }
