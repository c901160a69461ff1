# SPDX-License-Identifier: Apache-2.0
"""YOLO labels: rows of `class cx cy w h`, or `class x1 y1 x2 y2 …` for a polygon, all relative.

One file a picture; read with whatever is wrong in them reported, and written.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.pictures import list_pictures
from kd_yolo_ros.metrics.report import write_whole

from .dataset import DataSet, Picture, Problem
from .labels import Label, box_around, missing_picture, to_picture

LABEL_SUFFIX = '.txt'
MAX_CLASSES = 10_000  # a higher number is a slip where the data set names no classes


def is_yolo(folder: Path) -> bool:
    """Say whether a folder has images/ and labels/ in it."""
    return (folder / 'images').is_dir() and (folder / 'labels').is_dir()


def read_yolo(folder: Path, names: Sequence[str] | None = None) -> DataSet:
    """Read a folder with images/ and labels/, which may have sub-folders.

    A picture without a label file, or with an empty one, is background. Names come from `names`,
    else from data.yaml or classes.txt in the folder; where there are none, the numbers that
    occur are the names.

    Raises:
        UserError: it is no such folder, its names cannot be read, or no picture can be used.
    """
    if not is_yolo(folder):
        raise UserError(f'{folder} is no YOLO data set, expected images/ and labels/ in it.')
    images, labels = folder / 'images', folder / 'labels'
    named = tuple(names) if names else _names(folder)
    problems: list[Problem] = []
    pictures: list[Picture] = []
    expected: set[Path] = set()
    found = list_pictures(images)
    for file in found:
        label_file = labels / file.relative_to(images).with_suffix(LABEL_SUFFIX)
        if label_file in expected:
            what = f'has the labels of another picture, {label_file.name}; left out'
            problems.append(Problem(file, what))
            continue
        expected.add(label_file)
        missing = missing_picture(file)
        if missing:
            problems.append(missing)
            continue
        rows = _rows(label_file, problems)
        classes = len(named) if named else MAX_CLASSES
        picture, wrong = to_picture(file, rows, classes, None, label_file)
        pictures.append(picture)
        problems.extend(wrong)
    for label_file in sorted(_label_files(labels) - expected):
        problems.append(Problem(label_file, 'has no picture; left out'))
    if not pictures:
        first = f': {problems[0].file}: {problems[0].what}' if problems else ''
        raise UserError(f'none of the {len(found)} pictures in {images} can be used{first}.')
    if named is None:
        highest = max((int(p.class_ids.max()) for p in pictures if len(p.class_ids)), default=0)
        named = tuple(str(number) for number in range(highest + 1))
    return DataSet(tuple(pictures), named, tuple(problems), f'YOLO labels of {folder.name}')


def _rows(file: Path, problems: list[Problem]) -> list[Label]:
    """Return the rows of a label file that are rows; none where the file is not there."""
    try:
        lines = file.read_text(encoding='utf-8').splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(file, f'cannot be read ({error}); its labels are left out'))
        return []
    labels = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        label = _row(line.split(), f'line {number}')
        if label is None:
            what = f'line {number}: {line.strip()[:60]!r} is no box or polygon; left out'
            problems.append(Problem(file, what))
        else:
            labels.append(label)
    return labels


def _row(fields: Sequence[str], where: str) -> Label | None:
    """Return one row as it stands there, None where it is neither box nor polygon."""
    try:
        values = [float(text) for text in fields]
    except ValueError:
        return None
    if len(values) < 5 or not values[0].is_integer():
        return None
    class_id, numbers = int(values[0]), values[1:]
    if len(numbers) == 4:
        cx, cy, w, h = numbers
        return Label(where, class_id, (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
    if len(numbers) < 6 or len(numbers) % 2:
        return None
    outline = np.array(numbers, np.float64).reshape(-1, 2)
    return Label(where, class_id, box_around([outline]), polygons=(outline,))


def _label_files(labels: Path) -> set[Path]:
    return {
        Path(root) / name
        for root, _, names in os.walk(labels, followlinks=True)
        for name in names
        if name.endswith(LABEL_SUFFIX) and name != 'classes.txt' and not name.startswith('.')
    }


def _names(folder: Path) -> tuple[str, ...] | None:
    """Return the class names of data.yaml or classes.txt, None where there is neither."""
    data, classes = folder / 'data.yaml', folder / 'classes.txt'
    try:
        if data.is_file():
            content = yaml.safe_load(data.read_text(encoding='utf-8'))
            names = content.get('names') if isinstance(content, dict) else None
            if isinstance(names, dict) and sorted(names) == list(range(len(names))):
                names = [names[number] for number in range(len(names))]
            if not isinstance(names, list) or not names:
                raise UserError(f'{data}: expected names, a list or a map of 0, 1, … to name.')
            return tuple(str(name) for name in names)
        if classes.is_file():
            lines = classes.read_text(encoding='utf-8').splitlines()
            return tuple(line.strip() for line in lines if line.strip()) or None
    except (OSError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f'{data} or {classes.name}: cannot be read: {error}.') from error
    return None


def write_yolo_labels(file: Path, picture: Picture) -> None:
    """Write a picture's label file: a polygon where an object has one outline, else its box.

    An object in several pieces, which a row cannot tell, becomes its box. Crowd regions, which
    the format lacks, are left out. A picture without objects gets an empty file.

    Raises:
        UserError: the file cannot be written.
    """
    lines = []
    for row, box in enumerate(picture.boxes.tolist()):
        if picture.crowd[row]:
            continue
        outlines = picture.polygons[row]
        if len(outlines) == 1:
            numbers = outlines[0].ravel().tolist()
        else:
            x1, y1, x2, y2 = box
            numbers = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
        text = ' '.join(f'{number:.6f}' for number in numbers)
        lines.append(f'{int(picture.class_ids[row])} {text}\n')
    write_whole(file, ''.join(lines).encode())


def write_yolo_names(folder: Path, names: Sequence[str]) -> None:
    """Write data.yaml with the class names and where the pictures lie."""
    content = {'train': 'images', 'val': 'images', 'names': dict(enumerate(names))}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    write_whole(folder / 'data.yaml', text.encode())
