# SPDX-License-Identifier: Apache-2.0
"""What teachers find in pictures, kept in a file of each teacher, so that nothing is run twice.

A line holds one picture's detections and is appended as soon as they are there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from kd_yolo_ros.artifact import sha256_of
from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.pictures import read_picture
from kd_yolo_ros.manifest import Thresholds
from kd_yolo_ros.predictor import Predictor

from ..data.dataset import Picture, Problem

# All detections down to this score are kept: a higher threshold asks for no second run.
LOWEST_SCORE = 0.05
THRESHOLDS = Thresholds(score=LOWEST_SCORE)
DIGITS = 6


class DetectionFile:
    """A teacher's detections by picture.

    Args:
        folder: where the file is, or is made; it is named after the teacher.
        path: the teacher's.
        predictor: over it.

    Attributes:
        description: the teacher's name, hash, runtime and precision, for reports.

    Raises:
        UserError: the file cannot be read or made, or another process writes it.
    """

    def __init__(self, folder: Path, path: Path, predictor: Predictor) -> None:
        self._predictor = predictor
        running = predictor.running
        self.description = {
            'name': predictor.manifest.name,
            'sha256': _hash_of(path, predictor),
            'runtime': running.runtime,
            'precision': running.precision,
        }
        # The version that reads, letterboxes and decodes has a say in what is found.
        parts = [self.description, str(THRESHOLDS), version('kd_yolo_ros')]
        key = hashlib.sha256(json.dumps(parts).encode())
        name = re.sub(r'[^\w.-]', '_', predictor.manifest.name)
        self.file = folder / f'{name}-{key.hexdigest()[:12]}.jsonl'
        self._found: dict[str, Detections] = {}
        self._stamps: dict[str, list[int]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._stream = open(self.file, 'a+b')  # noqa: SIM115 (open as long as this lives)
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._stream.close()
            raise UserError(
                f'{self.file} is in use by another `kd-yolo data annotate`, which has to end '
                f'first, or its teacher is named by two paths.'
            ) from None
        except OSError as error:
            raise UserError(f'{self.file} cannot be written: {error.strerror}.') from error
        self._read()

    def __contains__(self, picture: Path) -> bool:
        stamp = self._stamps.get(str(picture))
        return stamp is not None and picture.is_file() and stamp == _stamp(picture)

    def __getitem__(self, picture: Path) -> Detections:
        return self._found[str(picture)]

    def add(self, picture: Path, image: np.ndarray) -> None:
        """Find the objects in a picture, (H, W, 3) uint8 BGR, and keep them."""
        found = self._predictor.predict(image, masks=False)
        height, width = image.shape[:2]
        line = {
            'picture': str(picture),
            'stamp': _stamp(picture),
            'boxes': _rounded(found.boxes / np.array((width, height) * 2)),
            'scores': _rounded(found.scores),
            'class_ids': found.class_ids.tolist(),
        }
        try:
            self._stream.write(json.dumps(line).encode() + b'\n')
            self._stream.flush()
        except OSError as error:
            raise UserError(f'{self.file} cannot be written: {error.strerror}.') from error
        self._take(line)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _read(self) -> None:
        """Take what is there; a line that was cut off by a kill is taken away."""
        self._stream.seek(0)
        whole = 0
        for line in self._stream:
            if not line.endswith(b'\n'):
                break
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                break
            whole += len(line)
        self._stream.truncate(whole)

    def _take(self, line: dict) -> None:
        boxes = np.array(line['boxes'], np.float32).reshape(-1, 4)
        scores = np.array(line['scores'], np.float32)
        class_ids = np.array(line['class_ids'], np.int64)
        self._stamps[line['picture']] = line['stamp']
        self._found[line['picture']] = Detections(boxes, scores, class_ids)


def detect_all(
    teachers: Sequence[DetectionFile],
    pictures: Sequence[Picture],
    progress: Callable[[Iterable, str, int], Iterable],
) -> list[Problem]:
    """Let every teacher look at every picture that it has not seen; return what cannot be read.

    Args:
        teachers: they keep what they find, with relative boxes.
        pictures: named by absolute paths.
        progress: as `kd_yolo_ros.cli.common.progress`.
    """
    problems = []
    for picture in progress(pictures, 'annotate', len(pictures)):
        missing = [teacher for teacher in teachers if picture.file not in teacher]
        if not missing:
            continue
        try:
            image = read_picture(picture.file)
        except UserError as error:
            problems.append(Problem(picture.file, f'{error}; left out'))
            continue
        for teacher in missing:
            teacher.add(picture.file, image)
    return problems


def _hash_of(path: Path, predictor: Predictor) -> str:
    """Return one hash over the teacher's files."""
    hashes = predictor.file.sha256
    if not hashes:  # a checkpoint, so PyTorch has been loaded
        from ..models.open import checkpoint_file

        hashes = {'weights': sha256_of(checkpoint_file(path))}
    return hashlib.sha256(json.dumps(sorted(hashes.items())).encode()).hexdigest()[:16]


def _rounded(values: np.ndarray) -> list:
    return np.round(values.astype(np.float64), DIGITS).tolist()


def _stamp(picture: Path) -> list[int]:
    """Return size and time of a file: another picture of the same name is looked at again."""
    about = picture.stat()
    return [about.st_size, about.st_mtime_ns]
