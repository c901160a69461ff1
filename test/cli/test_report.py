# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo report`: models over pooled data, resumed, and with what they lose and cost."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil

import cv2
import onnx
import pytest
from artifacts import SQUARES, scene, tiny_manifest, tiny_model, write_dataset
from click.testing import CliRunner
from onnx import numpy_helper
from processes import kd_yolo
from reports import read_report
from tiny_segmenter import tiny_segmenter, write_squares_with_outlines, write_tiny_segmenter

from kd_yolo_ros.artifact import load_artifact, write_artifact
from kd_yolo_ros.cli.report import LEVEL, RESAMPLES
from kd_yolo_ros.cli.report import report as report_verb
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import Thresholds
from kd_yolo_ros.metrics.bootstrap import enough_resamples


def half_blind(model):
    """Make the tiny detector find nothing at the coarsest level any more."""
    for tensor in model.graph.initializer:
        if tensor.name == 'head5/bias':
            bias = numpy_helper.to_array(tensor).copy()
            bias[4] -= 200
            tensor.CopyFrom(numpy_helper.from_array(bias, tensor.name))
    return model


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    """Two artifacts of one network, each with its FP32 and an INT8 that is worse, or not."""
    folder = tmp_path_factory.mktemp('models')
    onnx.save(tiny_model(), folder / 'model.onnx')
    onnx.save(half_blind(tiny_model()), folder / 'worse.onnx')
    same = onnx.load(folder / 'model.onnx')
    same.doc_string = 'the same, in a file of another content'
    onnx.save(same, folder / 'as-good.onnx')
    (fp32,) = tiny_manifest().files
    made = []
    for name in ('worse', 'as-good'):
        int8 = dataclasses.replace(fp32, path=f'{name}.onnx', precision='int8')
        manifest = tiny_manifest(files=(fp32, int8))
        sources = {file.path: folder / file.path for file in manifest.files}
        made.append(write_artifact(folder / name, manifest, sources).folder)
    return made


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Two data sets: squares of three colours by name, and blue ones only, by number."""
    folder = tmp_path_factory.mktemp('data')
    write_dataset(folder / 'all')
    for name in ('images', 'labels'):
        (folder / 'blue' / name).mkdir(parents=True)
    picture, _ = scene([SQUARES[0], SQUARES[2]], background=40)
    assert cv2.imwrite(str(folder / 'blue' / 'images' / 'both.png'), picture)
    x1, y1, x2, y2 = SQUARES[2].box
    centre = f'{(x1 + x2) / 2 / 96} {(y1 + y2) / 2 / 64} {(x2 - x1) / 96} {(y2 - y1) / 64}'
    (folder / 'blue' / 'labels' / 'both.txt').write_text(f'4 {centre}\n')
    (folder / 'blue.yaml').write_text('4: blue\n')
    return folder


def made(out, *options):
    """Run the verb in this process, without times; return its report and its text."""
    common = ('--out', out, '--rounds', 0, '--csv', out.parent / 'runs.csv')
    given = map(str, (*common, '--runtime', 'onnxruntime', *options))
    done = CliRunner().invoke(report_verb, list(given))
    if done.exception:
        raise done.exception
    return read_report(out / 'report.json', 'report'), done.stdout


def pooled(data):
    return '--data', data / 'all', '--data', f'{data / "blue"}={data / "blue.yaml"}'


def test_pooled_and_against_the_fp32(models, data, tmp_path):
    report, text = made(tmp_path / 'out', *models, *pooled(data))
    assert [(one['name'], one['images']) for one in report['data']] == [('all', 4), ('blue', 1)]
    results = {one['file']: one for one in report['results']}
    assert list(results) == ['model.onnx', 'worse.onnx', 'as-good.onnx'], 'the FP32 once'
    for name, one in results.items():
        # The red square in the picture of the second set is no false alarm.
        assert one['per_class']['red']['map50_95'] == pytest.approx(1)
        instances = {key: value['instances'] for key, value in one['per_class'].items()}
        assert instances == {'red': 1, 'green': 1, 'blue': 2} and one['images'] == 5
        expected = 0 if name == 'worse.onnx' else 1
        assert one['per_class']['blue']['map50_95'] == pytest.approx(expected)
    assert results['model.onnx']['difference'] is None
    worse = results['worse.onnx']['difference']['map50_95']
    assert worse['difference'] == pytest.approx(-1 / 3)
    assert worse['low'] <= worse['difference'] <= worse['high'] <= 0
    same = results['as-good.onnx']['difference']['map50_95']
    assert same['difference'] == same['low'] == same['high'] == 0
    assert '-33.33 [' in text and 'as-good' in text
    made_files = {path.name for path in (tmp_path / 'out').iterdir()}
    assert made_files == {
        'report.json', 'report.md', 'results.csv', 'differences.png', 'detections',
    }  # fmt: skip
    page = (tmp_path / 'out' / 'report.md').read_text()
    assert '| blue | 1 | 0 | 0 | 0 |' in page and '| blue | 2 | 1.000 |' in page
    rows = list(csv.DictReader((tmp_path / 'runs.csv').open()))
    assert [row['kind'] for row in rows] == ['report'] * 3


def test_exports_of_one_name_are_no_network(models, data, tmp_path):
    """Two trainings, each with a best.onnx, have nothing to do with each other."""
    artifacts = []
    for name, source in (('a', 'model.onnx'), ('b', 'worse.onnx')):
        fp32 = dataclasses.replace(tiny_manifest().files[0], path='best.onnx')
        manifest = tiny_manifest(files=(fp32,))
        sources = {'best.onnx': models[0] / source}
        artifacts.append(write_artifact(tmp_path / name / 'best', manifest, sources).folder)
    report, text = made(tmp_path / 'out', *artifacts, *pooled(data))
    assert [one['artifact'] for one in report['results']] == ['a/best', 'b/best']
    assert [one['difference'] for one in report['results']] == [None, None]
    assert 'a/best' in text


def test_a_csv_that_cannot_be_written_costs_no_result(models, data, tmp_path, monkeypatch):
    """A disk that fills up while it measures, say."""

    def fail(*_):
        raise UserError('runs.csv cannot be written: no space')

    monkeypatch.setattr('kd_yolo_ros.metrics.report.append_csv', fail)
    given = ('--out', tmp_path / 'out', '--rounds', 0, '--runtime', 'onnxruntime')
    csv_file = ('--csv', tmp_path / 'runs.csv')
    options = (models[0], *pooled(data), *given, *csv_file)
    done = CliRunner().invoke(report_verb, list(map(str, options)))
    assert 'no space' in str(done.exception) and '-33.33 [' in done.stdout
    assert read_report(tmp_path / 'out' / 'report.json', 'report')['images'] == 5


def test_renamed_files_are_not_asked_again(models, data, tmp_path):
    (fp32, _) = load_artifact(models[0]).manifest.files
    source = models[0] / 'model.onnx'
    made(tmp_path / 'out', models[0], *pooled(data), '--precision', 'fp32')
    kept = sorted((tmp_path / 'out' / 'detections').iterdir())
    renamed = dataclasses.replace(fp32, path='n.onnx', runtimes=('onnxruntime',), sha256={})
    names = ('rot', 'green', 'blue')
    manifest = tiny_manifest(files=(renamed,), class_names=names)
    folder = write_artifact(tmp_path / 'renamed', manifest, {'n.onnx': source}).folder
    report, _ = made(tmp_path / 'out', models[0], folder, *pooled(data), '--precision', 'fp32')
    assert sorted((tmp_path / 'out' / 'detections').iterdir()) == kept
    assert len(report['results']) == 2, 'of other classes, and not the same result'
    assert [one['difference'] for one in report['results']] == [None, None]


def test_a_model_with_thresholds_of_its_own_is_another(tmp_path):
    """It finds the same, but another part of that is seen in operation."""
    data = write_squares_with_outlines(tmp_path / 'outlined')
    low = write_tiny_segmenter(tmp_path / 'low')
    high = write_tiny_segmenter(tmp_path / 'high', thresholds=Thresholds(score=1))
    report, _ = made(tmp_path / 'out', low, high, low, '--data', data)
    first, second = report['results']
    assert first['mask_map50_95'] == second['mask_map50_95'] > 0.9
    assert first['miou'] > 0.9 and second['miou'] == 0
    assert len(list((tmp_path / 'out' / 'detections').iterdir())) == 1, 'run once'


def test_broken_outlines_are_refused_before_pictures_are_read(tmp_path, monkeypatch):
    data = write_squares_with_outlines(tmp_path / 'outlined')
    artifact = write_tiny_segmenter(tmp_path / 'seg')
    monkeypatch.setattr('kd_yolo_ros.metrics.ground_truth.Truth.check_masks', refuse)
    with pytest.raises(UserError, match='of YOLO labels of outlined: broken'):
        made(tmp_path / 'out', artifact, '--data', data)
    assert not (tmp_path / 'out').exists()


def refuse(_):
    raise UserError('broken')


def test_the_least_number_of_resamples():
    assert enough_resamples(LEVEL) == RESAMPLES


def test_class_maps_are_checked_before_pictures_are_read(models, data, tmp_path, monkeypatch):
    (tmp_path / 'map.yaml').write_text('red: violet\n')
    digested = []
    for module in ('metrics.pool', 'frames.held_out'):
        monkeypatch.setattr(f'kd_yolo_ros.{module}.picture_digest', digested.append)
    options = (f'{data / "all"}={tmp_path / "map.yaml"}', '--exclude', data / 'all')
    with pytest.raises(UserError, match="no class 'violet'"):
        made(tmp_path / 'out', models[0], '--data', *options)
    assert not digested


def test_it_goes_on_where_it_was(models, data, tmp_path, monkeypatch):
    from kd_yolo_ros.predictor import Predictor

    asked = []
    predict = Predictor.predict
    monkeypatch.setattr(
        *(Predictor, 'predict'),
        lambda self, *args: asked.append(self.file.path) or predict(self, *args),
    )
    out = tmp_path / 'out'
    before, _ = made(out, models[0], *pooled(data))
    assert asked == ['model.onnx'] * 5 + ['worse.onnx'] * 5
    asked.clear()
    again, _ = made(out, models[0], *pooled(data))
    assert not asked
    assert [r['map50_95'] for r in again['results']] == [r['map50_95'] for r in before['results']]
    # A file that is not whole is made again, and so is what is new, for that alone.
    broken = sorted((out / 'detections').iterdir())[0]
    broken.write_bytes(broken.read_bytes()[:-9])
    made(out, *models, *pooled(data))
    assert asked.count('as-good.onnx') == 5 and len(asked) in (6, 9)


def test_pictures_that_a_model_was_made_with(models, data, tmp_path):
    shutil.copytree(data / 'all', tmp_path / 'all')
    (tmp_path / 'seen').mkdir()
    seen = data / 'all' / 'images' / '2.png'
    shutil.copy(seen, tmp_path / 'seen' / 'renamed.png')
    options = (models[0], '--data', tmp_path / 'all', '--exclude', tmp_path / 'seen')
    report, _ = made(tmp_path / 'out', *options)
    assert report['data'][0]['left_out'] == 1 and report['images'] == 3
    assert set(report['results'][0]['per_class']) == {'red', 'green'}
    # Of a COCO json only what it names: its folder holds the other pictures too.
    coco = {
        'images': [{'id': 1, 'file_name': '2.png', 'width': 1, 'height': 1}],
        'annotations': [],
        'categories': [],
    }
    (tmp_path / 'all' / 'seen.json').write_text(json.dumps(coco))
    options = (*options[:3], '--exclude', tmp_path / 'all' / 'seen.json')
    again, _ = made(tmp_path / 'again', *options)
    assert again['data'][0]['left_out'] == 1 and again['images'] == 3
    with pytest.raises(UserError, match='used for calibration or selection'):
        made(tmp_path / 'none', *options[:3], '--exclude', tmp_path / 'all')
    assert not (tmp_path / 'none').exists()


def test_the_command_with_times_and_memory(models, data, tmp_path):
    done = kd_yolo(
        *('report', models[1], '--data', data / 'all', '--out', 'out', '--rounds', 1),
        *('--runtime', 'onnxruntime', '--threads', 1),
        cwd=tmp_path,
    )
    text = done.succeeded()
    assert max(len(line.rstrip()) for line in text.splitlines() if '│' in line) <= 80
    report = read_report(tmp_path / 'out' / 'report.json', 'report')
    fp32, int8 = report['results']
    assert fp32['ratio'] == 1 and int8['ratio'] > 0
    for one in report['results']:
        assert one['start_s'] > 0 and one['peak_rss_mb'] > 30
        assert one['model_ms']['p10'] <= one['model_ms']['p90'] <= one['model_ms']['p99']
    assert (tmp_path / 'out' / 'ap_over_latency.png').is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['out', 'runs']


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (['none', '--data', '{data}/all'], 'none does not exist'),
        (['{model}', '--data', '{data}/none'], 'none does not exist'),
        (['{model}', '--data', '{data}/all={data}/none.yaml'], 'No such file'),
        (['{model}', '--data', '{data}/all', '--data', '{data}/all'], 'given twice'),
        (['{model}', '--data', '{data}/blue'], 'class 4 has no name'),
        (['{model}', '--data', '{data}/all', '--exclude', '{data}/none'], 'none does not exist'),
        (['{model}', '--data', '{data}/all', '--precision', 'fp16'], 'no artifact offers'),
        (['{model}', '--data', '{data}/all', '--source', '{data}/none'], 'none does not exist'),
        (['street', '--data', '{data}/all'], 'no class in common'),
    ],
)
def test_bad_input(options, expected, models, data, tmp_path):
    given = [option.format(model=models[0], data=data) for option in options]
    with pytest.raises(UserError) as raised:
        made(tmp_path / 'out', *given, '--rounds', 1)
    assert expected in str(raised.value)
    assert not list(tmp_path.iterdir()), 'nothing is written'


def test_a_folder_of_other_things(models, data, tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.txt').write_text('chapter 1')
    with pytest.raises(UserError, match='holds other things'):
        made(tmp_path / 'mine', models[0], *pooled(data))


def test_models_that_segment_are_compared_by_masks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_squares_with_outlines(tmp_path / 'outlined')
    exact = load_artifact(write_tiny_segmenter(tmp_path / 'exact'))
    onnx.save(half_blind(tiny_segmenter()), tmp_path / 'worse.onnx')
    (fp32,) = exact.manifest.files
    int8 = dataclasses.replace(fp32, path='worse.onnx', precision='int8', sha256={})
    manifest = dataclasses.replace(exact.manifest, files=(fp32, int8))
    sources = {fp32.path: exact.folder / fp32.path, 'worse.onnx': tmp_path / 'worse.onnx'}
    write_artifact(tmp_path / 'seg', manifest, sources)
    words = ['seg', '--data', 'outlined', '--out', 'out', '--rounds', '0', '--json', 'r.json']
    words += ['--runtime', 'onnxruntime', '--threads', '1']
    for _ in range(2):  # the second time from what was found
        done = CliRunner().invoke(report_verb, words, catch_exceptions=False)
        assert 'mask AP' in done.output and 'mask AP to the best FP32' in done.output
        first, second = read_report(tmp_path / 'r.json', 'report')['results']
        assert first['mask_map50_95'] > 0.9 > second['mask_map50_95'] and first['miou'] > 0.9
        difference = second['difference']
        assert difference['mask_map50_95']['difference'] == pytest.approx(
            second['mask_map50_95'] - first['mask_map50_95']
        )
        assert set(difference['mask_per_class']) == {'red', 'green', 'blue'}
    with open(tmp_path / 'out' / 'results.csv', newline='') as file:
        columns = set(csv.DictReader(file).fieldnames)
    assert columns >= {'mask_map50_95', 'mask_map50', 'miou', 'difference.mask_map50_95.low'}
    assert not any('red' in column for column in columns)
    page = (tmp_path / 'out' / 'report.md').read_text()
    assert '| mask AP50-95 | to FP32 |' in page and '## mask AP50-95 by class' in page
    assert 'mask AP50-95 against the best FP32' in page


def test_outlines_that_come_later(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiny_segmenter(tmp_path / 'seg')
    write_dataset(tmp_path / 'boxes')
    write_squares_with_outlines(tmp_path / 'outlined')  # the same pictures
    results = []
    for data in ('boxes', 'outlined'):
        words = ['seg', '--data', data, '--out', 'out', '--rounds', '0', '--json', 'r.json']
        words += ['--runtime', 'onnxruntime', '--threads', '1']
        CliRunner().invoke(report_verb, words, catch_exceptions=False)
        results += read_report(tmp_path / 'r.json', 'report')['results']
    assert 'mask_map50_95' not in results[0]
    assert results[1]['mask_map50_95'] > 0.9, 'what was found for boxes alone does not serve'
    assert results[0]['map50_95'] == results[1]['map50_95']
