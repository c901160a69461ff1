# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo verify` says which files answer alike, and fails when one does not."""

from __future__ import annotations

import dataclasses

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
from kd_yolo_ros.cli.verify import verify
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import Thresholds

RUNTIMES = ('--runtime', 'onnxruntime', '--runtime', 'openvino', '--threads', '1')


def changed_model(objectness=0.0):
    """Return the tiny detector with another bias of the objectness of its first anchors."""
    model = tiny_model()
    for tensor in model.graph.initializer:
        if tensor.name.endswith('/bias'):
            bias = numpy_helper.to_array(tensor).copy()
            bias[4] += objectness
            tensor.CopyFrom(numpy_helper.from_array(bias, tensor.name))
    return model


def write(folder, objectness, precision):
    """Write an artifact of the tiny detector and of a changed one, which is called INT8 or not."""
    folder.mkdir()
    onnx.save(tiny_model(), folder / 'model.onnx')
    onnx.save(changed_model(objectness), folder / 'changed.onnx')
    manifest = tiny_manifest()
    (fp32,) = manifest.files
    changed = dataclasses.replace(fp32, path='changed.onnx', precision=precision)
    manifest = dataclasses.replace(manifest, files=(fp32, changed))
    sources = {name: folder / name for name in ('model.onnx', 'changed.onnx')}
    return write_artifact(folder / 'artifact', manifest, sources).folder


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pictures')
    for number, square in enumerate(SQUARES):
        assert cv2.imwrite(str(folder / f'{number}.png'), scene([square], scale=2)[0])
    return folder


def verified(folder, *options):
    """Run the verb in this process; return its report, its text and the exit status."""
    json_file = folder / 'verify.json'
    done = CliRunner().invoke(verify, [*map(str, options), '--json', str(json_file)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return read_report(json_file, 'verify'), done.stdout, done.exit_code


def test_runtimes_that_agree(tiny_artifact, pictures, tmp_path):
    report, text, status = verified(tmp_path, tiny_artifact, '--source', pictures, *RUNTIMES)
    assert status == 0
    reference, *others = report['results']
    assert (reference['runtime'], reference['precision']) == ('onnxruntime', 'fp32')
    assert reference['verdict'] == 'reference' and reference['pictures'] == 3
    assert ('openvino', 'fp32') in [(one['runtime'], one['precision']) for one in others]
    for one in others:
        assert one['verdict'] == 'ok' and one['matched'] == 3 and one['unmatched'] == 0
        assert one['box_max'] < 0.5
        assert f'{one["runtime"]} · {one["precision"]}' in text


def test_with_ground_truth(tmp_path):
    artifact = write(tmp_path / 'made', 0, 'int8')
    data = write_dataset(tmp_path / 'data')
    report, text, status = verified(tmp_path, artifact, '--data', data, *RUNTIMES)
    assert status == 0, text
    for one in report['results']:
        assert one['map50_95'] == pytest.approx(1) and one['ap_drop'] == pytest.approx(0)
    precisions = {one['precision'] for one in report['results']}
    assert precisions >= {'fp32', 'int8'}


def test_a_loss_of_accuracy(tmp_path):
    artifact = write(tmp_path / 'made', -200.0, 'int8')  # it finds nothing any more
    data = write_dataset(tmp_path / 'data')
    options = (artifact, '--data', data, *RUNTIMES, '--precision', 'fp32', '--precision', 'int8')
    report, text, status = verified(tmp_path, *options)
    assert status == 1
    verdicts = {(one['precision'], one['verdict']) for one in report['results']}
    assert verdicts == {('fp32', 'reference'), ('fp32', 'ok'), ('int8', 'differs')}
    assert 'int8 differs: AP50-95 falls by 1.0000 > 0.01' in text
    report, _, status = verified(tmp_path, *options, '--max-drop', 1)
    assert status == 0
    (drop,) = {one['ap_drop'] for one in report['results'] if one['precision'] == 'int8'}
    assert drop == pytest.approx(1)


def test_masks_that_are_lost(tmp_path):
    data = write_squares_with_outlines(tmp_path / 'data')
    model = tiny_segmenter()
    (planes,) = (one for one in model.graph.initializer if one.name == 'protos/weight')
    planes.CopyFrom(numpy_helper.from_array(0 * numpy_helper.to_array(planes), planes.name))
    onnx.save(model, tmp_path / 'changed.onnx')
    exact = load_artifact(write_tiny_segmenter(tmp_path / 'exact', thresholds=Thresholds(score=1)))
    (fp32,) = exact.manifest.files
    int8 = dataclasses.replace(fp32, path='changed.onnx', precision='int8', sha256={})
    manifest = dataclasses.replace(exact.manifest, files=(fp32, int8))
    sources = {fp32.path: exact.folder / fp32.path, 'changed.onnx': tmp_path / 'changed.onnx'}
    artifact = write_artifact(tmp_path / 'made', manifest, sources).folder
    options = ('--data', data, '--runtime', 'onnxruntime', '--threads', '1')
    report, text, status = verified(tmp_path, artifact, *options)
    assert status == 1 and 'int8 differs: mask AP50-95 falls by 1.0000 > 0.01' in text
    assert '+0.0000' in text and '-0.0000' not in text
    first, second = report['results']
    assert first['map50_95'] == second['map50_95'] and first['mask_map50'] == pytest.approx(1)
    assert first['miou'] == 0, 'nothing is sure enough for the score of operation'


def test_two_files_of_one_precision(pictures, tmp_path):
    artifact = write(tmp_path / 'made', -10.0, 'fp32')  # finds the same, less surely
    options = ('--runtime', 'onnxruntime')
    report, text, status = verified(tmp_path, artifact, '--source', pictures, *options)
    assert status == 1
    assert [(one['file'], one['verdict']) for one in report['results']] == [
        ('model.onnx', 'reference'),
        ('changed.onnx', 'differs'),
    ]
    assert 'changed.onnx differs: ' in text


def broken(folder):
    """Write an artifact whose INT8 file takes another input than its manifest says."""
    artifact = write(folder, 0, 'int8')
    onnx.save(tiny_model(32, 32), folder / 'changed.onnx')
    sources = {name: folder / name for name in ('model.onnx', 'changed.onnx')}
    return write_artifact(artifact, load_artifact(artifact).manifest, sources).folder


@pytest.mark.parametrize('labelled', [True, False])
def test_a_file_that_does_not_load(pictures, tmp_path, labelled):
    data = ('--data', write_dataset(tmp_path / 'data')) if labelled else ('--source', pictures)
    artifact = broken(tmp_path / 'made')
    report, text, status = verified(tmp_path, artifact, *data, *RUNTIMES)
    assert status == 1
    last = report['results'][-1]
    assert (last['runtime'], last['file'], last['verdict']) == (
        'openvino', 'changed.onnx', 'differs',
    )  # fmt: skip
    verdicts = [one['verdict'] for one in report['results'] if one['precision'] == 'int8']
    assert verdicts == ['differs'] * 2 and 'does not run on the' in last['reason']
    assert 'openvino · int8 differs: ' in text and 'None' not in text
    # The wish for just that file is one more way to ask.
    wish = ('--runtime', 'onnxruntime', '--precision', 'fp32', '--precision', 'int8')
    report, _, status = verified(tmp_path, artifact, *data, *wish)
    assert status == 1 and [one['verdict'] for one in report['results']] == [
        'reference', 'differs',
    ]  # fmt: skip


def test_what_the_machine_lacks_is_left_out(pictures, tmp_path):
    artifact = load_artifact(write(tmp_path / 'made', 0, 'int8'))
    fp32, int8 = artifact.manifest.files
    int8 = dataclasses.replace(int8, cpu_features=('abacus',))
    manifest = dataclasses.replace(artifact.manifest, files=(fp32, int8))
    sources = {file.path: artifact.folder / file.path for file in manifest.files}
    write_artifact(tmp_path / 'other', manifest, sources)
    options = (tmp_path / 'other', '--source', pictures, *RUNTIMES)
    report, _, status = verified(tmp_path, *options)
    assert status == 0 and {one['precision'] for one in report['results']} >= {'fp32'}
    left_out = [one for one in report['left_out'] if one['precision'] == 'int8']
    assert [one['runtime'] for one in left_out] == ['onnxruntime', 'openvino']
    assert all('this CPU lacks abacus' in one['reason'] for one in left_out)
    with pytest.raises(UserError, match='this CPU lacks abacus'):
        verified(tmp_path, *options, '--precision', 'fp32', '--precision', 'int8')


def test_pictures_that_show_nothing_prove_nothing(tiny_artifact, tmp_path):
    assert cv2.imwrite(str(tmp_path / 'grey.png'), scene([])[0])
    source = tmp_path / 'grey.png'
    _, text, status = verified(tmp_path, tiny_artifact, '--source', source, *RUNTIMES)
    assert status == 1 and 'nothing was compared' in text


def test_the_command(tiny_artifact, pictures, tmp_path):
    text = kd_yolo('verify', tiny_artifact, '--source', pictures, '--limit', 2, cwd=tmp_path)
    assert 'on 2 pictures' in text.succeeded() and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (['{artifact}'], 'Give the pictures'),
        (['{artifact}', '--source', '{data}', '--data', '{data}'], 'Give the pictures'),
        (['none', '--source', '{data}'], 'none does not exist'),
        (['{artifact}', '--source', 'nowhere'], 'nowhere'),
        (['{artifact}', '--data', 'nowhere'], 'nowhere'),
        (['{artifact}', '--source', '{data}', '--runtime', 'fast'], "no runtime 'fast'"),
        (['{artifact}', '--source', '{data}', '--precision', 'int8'], 'no artifact offers'),
        (
            ['{artifact}', '--source', '{data}', '--precision', 'fp32', '--runtime', 'openvino'],
            'nothing to compare it with',
        ),
    ],
)
def test_bad_input(options, expected, tiny_artifact, tmp_path):
    data = write_dataset(tmp_path / 'data')
    given = [option.format(artifact=tiny_artifact, data=data) for option in options]
    with pytest.raises(UserError) as raised:
        verified(tmp_path, *given)
    assert expected in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ['data'], 'nothing is written'


def test_a_file_that_is_not_what_the_manifest_says(pictures, tmp_path):
    artifact = write(tmp_path / 'made', 0, 'int8')
    onnx.save(changed_model(1.0), artifact / 'changed.onnx')
    with pytest.raises(UserError, match='not the file that artifact.yaml describes'):
        verified(tmp_path, artifact, '--source', pictures)
