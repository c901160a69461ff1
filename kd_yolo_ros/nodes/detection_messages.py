# SPDX-License-Identifier: Apache-2.0
"""Detections as vision_msgs."""

from __future__ import annotations

from typing import List, Sequence

from std_msgs.msg import Header
from vision_msgs.msg import (
    Detection2D,
    Detection2DArray,
    LabelInfo,
    ObjectHypothesisWithPose,
    VisionClass,
)

from kd_yolo_ros.detections import Detections


class DetectionMessages:
    """Fills Detection2DArray messages.

    Making a Detection2D with all that is nested in it costs more than filling one in, so they
    are made once and used again; a message is valid until the next one is filled.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        """Take what stands as `class_id` for each class."""
        self._labels = list(labels)
        self._pool: List[Detection2D] = []

    def fill(self, detections: Detections, header: Header) -> Detection2DArray:
        """Return a message with the detections; an empty array when there are none."""
        while len(self._pool) < len(detections):
            self._pool.append(Detection2D(results=[ObjectHypothesisWithPose()]))
        corners = detections.boxes.astype(float)
        centres = ((corners[:, :2] + corners[:, 2:]) / 2).tolist()
        sizes = (corners[:, 2:] - corners[:, :2]).tolist()
        scores, class_ids = detections.scores.tolist(), detections.class_ids.tolist()
        for index, item in enumerate(self._pool[: len(detections)]):
            item.header = header
            box = item.bbox
            box.center.position.x, box.center.position.y = centres[index]
            box.size_x, box.size_y = sizes[index]
            hypothesis = item.results[0].hypothesis
            hypothesis.class_id = self._labels[class_ids[index]]
            hypothesis.score = scores[index]
        return Detection2DArray(header=header, detections=self._pool[: len(detections)])


def label_info(class_names: Sequence[str], threshold: float, header: Header) -> LabelInfo:
    """Return the class names by number, as they stand latched beside the detections."""
    classes = [VisionClass(class_id=i, class_name=name) for i, name in enumerate(class_names)]
    return LabelInfo(header=header, class_map=classes, threshold=float(threshold))
