# SPDX-License-Identifier: Apache-2.0
"""COCO instances json: read with whatever is wrong in it reported, and written.

Polygons and crowd regions are kept; run-length masks become outlines. An annotation with a `score`
is a soft label: a teacher's, not a person's.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.report import write_whole
from kd_yolo_ros.metrics.segmentation import to_rle

from .contours import contours
from .dataset import DataSet, Picture, Problem
from .labels import Label, missing_picture, to_picture

Listed = tuple[str, tuple[int, int]]  # an image's file name and its width and height


def read_coco(file: Path, images: Path, description: str | None = None) -> DataSet:
    """Read a COCO instances json.

    Classes are the json's categories in the order of their ids.

    Args:
        file: the json.
        images: folder that its file names are relative to.
        description: what to call it in reports; the file's name without.

    Raises:
        UserError: it is no such json, or none of its pictures is there.
    """
    content = _read(file)
    try:
        categories = sorted((int(c['id']), str(c['name'])) for c in content['categories'])
    except (KeyError, TypeError, ValueError):
        raise UserError(f'{file}: a category lacks its id or name.') from None
    index = {category: number for number, (category, _) in enumerate(categories)}
    problems: list[Problem] = []
    listed = _listed_images(file, content['images'], problems)
    labels: dict[Any, list[Label]] = {key: [] for key in listed}
    for annotation in content['annotations']:
        _add(annotation, file, index, listed, labels, problems)
    pictures = []
    for key, (name, size) in listed.items():
        path = images / name
        missing = missing_picture(path)
        if missing:
            problems.append(missing)
            continue
        picture, wrong = to_picture(path, labels[key], len(categories), size, file)
        pictures.append(picture)
        problems.extend(wrong)
    if not pictures:
        first = f': {problems[0].file}: {problems[0].what}' if problems else ''
        raise UserError(
            f'{file}: none of its {len(content["images"])} pictures can be used{first}.'
        )
    pictures.sort(key=lambda picture: picture.file)
    names = tuple(name for _, name in categories)
    return DataSet(tuple(pictures), names, tuple(problems), description or file.name)


def _read(file: Path) -> dict[str, list]:
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except OSError as error:
        raise UserError(f'{file} cannot be read: {error.strerror}.') from error
    except (ValueError, RecursionError) as error:
        raise UserError(f'{file} is not valid JSON: {error}.') from error
    keys = ('images', 'annotations', 'categories')
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in keys):
        raise UserError(f'{file} is no COCO annotation file, expected {", ".join(keys)} in it.')
    return content


def _listed_images(
    file: Path, images: Sequence[Any], problems: list[Problem]
) -> dict[Any, Listed]:
    """Return name and size of each image by its id."""
    listed: dict[Any, Listed] = {}
    names: set[str] = set()
    for position, image in enumerate(images):
        try:
            key, name = image['id'], str(image['file_name'])
            size = (int(image['width']), int(image['height']))
            hash(key)
            usable = bool(name) and min(size) > 0
        except (KeyError, TypeError, ValueError, OverflowError):
            usable = False
        if not usable:
            what = f'image {position} lacks id, file_name, width or height; left out'
            problems.append(Problem(file, what))
        elif key in listed or name in names:
            problems.append(
                Problem(file, f'image {key}, {name}: stands there twice; counted once')
            )
        else:
            listed[key] = name, size
            names.add(name)
    return listed


def _add(
    annotation: Any,
    file: Path,
    index: Mapping[int, int],
    listed: Mapping[Any, Listed],
    labels: dict[Any, list[Label]],
    problems: list[Problem],
) -> None:
    """Put an annotation with its picture's others, or say what is wrong with it."""
    where = f'annotation {annotation.get("id") if isinstance(annotation, dict) else annotation}'
    try:
        image, category = annotation['image_id'], annotation['category_id']
        if image in listed:
            where += f' of {listed[image][0]}'
        x, y, w, h = (float(value) for value in annotation['bbox'])
        if image not in listed:
            problems.append(Problem(file, f'{where}: image {image} is not listed; left out'))
            return
        if category not in index:
            problems.append(Problem(file, f'{where}: category {category} is not listed; left out'))
            return
        width, height = listed[image][1]
        polygons, broken = _polygons(annotation.get('segmentation'), (width, height))
        crowd = bool(annotation.get('iscrowd', 0))
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        what = f'{where} lacks image_id, category_id or bbox [x, y, width, height]; left out'
        problems.append(Problem(file, what))
        return
    box = (x / width, y / height, (x + w) / width, (y + h) / height)
    weight = _weight(annotation.get('score'))
    if broken:
        problems.append(Problem(file, f'{where}: {broken}'))
    labels[image].append(Label(where, index[category], box, crowd, polygons, weight))


def _weight(score: Any) -> float:
    """Return the weight of a label with this score: 1 without, no number where it is none."""
    if score is None:
        return 1.0
    return float(score) if isinstance(score, (int, float)) else math.nan


def _polygons(segmentation: Any, size: tuple[int, int]) -> tuple[tuple[np.ndarray, ...], str]:
    """Return relative (K, 2) outlines, and what is wrong with them, '' where nothing is.

    The box of an object is good all the same.
    """
    if not segmentation:
        return (), ''
    if isinstance(segmentation, dict):
        return _decoded(segmentation, size)
    outlines = []
    rings = segmentation if isinstance(segmentation, list) else [segmentation]
    for flat in rings:
        try:
            points = np.array(flat, np.float64)
        except (TypeError, ValueError):
            continue
        if points.ndim != 1 or len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
            continue
        outlines.append((points.reshape(-1, 2) / size).astype(np.float32))
    wrong = f'{len(rings) - len(outlines)} of its {len(rings)} outlines cannot be used; left out'
    return tuple(outlines), wrong if len(outlines) < len(rings) else ''


def _decoded(segmentation: Any, size: tuple[int, int]) -> tuple[tuple[np.ndarray, ...], str]:
    """Return the outlines of a run-length mask, and what is wrong with it."""
    from pycocotools import mask

    try:
        rle = to_rle(segmentation, size, size, '')
    except UserError:
        width, height = size
        return (), f'its mask is no run lengths of {height} x {width} pixels; left out'
    found = contours(mask.decode(rle))
    return tuple((outline / size).astype(np.float32) for outline in found), ''


def write_coco(
    file: Path, pictures: Sequence[Picture], names: Sequence[str], images: Path
) -> None:
    """Write a COCO instances json; category ids are class ids + 1.

    Args:
        file: where to.
        pictures: with sizes.
        names: class names by class id.
        images: folder that the file names become relative to.

    Raises:
        UserError: a picture lies elsewhere, or the file cannot be written.
    """
    listed, annotations = [], []
    root = Path(os.path.abspath(images))
    for number, picture in enumerate(pictures, 1):
        assert picture.size is not None, picture.file
        width, height = picture.size
        listed.append(
            {
                'id': number,
                'file_name': _relative(picture.file, root),
                'width': width,
                'height': height,
            }
        )
        scale = np.array([width, height], np.float64)
        boxes = np.round(picture.boxes.reshape(-1, 2, 2) * scale, 3).reshape(-1, 4)
        for row, box in enumerate(boxes.tolist()):
            outlines = [np.round(p * scale, 2) for p in picture.polygons[row]]
            w, h = round(box[2] - box[0], 3), round(box[3] - box[1], 3)
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': number,
                    'category_id': int(picture.class_ids[row]) + 1,
                    'bbox': [box[0], box[1], w, h],
                    'area': round(sum(map(polygon_area, outlines)) if outlines else w * h, 2),
                    'segmentation': [outline.ravel().tolist() for outline in outlines],
                    'iscrowd': int(picture.crowd[row]),
                }
            )
            if picture.weights is not None and picture.weights[row] < 1:
                annotations[-1]['score'] = round(float(picture.weights[row]), 6)
    content = {
        'images': listed,
        'annotations': annotations,
        'categories': [{'id': i, 'name': name} for i, name in enumerate(names, 1)],
    }
    text = json.dumps(content, separators=(',', ':'), allow_nan=False)
    write_whole(file, text.encode())


def polygon_area(points: np.ndarray) -> float:
    """Return the area that a (K, 2) outline encloses."""
    x, y = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
    closing = x[-1] * y[0] - x[0] * y[-1]
    return float(abs(x[:-1] @ y[1:] - x[1:] @ y[:-1] + closing) / 2)


def _relative(picture: Path, root: Path) -> str:
    path = Path(os.path.abspath(picture))  # not resolved: folders and pictures may be links
    if not path.is_relative_to(root):
        raise UserError(f'{picture} lies outside {root}, the folder of the pictures.')
    return path.relative_to(root).as_posix()
