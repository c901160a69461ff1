# SPDX-License-Identifier: Apache-2.0
"""Pictures for calibration, for choices and for the report: no picture serves two of them.

Pictures are compared by content. One that is calibrated on is taken from the other two, one that
choices are made on from the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import open_source
from kd_yolo_ros.frames.held_out import HeldOut
from kd_yolo_ros.manifest import InputSpec
from kd_yolo_ros.metrics.dataset import open_dataset
from kd_yolo_ros.metrics.ground_truth import GroundTruth

from ..data.prepared import read_prepared
from .calibration import Calibration, fingerprint

CALIBRATE, SELECT, REPORT = 'calibrate', 'select', 'val'  # splits of a prepared data set


@dataclass(frozen=True)
class Labelled:
    """Pictures with what is in them.

    Attributes:
        name: of the data set, for the manifest: a path would tell where a machine keeps its data.
        pictures: without those that serve something else.
        truth: what is in them.
    """

    name: str
    pictures: HeldOut
    truth: GroundTruth

    def describe(self) -> dict[str, object]:
        """Return the name, number and hash of the pictures, as the manifest has them."""
        kept = self.pictures.kept
        return {'data': self.name, 'pictures': len(kept), 'pictures_sha256': fingerprint(kept)}


@dataclass(frozen=True)
class PictureSets:
    """What a quantization looks at; None where it was not given.

    Attributes:
        calibration: pictures whose activations set the ranges.
        choices: on which one way is preferred to another.
        report: on which the result is measured.
    """

    calibration: Calibration | None
    choices: Labelled | None
    report: Labelled | None


def open_picture_sets(
    spec: InputSpec,
    limit: int,
    calibration: Path | None = None,
    select: Path | None = None,
    data: Path | None = None,
    images: Path | None = None,
    dataset: Path | None = None,
    calibrate: bool = True,
) -> PictureSets:
    """Open the three sets and take from each what another one needs more.

    Args:
        spec: the tensor that the graph takes.
        limit: calibrate on at most so many pictures.
        calibration: folder, video or bag of pictures.
        select: labelled pictures for choices.
        data: labelled pictures for the report.
        images: pictures of `data`, where that is a COCO json.
        dataset: a prepared data set, whose splits stand in for each of the three not given.
        calibrate: whether ranges are set on pictures at all.

    Raises:
        UserError: one of them cannot be read, or has no picture of its own.
    """
    if dataset is not None:
        splits = read_prepared(dataset).splits
        select = select or splits.get(SELECT)
        data = data or splits.get(REPORT)
        if calibrate and calibration is None and CALIBRATE not in splits:
            raise UserError(f'{dataset} has no split {CALIBRATE}; give --calibration.')
    used: set[str] = set()
    calibrated = None
    if calibrate and (calibration is not None or dataset is not None):
        source = open_source(calibration) if calibration else open_dataset(splits[CALIBRATE])[0]
        calibrated = Calibration(source, spec, limit)
        calibrated.read()
        used = calibrated.digests
    choices = _open(select, None, used) if select else None
    if choices:
        used = used | choices.pictures.kept
    report = _open(data, images, used) if data else None
    return PictureSets(calibrated, choices, report)


def _open(data: Path, images: Path | None, used: set[str]) -> Labelled:
    source, truth = open_dataset(data, images)
    pictures = HeldOut(source, used)
    for _ in pictures:  # it knows its own pictures, or refuses, only after a pass
        pass
    return Labelled(data.name, pictures, truth)
