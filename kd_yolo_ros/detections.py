# SPDX-License-Identifier: Apache-2.0
"""What every model returns for one picture.

Boxes are in pixels of the source picture, whatever size the network ran at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Optional, Tuple

import numpy as np

from kd_yolo_ros.masks import Masks


@dataclass(frozen=True)
class Detections:
    """The objects found in one picture, highest score first.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in source pixels, clipped to the picture.
        scores: (N,) float32 in 0..1.
        class_ids: (N,) int64, index into the artifact's class names.
        masks: which pixels each object covers; None where the model does not say, or was not
            asked.
    """

    boxes: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray
    masks: Optional[Masks] = None

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.class_ids.shape != (n,):
            raise ValueError(
                f'boxes {self.boxes.shape}, scores {self.scores.shape} and class_ids '
                f'{self.class_ids.shape} do not describe the same number of objects'
            )
        if self.masks is not None and len(self.masks) != n:
            raise ValueError(f'{len(self.masks)} masks for {n} objects')

    @classmethod
    def empty(cls) -> Detections:
        """Return the answer for a picture in which nothing was found."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Tuple[np.ndarray, float, int]]:
        """Yield (box, score, class_id) of each object."""
        for box, score, class_id in zip(self.boxes, self.scores, self.class_ids):
            yield box, float(score), int(class_id)

    def select(self, keep: np.ndarray) -> Detections:
        """Return the objects that `keep` (indices or a mask) names, in that order."""
        masks = None if self.masks is None else self.masks.select(keep)
        return Detections(self.boxes[keep], self.scores[keep], self.class_ids[keep], masks)
