# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo evaluate` measures what is known, and writes it in the one form."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np
import pytest
from artifacts import write_dataset
from click.testing import CliRunner
from processes import kd_yolo
from reports import read_report
from tiny_segmenter import write_squares_with_outlines, write_tiny_segmenter

from kd_yolo_ros.cli.evaluate import evaluate


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp('data') / 'squares')


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
def test_a_model_that_is_right(runtime, tiny_artifact, dataset, tmp_path):
    done = kd_yolo(
        *('evaluate', tiny_artifact, '--data', dataset, '--json', 'result.json'),
        *('--runtime', runtime, '--precision', 'fp32', '--threads', '1'),
        cwd=tmp_path,
    )
    text = done.succeeded()
    report = read_report(tmp_path / 'result.json', 'evaluate')
    assert report['map50_95'] == pytest.approx(1) and report['map50'] == pytest.approx(1)
    assert (report['runtime'], report['precision'], report['threads']) == (runtime, 'fp32', 1)
    assert report['images'] == 4 and report['artifact'] == 'tiny'
    assert set(report['per_class']) == {'red', 'green', 'blue'}
    assert report['stages_ms']['infer']['count'] == 4
    assert 'red' in text and '1.00' in text
    assert str(tmp_path) not in json.dumps(report), 'a report may be published'
    (row,) = csv.DictReader((tmp_path / 'runs' / 'runs.csv').open())
    assert row['kind'] == 'evaluate' and float(row['map50_95']) == pytest.approx(1)


def test_a_model_that_is_half_right(tiny_artifact, dataset, tmp_path):
    """With two labels swapped and one object labelled that nobody can see."""
    write_dataset(tmp_path / 'data')
    (tmp_path / 'data' / 'labels' / '0.txt').write_text('1 0.5 0.5 0.1 0.1\n')
    done = kd_yolo(
        *('evaluate', tiny_artifact, '--data', 'data', '--json', 'result.json'), cwd=tmp_path
    )
    done.succeeded()
    per_class = read_report(tmp_path / 'result.json', 'evaluate')['per_class']
    assert per_class['blue']['map50'] == pytest.approx(1)
    assert per_class['green']['map50'] < 0.6 and 'red' not in per_class


def test_objects_with_a_low_score_count(tiny_artifact, tmp_path):
    """AP looks at scores down to 0.001, far below the 0.25 of operation."""
    folder = write_dataset(tmp_path / 'data')
    for path in (folder / 'images').iterdir():
        picture = cv2.imread(str(path))
        picture[picture == 255] = 192  # 60 (0.75 - 0.8) is a logit of -3
        assert cv2.imwrite(str(path), np.where(picture == 60, 0, picture))
    kd_yolo(
        *('evaluate', tiny_artifact, '--data', 'data', '--json', 'result.json'), cwd=tmp_path
    ).succeeded()
    report = read_report(tmp_path / 'result.json', 'evaluate')
    assert report['map50_95'] == pytest.approx(1)


def test_a_report_with_plots(tiny_artifact, dataset, tmp_path):
    options = ('evaluate', tiny_artifact, '--data', dataset, '--out', 'report')
    text = kd_yolo(*options, cwd=tmp_path).succeeded()
    report = read_report(tmp_path / 'report' / 'report.json', 'evaluate')
    assert report['confusion']['classes'] == ['red', 'green', 'blue']
    matrix = np.array(report['confusion']['matrix'])
    objects = [one['instances'] for one in report['per_class'].values()]
    assert matrix.tolist() == np.diag([*objects, 0]).tolist()
    assert report['best_f1']['f1'] == 1 and 'Best mean F1 1.000' in text
    assert report['by_size']['small']['map50_95'] == pytest.approx(1)
    assert report['input'] == [64, 96]
    names = {'report.md', 'report.json', 'stages.png', 'per_class.png', 'by_size.png'}
    names |= {'curves.png', 'confusion.png'}
    assert {path.name for path in (tmp_path / 'report').iterdir()} == names
    kd_yolo(*options, cwd=tmp_path).succeeded()  # into the same folder


def test_options_from_a_file(tiny_artifact, dataset, tmp_path):
    (tmp_path / 'options.yaml').write_text(
        f'data: {dataset}\nruntime: onnxruntime\ncsv: other/figures.csv\njson: result.json\n'
    )
    kd_yolo('evaluate', tiny_artifact, '--config', 'options.yaml', cwd=tmp_path).succeeded()
    assert read_report(tmp_path / 'result.json', 'evaluate')['runtime'] == 'onnxruntime'
    assert sorted(p.name for p in tmp_path.iterdir()) == ['options.yaml', 'other', 'result.json']


def test_pictures_that_cannot_be_read_are_reported(tiny_artifact, tmp_path):
    folder = write_dataset(tmp_path / 'data')
    (folder / 'images' / '2.png').write_bytes(b'no picture')
    kd_yolo(
        *('evaluate', tiny_artifact, '--data', 'data', '--json', 'result.json'), cwd=tmp_path
    ).succeeded()
    report = read_report(tmp_path / 'result.json', 'evaluate')
    assert [name for name, _ in report['skipped']] == ['2.png']
    assert report['images'] == 3


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (['none', '--data', '{data}'], 'none does not exist'),
        (['{artifact}', '--data', 'nowhere'], 'nowhere'),
        (['{artifact}', '--data', '{data}', '--images', '{data}'], '--images is for a COCO json'),
        (['{artifact}', '--data', '{data}', '--runtime', 'fast'], "no runtime 'fast'"),
        (
            ['{artifact}', '--data', '{data}', '--runtime', 'onnxruntime', '--precision', 'bf16'],
            'bf16',
        ),
        (['{artifact}', '--data', '{data}', '--precision', 'int8'], 'precision int8'),
        (['{data}', '--data', '{data}'], 'holds 0 model files'),
        (['{artifact}', '--data', '{artifact}'], 'no YOLO data set'),
        (['{artifact}', '--data', '{data}', '--imgsz', '64', '96'], '--imgsz is for checkpoints'),
        (['{artifact}', '--data', '{data}', '--out', '{data}'], 'holds other things'),
        (['{artifact}', '--data', '{data}', '--out', '{data}/classes.txt/a'], 'is a file'),
        (['a.pt', '--data', '{data}', '--runtime', 'openvino'], 'runs on torch only'),
        (['a.pt', '--data', '{data}', '--precision', 'int8'], 'without INT8'),
        (['a.pt', '--data', '{data}'], 'a.pt is not a file'),
    ],
)
def test_bad_input(options, expected, tiny_artifact, dataset, tmp_path):
    options = [option.format(artifact=tiny_artifact, data=dataset) for option in options]
    sentence = kd_yolo('evaluate', *options, '--json', 'result.json', cwd=tmp_path).refused()
    assert expected in sentence
    assert not list(tmp_path.iterdir()), 'nothing is written'


def test_masks_where_the_data_has_them(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiny_segmenter(tmp_path / 'seg')
    write_squares_with_outlines(tmp_path / 'outlined')
    words = ['seg', '--runtime', 'onnxruntime', '--threads', '1', '--json', 'result.json']
    done = CliRunner().invoke(
        evaluate, [*words, '--data', 'outlined', '--out', 'out'], catch_exceptions=False
    )
    report = read_report(tmp_path / 'result.json', 'evaluate')
    assert report['map50_95'] == pytest.approx(1) == report['mask_map50']
    assert report['mask_map50_95'] > 0.9 and report['miou'] > 0.9
    assert set(report['per_class']['red']) >= {'mask_map50_95', 'mask_map50', 'iou'}
    assert 'mask AP50-95' in done.output and 'IoU' in done.output
    page = (tmp_path / 'out' / 'report.md').read_text()
    assert '| AP50-95 | AP50 | mask AP50-95 | mask AP50 | mIoU | pictures |' in page
    assert '## Mask AP50-95 by size' in page
    done = CliRunner().invoke(evaluate, [*words, '--data', str(dataset)], catch_exceptions=False)
    boxes = read_report(tmp_path / 'result.json', 'evaluate')
    assert 'miou' not in boxes and 'has no masks: the boxes were judged.' in done.output
    assert boxes['map50_95'] == report['map50_95'] and 'mask AP' not in done.output
