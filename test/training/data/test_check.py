# SPDX-License-Identifier: Apache-2.0
"""Broken pictures are found and named, also those that OpenCV reads without complaint."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from labelled import HEIGHT, WIDTH, noise, write_yolo

from kd_yolo_ros.errors import UserError
from kd_yolo_training.cli.data import data as verbs
from kd_yolo_training.data.check import check_pictures
from kd_yolo_training.data.dataset import Picture


def picture(file: Path, size: tuple[int, int] | None = None) -> Picture:
    none = np.zeros(0)
    return Picture(file, none.reshape(0, 4), none.astype(int), none.astype(bool), (), size)


def encoded(suffix: str) -> bytes:
    image = cv2.resize(noise(0), None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    return cv2.imencode(suffix, image)[1].tobytes()


def exif_turned(jpeg: bytes) -> bytes:
    """Return a JPEG with the EXIF orientation 6: show it turned by 90°."""
    entry = b'\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00'
    tiff = b'II*\x00\x08\x00\x00\x00\x01\x00' + entry + bytes(4)
    segment = b'Exif\x00\x00' + tiff
    return jpeg[:2] + b'\xff\xe1' + (len(segment) + 2).to_bytes(2, 'big') + segment + jpeg[2:]


SIZE = (4 * WIDTH, 4 * HEIGHT)
JPEG, PNG = encoded('.jpg'), encoded('.png')
HALF = len(JPEG) // 2


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        (JPEG, ''),
        (PNG, ''),
        (JPEG[:HALF], 'cut off'),
        (JPEG[:HALF] + JPEG[-2:], 'damaged (Corrupt JPEG data'),  # OpenCV only warns
        (JPEG[:HALF] + bytes(300) + JPEG[HALF + 300 :], 'damaged (Corrupt JPEG data'),
        (PNG[: len(PNG) // 2], 'cut off'),
        (PNG[: len(PNG) // 2] + bytes(300) + PNG[len(PNG) // 2 + 300 :], 'could not be decoded'),
        (b'no picture at all', 'could not be decoded'),
        (b'', 'empty'),
        (None, 'cannot be read: No such file'),
        (exif_turned(JPEG), 'EXIF turns it to 192x256, but its labels are for 256x192'),
    ],
)
def test_each_kind_of_damage(tmp_path, content, expected):
    file = tmp_path / 'a.jpg'
    if content is not None:
        file.write_bytes(content)
    found = check_pictures([picture(file, SIZE)], processes=1)
    assert len(found) == bool(expected)
    for problem in found:
        assert problem.file == file and expected in problem.what


def test_sizes_where_the_labels_tell_them(tmp_path):
    files = []
    for name, content in (('a', JPEG), ('b', exif_turned(JPEG)), ('c', JPEG)):
        files.append(tmp_path / f'{name}.jpg')
        files[-1].write_bytes(content)
    pictures = [picture(files[0]), picture(files[1]), picture(files[2], (100, 80))]
    (problem,) = check_pictures(pictures)
    assert problem.what == 'it is 256x192, but its labels are for 100x80'


def test_order_and_progress(tmp_path):
    pictures = []
    for number in range(70):
        pictures.append(picture(tmp_path / f'{number:02}.png'))
        pictures[-1].file.write_bytes(PNG if number % 10 else PNG[:99])
    seen = []

    def progress(items: Iterable, description: str, total: int) -> Iterable:
        seen.append(total)
        yield from items

    found = check_pictures(pictures, progress, processes=2)
    assert [problem.file.name for problem in found] == [f'{n:02}.png' for n in range(0, 70, 10)]
    assert seen == [70]
    assert check_pictures([]) == []


def test_the_verb_names_each_file(tmp_path):
    folder = write_yolo(tmp_path / 'set', ['0 0.5 0.5 0.1 0.1\n', '3 0.5 0.5 0.1 0.1\n'], ['car'])
    good = (folder / 'images' / '0.png').read_bytes()
    (folder / 'images' / '0.png').write_bytes(good[:200])
    out = tmp_path / 'report.json'
    result = CliRunner().invoke(verbs, ['check', str(folder), '--json', str(out)])
    assert isinstance(result.exception, UserError) and '2 problems' in str(result.exception)
    assert '1.txt' in result.output and '0.png' in result.output
    report = json.loads(out.read_text())
    assert [Path(problem['file']).name for problem in report['problems']] == ['1.txt', '0.png']
    assert (report['pictures'], report['objects']) == (2, 1)

    (folder / 'images' / '0.png').write_bytes(good)
    (folder / 'labels' / '1.txt').write_text('')
    result = CliRunner().invoke(verbs, ['check', str(folder)], catch_exceptions=False)
    assert result.exit_code == 0 and '2 pictures with 1 objects, nothing wrong' in result.output
