# SPDX-License-Identifier: Apache-2.0
"""Cityscapes' official layout: polygons, or instance ids where they are missing, to instances.

M. Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.pictures import PICTURE_SUFFIXES

from .contours import contours
from .dataset import Picture, Problem
from .labels import Label, box_around, missing_picture, to_picture
from .occlusion import visible_pieces

NAMES = (
    'car', 'traffic sign', 'rider', 'person', 'bicycle',
    'traffic light', 'bus', 'motorcycle', 'truck', 'train',
)  # fmt: skip
SPLITS = ('train', 'val')  # the labels of test are not public
IMAGES, LABELS = 'leftImg8bit', 'gtFine'

GROUP = 'group'  # ends the label of several objects that nobody could tell apart
INSTANCE_IDS = {
    24: 'person', 25: 'rider', 26: 'car', 27: 'truck',
    28: 'bus', 31: 'train', 32: 'motorcycle', 33: 'bicycle',
}  # fmt: skip
_INSTANCES_PER_CLASS = 1000  # an instance's id is class id * 1000 + number


@dataclass(frozen=True)
class Frame:
    """One picture and where its labels would lie.

    Attributes:
        image: the picture file.
        city: where it was taken; pictures of a city stay in one split.
        polygons: its *_polygons.json.
        instance_ids: its *_instanceIds.png, used where the polygons are missing.
    """

    image: Path
    city: str
    polygons: Path
    instance_ids: Path


def find_frames(root: Path, split: str) -> list[Frame]:
    """Return the frames of leftImg8bit/SPLIT/CITY/, in order; none where it is not there.

    Raises:
        UserError: `root` is no Cityscapes folder.
    """
    if not (root / IMAGES).is_dir() or not (root / LABELS).is_dir():
        raise UserError(f'{root} is no Cityscapes folder, expected {IMAGES}/ and {LABELS}/ in it.')
    frames = []
    for image in sorted((root / IMAGES / split).glob(f'*/*_{IMAGES}.*')):
        if image.suffix.lower() in PICTURE_SUFFIXES:
            city = image.parent.name
            stem = image.name[: -len(f'_{IMAGES}{image.suffix}')]
            labels = root / LABELS / split / city / f'{stem}_{LABELS}'
            polygons = labels.with_name(f'{labels.name}_polygons.json')
            instance_ids = labels.with_name(f'{labels.name}_instanceIds.png')
            frames.append(Frame(image, city, polygons, instance_ids))
    return frames


def labels_without_picture(root: Path, split: str) -> list[Problem]:
    """Return a problem for each label file whose picture is not there."""
    known = {label for f in find_frames(root, split) for label in (f.polygons, f.instance_ids)}
    ends = ('_polygons.json', '_instanceIds.png')
    found = (file for end in ends for file in (root / LABELS / split).glob(f'*/*_{LABELS}{end}'))
    return [
        Problem(file, 'has no picture; left out')
        for file in sorted(found, key=str)
        if file not in known
    ]


def read_frame(frame: Frame) -> tuple[Picture | None, list[Problem]]:
    """Return a frame's picture with its instances, None where it cannot be used.

    From polygons: every object of NAMES is an instance, its box the extremes of x and y of its
    outline as it was drawn, cut at the picture's border; what is marked as deleted is not there.
    Its mask is what later outlines, of whatever class, leave of it. From instance ids: the eight
    classes that have them, an outline for each connected piece; traffic lights and signs are
    missing. In both, a group that was not told apart is a crowd region.
    """
    missing = missing_picture(frame.image)
    if missing:
        return None, [missing]
    if frame.polygons.is_file():
        file = frame.polygons
        read = _read_polygons(file)
    elif frame.instance_ids.is_file():
        file = frame.instance_ids
        read = _read_instance_ids(file)
    else:
        what = f'has neither {frame.polygons.name} nor {frame.instance_ids.name}; left out'
        return None, [Problem(frame.image, what)]
    if isinstance(read, str):
        return None, [Problem(file, f'{read}; its picture is left out')]
    labels, size, problems = read
    picture, wrong = to_picture(frame.image, labels, len(NAMES), size, file)
    return picture, [*(Problem(file, what) for what in problems), *wrong]


_Read = tuple[list[Label], tuple[int, int], list[str]]


def _read_polygons(file: Path) -> _Read | str:
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
        size = (int(content['imgWidth']), int(content['imgHeight']))
        objects = list(content['objects'])
        if min(size) <= 0:
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 'is no polygon file, expected imgWidth, imgHeight and objects in it'
    labels: list[Label] = []
    problems: list[str] = []
    drawn: list[np.ndarray] = []  # from back to front, in pixels
    at: list[int] = []  # where among them each label is
    for number, item in enumerate(objects):
        label = item.get('label') if isinstance(item, dict) else None
        if not isinstance(label, str):
            problems.append(f'object {number} has no label; left out')
            continue
        if item.get('deleted'):
            continue
        known = _class_of(label)
        outline = _outline(item.get('polygon'), size)
        where = f'object {number}, {label}'
        if outline is None:
            if known:
                problems.append(f'{where}: its polygon is none; left out')
            continue
        if known:
            name, crowd = known
            labels.append(Label(where, NAMES.index(name), box_around([outline]), crowd))
            at.append(len(drawn))
        drawn.append(outline * size)
    seen = []
    for label, pieces in zip(labels, visible_pieces(drawn, size, at), strict=True):
        if pieces:
            seen.append(replace(label, polygons=tuple(piece / size for piece in pieces)))
        else:
            problems.append(f'{label.where}: nothing of it is seen; left out')
    return seen, size, problems


def _class_of(label: str) -> tuple[str, bool] | None:
    """Return a label's class and whether it is a group, None for what is not trained on."""
    if label in NAMES:
        return label, False
    name = label[: -len(GROUP)]
    return (name, True) if label.endswith(GROUP) and name in NAMES else None


def _outline(polygon: Any, size: tuple[int, int]) -> np.ndarray | None:
    """Return an outline relative to the picture and cut at its border, None where it is none."""
    try:
        points = np.array(polygon, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        return None
    if not np.isfinite(points).all():
        return None
    # The annotators drew over the border on purpose; that is nothing to report. What lies
    # outside altogether keeps its place, so that it is found to.
    relative = points / size
    cut = relative.clip(0, 1)
    return cut if np.ptp(cut, 0).all() else relative


def _read_instance_ids(file: Path) -> _Read | str:
    try:
        ids = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error):
        ids = None
    if ids is None or ids.ndim != 2 or ids.dtype != np.uint16:
        return 'is no picture of instance ids, expected 16 bit and one channel'
    size = (ids.shape[1], ids.shape[0])
    labels = []
    for number in np.unique(ids).tolist():
        alone = number < _INSTANCES_PER_CLASS
        name = INSTANCE_IDS.get(number if alone else number // _INSTANCES_PER_CLASS)
        if name is None:
            continue
        pieces = list(contours(ids == number))
        # The pieces of an instance are one object; those of a group are several regions.
        for part in [[piece] for piece in pieces] if alone else [pieces]:
            relative = tuple(piece / size for piece in part)
            box = box_around(relative)
            labels.append(Label(f'instance {number}', NAMES.index(name), box, alone, relative))
    return labels, size, []
