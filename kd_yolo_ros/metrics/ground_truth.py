# SPDX-License-Identifier: Apache-2.0
"""The objects that are really in the pictures, read from YOLO labels, COCO json or a bag.

`ClassMap` says which of a model's classes each of the data set's classes is.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import yaml

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.frame import Frame
from kd_yolo_ros.frames.pictures import list_pictures, picture_folder
from kd_yolo_ros.metrics.rle import Rle

PathLike = Union[str, Path]


@dataclass(frozen=True)
class Truth:
    """The objects in one picture.

    Attributes:
        boxes: (N, 4) float64, x1 y1 x2 y2 on a picture of `size`.
        class_ids: (N,) int64, the data set's own numbers.
        crowd: (N,) bool, regions to ignore (COCO's iscrowd).
        size: (width, height) that the boxes refer to, (1, 1) for relative boxes; None: pixels
            of the picture as it was recorded.
        segmentations: N times which pixels an object covers: outlines, each (K, 2) or flat
            x y x y …, in the unit of the boxes, or COCO's run lengths; empty or None where only
            the box is known. None where the set has no masks at all. Unchecked until
            `check_masks` or `masks_on`.
    """

    boxes: np.ndarray
    class_ids: np.ndarray
    crowd: np.ndarray
    size: Optional[Tuple[int, int]] = None
    segmentations: Optional[Tuple[Any, ...]] = None

    def boxes_on(self, width: int, height: int) -> np.ndarray:
        """Return the boxes in pixels of a picture of width x height (it may be rescaled)."""
        if self.size is None:
            return self.boxes
        factor = (width / self.size[0], height / self.size[1])
        return self.boxes * np.array(factor * 2, np.float64)

    @property
    def has_mask(self) -> np.ndarray:
        """(N,) bool: the objects of which more than the box is known."""
        if self.segmentations is None:
            return np.zeros(len(self.boxes), bool)
        # Not bool(one): outlines may be an array.
        return np.array([one is not None and len(one) > 0 for one in self.segmentations], bool)

    def masks_on(self, width: int, height: int) -> List[Rle]:
        """Return the masks on a picture of width x height; of objects without, their boxes.

        Raises:
            UserError: a segmentation is broken; with the object's number.
        """
        from kd_yolo_ros.metrics.segmentation import box_rle, to_rle

        boxes, known = self.boxes_on(width, height), self.has_mask
        unit = self.size or (width, height)
        return [
            to_rle(self.segmentations[row], unit, (width, height), f'object {row}')
            if self.segmentations is not None and known[row]
            else box_rle(box, (width, height))
            for row, box in enumerate(boxes)
        ]

    def check_masks(self) -> None:
        """Check the form of all segmentations, at a fraction of the cost of `masks_on`.

        Raises:
            UserError: one is broken; with the object's number.
        """
        from kd_yolo_ros.metrics.segmentation import check

        for row in np.flatnonzero(self.has_mask):
            check((self.segmentations or ())[row], self.size, f'object {row}')


@dataclass
class GroundTruth:
    """A labelled set of pictures.

    Attributes:
        pictures: by name relative to the set, or by stamp in ns (as text) for a bag.
        names: class number to name; None where the set has numbers only.
        description: what it was read from, for reports.
    """

    pictures: Dict[str, Truth]
    names: Optional[Dict[int, str]]
    description: str
    _by_base: Dict[str, List[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._by_base = {}
        for name in self.pictures:
            self._by_base.setdefault(PurePosixPath(name).name, []).append(name)

    def __len__(self) -> int:
        return len(self.pictures)

    def find(self, frame: Frame) -> Optional[str]:
        """Return the key of a frame's truth, None where it has none.

        The name decides; where the set lies in other folders than the source, the file name
        alone, if it is unique; for bags the stamp.
        """
        if frame.name in self.pictures:
            return frame.name
        same = self._by_base.get(PurePosixPath(frame.name).name, [])
        if len(same) == 1:
            return same[0]
        stamp = str(frame.stamp_ns)
        return stamp if stamp in self.pictures else None

    def check_masks(self) -> None:
        """Check the form of all segmentations, before anything is judged by them.

        Raises:
            UserError: one is broken; with its picture and the object's number.
        """
        for name, truth in self.pictures.items():
            try:
                truth.check_masks()
            except UserError as error:
                raise UserError(f'{name} of {self.description}: {error}') from None

    @property
    def class_ids(self) -> List[int]:
        """The class numbers that occur, in order."""
        return sorted({int(c) for truth in self.pictures.values() for c in truth.class_ids})


def read_ground_truth(path: PathLike, topic: Optional[str] = None) -> GroundTruth:
    """Read a COCO json, a folder with YOLO labels, or a bag's Detection2DArray topic."""
    path = Path(path)
    if not path.exists():
        raise UserError(f'the ground truth {path} does not exist')
    if path.suffix == '.json':
        return read_coco(path)
    if path.suffix in ('.db3', '.mcap') or (path / 'metadata.yaml').is_file():
        return read_bag(path, topic)
    if path.is_dir():
        return read_yolo(path)
    raise UserError(
        f'{path} is no ground truth, expected a COCO .json, a folder with images/ and labels/, '
        'or a bag with a vision_msgs/msg/Detection2DArray topic'
    )


# ---- YOLO


def read_yolo(folder: PathLike, names: Optional[Sequence[str]] = None) -> GroundTruth:
    """Read images/ and labels/*.txt with rows of class, centre x, centre y, width, height.

    A picture without a label file has no objects. Names come from `names`, else from
    data.yaml or classes.txt in the folder, else there are none.

    Raises:
        UserError: a folder is missing, or a row is no box; with file and line.
    """
    folder = Path(folder)
    images, labels = picture_folder(folder), folder / 'labels'
    if images == folder or not labels.is_dir():
        raise UserError(f'{folder} is no YOLO data set, expected images/ and labels/ in it')
    named = _yolo_names(folder) if names is None else dict(enumerate(names))
    pictures = {}
    for picture in list_pictures(images):
        relative = picture.relative_to(images)
        pictures[relative.as_posix()] = _yolo_rows((labels / relative).with_suffix('.txt'), named)
    if not pictures:
        raise UserError(f'{images} holds no picture')
    return GroundTruth(pictures, named, f'YOLO labels of {folder.name}')


def _yolo_rows(file: Path, names: Optional[Mapping[int, str]]) -> Truth:
    rows, outlines = [], []
    for number, line in enumerate(_read_text(file).splitlines() if file.exists() else (), 1):
        if line.strip():
            row, outline = _yolo_row(line.split(), f'{file}, line {number}', names)
            rows.append(row)
            outlines.append(outline)
    table = np.array(rows, np.float64).reshape(-1, 5)
    centre, half = table[:, 1:3], table[:, 3:5] / 2
    return Truth(
        np.hstack([centre - half, centre + half]),
        table[:, 0].astype(np.int64),
        np.zeros(len(table), bool),
        (1, 1),
        tuple(outlines),
    )


def _yolo_row(
    fields: Sequence[str], where: str, names: Optional[Mapping[int, str]]
) -> Tuple[Tuple[float, ...], List[List[float]]]:
    """Return (class, cx, cy, w, h) and the outlines; the box of a polygon is that around it."""
    try:
        values = [float(text) for text in fields]
    except ValueError:
        values = []
    polygon = len(values) >= 7 and len(values) % 2 == 1
    if len(values) != 5 and not polygon:
        raise UserError(
            f'{where}: got {" ".join(fields)!r}, expected class, centre x, centre y, width, height'
        )
    class_id, numbers = values[0], values[1:]
    outlines = [numbers] if polygon else []
    if not (class_id.is_integer() and 0 <= class_id < 2**31):
        raise UserError(f'{where}: class {fields[0]} is not a whole number from 0 on')
    if names is not None and int(class_id) not in names:
        raise UserError(f'{where}: class {fields[0]}, but the data set names {len(names)} classes')
    # Label tools round to a few digits, so a box at the border may lie a little outside.
    if not all(math.isfinite(n) and -0.01 <= n <= 1.01 for n in numbers):
        raise UserError(f'{where}: coordinates must be relative to the picture, from 0 to 1')
    if polygon:
        xs, ys = numbers[0::2], numbers[1::2]
        x1, x2, y1, y2 = min(xs), max(xs), min(ys), max(ys)
        numbers = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
    if numbers[2] <= 0 or numbers[3] <= 0:
        raise UserError(f'{where}: width and height must be above 0')
    return (class_id, *numbers), outlines


def _yolo_names(folder: Path) -> Optional[Dict[int, str]]:
    data, classes = folder / 'data.yaml', folder / 'classes.txt'
    if data.is_file():
        content = _read_yaml(data)
        names = content.get('names') if isinstance(content, dict) else None
        if isinstance(names, list):
            return {index: str(name) for index, name in enumerate(names)}
        if isinstance(names, dict) and all(isinstance(key, int) for key in names):
            return {key: str(name) for key, name in names.items()}
        raise UserError(f'{data}: expected names, a list or a map of number to name')
    if classes.is_file():
        lines = [line.strip() for line in _read_text(classes).splitlines()]
        return dict(enumerate(line for line in lines if line))
    return None


# ---- COCO

_CocoRow = Tuple[List[float], int, bool, Any]  # box, category, crowd, segmentation


def read_coco(file: PathLike) -> GroundTruth:
    """Read a COCO instances json (bbox, iscrowd, segmentation, category names).

    Raises:
        UserError: it is no such json, or an annotation is broken; with its id.
    """
    file = Path(file)
    try:
        content = json.loads(_read_text(file))
    except ValueError as error:
        raise UserError(f'{file} is not valid JSON: {error}') from error
    keys = ('images', 'annotations', 'categories')
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in keys):
        raise UserError(f'{file} is no COCO annotation file, expected {", ".join(keys)} in it')
    try:
        names = {int(category['id']): str(category['name']) for category in content['categories']}
        images = {
            image['id']: (str(image['file_name']), (int(image['width']), int(image['height'])))
            for image in content['images']
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f'{file}: an image or category lacks {error}') from error
    rows: Dict[Any, List[_CocoRow]] = {key: [] for key in images}
    for annotation in content['annotations']:
        image_id, row = _coco_row(annotation, file)
        if image_id not in rows:
            raise UserError(
                f'{file}: annotation {annotation.get("id")} belongs to image {image_id}, '
                'which is not listed'
            )
        if row[1] not in names:
            raise UserError(
                f'{file}: annotation {annotation.get("id")} has category {row[1]}, '
                'which is not listed'
            )
        rows[image_id].append(row)
    pictures = {}
    for key, (name, size) in images.items():
        boxes, ids, crowd, segmentations = zip(*rows[key]) if rows[key] else ((), (), (), ())
        pictures[name] = _truth(boxes, ids, crowd, size, segmentations)
    return GroundTruth(pictures, names, file.name)


def _coco_row(annotation: Any, file: Path) -> Tuple[Any, _CocoRow]:
    try:
        if float(annotation.get('score') or 1) < 1:  # a soft label
            raise UserError(
                f'{file}: annotation {annotation.get("id")} has a score, so it is what a model '
                'found and no ground truth; give labels that people made'
            )
        x, y, w, h = (float(value) for value in annotation['bbox'])
        valid = all(math.isfinite(v) for v in (x, y, w, h)) and w >= 0 and h >= 0
        crowd = bool(annotation.get('iscrowd', 0))
        if valid:
            box, category = [x, y, x + w, y + h], int(annotation['category_id'])
            segmentation = annotation.get('segmentation')
            if not isinstance(segmentation, (list, dict, type(None))):
                raise UserError(
                    f'{file}: annotation {annotation.get("id")} has a broken segmentation, '
                    'expected outlines [[x1, y1, x2, y2, …], …] or run lengths {size, counts}'
                )
            return annotation['image_id'], (box, category, crowd, segmentation)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    which = annotation.get('id') if isinstance(annotation, dict) else annotation
    raise UserError(
        f'{file}: annotation {which} is broken, '
        'expected image_id, category_id and bbox [x, y, width, height]'
    )


# ---- bags


def read_bag(path: PathLike, topic: Optional[str] = None) -> GroundTruth:
    """Read a bag's vision_msgs/msg/Detection2DArray; pictures are named by their stamps.

    Classes that are all numbers count as the model's indices, others as names.
    """
    from kd_yolo_ros.frames.bag import ground_truth

    path = Path(path)
    messages = ground_truth(path, topic)
    texts = sorted({text for objects in messages.values() for text, _ in objects})
    numbers = all(text.isdigit() for text in texts)
    ids = {text: int(text) if numbers else index for index, text in enumerate(texts)}
    pictures = {
        str(stamp): _truth([box for _, box in objects], [ids[text] for text, _ in objects])
        for stamp, objects in messages.items()
    }
    names = None if numbers else {index: text for text, index in ids.items()}
    return GroundTruth(pictures, names, f'detections in {path.name}')


def _truth(
    boxes: Sequence[Sequence[float]],
    class_ids: Sequence[int],
    crowd: Optional[Sequence[bool]] = None,
    size: Optional[Tuple[int, int]] = None,
    segmentations: Optional[Sequence[Any]] = None,
) -> Truth:
    return Truth(
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(class_ids, np.int64),
        np.zeros(len(boxes), bool) if crowd is None else np.array(crowd, bool),
        size,
        None if segmentations is None else tuple(segmentations),
    )


# ---- files


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{file} cannot be read: {error}') from error


def _read_yaml(file: Path) -> Any:
    try:
        return yaml.safe_load(_read_text(file))
    except yaml.YAMLError as error:
        raise UserError(f'{file} is not valid YAML: {" ".join(str(error).split())}') from error
