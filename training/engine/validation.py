# SPDX-License-Identifier: Apache-2.0
"""AP of a network during its training, on the same path as that of an artifact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kd_yolo_ros.frames.frame import DEFAULT_FRAME_ID, Frame
from kd_yolo_ros.frames.pictures import read_picture
from kd_yolo_ros.metrics.evaluation import Predicts, evaluate
from kd_yolo_ros.metrics.ground_truth import GroundTruth

from ..data.dataset import DataSet, Picture


def validate(predictor: Predicts, data: DataSet, progress: Any = None) -> dict[str, Any]:
    """Return what `kd_yolo_ros.metrics.evaluation.evaluate` returns, for a data set's pictures.

    Args:
        predictor: with the thresholds that AP wants.
        data: all of its pictures must be readable.
        progress: wraps an iterable, with its description and length, as
            `kd_yolo_ros.cli.common.progress`; None for none.
    """
    frames: Iterable[Frame] = _frames(data.pictures)
    if progress is not None:
        frames = progress(frames, 'evaluate', len(data.pictures))
    return evaluate(predictor, frames, ground_truth(data))


def ground_truth(data: DataSet) -> GroundTruth:
    """Return the labels in the form that metrics compare with; pictures are named by number."""
    pictures = {str(number): picture.truth for number, picture in enumerate(data.pictures)}
    return GroundTruth(pictures, dict(enumerate(data.names)), data.description)


def _frames(pictures: Sequence[Picture]) -> Iterator[Frame]:
    for number, picture in enumerate(pictures):
        yield Frame(
            str(number), number, DEFAULT_FRAME_ID, lambda file=picture.file: read_picture(file)
        )
