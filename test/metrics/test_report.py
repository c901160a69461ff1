# SPDX-License-Identifier: Apache-2.0
"""Reports of every kind against the schema, whole files, and rows from many processes."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from importlib import resources

import cv2
import jsonschema
import numpy as np
import pytest

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.class_map import map_classes
from kd_yolo_ros.metrics.coco_ap import CocoAP
from kd_yolo_ros.metrics.ground_truth import GroundTruth, Truth
from kd_yolo_ros.metrics.latency import STAGES, StageTimes, percentiles
from kd_yolo_ros.metrics.report import (
    CSV_COLUMNS,
    append_csv,
    check_csv,
    csv_rows,
    new_report,
    write_json,
    write_report,
)

SCHEMA = json.loads(
    resources.files('kd_yolo_ros.metrics').joinpath('report.schema.json').read_text()
)
RUNNING = {
    'artifact': 'tiny',
    'runtime': 'onnxruntime',
    'precision': 'int8',
    'input': [384, 640],
    'threads': 2,
}


def validate(report):
    jsonschema.Draft202012Validator(SCHEMA).validate(report)


def stage_times():
    random, times = np.random.default_rng(0), StageTimes()
    for _ in range(40):
        times.add({stage: float(random.gamma(2, 3)) for stage in STAGES})
    return times


def average_precision(classes=3):
    per_class = {
        f'class {n}': {'map50_95': 0.3, 'map50': 0.5, 'instances': n + 1} for n in range(classes)
    }
    return {'map50_95': 0.3, 'map50': 0.5, 'per_class': per_class, 'images': 12}


def evaluate_report():
    return new_report(
        'evaluate', **RUNNING, **average_precision(), stages_ms=stage_times().summary()
    )


def bench_report():
    times = stage_times().summary()
    result = {**RUNNING, 'stages_ms': times, 'infer_ms': times['infer'], 'size_mb': 2.1}
    return new_report('bench', results=[{**result, 'precision': 'fp32'}, result])


def replay_report():
    times = stage_times()
    frames = {'sent': 41, 'received': 41, 'processed': 40, 'replaced': 1, 'skipped': 0, 'lost': 0}
    return new_report(
        'replay',
        command='replay drive.mp4 --mode live',
        **RUNNING,
        mode='live',
        frames=frames,
        latency_ms=percentiles(times['total']),
        latency_series={'time_s': np.arange(40) / 25, 'latency_ms': np.array(times['total'])},
        stages_ms=times.summary(),
        ap=average_precision(40),
    )


def detailed_report(classes=3):
    """Of a detector that finds half of the objects and takes every third for the next class."""
    names = [f'class {n}' for n in range(classes)]
    boxes = np.array([[0, 0, 20, 20], [40, 0, 100, 60], [0, 100, 150, 250]] * 2, np.float64)
    pictures = {
        f'{n}.png': Truth(boxes, np.full(6, n), np.zeros(6, bool), None) for n in range(classes)
    }
    ap = CocoAP(truth := GroundTruth(pictures, None, 'boxes'), names, map_classes(names, truth))
    for n in range(classes):
        ids = np.array([n, n, (n + 1) % classes], np.int64)
        scores = np.array([0.9, 0.6, 0.4], np.float32)
        ap.process(f'{n}.png', Detections(boxes[:3].astype(np.float32), scores, ids), (300, 300))
    return new_report('evaluate', **RUNNING, **ap.evaluate(details=True))


def variant_report():
    """Of an FP32 and its INT8, which is faster and loses a point."""
    times, interval = stage_times().summary(), {'difference': -0.01, 'low': -0.02, 'high': 0.005}
    classes = {f'class {n}': interval for n in range(3)}
    difference = {'level': 0.95, 'map50_95': interval, 'map50': interval, 'per_class': classes}
    cost = {'stages_ms': times, 'infer_ms': times['infer'], 'model_ms': times['infer']}
    common = {**RUNNING, **average_precision(), **cost, 'network': 'tiny', 'missing_classes': []}
    fp32 = {'precision': 'fp32', 'file': 'model.onnx', 'size_mb': 7.5, 'difference': None}
    int8 = {'file': 'x64.onnx', 'size_mb': 2.1, 'difference': difference, 'missing_classes': ['e']}
    data = {'name': 'street', 'images': 12, 'pictures_sha256': 'ab', 'left_out': 3}
    data['repeated'] = 2
    left_out = {'artifact': 'tiny', 'file': 'x.onnx', 'runtime': 'openvino'}
    return new_report(
        'report',
        data=[{**data, 'unlabelled': 1, 'skipped': [['a.png', 'empty']]}],
        left_out=[{**left_out, 'precision': 'bf16', 'reason': 'no instructions.'}],
        **{'images': 12, 'resamples': 1000, 'level': 0.95, 'seed': 0, 'rounds': 4},
        results=[
            {**common, **fp32, 'ratio': 1.0, 'start_s': 0.5, 'peak_rss_mb': 160.0},
            {**common, **int8, 'ratio': 0.5, 'start_s': 0.7, 'peak_rss_mb': 120.0},
        ],
    )


REPORTS = [evaluate_report, bench_report, replay_report, detailed_report, variant_report]


def written(path, report):
    write_json(path, report)
    return json.loads(path.read_text())


@pytest.mark.parametrize('make', REPORTS)
def test_schema(tmp_path, make):
    report = written(tmp_path / 'new' / 'report.json', make())
    validate(report)
    assert report['versions']['numpy'] == np.__version__
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', report['created'])


def test_the_schema_is_one_and_knows_the_stages():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA['$defs']['stages']['propertyNames']['enum'] == list(STAGES)


@pytest.mark.parametrize(
    ('make', 'path'),
    [
        (evaluate_report, ['map50_95']),
        (evaluate_report, ['precision']),
        (evaluate_report, ['host']),
        (evaluate_report, ['created']),
        (evaluate_report, ['per_class', 'class 1', 'instances']),
        (bench_report, ['results']),
        (bench_report, ['results', 1, 'threads']),
        (bench_report, ['results', 0, 'infer_ms', 'p99']),
        (bench_report, ['results', 0, 'size_mb']),
        (replay_report, ['frames', 'lost']),
        (replay_report, ['latency_ms']),
        (replay_report, ['stages_ms']),
        (replay_report, ['ap', 'map50']),
        (variant_report, ['data']),
        (variant_report, ['results', 0, 'difference']),
        (variant_report, ['results', 1, 'difference', 'map50_95', 'low']),
        (variant_report, ['results', 1, 'map50']),
    ],
)
def test_schema_asks_for_what_is_needed(tmp_path, make, path):
    report = written(tmp_path / 'report.json', make())
    *way, last = path
    parent = report
    for key in way:
        parent = parent[key]
    del parent[last]
    with pytest.raises(jsonschema.ValidationError, match=f"'{last}' is a required property"):
        validate(report)


@pytest.mark.parametrize(
    ('key', 'value'),
    [('precision', 'int4'), ('map50', 1.1), ('stages_ms', {'inference': {}}), ('schema', 2)],
)
def test_schema_refuses_wrong_values(tmp_path, key, value):
    report = written(tmp_path / 'report.json', evaluate_report())
    with pytest.raises(jsonschema.ValidationError):
        validate({**report, key: value})


def test_numbers_that_json_lacks(tmp_path):
    values = {'a': np.float32('nan'), 'b': float('inf'), 'c': np.int64(3), 'd': (np.bool_(True),)}
    assert written(tmp_path / 'a.json', values) == {'a': None, 'b': None, 'c': 3, 'd': [True]}


def test_lists_of_numbers_take_one_line(tmp_path):
    content = {'texts': ['[ 1,\n2 ]', 'b'], 'matrix': [[1, 2.5], [None, True]], 'empty': []}
    assert written(tmp_path / 'a.json', content) == content
    lines = [line.strip() for line in (tmp_path / 'a.json').read_text().splitlines()]
    assert '[ 1, 2.5 ],' in lines and '"empty": []' in lines and '"b"' in lines


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'report.json'
    write_json(path, {'good': 1})
    with pytest.raises(TypeError):
        write_json(path, {'bad': object()})
    (tmp_path / 'folder').mkdir()
    with pytest.raises(UserError, match=r'folder cannot be written'):
        write_json(tmp_path / 'folder', {})
    with pytest.raises(UserError, match=r'cannot be written'):
        write_json(path / 'below-a-file.json', {})
    assert json.loads(path.read_text()) == {'good': 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ['folder', 'report.json']


@pytest.mark.parametrize(
    ('make', 'pictures'),
    [
        (evaluate_report, {'stages.png', 'per_class.png'}),
        (detailed_report, {'per_class.png', 'by_size.png', 'curves.png', 'confusion.png'}),
        (
            lambda: detailed_report(40),
            {'per_class.png', 'by_size.png', 'curves.png', 'confusion.png'},
        ),
        (bench_report, {'infer.png'}),
        (replay_report, {'stages.png', 'latency.png', 'per_class.png'}),
        (variant_report, {'infer.png', 'ap_over_latency.png', 'differences.png'}),
    ],
)
def test_markdown_and_plots(tmp_path, make, pictures):
    report = make()
    path = write_report(tmp_path / 'out', report)
    files = {'report.md', 'report.json', *pictures, *(['results.csv'] * ('results' in report))}
    assert {p.name for p in path.parent.iterdir()} == files
    text = path.read_text()
    assert set(re.findall(r'!\[[^]]+\]\(([^)]+)\)', text)) == pictures
    for name in pictures:
        picture = cv2.imread(str(path.parent / name))
        assert picture.shape[1] > 800 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
    assert ('IoU' in text) == ('by_size' in report)
    for value in ('onnxruntime', 'int8', report['host']['cpu'], np.__version__):
        assert value in text
    for line in text.splitlines():  # tables of one width each, or Markdown shows them as text
        assert not line.startswith('|') or line.endswith('|')
    assert json.loads((path.parent / 'report.json').read_text())['kind'] == report['kind']


def test_markdown_of_nothing_measured(tmp_path):
    """A replay that lost every frame still has a report."""
    frames = dict.fromkeys(['received', 'processed', 'replaced', 'skipped'], 0)
    report = new_report(
        'replay',
        **RUNNING,
        frames={'sent': 3, 'lost': 3, **frames},
        latency_ms=percentiles([]),
        latency_series={'time_s': [], 'latency_ms': []},
        stages_ms={},
    )
    text = write_report(tmp_path, report).read_text()
    assert '| send to answer | – | – | – | – | – |' in text
    validate(json.loads((tmp_path / 'report.json').read_text()))


def test_markdown_tells_size_and_threshold(tmp_path):
    text = write_report(tmp_path, detailed_report()).read_text()
    (row,) = [line for line in text.splitlines() if line.startswith('| class 1 |')]
    cells = [cell.strip() for cell in row.strip('|').split('|')]
    assert cells[3:5] == ['0.505', '0.505']  # one of two found, and nothing else
    assert cells[-2:] == ['0.600', '6'] and '| AR | F1 | score | objects |' in text
    assert 'One threshold for all classes: 0.600' in text


def test_markdown_says_how_much_faster(tmp_path):
    report = bench_report()
    report['results'][1]['ratio'] = 0.5
    text = write_report(tmp_path, report).read_text()
    (row,) = [line for line in text.splitlines() if line.startswith('| tiny | onnxruntime | int8')]
    assert '| 0.50 |' in row and '| 384x640 |' in row
    assert 'RSS, MB' not in text, 'a column in which nothing stands'


def test_markdown_says_what_precision_costs(tmp_path):
    text = write_report(tmp_path, variant_report()).read_text()
    assert '-1.00 [-2.00, +0.50]' in text and '95% interval from 1000' in text
    assert '| class 2 | 3 | 0.300 | 0.300 (-1.0) |' in text
    assert '| street | 12 | 3 | 2 | 1 | 1 |' in text
    assert 'Left out: tiny, x.onnx on openvino in bf16: no instructions.' in text
    assert 'Not counted for onnxruntime · int8: e.' in text
    rows = read_rows(tmp_path / 'results.csv')
    assert [row['difference.map50_95.low'] for row in rows] == ['', '-0.02']
    assert [row['peak_rss_mb'] for row in rows] == ['160.0', '120.0']
    assert rows[0]['input'] == '384x640' and rows[1]['missing_classes'] == 'e'


def test_markdown_warns_of_other_classes(tmp_path):
    report = variant_report()
    report['results'][1]['per_class'] = average_precision(2)['per_class']
    text = write_report(tmp_path, report).read_text()
    assert 'cannot be compared' in text and '| class 2 | 3 | 0.300 | – |' in text


def read_rows(path):
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


def test_csv_rows(tmp_path):
    path = tmp_path / 'new' / 'measured.csv'
    for make in REPORTS:
        append_csv(path, make())
    rows = read_rows(path)
    kinds = ['evaluate', 'bench', 'bench', 'replay', 'evaluate', 'report', 'report']
    assert [row['kind'] for row in rows] == kinds
    assert tuple(rows[0]) == CSV_COLUMNS
    precisions = ['int8', 'fp32', 'int8', 'int8', 'int8', 'fp32', 'int8']
    assert [row['precision'] for row in rows] == precisions
    infer = stage_times().summary()['infer']
    for row in rows[:4]:
        assert float(row['infer_p50_ms']) == pytest.approx(infer['p50'], rel=1e-5)
    for row in rows:
        assert row['cpu'] and row['artifact'] == 'tiny' and row['threads'] == '2'
        assert row['input'] == '384x640'
    assert float(rows[0]['map50_95']) == float(rows[3]['map50_95']) == 0.3
    assert rows[3]['frames_sent'] == '41' and rows[3]['frames_lost'] == '0'
    assert rows[1]['size_mb'] == '2.1' and rows[1]['map50'] == ''
    assert rows[6]['peak_rss_mb'] == '120.0' and rows[6]['map50'] == '0.5'


def test_csv_has_the_figures_of_masks(tmp_path):
    masks = {'mask_map50_95': 0.25, 'mask_map50': 0.4, 'miou': 0.6}
    reports = (
        new_report('evaluate', **RUNNING, **average_precision(), **masks),
        new_report('replay', **RUNNING, ap={**average_precision(40), **masks}),
    )
    for report in reports:
        append_csv(tmp_path / 'runs.csv', report)
    for row in read_rows(tmp_path / 'runs.csv'):
        assert {name: float(row[name]) for name in masks} == masks


def test_csv_rows_have_no_other_columns():
    for make in REPORTS:
        assert all(tuple(row) == CSV_COLUMNS for row in csv_rows(make()))


def test_csv_of_another_form_is_left_alone(tmp_path):
    path = tmp_path / 'mine.csv'
    path.write_text('my,own,columns\n1,2,3\n')
    with pytest.raises(UserError, match='has other columns'):
        append_csv(path, evaluate_report())
    assert path.read_text() == 'my,own,columns\n1,2,3\n'
    with pytest.raises(UserError, match='cannot be written'):
        append_csv(tmp_path, evaluate_report())


def test_a_csv_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    (tmp_path / 'file').write_text('')
    for path in (tmp_path / 'file' / 'runs.csv', '/proc/none/runs.csv', tmp_path):
        with pytest.raises(UserError, match='cannot be written'):
            check_csv(path)
    check_csv(tmp_path / 'new' / 'folder' / 'runs.csv')
    assert [path.name for path in tmp_path.iterdir()] == ['file'], 'nothing is left of the trial'
    append_csv(tmp_path / 'runs.csv', evaluate_report())
    before = (tmp_path / 'runs.csv').read_bytes()
    check_csv(tmp_path / 'runs.csv')
    assert (tmp_path / 'runs.csv').read_bytes() == before


def test_csv_from_many_processes(tmp_path):
    path = tmp_path / 'measured.csv'
    code = (
        'import sys; from kd_yolo_ros.metrics.report import append_csv, new_report\n'
        'for n in range(25): append_csv(sys.argv[1], '
        'new_report("evaluate", artifact=sys.argv[2] * 40, images=n))'
    )
    children = [
        subprocess.Popen([sys.executable, '-c', code, str(path), letter]) for letter in 'abcd'
    ]
    assert [child.wait(timeout=60) for child in children] == [0] * 4
    rows = read_rows(path)
    assert len(rows) == 100
    for letter in 'abcd':
        images = [row['images'] for row in rows if row['artifact'] == letter * 40]
        assert images == [str(n) for n in range(25)]
