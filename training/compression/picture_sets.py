# SPDX-License-Identifier: Apache-2.0
"""Pictures for calibration, for choices and for the report: no picture serves two of them.

Pictures are compared by content. One that is calibrated on is taken from the other two, one that
choices are made on from the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import open_source
from kd_yolo_ros.manifest import InputSpec
from kd_yolo_ros.metrics.dataset import open_dataset
from kd_yolo_ros.metrics.pool import LabelledSet, open_sets, read_sets

from ..data.prepared import read_prepared
from .calibration import Calibration, fingerprint

CALIBRATE, SELECT, REPORT = 'calibrate', 'select', 'val'  # splits of a prepared data set


@dataclass(frozen=True)
class Labelled:
    """Pictures with what is in them, of one data set or of several that are judged as one.

    Attributes:
        sets: their pictures are known (`read_sets`), without those that serve something else.
        digests: hash of each picture's content.
    """

    sets: Sequence[LabelledSet]
    digests: set[str]

    @property
    def left_out(self) -> int:
        """Number of pictures that serve something else."""
        return sum(one.left_out for one in self.sets)

    def __len__(self) -> int:
        return sum(len(one) for one in self.sets)

    def describe(self) -> dict[str, object]:
        """Return the names, number and hash of the pictures, as the manifest has them.

        Names are not paths, which would tell where a machine keeps its data.
        """
        return {
            'data': ' + '.join(one.name for one in self.sets),
            'pictures': len(self.digests),
            'pictures_sha256': fingerprint(self.digests),
        }


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
    calibration: Sequence[Path] = (),
    select: Sequence[str] = (),
    data: Sequence[str] = (),
    images: Path | None = None,
    dataset: Path | None = None,
    calibrate: bool = True,
    class_map: Path | None = None,
) -> PictureSets:
    """Open the three sets and take from each what another one needs more.

    Args:
        spec: the tensor that the graph takes.
        limit: calibrate on at most so many pictures, spread over all of them.
        calibration: folders, videos or bags of pictures.
        select: labelled pictures for choices, as `open_sets` takes them.
        data: labelled pictures for the report, likewise.
        images: pictures of `data`, where that is one COCO json.
        dataset: a prepared data set, whose splits stand in for each of the three not given.
        calibrate: whether ranges are set on pictures at all.
        class_map: of the sets that name none of their own.

    Raises:
        UserError: one of them cannot be read, or has no picture of its own.
    """
    if dataset is not None:
        splits = read_prepared(dataset).splits
        select = select or [str(splits[name]) for name in (SELECT,) if name in splits]
        data = data or [str(splits[name]) for name in (REPORT,) if name in splits]
        if calibrate and not calibration and CALIBRATE not in splits:
            raise UserError(f'{dataset} has no split {CALIBRATE}; give --calibration.')
    used: set[str] = set()
    calibrated = None
    if calibrate and (calibration or dataset is not None):
        sources = [open_source(path) for path in calibration]
        calibrated = Calibration(sources or [open_dataset(splits[CALIBRATE])[0]], spec, limit)
        calibrated.read()
        used = calibrated.digests
    choices = _read(open_sets(select), used, class_map) if select else None
    if choices:
        used = used | choices.digests
    report = _read(_open_report(data, images), used, class_map) if data else None
    return PictureSets(calibrated, choices, report)


def _open_report(data: Sequence[str], images: Path | None) -> list[LabelledSet]:
    if images is None:
        return open_sets(data)
    if len(data) > 1:
        raise UserError('--images are those of one COCO json; give it alone as --data.')
    path = Path(data[0])
    return [LabelledSet(path.name, *open_dataset(path, images))]


def _read(sets: list[LabelledSet], used: set[str], class_map: Path | None) -> Labelled:
    for one in sets:
        one.class_map = one.class_map or class_map
    read_sets(sets, used)
    return Labelled(sets, {digest for one in sets for digest in one.source.kept})
