# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo data` yolo, coco, subset, export and show, from files to files."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from labelled import HEIGHT, SQUARE, TRIANGLE, WIDTH, coco_json, write_pictures, write_yolo

from kd_yolo_ros.errors import UserError
from kd_yolo_training.cli import data as data_module
from kd_yolo_training.cli.data import data as verbs
from kd_yolo_training.data.picture_size import picture_size
from kd_yolo_training.data.read import read_dataset


def run(*args: object) -> str:
    result = CliRunner().invoke(verbs, list(map(str, args)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def pictures_of(folder: Path) -> dict[str, list[str]]:
    splits = yaml.safe_load((folder / 'dataset.yaml').read_text())['splits']
    return {s: [p.file.name for p in read_dataset(folder, s).pictures] for s in splits}


@pytest.fixture
def copies(tmp_path) -> Path:
    """Twenty photos, each twice, as Roboflow names its copies."""
    folder = write_yolo(tmp_path / 'copies', [f'{n % 3} 0.5 0.5 0.5 0.5\n' for n in range(40)])
    for number in range(40):
        name = f'photo{number // 2}_jpg.rf.{number}'
        (folder / 'images' / f'{number}.png').rename(folder / 'images' / f'{name}.png')
        (folder / 'labels' / f'{number}.txt').rename(folder / 'labels' / f'{name}.txt')
    return folder


def test_copies_of_a_photo_stay_together(copies, tmp_path):
    out = tmp_path / 'out'
    output = run(
        *('yolo', copies, '--names', 'green, red,yellow', '--group-by', r'(.*)\.rf\.'),
        *('--select', 0.15, '--calibrate', 0.1, '--out', out, '--json', tmp_path / 'r.json'),
    )
    assert 'yellow' in output and 'calibrate' in output
    splits = pictures_of(out)
    assert {split: len(names) for split, names in splits.items()} == {
        'fit': 30, 'calibrate': 4, 'select': 6,
    }  # fmt: skip
    where: dict[str, set[str]] = {}
    for split, names in splits.items():
        for name in names:
            where.setdefault(name.split('_')[0], set()).add(split)
    assert len(where) == 20 and all(len(found) == 1 for found in where.values())
    data = read_dataset(out, 'fit')
    assert data.names == ('green', 'red', 'yellow') and data.pictures[0].size == (WIDTH, HEIGHT)
    report = json.loads((tmp_path / 'r.json').read_text())
    assert report == json.loads((out / 'instances.json').read_text())
    assert sum(split['instances']['red'] for split in report['splits'].values()) == 13
    assert str(tmp_path) not in (tmp_path / 'r.json').read_text()


def test_everything_into_val(copies, tmp_path):
    run('yolo', copies, '--names', 'a,b,c', '--val', 1, '--out', tmp_path / 'out')
    assert {s: len(names) for s, names in pictures_of(tmp_path / 'out').items()} == {'val': 40}


def test_an_official_val_stays_val(tmp_path):
    folder = write_yolo(tmp_path / 'set', ['0 0.5 0.5 0.5 0.5\n'] * 14, ['car'])
    for number in range(14):
        part = 'train' if number < 10 else 'valid' if number < 13 else 'test'
        for place, suffix in (('images', 'png'), ('labels', 'txt')):
            target = folder / place / part / f'{number}.{suffix}'
            target.parent.mkdir(exist_ok=True)
            (folder / place / f'{number}.{suffix}').rename(target)
    run('yolo', folder, '--select', 0.2, '--calibrate', 0, '--out', tmp_path / 'out')
    splits = pictures_of(tmp_path / 'out')
    assert splits['val'] == ['10.png', '11.png', '12.png']
    assert (len(splits['fit']), len(splits['select'])) == (8, 2)
    with pytest.raises(UserError, match='has a val/ of its own'):
        run('yolo', folder, '--val', 0.2, '--out', tmp_path / 'out')
    (folder / 'images' / 'train').rename(folder / 'images' / 'city')
    (folder / 'labels' / 'train').rename(folder / 'labels' / 'city')
    run('yolo', folder, '--select', 0, '--calibrate', 0, '--out', tmp_path / 'out')
    assert {s: len(names) for s, names in pictures_of(tmp_path / 'out').items()} == {'fit': 14}


def test_problems_are_told_and_the_rest_is_written(copies, tmp_path):
    first = sorted((copies / 'images').iterdir())[0]
    first.write_bytes(b'no picture')
    output = run('yolo', copies, '--names', 'a,b', '--out', tmp_path / 'out')
    report = json.loads((tmp_path / 'out' / 'instances.json').read_text())
    problems = report['problems']
    # Class 2 of 13 pictures is not named, and one picture is none.
    assert len(problems) == 14 and f'{first} is no picture' in problems[-1]['what']
    assert '14 problems' in output and sum(s['pictures'] for s in report['splits'].values()) == 39


def test_coco_and_its_pictures(tmp_path):
    folder = write_pictures(tmp_path / 'set', 10)
    file = coco_json(tmp_path / 'a.json', [SQUARE, TRIANGLE], 10)
    run('coco', file, '--images', folder / 'images', '--val', 0.2, '--out', tmp_path / 'out')
    splits = pictures_of(tmp_path / 'out')
    assert {split: len(names) for split, names in splits.items()} == {
        'fit': 6, 'calibrate': 1, 'select': 1, 'val': 2,
    }  # fmt: skip
    every = [p for s in splits for p in read_dataset(tmp_path / 'out', s).pictures]
    (labelled,) = [picture for picture in every if len(picture.boxes)]
    assert labelled.crowd.tolist() == [True, False] and len(labelled.polygons[1]) == 1


@pytest.fixture
def prepared(tmp_path) -> Path:
    """One split, fit: six pictures, of which one has a crowd and an outline, five a box of car."""
    cars = [{**TRIANGLE, 'id': 10 + n, 'image_id': n + 2, 'category_id': 3} for n in range(5)]
    for car in cars:
        del car['segmentation']
    folder = write_pictures(tmp_path / 'source', 6)
    file = coco_json(folder / 'a.json', [SQUARE, TRIANGLE, *cars], 6)
    run('coco', file, '--out', tmp_path / 'D', '--select', 0, '--calibrate', 0)
    return tmp_path / 'D'


def test_subsets(prepared, tmp_path):
    def made(*options: object) -> list[str]:
        out = tmp_path / f'subset{len(list(tmp_path.iterdir()))}'
        run('subset', prepared, '--split', 'fit', '--out', out, *options)
        return pictures_of(out)['fit']

    names = [f'{number}.png' for number in range(6)]
    assert made('--first', 2) == names[:2]
    assert made('--classes', 'person') == names[:1]
    assert made('--classes', 'car') == names[1:]  # a crowd of cars is no car
    assert made('--classes', 'car', '--first', 2) == names[1:3]
    drawn = made('--random', 3)
    assert len(drawn) == 3 and drawn == made('--random', 3) == sorted(drawn)
    assert any(made('--random', 3, '--seed', seed) != drawn for seed in (1, 2, 3))
    assert made('--random', 100) == names


def test_only_classes_are_numbered_anew(prepared, tmp_path):
    run(*('subset', prepared, '--split', 'fit', '--out', tmp_path / 'S'),
        *('--classes', 'person', '--only-classes'))  # fmt: skip
    data = read_dataset(tmp_path / 'S', 'fit')
    assert data.names == ('person',)
    assert [picture.class_ids.tolist() for picture in data.pictures] == [[0]]
    assert len(data.pictures[0].polygons[0]) == 1


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--first', 1, '--random', 1], 'cannot go together'),
        (['--only-classes'], 'needs --classes'),
        (['--classes', 'dog'], "no class 'dog'; there are car, person"),
    ],
)
def test_subsets_that_cannot_be(prepared, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        run('subset', prepared, '--split', 'fit', '--out', tmp_path / 'S', *options)
    assert not (tmp_path / 'S').exists() and (prepared / 'fit.json').is_file()


@pytest.mark.parametrize('how', ['symlink', 'hardlink', 'copy'])
def test_export_to_yolo_and_back(prepared, tmp_path, how):
    out = tmp_path / 'yolo'
    output = run('export', prepared, '--split', 'fit', '--out', out, '--pictures', how)
    assert '1 crowd regions left out' in output
    before, after = read_dataset(prepared, 'fit'), read_dataset(out)
    assert after.names == before.names and not after.problems
    assert [len(picture.boxes) for picture in after.pictures] == [1] * 6
    assert after.pictures[0].polygons[0][0] == pytest.approx(before.pictures[0].polygons[1][0])
    assert after.pictures[1].polygons == ((),)
    assert after.pictures[1].boxes == pytest.approx(before.pictures[1].boxes, abs=1e-5)
    file, source = after.pictures[0].file, before.pictures[0].file
    assert file.read_bytes() == source.read_bytes()
    assert file.is_symlink() == (how == 'symlink')
    assert os.path.samefile(file, source) == (how != 'copy')
    # Once more: what is there stays.
    stamp = file.lstat().st_mtime_ns
    run('export', prepared, '--split', 'fit', '--out', out, '--pictures', how)
    assert file.lstat().st_mtime_ns == stamp
    assert sorted(path.name for path in out.iterdir()) == ['data.yaml', 'images', 'labels']


def test_export_to_coco_and_back(prepared, tmp_path):
    out = tmp_path / 'coco'
    run('export', prepared, '--split', 'fit', '--out', out, '--format', 'coco')
    before, after = read_dataset(prepared, 'fit'), read_dataset(out / 'instances.json')
    assert after.names == before.names and not after.problems
    for one, other in zip(before.pictures, after.pictures, strict=True):
        assert one.boxes == pytest.approx(other.boxes, abs=1e-5)
        assert one.crowd.tolist() == other.crowd.tolist()


def test_nothing_is_written_over_what_is_read(prepared, tmp_path):
    for arguments in (
        ('subset', prepared, '--split', 'fit', '--out', prepared),
        ('subset', prepared / 'fit.json', '--out', prepared),
        ('export', prepared, '--split', 'fit', '--out', prepared),
        ('coco', prepared / 'fit.json', '--out', prepared),
    ):
        with pytest.raises(UserError, match='name another folder'):
            run(*arguments)
    run('subset', prepared, '--split', 'fit', '--first', 1, '--out', tmp_path / 'S')
    run('export', tmp_path / 'S', '--split', 'fit', '--out', tmp_path / 'F')
    run('export', prepared, '--split', 'fit', '--out', tmp_path / 'F')  # more of the same
    with pytest.raises(UserError, match=r'F holds other pictures, as .*1\.png'):
        run('export', tmp_path / 'S', '--split', 'fit', '--out', tmp_path / 'F')


def test_pictures_that_would_share_a_label_file(tmp_path):
    folder = write_pictures(tmp_path / 'set', 2)
    (folder / 'images' / '1.png').rename(folder / 'images' / '0.jpg')
    file = coco_json(folder / 'a.json', [TRIANGLE])
    file.write_text(file.read_text().replace('1.png', '0.jpg'))
    with pytest.raises(UserError, match=r'0\.\w+ and 0\.\w+ would share a label file'):
        run('export', file, '--out', tmp_path / 'out')
    run('export', file, '--out', tmp_path / 'out', '--format', 'coco')
    assert len(read_dataset(tmp_path / 'out' / 'instances.json').pictures) == 2


def test_a_contact_sheet(prepared, tmp_path):
    plain = tmp_path / 'plain'
    write_yolo(plain, [''], ['car'])
    run('show', plain, '--out', tmp_path / 'plain.png', '--width', WIDTH)
    before = cv2.imread(str(tmp_path / 'plain.png'))
    assert before.shape == (HEIGHT + 12, WIDTH + 12, 3)
    assert (before[6:-6, 6:-6] == cv2.imread(str(plain / 'images' / '0.png'))).all()

    (plain / 'labels' / '0.txt').write_text('0 0.5 0.5 0.5 0.5\n')
    run('show', plain, '--out', tmp_path / 'box.png', '--width', WIDTH)
    changed = (cv2.imread(str(tmp_path / 'box.png')) != before).any(2)[6:-6, 6:-6]
    assert changed[12, 32:48].all() and changed[36, 16:48].all()
    assert not changed[20:30, 20:44].any() and not changed[:, :14].any()

    run(*('show', prepared, '--split', 'fit', '--out', tmp_path / 'many.png', '--count', 5),
        *('--width', 100, '--json', tmp_path / 'r.json'))  # fmt: skip
    sheet = cv2.imread(str(tmp_path / 'many.png'))
    assert sheet.shape == (2 * 75 + 18, 3 * 106 + 6, 3)
    shown = json.loads((tmp_path / 'r.json').read_text())['pictures']
    assert len(shown) == 5 and set(shown) < {f'{number}.png' for number in range(6)}


def test_a_sheet_without_readable_pictures(tmp_path):
    folder = write_yolo(tmp_path / 'set', [''], ['car'])
    (folder / 'images' / '0.png').write_bytes(b'no picture')
    with pytest.raises(UserError, match='none of the 1 pictures can be read'):
        run('show', folder, '--out', tmp_path / 'a.png')


def test_size_of_a_turned_picture(tmp_path):
    from PIL import Image

    image = Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / 'a.jpg', exif=exif)
    assert picture_size(tmp_path / 'a.jpg') == (HEIGHT, WIDTH)
    assert cv2.imread(str(tmp_path / 'a.jpg')).shape[:2] == (WIDTH, HEIGHT)


@pytest.mark.parametrize('verb', sorted(data_module.VERBS))
def test_help_of_each_verb(verb):
    output = run(verb, '--help')
    unavailable = find_spec(f'kd_yolo_training.cli.{data_module.VERBS[verb]}') is None
    assert unavailable or ('--config' in output and '--json' in output)


def test_a_verb_that_cannot_be_imported_leaves_the_others(monkeypatch):
    monkeypatch.setitem(data_module.VERBS, 'broken', 'data_nowhere')
    output = run('--help')
    assert 'broken' in output and 'Cannot run' in output and 'cityscapes' in output
    with pytest.raises(UserError, match="'broken' cannot run: No module named"):
        run('broken', '--any', 'thing')
