# SPDX-License-Identifier: Apache-2.0
"""DriveU's labels of both versions, its Bayer pictures, and the tiles made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from kd_yolo_ros.errors import UserError
from kd_yolo_training.cli.data import data as verbs
from kd_yolo_training.data.dtld import find_labels, read_labels, read_raw
from kd_yolo_training.data.read import read_dataset

WIDTH, HEIGHT = 96, 48


def attributes(**changes: str) -> dict[str, str]:
    return {
        'direction': 'front', 'relevance': 'relevant', 'occlusion': 'not_occluded',
        'orientation': 'vertical', 'aspects': 'three_aspects', 'state': 'red',
        'pictogram': 'circle', 'reflection': 'not_reflected', **changes,
    }  # fmt: skip


def label(x: int, y: int, w: int, h: int, **changes: str) -> dict[str, Any]:
    more = {'track_id': '1', 'unique_id': 7, 'attributes': attributes(**changes)}
    return {'x': x, 'y': y, 'w': w, 'h': h, **more}


def entry(route: str, number: int, labels: Any) -> dict[str, Any]:
    city = route.rstrip('0123456789')
    path = f'./{city}/{route}/2015-04-17_10-50-05/DE_{number:06}_k0.tiff'
    return {'image_path': path, 'disparity_image_path': '', 'time_stamp': 0.5, 'labels': labels}


def bayer(colour: tuple[int, int, int], width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return the 12-bit samples of one colour, blue green red: rows of g r and of b g."""
    blue, green, red = colour
    samples = np.zeros((height, width), np.uint16)
    samples[0::2, 0::2] = samples[1::2, 1::2] = green
    samples[0::2, 1::2] = red
    samples[1::2, 0::2] = blue
    return samples


def write_set(root: Path, images: list[dict[str, Any]]) -> Path:
    for image in images:
        file = root / image['image_path']
        file.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(file), bayer((800, 1600, 3200)))
    folder = root / 'DTLD_labels_v2.0' / 'v2.0'
    folder.mkdir(parents=True)
    (folder / 'DTLD_all.json').write_text(json.dumps({'images': images}))
    return root


# ---- pictures


def test_bayer_becomes_bgr(tmp_path):
    file = tmp_path / 'a.tiff'
    assert cv2.imwrite(str(file), bayer((160, 1600, 3216)))
    picture = read_raw(file)
    assert picture.shape == (HEIGHT, WIDTH, 3) and picture.dtype == np.uint8
    assert (picture[2:-2, 2:-2] == (10, 100, 201)).all()


def test_brightest_and_converted_pictures(tmp_path):
    assert cv2.imwrite(str(tmp_path / 'a.tiff'), bayer((4095, 4095, 4095)))
    assert (read_raw(tmp_path / 'a.tiff')[2:-2, 2:-2] == 255).all()
    eight = np.full((HEIGHT, WIDTH, 3), 77, np.uint8)
    assert cv2.imwrite(str(tmp_path / 'b.png'), eight)
    assert (read_raw(tmp_path / 'b.png') == eight).all()
    for content in (b'', b'no picture', cv2.imencode('.png', eight[..., 0])[1].tobytes()):
        (tmp_path / 'c.tiff').write_bytes(content)
        with pytest.raises(UserError, match='c.tiff is neither'):
            read_raw(tmp_path / 'c.tiff')


# ---- labels


@pytest.mark.parametrize(
    ('changes', 'relevant'),
    [
        ({}, True),
        ({'occlusion': 'occluded', 'state': 'off', 'pictogram': 'arrow_left'}, True),
        ({'relevance': 'not_relevant'}, False),
        ({'direction': 'back'}, False),
        ({'direction': 'left'}, False),
        ({'reflection': 'reflected'}, False),
    ],
)
def test_relevance_in_v2(tmp_path, changes, relevant):
    root = write_set(tmp_path, [entry('Berlin1', 0, [label(10, 10, 4, 9, **changes)])])
    (frame,), problems = read_labels(find_labels(root))
    assert not problems and frame.route == 'Berlin/Berlin1'
    assert frame.boxes.tolist() == [[10, 10, 14, 19]]
    assert frame.class_ids.tolist() == [0 if relevant else 1]


@pytest.mark.parametrize(
    ('class_id', 'relevant'),
    [(112340, True), (132314, True), (102340, False), (122310, False), (212340, False),
     (312300, False), (412300, False), (12340, False)],
)  # fmt: skip
def test_relevance_in_v1(tmp_path, class_id, relevant):
    item = {'x': 1, 'y': 2, 'width': 3, 'height': 5, 'class_id': class_id, 'track_id': 'a',
            'unique_id': 1}  # fmt: skip
    image = {'path': '/old/place/Kassel/Kassel2/2015/a.tiff', 'disp_path': '', 'objects': [item]}
    (tmp_path / 'DTLD_all.yml').write_text(yaml.safe_dump([image]))
    (frame,), problems = read_labels(find_labels(tmp_path))
    assert not problems and str(frame.image) == 'Kassel/Kassel2/2015/a.tiff'
    assert frame.boxes.tolist() == [[1, 2, 4, 7]]
    assert frame.class_ids.tolist() == [0 if relevant else 1]


def test_bad_labels_are_named(tmp_path):
    good = label(10, 10, 4, 9)
    lacking = {key: value for key, value in good.items() if key != 'attributes'}
    images = [
        entry('Berlin1', 0, [good, lacking, {**good, 'w': 0}, {**good, 'x': 'a'}, 3]),
        entry('Berlin1', 0, []),
        {'image_path': 'a.tiff', 'labels': []},
        {'image_path': '../../../a.tiff', 'labels': []},
        {'labels': []},
        4,
    ]
    (tmp_path / 'a.json').write_text(json.dumps({'images': images}))
    (frame,), problems = read_labels(tmp_path / 'a.json')
    assert len(frame.boxes) == 1
    text = ' | '.join(problem.what for problem in problems)
    assert len(problems) == 9 and text.count('has no path like') == 4
    for part in ('label 1 is no box', 'label 2', 'label 3', 'label 4', 'stands there twice'):
        assert part in text


def test_no_labels(tmp_path):
    with pytest.raises(UserError, match='holds neither DTLD_all.json nor DTLD_all.yml'):
        find_labels(tmp_path)
    for name, text in (('a.json', '[]'), ('a.json', '{'), ('a.yml', 'a: 1'), ('b.yml', '[')):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match=r'no label file of DTLD|cannot be read'):
            read_labels(tmp_path / name)
    (tmp_path / 'a.json').write_text('{"images": []}')
    with pytest.raises(UserError, match='has no picture'):
        read_labels(tmp_path / 'a.json')


# ---- the verb


def run(*args: object) -> str:
    result = CliRunner().invoke(verbs, ['dtld', *map(str, args)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def report_of(out: Path) -> dict[str, Any]:
    return json.loads((out / 'instances.json').read_text())


def test_tiles_of_a_picture(tmp_path):
    lights = [
        label(2, 2, 4, 9),  # in the first tile only
        label(22, 10, 4, 8, relevance='not_relevant'),  # in the first and second
        label(28, 30, 8, 10),  # half in the first tile; whole in the second
        label(94, 40, 6, 6),  # beyond the right border
    ]
    root = write_set(tmp_path / 'DTLD', [entry('Berlin1', 0, lights)])
    run(root, '--out', tmp_path / 'out', '--tile', 32, '--overlap', 0.25, '--background', 1)
    data = read_dataset(tmp_path / 'out', 'fit')
    by_name = {picture.file.name: picture for picture in data.pictures}
    # 96 px: starts 0, 21, 43, 64; 48 px: starts 0, 16.
    places = {name.split('_k0_')[1].removesuffix('.png') for name in by_name}
    assert {'0_0_32', '21_0_32', '0_16_32', '21_16_32', '64_16_32'} <= places
    first = by_name['DE_000000_k0_0_0_32.png']
    assert (first.boxes * 32).round(3).tolist() == [[2, 2, 6, 11], [22, 10, 26, 18]]
    assert first.class_ids.tolist() == [0, 1] and first.size == (32, 32)
    second = by_name['DE_000000_k0_21_16_32.png']
    assert (second.boxes * 32).round(3).tolist() == [[7, 14, 15, 24]]
    image = cv2.imread(str(first.file))
    assert image.shape == (32, 32, 3) and image[16, 16].tolist() == [50, 100, 200]
    report = report_of(tmp_path / 'out')
    assert report['remainders_dropped'] >= 1
    assert ['clipped' in problem['what'] for problem in report['problems']] == [True]
    # Every light is whole in some tile, the last one as far as the picture goes.
    sides = {tuple((box[2:] - box[:2]).round(2)) for p in data.pictures for box in p.boxes * 32}
    assert {(4, 9), (4, 8), (8, 10), (2, 6)} <= sides


def test_remainders_are_dropped(tmp_path):
    # Of a light of 10 px the first tile shows 3, the second all.
    root = write_set(tmp_path / 'DTLD', [entry('Berlin1', 0, [label(29, 4, 10, 10)])])
    run(root, '--out', tmp_path / 'out', '--tile', 32, '--overlap', 0.25, '--background', 0)
    (picture,) = read_dataset(tmp_path / 'out', 'fit').pictures
    assert picture.file.name.endswith('_21_0_32.png')
    report = report_of(tmp_path / 'out')
    assert (report['remainders_dropped'], report['tiles_with_remainders_only']) == (1, 1)
    assert report['background_tiles_left_out'] == 6


def test_no_route_is_in_two_splits(tmp_path):
    images = [
        entry(route, number, [label(10, 10, 5, 9)])
        for route in ('Berlin1', 'Berlin2', 'Bochum1', 'Essen1', 'Essen2', 'Fulda1')
        for number in range(3)
    ]
    root = write_set(tmp_path / 'DTLD', images)
    out = tmp_path / 'out'
    run(root, '--out', out, '--tile', 48)
    routes = {}
    for split in ('fit', 'calibrate', 'select', 'val'):
        for picture in read_dataset(out, split).pictures:
            city, route, *_ = picture.file.relative_to(out / 'pictures').parts
            routes.setdefault((city, route), set()).add(split)
    assert len(routes) == 6 and all(len(splits) == 1 for splits in routes.values())


def test_an_interrupted_run_goes_on(tmp_path):
    images = [entry('Berlin1', n, [label(10, 10, 5, 9)]) for n in range(3)]
    root, out = write_set(tmp_path / 'DTLD', images), tmp_path / 'out'
    run(root, '--out', out, '--tile', 48)
    tiles = sorted(out.rglob('*.png'))
    before = {file: file.stat().st_mtime_ns for file in tiles}
    content = (out / 'fit.json').read_bytes()
    gone = [file for file in tiles if 'DE_000001' in file.name]
    for file in gone:
        file.unlink()
    run(root, '--out', out, '--tile', 48)
    after = {file: file.stat().st_mtime_ns for file in sorted(out.rglob('*.png'))}
    assert list(after) == tiles and (out / 'fit.json').read_bytes() == content
    made_anew = {file for file in tiles if before[file] != after[file]}
    assert made_anew == {*gone, out / 'instances.png'}


def test_bad_pictures_are_named(tmp_path):
    images = [entry('Berlin1', n, [label(10, 10, 5, 9)]) for n in range(4)]
    root = write_set(tmp_path / 'DTLD', images)
    files = [root / image['image_path'] for image in images]
    files[0].unlink()
    files[1].write_bytes(b'')
    files[2].write_bytes(files[2].read_bytes()[:300])
    run(root, '--out', tmp_path / 'out', '--tile', 48)
    data = read_dataset(tmp_path / 'out', 'fit')
    assert {picture.file.name[:9] for picture in data.pictures} == {'DE_000003'}
    names = [Path(p['file']).name for p in report_of(tmp_path / 'out')['problems']]
    assert names == [file.name for file in files[:3]]
    files[3].unlink()
    with pytest.raises(UserError, match='none of the 4 pictures'):
        run(root, '--out', tmp_path / 'out', '--tile', 48)
