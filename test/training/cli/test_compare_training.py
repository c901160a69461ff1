# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo bench-training` and `compare-training`: both trainers, for real, on a few pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from labelled import write_yolo
from processes import kd_yolo
from random_yolov5 import random_yolov5

ROWS = ['0 0.3 0.3 0.3 0.4\n1 0.7 0.6 0.4 0.3', '1 0.5 0.5 0.6 0.6', '0 0.4 0.6 0.3 0.3', '']


@pytest.fixture(scope='module')
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labelled pictures, made into a prepared set, and a checkpoint."""
    folder = tmp_path_factory.mktemp('compare')
    write_yolo(folder / 'pictures', ROWS, ['car', 'bus'])
    shares = ('--select', 0, '--calibrate', 0)
    kd_yolo('data', 'yolo', 'pictures', '--out', 'fit', *shares, cwd=folder).succeeded()
    kd_yolo('data', 'yolo', 'pictures', '--out', 'val', '--val', 1, cwd=folder).succeeded()
    torch.save(random_yolov5(classes=4).state_dict(), folder / 'start.pt')
    return folder


def compare(place: Path, *more: object) -> tuple:
    return (
        *('compare-training', '--data', 'fit', '--reported', 'val', '--weights', 'start.pt'),
        *('--epochs', 1, '--imgsz', 64, '--batch', 2, '--threads', 1, '--out', 'out', *more),
    )


def test_compare(place: Path) -> None:
    (place / 'ours.yaml').write_text('optimizer: adamw\nlr: 0.001\n')
    (place / 'theirs.yaml').write_text('mosaic: 0.0\n')
    recipes = ('--ours', 'ours.yaml', '--theirs', 'theirs.yaml')
    printed = kd_yolo(*compare(place, *recipes, '--json', 'r.json'), cwd=place).succeeded()
    report = json.loads((place / 'r.json').read_text())
    assert report['kind'] == 'compare-training'
    ours, theirs = report['results']
    assert (ours['trainer'], theirs['trainer']) == ('kd_yolo', 'ultralytics')
    assert ours['settings']['optimizer'] == 'adamw' and theirs['settings']['mosaic'] == 0
    assert theirs['trunk_tensors'] == 342
    for row in (ours, theirs):
        assert 0 <= row['map50_95'] <= row['map50'] <= 1
        assert row['images'] == len(ROWS) and set(row['per_class']) == {'car', 'bus'}
        assert row['images_per_s'] == pytest.approx(len(ROWS) / row['train_s'])
        assert row['trainer'] in printed
    assert str(place) not in (place / 'r.json').read_text()
    assert (place / 'out' / 'compare-training.png').stat().st_size > 5000

    # Again: nothing is trained, the same figures are shown.
    kd_yolo(*compare(place, *recipes, '--json', 'again.json'), cwd=place).succeeded()
    assert json.loads((place / 'again.json').read_text())['results'] == report['results']
    refusal = kd_yolo(*compare(place), cwd=place).refused()
    assert 'other options' in refusal


def test_other_classes_are_refused(place: Path, tmp_path: Path) -> None:
    write_yolo(tmp_path / 'others', ROWS, ['car', 'tram'])
    refusal = kd_yolo(*compare(place, '--reported', tmp_path / 'others'), cwd=place).refused()
    assert 'other classes' in refusal


def test_bench(place: Path) -> None:
    case = ('--model', 'n', '--imgsz', 64, '--batch', 2, '--threads', 1)
    short = ('--pictures', 4, '--epochs', 2, '--blocks', 1, '--out', 'bench', '--json', 'b.json')
    printed = kd_yolo('bench-training', *case, *short, cwd=place).succeeded()
    report = json.loads((place / 'b.json').read_text())
    ours, theirs = report['results']
    assert (ours['trainer'], theirs['trainer']) == ('kd_yolo', 'ultralytics')
    assert ours['median'] > 0 and theirs['median'] > 0
    assert ours['ratio'] == pytest.approx(ours['median'] / theirs['median'])
    assert report['data'] == '4 generated scenes'
    assert 'n 64 px' in printed
    assert (place / 'bench' / 'bench-training.png').stat().st_size > 5000
