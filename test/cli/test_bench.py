# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo bench` times what it is asked for, side by side, and says what it leaves out."""

from __future__ import annotations

import csv
import dataclasses
import shutil

import pytest
from artifacts import write_dataset
from processes import kd_yolo, without
from reports import read_report
from tiny_segmenter import write_tiny_segmenter

from kd_yolo_ros.artifact import load_artifact, write_artifact
from kd_yolo_ros.backends import backend_class
from kd_yolo_ros.manifest import PRECISIONS
from kd_yolo_ros.metrics.speed import BLOCK


def bench(*options, cwd, path=()):
    done = kd_yolo('bench', *options, '--json', 'bench.json', '--rounds', 2, cwd=cwd, path=path)
    text = done.succeeded()
    report = read_report(cwd / 'bench.json', 'bench')
    return report['results'], text


def test_everything_that_runs_here(tiny_artifact, tmp_path):
    results, text = bench(tiny_artifact, '--threads', '1', cwd=tmp_path)
    expected = [('onnxruntime', 'fp32')] + [
        ('openvino', p) for p in PRECISIONS if p in {'fp32', 'bf16'} & OPENVINO
    ]
    assert [(r['runtime'], r['precision']) for r in results] == expected
    for result in results:
        assert result['threads'] == 1 and result['input'] == [64, 96]
        assert set(result['stages_ms']) == {'letterbox', 'infer', 'decode', 'nms'}
        assert result['stages_ms']['infer'] == result['infer_ms']
        assert result['infer_ms']['count'] == 2 * BLOCK
        assert 0 < result['infer_ms']['p50'] <= result['infer_ms']['p95']
        assert result['infer_ms']['p50'] < result['model_ms']['p50']
        assert result['size_mb'] == (tiny_artifact / 'model.onnx').stat().st_size / 1e6
        assert f'{result["runtime"]} · {result["precision"]}' in text
        assert result['start_s'] > 0 and 30 < result['peak_rss_mb'] < 2000
        assert result['ratio'] > 0 and result['file'] == 'model.onnx'
    assert min(r['ratio'] for r in results if r['precision'] == 'fp32') == 1
    assert max(len(line.rstrip()) for line in text.splitlines() if '│' in line) <= 80
    rows = list(csv.DictReader((tmp_path / 'runs' / 'runs.csv').open()))
    assert [(row['runtime'], row['precision']) for row in rows] == expected
    assert all(float(row['peak_rss_mb']) > 30 for row in rows)


def test_masks_are_timed_too(tiny_artifact, tmp_path):
    write_tiny_segmenter(tmp_path / 'segmenter')
    write_dataset(tmp_path / 'data')
    options = ('--runtime', 'onnxruntime', '--source', 'data')
    results, text = bench(tiny_artifact, 'segmenter', *options, cwd=tmp_path)
    plain, segmenter = results
    assert 'masks' not in plain['stages_ms'] and 'masks' in text
    assert segmenter['stages_ms']['masks']['p50'] > 0
    assert segmenter['stages_ms']['masks']['count'] == 2 * BLOCK


OPENVINO = set(backend_class('openvino').precisions())


def test_several_artifacts_on_pictures_with_a_report(tiny_artifact, tmp_path):
    shutil.copytree(tiny_artifact, tmp_path / 'other')
    write_dataset(tmp_path / 'data')
    results, text = bench(
        *(tiny_artifact, 'other', '--source', 'data', '--out', 'report'),
        *('--runtime', 'openvino', '--runtime', 'onnxruntime', '--precision', 'fp32'),
        cwd=tmp_path,
    )
    assert [r['runtime'] for r in results] == ['onnxruntime', 'openvino'] * 2
    assert 'report/report.md' in text and (tmp_path / 'report' / 'report.json').is_file()
    assert 'openvino' in (tmp_path / 'report' / 'report.md').read_text()
    rows = list(csv.DictReader((tmp_path / 'report' / 'results.csv').open()))
    assert [row['artifact'] for row in rows] == [tiny_artifact.name, tiny_artifact.name] + [
        'other'
    ] * 2
    assert all(float(row['model_ms.p90']) >= float(row['model_ms.p10']) > 0 for row in rows)


def test_what_is_left_out_is_said(tiny_artifact, tmp_path):
    artifact = load_artifact(tiny_artifact)
    (fp32,) = artifact.manifest.files
    int8 = {'path': 'other.onnx', 'precision': 'int8', 'sha256': {}}
    other = dataclasses.replace(fp32, **int8, cpu_features=('none',))
    manifest = dataclasses.replace(artifact.manifest, files=(fp32, other))
    sources = dict.fromkeys(('model.onnx', 'other.onnx'), tiny_artifact / 'model.onnx')
    write_artifact(tmp_path / 'two', manifest, sources)
    results, _ = bench('two', '--runtime', 'onnxruntime', '--out', 'out', cwd=tmp_path)
    assert [one['precision'] for one in results] == ['fp32']
    (left_out,) = read_report(tmp_path / 'out' / 'report.json', 'bench')['left_out']
    assert (left_out['file'], left_out['precision']) == ('other.onnx', 'int8')
    assert 'this CPU lacks none' in left_out['reason']
    assert 'this CPU lacks none' in (tmp_path / 'out' / 'report.md').read_text()
    done = kd_yolo('bench', 'two', '--precision', 'int8', cwd=tmp_path)
    assert 'this CPU lacks none' in done.refused()


def test_runtimes_from_a_file(tiny_artifact, tmp_path):
    (tmp_path / 'options.yaml').write_text('runtime: onnxruntime\nprecision: [fp32]\n')
    results, _ = bench(tiny_artifact, '--config', 'options.yaml', cwd=tmp_path)
    assert [r['runtime'] for r in results] == ['onnxruntime']


def test_a_runtime_that_is_not_installed_is_left_out(tiny_artifact, tmp_path):
    path = [without(tmp_path / 'path', 'openvino')]
    results, _ = bench(tiny_artifact, cwd=tmp_path, path=path)
    assert [r['runtime'] for r in results] == ['onnxruntime']
    done = kd_yolo('bench', tiny_artifact, '--runtime', 'openvino', cwd=tmp_path, path=path)
    assert 'pip install openvino' in done.refused()


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (['none'], 'none does not exist'),
        (['{artifact}', 'none'], 'none does not exist'),
        (['{artifact}', '--runtime', 'fast'], "no runtime 'fast'"),
        (['{artifact}', '--precision', 'int8'], 'no artifact offers'),
        (['{artifact}', '--provider', 'abacus'], "no provider 'abacus'"),
        (['{artifact}', '--csv', '/proc/none/runs.csv'], 'runs.csv cannot be written'),
        (['{artifact}', '--source', 'nowhere'], 'nowhere'),
    ],
)
def test_bad_input(options, expected, tiny_artifact, tmp_path):
    options = [option.format(artifact=tiny_artifact) for option in options]
    done = kd_yolo('bench', *options, '--json', 'bench.json', '--out', 'report', cwd=tmp_path)
    assert expected in done.refused()
    assert not list(tmp_path.iterdir()), 'nothing is written'
