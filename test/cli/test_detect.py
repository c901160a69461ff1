# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo detect` finds, draws and writes; it never overwrites what it reads."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
import yaml
from artifacts import SQUARES, scene, write_dataset
from processes import kd_yolo, without
from reports import read_report
from tiny_segmenter import write_tiny_segmenter

from kd_yolo_ros.drawing import class_colour
from kd_yolo_ros.frames import open_source


def write_video(path, frames=5):
    picture, _ = scene(scale=4)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 10, picture.shape[1::-1])
    assert writer.isOpened()
    for _ in range(frames):
        writer.write(picture)
    writer.release()
    return path


def written(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())


def detect(source, artifact, *options, cwd, path=()):
    options = [source, '--artifact', artifact, '--out', 'out', *options]
    done = kd_yolo('detect', *options, cwd=cwd, path=path)
    return read_report(cwd / 'out' / 'detections.json', 'detect'), done.succeeded()


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
def test_a_picture(runtime, tiny_artifact, tmp_path):
    picture, boxes = scene(scale=4)
    assert cv2.imwrite(str(tmp_path / 'one.png'), picture)
    options = ['--runtime', runtime, '--json', 'copy.json']
    report, text = detect('one.png', tiny_artifact, *options, cwd=tmp_path)
    assert report == read_report(tmp_path / 'copy.json', 'detect')
    assert (report['runtime'], report['precision']) == (runtime, 'fp32')
    (frame,) = report['frames']
    assert frame['name'] == 'one.png' and report['skipped'] == []
    found = {item['class']: item for item in frame['objects']}
    for square, box in zip(SQUARES, boxes, strict=True):
        np.testing.assert_allclose(found[square.name]['box'], box, atol=0.1)
        assert 0.99 < found[square.name]['score'] <= 1
    assert '3 objects in 1 frames; 0 frames skipped.' in text
    assert written(tmp_path) == ['copy.json', 'one.png', 'out/detections.json', 'out/one.png']
    drawn = cv2.imread(str(tmp_path / 'out' / 'one.png'))
    left, _, right, bottom = boxes[1].astype(int)
    assert drawn.shape == picture.shape
    assert np.abs(drawn[bottom, (left + right) // 2].astype(int) - class_colour(1)).max() < 60


def test_masks(tmp_path):
    from pycocotools import mask

    picture, boxes = scene(scale=4)
    assert cv2.imwrite(str(tmp_path / 'one.png'), picture)
    artifact = write_tiny_segmenter(tmp_path / 'segmenter')
    report, _ = detect('one.png', artifact, cwd=tmp_path)
    drawn = cv2.imread(str(tmp_path / 'out' / 'one.png')).astype(int)
    found = {item['class']: item['segmentation'] for item in report['frames'][0]['objects']}
    for number, (square, box) in enumerate(zip(SQUARES, boxes.astype(int), strict=True)):
        expected = np.zeros(picture.shape[:2], bool)
        expected[box[1] : box[3], box[0] : box[2]] = True
        np.testing.assert_array_equal(mask.decode(found[square.name]), expected)
        middle = (box[1] + box[3]) // 2, (box[0] + box[2]) // 2
        half = (np.array(class_colour(number)) + picture[middle]) / 2
        np.testing.assert_allclose(drawn[middle], half, atol=1)


def test_a_folder(tiny_artifact, tmp_path):
    write_dataset(tmp_path / 'data')
    (tmp_path / 'data' / 'images' / '1.png').write_bytes(b'cut off')
    report, text = detect('data', tiny_artifact, cwd=tmp_path)
    assert [frame['name'] for frame in report['frames']] == ['0.png', '2.png', '3.png']
    assert [len(frame['objects']) for frame in report['frames']] == [1, 1, 0]
    assert [name for name, _ in report['skipped']] == ['1.png']
    assert '2 objects in 3 frames; 1 frames skipped.' in text
    out = ['0.png', '2.png', '3.png', 'detections.json']
    assert written(tmp_path / 'out') == out


def test_a_video(tiny_artifact, tmp_path):
    write_video(tmp_path / 'drive.avi')
    report, text = detect('drive.avi', tiny_artifact, cwd=tmp_path)
    assert [len(frame['objects']) for frame in report['frames']] == [3] * 5
    assert [frame['stamp_ns'] for frame in report['frames']] == [i * 10**8 for i in range(5)]
    assert written(tmp_path / 'out') == ['annotated.mp4', 'detections.json']
    assert 'annotated.mp4' in text
    with open_source(tmp_path / 'out' / 'annotated.mp4') as video:
        assert len(video) == 5 and video.fps == pytest.approx(10)


@pytest.mark.parametrize(
    ('options', 'least', 'most'),
    [
        ([], 3, 3),
        (['--score', '1'], 0, 0),
        # At other levels and in parts, the same squares are found with tiny scores.
        (['--score', '0', '--iou', '1'], 4, 300),
        (['--score', '0', '--iou', '0'], 3, 3),
    ],
)
def test_thresholds(options, least, most, tiny_artifact, tmp_path):
    assert cv2.imwrite(str(tmp_path / 'one.png'), scene()[0])
    report, _ = detect('one.png', tiny_artifact, *options, cwd=tmp_path)
    assert least <= len(report['frames'][0]['objects']) <= most


def test_options_from_a_file(tiny_artifact, tmp_path):
    assert cv2.imwrite(str(tmp_path / 'one.png'), scene()[0])
    (tmp_path / 'options.yaml').write_text(
        f'artifact: {tiny_artifact}\nout: out\nruntime: onnxruntime\nthreads: 1\n'
    )
    kd_yolo('detect', 'one.png', '--config', 'options.yaml', cwd=tmp_path).succeeded()
    report = read_report(tmp_path / 'out' / 'detections.json', 'detect')
    assert (report['runtime'], report['threads']) == ('onnxruntime', 1)


def test_the_other_runtime_where_one_is_not_installed(tiny_artifact, tmp_path):
    assert cv2.imwrite(str(tmp_path / 'one.png'), scene()[0])
    path = [without(tmp_path / 'path', 'openvino')]
    report, _ = detect('one.png', tiny_artifact, cwd=tmp_path, path=path)
    assert report['runtime'] == 'onnxruntime'


@pytest.mark.parametrize('folder', ['.', 'data', 'data/images'])
def test_pictures_are_not_overwritten(folder, tiny_artifact, tmp_path):
    write_dataset(tmp_path / 'data')
    before = (tmp_path / 'data/images/0.png').read_bytes()
    source = {'.': 'data', 'data': 'data/images', 'data/images': 'data/images/0.png'}[folder]
    out = {'.': 'data/images', 'data': 'data/../data/images', 'data/images': 'data/images'}[folder]
    done = kd_yolo('detect', source, '--artifact', tiny_artifact, '--out', out, cwd=tmp_path)
    assert 'give another --out' in done.refused()
    assert (tmp_path / 'data/images/0.png').read_bytes() == before
    assert 'detections.json' not in ''.join(written(tmp_path))


def test_a_video_is_not_overwritten(tiny_artifact, tmp_path):
    video = write_video(tmp_path / 'drive.avi').rename(tmp_path / 'annotated.mp4')
    before = video.read_bytes()
    done = kd_yolo(
        *('detect', 'annotated.mp4', '--artifact', tiny_artifact, '--out', '.'), cwd=tmp_path
    )
    assert 'give another --out' in done.refused()
    assert written(tmp_path) == ['annotated.mp4'] and video.read_bytes() == before


def test_a_spoiled_artifact(tiny_artifact, tmp_path):
    """Each by name, in one sentence, before anything is written."""
    assert cv2.imwrite(str(tmp_path / 'one.png'), scene()[0])

    def spoil(change):
        folder = shutil.copytree(tiny_artifact, tmp_path / 'spoiled', dirs_exist_ok=True)
        data = yaml.safe_load((folder / 'artifact.yaml').read_text())
        change(folder, data)
        (folder / 'artifact.yaml').write_text(yaml.safe_dump(data))

    for expected, change in {
        'sha256 differs': lambda folder, _: (folder / 'model.onnx').write_bytes(b'x'),
        'schema 9': lambda _, data: data.update(schema=9),
        "'speed' is not a known field": lambda _, data: data.update(speed=1),
        '4 classes': lambda _, data: data['class_names'].append('yellow'),
        "'../model.onnx' is not a file name": lambda _, data: data['files'][0].update(
            path='../model.onnx'
        ),
        'this CPU lacks no_such_feature': lambda _, data: data['files'][0].update(
            cpu_features=['no_such_feature']
        ),
        'score 7': lambda _, data: data.update(thresholds={'score': 7}),
    }.items():
        spoil(change)
        options = ['one.png', '--artifact', 'spoiled', '--out', 'out']
        assert expected in kd_yolo('detect', *options, cwd=tmp_path).refused()
        assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (['nowhere.png', '--artifact', '{artifact}'], 'nowhere.png does not exist'),
        (['notes.txt', '--artifact', '{artifact}'], 'notes.txt is no source'),
        (['.', '--artifact', '{artifact}'], 'holds no picture'),
        (['notes.txt', '--artifact', 'none'], 'none does not exist'),
        (['notes.txt', '--artifact', 'notes.txt'], 'neither an artifact folder'),
        (['notes.txt', '--artifact', 'bad.onnx'], 'bad.onnx is no ONNX model'),
        (['notes.txt', '--artifact', '{artifact}', '--runtime', 'fast'], "no runtime 'fast'"),
    ],
)
def test_bad_input(options, expected, tiny_artifact, tmp_path):
    (tmp_path / 'notes.txt').write_text('')
    (tmp_path / 'bad.onnx').write_bytes(b'no model')
    options = [option.format(artifact=tiny_artifact) for option in options]
    done = kd_yolo('detect', *options, '--out', 'out', cwd=tmp_path)
    assert expected in done.refused()
    assert written(tmp_path) == ['bad.onnx', 'notes.txt'] and not (tmp_path / 'out').exists()


def test_an_out_that_is_a_file(tiny_artifact, tmp_path):
    assert cv2.imwrite(str(tmp_path / 'one.png'), scene()[0])
    (tmp_path / 'file').write_text('precious')
    options = ['one.png', '--artifact', tiny_artifact, '--out', 'file']
    assert 'file' in kd_yolo('detect', *options, cwd=tmp_path).refused()
    assert (tmp_path / 'file').read_text() == 'precious'
