# SPDX-License-Identifier: Apache-2.0
"""Labelled pictures in the order of a drive: what a bag is made from.

From Cityscapes' leftImg8bit_sequence, of whose frames one in thirty is labelled; from generated
sequences, where all are; or from any data set that training reads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kd_yolo_ros.errors import UserError

from .cityscapes import NAMES, Frame, read_frame
from .dataset import Picture, Problem
from .read import read_dataset

SEQUENCES = 'leftImg8bit_sequence'
_LABELS = ('gtFine_sequence', 'gtFine')  # of generated sequences; of single frames


@dataclass(frozen=True)
class DriveFrame:
    """One picture of a drive.

    Attributes:
        file: where it lies.
        labels: what is in it; None where nobody has labelled it.
        snippet: the continuous piece of the drive that it belongs to.
    """

    file: Path
    labels: Picture | None
    snippet: str = ''


@dataclass(frozen=True)
class Drive:
    """Frames in their order, the class names, what could not be used, and a description."""

    frames: tuple[DriveFrame, ...]
    names: tuple[str, ...]
    problems: tuple[Problem, ...]
    description: str


def read_drive(path: Path, split: str | None = None) -> Drive:
    """Read the frames of a Cityscapes root with sequences, or of what `read_dataset` reads.

    Args:
        path: the root, a prepared data set, a COCO json or a YOLO folder.
        split: of Cityscapes (train, val) or of a prepared data set.

    Raises:
        UserError: nothing usable is there, its labels are soft, or the split is missing or not
            called for.
    """
    if (path / SEQUENCES).is_dir():
        return _read_sequences(path, split)
    data = read_dataset(path, split)
    if any(picture.soft.any() for picture in data.pictures):
        raise UserError(f'{data.description} has soft labels, which no model is to be judged by.')
    frames = tuple(DriveFrame(picture.file, picture) for picture in data.pictures)
    return Drive(frames, data.names, data.problems, data.description)


def _read_sequences(root: Path, split: str | None) -> Drive:
    splits = sorted(folder.name for folder in (root / SEQUENCES).iterdir() if folder.is_dir())
    if split not in splits:
        raise UserError(f'{root / SEQUENCES}: name one of its splits, {", ".join(splits)}.')
    frames: list[DriveFrame] = []
    problems: list[Problem] = []
    for file in sorted((root / SEQUENCES / split).glob('*/*_leftImg8bit.png')):
        stem = file.name.removesuffix('_leftImg8bit.png')
        labels, wrong = _labels(root, split, file, stem)
        problems += wrong
        frames.append(DriveFrame(file, labels, stem.rpartition('_')[0]))
    if not frames:
        raise UserError(f'{root / SEQUENCES / split} holds no CITY/*_leftImg8bit.png.')
    return Drive(tuple(frames), NAMES, tuple(problems), f'{root.resolve().name}, {split}')


def _labels(root: Path, split: str, file: Path, stem: str) -> tuple[Picture | None, list[Problem]]:
    """Return the labels of a frame; None where it has none or they are broken."""
    city = file.parent.name
    for folder in _LABELS:
        labels = root / folder / split / city / f'{stem}_gtFine'
        polygons = labels.with_name(f'{labels.name}_polygons.json')
        instance_ids = labels.with_name(f'{labels.name}_instanceIds.png')
        if polygons.is_file() or instance_ids.is_file():
            return read_frame(Frame(file, city, polygons, instance_ids))
    return None, []


def intrinsics(file: Path, size: tuple[int, int]) -> np.ndarray:
    """Return the camera matrix (3, 3) of a picture in pixels of `size` (width, height).

    It comes from Cityscapes' camera/SPLIT/CITY/*_camera.json where the picture lies in that
    layout; else it is that of a pinhole with a horizontal angle of view of 50°.
    """
    width, height = size
    for camera in _camera_files(file):
        try:
            values = json.loads(camera.read_text(encoding='utf-8'))['intrinsic']
            fx, fy, u0, v0 = (float(values[key]) for key in ('fx', 'fy', 'u0', 'v0'))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        # A calibration for larger pictures than these is none for them.
        if fx > 0 and fy > 0 and 0 < u0 < width and 0 < v0 < height:
            return np.array([[fx, 0, u0], [0, fy, v0], [0, 0, 1]])
    focal = width / 2 / np.tan(np.radians(25))
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def _camera_files(file: Path) -> Sequence[Path]:
    """Return where the calibration may lie: the frame's own, else one of its snippet."""
    parts = file.parts
    if len(parts) < 4 or parts[-4] not in (SEQUENCES, 'leftImg8bit'):
        return ()
    root, (split, city) = Path(*parts[:-4]), parts[-3:-1]
    stem = file.name.removesuffix('_leftImg8bit.png')
    own = [
        root / f'camera{kind}' / split / city / f'{stem}_camera.json'
        for kind in (('_sequence', '') if parts[-4] == SEQUENCES else ('',))
    ]
    if any(camera.is_file() for camera in own):
        return own
    return sorted((root / 'camera' / split / city).glob(f'{stem.rpartition("_")[0]}_*.json'))[:1]
