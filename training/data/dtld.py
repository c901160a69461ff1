# SPDX-License-Identifier: Apache-2.0
"""DriveU Traffic Light Dataset: labels of v1 (yml) and v2 (json), and its 12-bit pictures.

A. Fregin, J. Müller, U. Kreßel, K. Dietmayer, "The DriveU Traffic Light Dataset: Introduction and
Comparison with Existing Datasets", ICRA 2018.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import yaml

from kd_yolo_ros.errors import UserError

from .dataset import Problem

NAMES = ('relevant', 'not relevant')
RELEVANT, NOT_RELEVANT = range(2)

LABEL_FILES = ('DTLD_all.json', 'DTLD_all.yml')
_DEPTHS = ('', '*/', '*/*/')  # where the label archives unpack to
_PATH_PARTS = 4  # city, route, sequence, file: what stays where the set is moved


@dataclass(frozen=True)
class Frame:
    """One labelled picture.

    Attributes:
        image: its path relative to the set: city/route/sequence/file.
        boxes: (N, 4) float64 in pixels, x1 y1 x2 y2.
        class_ids: (N,) indices into NAMES.
    """

    image: PurePosixPath
    boxes: np.ndarray
    class_ids: np.ndarray

    @property
    def route(self) -> str:
        """City and route; frames of a route show the same lights again and again."""
        return '/'.join(self.image.parts[:2])


def find_labels(root: Path) -> Path:
    """Return the label file of the whole set below `root`, v2 before v1; UserError without."""
    for name in LABEL_FILES:
        for depth in _DEPTHS:
            found = sorted(root.glob(f'{depth}{name}'))
            if found:
                return found[0]
    names = ' nor '.join(LABEL_FILES)
    raise UserError(f'{root} holds neither {names}; name a file with --labels.')


def read_labels(file: Path) -> tuple[list[Frame], list[Problem]]:
    """Read a label file of v1 (yml) or v2 (json).

    A light is `relevant` when it is for the ego vehicle's own lane and faces the camera; all
    others, seen from the side or from behind, for other lanes, reflections, are `not relevant`.

    - v2: the attributes relevance is relevant, direction is front, and reflection is not
      reflected.
    - v1: of the digits of class_id, from the left, the first (the viewpoint: 1 front, 2 back,
      3 left, 4 right) is 1, and the second (0 not relevant, 1 relevant, 2 and 3 the same but
      occluded) is odd. The three to five digits behind it, orientation, number of lights, state
      and pictogram, do not matter.

    Returns:
        The frames in the order of their paths, and what was left out.

    Raises:
        UserError: it is no such file.
    """
    images = _read_json(file) if file.suffix == '.json' else _read_yml(file)
    frames: dict[PurePosixPath, Frame] = {}
    problems: list[Problem] = []
    for number, image in enumerate(images):
        frame = _frame(image, number, file, problems)
        if frame is None:
            continue
        if frame.image in frames:
            problems.append(Problem(file, f'{frame.image}: stands there twice; counted once'))
        else:
            frames[frame.image] = frame
    if not frames:
        raise UserError(f'{file} has no picture with a path like City/Route/Sequence/file.tiff.')
    return [frames[image] for image in sorted(frames)], problems


def _read_json(file: Path) -> Iterable[Any]:
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f'{file} cannot be read: {error}.') from error
    images = content.get('images') if isinstance(content, dict) else None
    if not isinstance(images, list):
        raise UserError(f'{file} is no label file of DTLD v2, expected a list of images in it.')
    return images


def _read_yml(file: Path) -> Iterable[Any]:
    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)  # minutes instead of an hour
    try:
        with open(file, 'rb') as stream:
            content = yaml.load(stream, Loader=loader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f'{file} cannot be read: {" ".join(str(error).split())}.') from error
    if not isinstance(content, list):
        raise UserError(f'{file} is no label file of DTLD v1, expected a list of images.')
    return content


def _frame(image: Any, number: int, file: Path, problems: list[Problem]) -> Frame | None:
    """Return an image's entry of either version, None where it has no usable path."""
    try:
        path = PurePosixPath(str(image['image_path' if 'image_path' in image else 'path']))
        objects = list(image['labels' if 'labels' in image else 'objects'] or ())
        relative = PurePosixPath(*path.parts[-_PATH_PARTS:])
        usable = len(relative.parts) == _PATH_PARTS and '..' not in relative.parts
    except (KeyError, TypeError):
        usable = False
    if not usable or relative.is_absolute():
        what = f'image {number} has no path like City/Route/Sequence/file.tiff; left out'
        problems.append(Problem(file, what))
        return None
    boxes, class_ids = [], []
    for index, item in enumerate(objects):
        try:
            box, class_id = _box(item), _class_of(item)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
            what = f'{relative}: label {index} is no box with attributes or class_id; left out'
            problems.append(Problem(file, what))
            continue
        boxes.append(box)
        class_ids.append(class_id)
    return Frame(
        relative,
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(class_ids, np.int64),
    )


def _box(item: Any) -> tuple[float, float, float, float]:
    x, y = float(item['x']), float(item['y'])
    w = float(item['w' if 'w' in item else 'width'])
    h = float(item['h' if 'h' in item else 'height'])
    if not np.isfinite([x, y, w, h]).all() or w <= 0 or h <= 0:
        raise ValueError
    return x, y, x + w, y + h


def _class_of(item: Any) -> int:
    """Return RELEVANT or NOT_RELEVANT by the rule of `read_labels`."""
    if 'attributes' in item:
        attributes = item['attributes']
        relevant = (
            attributes['relevance'] == 'relevant'
            and attributes['direction'] == 'front'
            and attributes.get('reflection') != 'reflected'
        )
    else:
        digits = f'{int(item["class_id"]):06}'
        relevant = digits[0] == '1' and digits[1] in '13'
    return RELEVANT if relevant else NOT_RELEVANT


def read_raw(file: Path) -> np.ndarray:
    """Return a picture of DTLD as (H, W, 3) uint8 BGR.

    The originals are TIFF with 12-bit Bayer samples in 16 bits, the first row green, red, green,
    red …. They are interpolated at full depth and lose their lowest four bits afterwards.
    Pictures of 8 bits, converted by somebody else, come back as they are.

    Raises:
        UserError: it is no such picture, or cannot be read.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f'{file} cannot be read: {error.strerror}.') from error
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is not None and image.dtype == np.uint8 and image.shape[2:] == (3,):
        return image
    if image is None or image.dtype != np.uint16 or image.ndim != 2 or min(image.shape) < 3:
        raise UserError(f'{file} is neither a 12-bit Bayer picture nor one of 8 bits in colour.')
    # OpenCV names a pattern by the second row's second and third pixel: green, blue.
    colours = cv2.cvtColor(image, cv2.COLOR_BayerGB2BGR)
    return np.minimum(colours >> 4, 255).astype(np.uint8)
