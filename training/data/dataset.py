# SPDX-License-Identifier: Apache-2.0
"""A labelled set of pictures as training sees it, and where it is read from.

Every `kd-yolo data …` verb writes one form: a folder with `dataset.yaml`, which names the
classes, the folder of the pictures and one COCO json for each split.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kd_yolo_ros.metrics.ground_truth import Truth

RELATIVE = (1, 1)  # the size that relative coordinates refer to


@dataclass(frozen=True)
class Problem:
    """Something in a data set that cannot be trained on.

    Attributes:
        file: the picture or label file.
        what: one clause that says what is wrong with it, with the line or id where it has one.
    """

    file: Path
    what: str


@dataclass(frozen=True)
class Picture:
    """One labelled picture. Coordinates are relative: 0..1 of its width and height.

    Attributes:
        file: where it lies.
        boxes: (N, 4) float32, x1 y1 x2 y2.
        class_ids: (N,) int64, indices into the data set's names.
        crowd: (N,) bool, regions that are neither trained on nor counted (COCO's iscrowd).
        polygons: for each box its outlines, (K, 2) float32 each; empty where only the box is
            known.
        size: (width, height) in pixels as the labels tell it; None where they do not.
        weights: (N,) float32 in 0..1, above 0: the score of the teacher that a label comes from,
            1 for a label that a person made; None where all are.
    """

    file: Path
    boxes: np.ndarray
    class_ids: np.ndarray
    crowd: np.ndarray
    polygons: tuple[tuple[np.ndarray, ...], ...]
    size: tuple[int, int] | None = None
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.boxes)
        assert len(self.class_ids) == len(self.crowd) == len(self.polygons) == n
        assert self.weights is None or len(self.weights) == n

    @property
    def soft(self) -> np.ndarray:
        """(N,) bool: the labels that a teacher made, and not a person."""
        return np.zeros(len(self.boxes), bool) if self.weights is None else self.weights < 1

    @property
    def outlined(self) -> np.ndarray:
        """(N,) bool: the objects, crowd regions are none, of which more than the box is known."""
        return ~self.crowd & np.array([len(one) > 0 for one in self.polygons], bool)

    @property
    def truth(self) -> Truth:
        """The labels in the form that metrics compare with."""
        boxes = self.boxes.astype(np.float64)
        return Truth(boxes, self.class_ids, self.crowd, RELATIVE, self.polygons)


@dataclass(frozen=True)
class DataSet:
    """Labelled pictures of one split, and what was wrong with the rest.

    Attributes:
        pictures: in the order of their files.
        names: class names by class id.
        problems: what was left out, and why.
        description: what it was read from, for reports; no path of the machine.
    """

    pictures: tuple[Picture, ...]
    names: tuple[str, ...]
    problems: tuple[Problem, ...]
    description: str
