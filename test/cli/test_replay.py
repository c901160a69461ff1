# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo replay` through the real detector node over DDS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
import yaml
from artifacts import CLASS_NAMES, HEIGHT, WIDTH, scene
from frames.bag_writer import START_NS, compressed, detections, image, write_bag
from jsonschema import validate
from processes import TIMEOUT_S, kd_yolo
from tiny_segmenter import write_squares_with_outlines, write_tiny_segmenter

from kd_yolo_ros.cli.replay import _look_back
from kd_yolo_ros.frames import open_source
from kd_yolo_ros.frames.writer import VideoWriter
from kd_yolo_ros.metrics.class_map import map_classes
from kd_yolo_ros.metrics.coco_ap import CocoAP
from kd_yolo_ros.metrics.ground_truth import read_ground_truth
from kd_yolo_ros.nodes.player import Played
from kd_yolo_ros.packed_masks import pack_masks
from kd_yolo_ros.predictor import Predictor

SCHEMA = Path(__file__).parents[2] / 'kd_yolo_ros' / 'metrics' / 'report.schema.json'
IMAGES, TRUTH = 'sensor_msgs/msg/Image', 'vision_msgs/msg/Detection2DArray'
FRAMES = 6
SCALE = 2


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A YOLO data set whose every object the tiny model finds."""
    folder = tmp_path / 'set'
    (folder / 'images').mkdir(parents=True)
    (folder / 'labels').mkdir()
    for number in range(FRAMES):
        picture, boxes = scene(scale=SCALE, background=30 + number)
        cv2.imwrite(str(folder / 'images' / f'{number}.png'), picture)
        size = np.array([WIDTH, HEIGHT] * 2) * SCALE
        rows = [
            ' '.join(map(str, (class_id, *((a + c) / 2 / size[:2]), *((c - a) / size[:2]))))
            for class_id, (a, c) in enumerate(zip(boxes[:, :2], boxes[:, 2:], strict=True))
        ]
        (folder / 'labels' / f'{number}.txt').write_text('\n'.join(rows))
    (folder / 'data.yaml').write_text(yaml.safe_dump({'names': list(CLASS_NAMES)}))
    return folder


def messages() -> tuple[list, list]:
    """Images with uneven gaps between them, and the objects in them."""
    pictures, truth = [], []
    for number in range(FRAMES):
        stamp = START_NS + (number * number + number) * 50_000_000
        picture, boxes = scene(scale=SCALE, background=30 + number)
        pictures.append((stamp, image(picture, stamp)))
        objects = zip(CLASS_NAMES, boxes.tolist(), strict=True)
        truth.append((stamp, detections(list(objects), stamp)))
    return pictures, truth


def replayed(cwd: Path, *arguments: object) -> dict[str, Any]:
    out = kd_yolo('replay', *arguments, '--out', 'out', cwd=cwd).succeeded()
    report = json.loads((cwd / 'out' / 'report.json').read_text())
    validate(report, json.loads(SCHEMA.read_text()))
    assert (cwd / 'out' / 'report.md').is_file()
    assert 'send to answer' in out
    frames = report['frames']
    assert frames['received'] == frames['processed'] + frames['replaced'] + frames['skipped']
    assert frames['lost'] == frames['sent'] - frames['received']
    assert report['foreign_answers'] == 0
    return report


def test_lossless_of_a_data_set_is_judged(
    tiny_artifact: Path, dataset: Path, tmp_path: Path
) -> None:
    report = replayed(
        tmp_path, dataset, '--artifact', tiny_artifact, '--mode', 'lossless', '--json', 'copy.json'
    )
    assert report['frames'] == {
        'sent': FRAMES, 'received': FRAMES, 'processed': FRAMES,
        'replaced': 0, 'skipped': 0, 'lost': 0,
    }  # fmt: skip
    assert report['ap']['map50'] == pytest.approx(1)
    assert report['ap']['map50_95'] > 0.9
    assert report['ap']['images'] == FRAMES
    assert report['latency_ms']['count'] == FRAMES
    assert set(report['stages_ms']) >= {'convert', 'letterbox', 'infer', 'decode', 'nms', 'total'}
    assert json.loads((tmp_path / 'copy.json').read_text()) == report
    assert (tmp_path / 'runs' / 'runs.csv').read_text().count('\n') == 2
    video = cv2.VideoCapture(str(tmp_path / 'out' / 'annotated.mp4'))
    assert sum(video.grab() for _ in range(FRAMES + 1)) == FRAMES


def test_masks_are_judged_and_drawn(dataset: Path, tmp_path: Path) -> None:
    """Of every object that the model sees as a square, the truth lacks a corner."""
    missing = 5 / 8  # of each side, so that the masks overlap by 1 - (5/8)² = 0.609
    shape = np.array([(0, 0), (1, 0), (1, 1 - missing), (1 - missing, 1 - missing),
                      (1 - missing, 1), (0, 1)])  # fmt: skip
    size = np.array([WIDTH, HEIGHT]) * SCALE
    boxes = scene(scale=SCALE)[1]
    rows = [
        ' '.join(map(str, (class_id, *((a + shape * (c - a)) / size).ravel())))
        for class_id, (a, c) in enumerate(zip(boxes[:, :2], boxes[:, 2:], strict=True))
    ]
    for file in (dataset / 'labels').iterdir():
        file.write_text('\n'.join(rows))
    # An answer without objects is one all the same.
    cv2.imwrite(str(dataset / 'images' / 'nothing.png'), scene([], scale=SCALE)[0])
    artifact = write_tiny_segmenter(tmp_path / 'tiny-seg')
    report = replayed(tmp_path, dataset, '--artifact', artifact, '--mode', 'lossless')
    assert report['frames']['processed'] == report['ap']['images'] == FRAMES + 1
    assert report['ap']['map50_95'] > 0.9
    assert report['ap']['mask_map50'] == pytest.approx(1)
    assert report['ap']['mask_map50_95'] == pytest.approx(0.3)  # at 0.5, 0.55 and 0.6 of ten
    assert report['ap']['miou'] == pytest.approx(1 - missing**2)
    assert report['stages_ms']['masks']['count'] == FRAMES + 1
    video = cv2.VideoCapture(str(tmp_path / 'out' / 'annotated.mp4'))
    drawn = video.read()[1]
    left, top, right, bottom = boxes[2].astype(int)  # the largest one, blue
    inside = drawn[top + 20 : bottom - 5, left + 20 : right - 5].reshape(-1, 3).mean(0)
    assert inside[0] < 245 and inside[1:].max() > 10  # no longer the pure blue of the scene


def test_masks_are_judged_with_frames_that_got_no_answer(tmp_path: Path) -> None:
    folder = write_squares_with_outlines(tmp_path / 'set')
    frames, truth = open_source(folder), read_ground_truth(folder)
    predictor = Predictor(write_tiny_segmenter(tmp_path / 'tiny-seg'), 'onnxruntime')
    played = Played()
    for frame in frames:
        played.answers[frame.name] = found = predictor.predict(frame.image)
        played.masks[frame.name] = zlib.compress(pack_masks(found.masks))
    names = predictor.class_names
    results = []
    for lost in ([], ['0.png']):
        for name in lost:
            del played.answers[name], played.masks[name]
        ap = CocoAP(truth, names, map_classes(names, truth))
        _look_back(frames, played, names, ap, True, None)
        results.append(ap.evaluate())
    assert results[0]['miou'] == pytest.approx(1)
    assert results[1]['mask_map50'] == results[1]['map50'] == pytest.approx(2 / 3)
    assert results[1]['miou'] == pytest.approx(2 / 3)


def test_outlines_that_are_broken_are_refused_before_anything_starts(tmp_path: Path) -> None:
    folder = write_squares_with_outlines(tmp_path / 'set')
    mask = {'size': [HEIGHT, WIDTH], 'counts': [HEIGHT * WIDTH]}  # of half the picture's size
    content = {
        'images': [
            {'id': 1, 'file_name': '0.png', 'width': WIDTH * SCALE, 'height': HEIGHT * SCALE}
        ],
        'annotations': [
            {'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [0, 0, 9, 9], 'segmentation': mask}
        ],
        'categories': [{'id': 1, 'name': CLASS_NAMES[0]}],
    }
    (tmp_path / 'truth.json').write_text(json.dumps(content))
    artifact = write_tiny_segmenter(tmp_path / 'tiny-seg')
    given = ('--ground-truth', 'truth.json', '--out', 'out')
    done = kd_yolo('replay', folder, '--artifact', artifact, *given, cwd=tmp_path)
    expected = '0.png of truth.json: object 0 has a broken segmentation, expected run lengths of'
    assert expected in done.refused()
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])
def test_a_bag_keeps_its_headers_and_brings_its_ground_truth(
    tiny_artifact: Path, tmp_path: Path, storage: str
) -> None:
    pictures, truth = messages()
    topics = {'/front/image': (IMAGES, pictures), '/truth': (TRUTH, truth)}
    bag = write_bag(tmp_path / 'bag', topics, storage)
    report = replayed(
        tmp_path, bag, '--artifact', tiny_artifact, '--mode', 'lossless',
        '--ground-truth', '/truth', '--no-video',
    )  # fmt: skip
    # An answer with any other header would be foreign, and its frame would count as unanswered.
    assert report['frames']['processed'] == report['latency_ms']['count'] == FRAMES
    assert report['ap']['map50'] == pytest.approx(1)


def test_stamps_that_repeat_are_told_apart(tiny_artifact: Path, tmp_path: Path) -> None:
    stamps = [START_NS + n // 2 * 80_000_000 for n in range(FRAMES)]
    rows = [(START_NS + n, image(scene()[0], stamp)) for n, stamp in enumerate(stamps)]
    bag = write_bag(tmp_path / 'bag', {'/front': (IMAGES, rows)})
    report = replayed(tmp_path, bag, '--artifact', tiny_artifact, '--mode', 'lossless')
    assert report['frames']['processed'] == report['latency_ms']['count'] == FRAMES
    assert min(report['latency_series']['latency_ms']) > 0


def test_the_video_that_is_played_is_not_overwritten(tiny_artifact: Path, tmp_path: Path) -> None:
    video = tmp_path / 'out' / 'annotated.mp4'
    video.parent.mkdir()
    with VideoWriter(video, 25) as writer:
        writer.write(scene()[0])
    before = video.read_bytes()
    done = kd_yolo('replay', video, '--artifact', tiny_artifact, '--out', 'out', cwd=tmp_path)
    assert 'would be overwritten' in done.refused()
    assert video.read_bytes() == before


@pytest.mark.parametrize(
    ('option', 'words'),
    [(['--size', '0', '5'], '--size'), (['--rate', 'nan'], '--rate'), (['--rate', '0'], '--rate')],
)
def test_an_absurd_option_is_refused(
    tiny_artifact: Path, dataset: Path, tmp_path: Path, option: list[str], words: str
) -> None:
    done = kd_yolo('replay', dataset, '--artifact', tiny_artifact, *option, cwd=tmp_path)
    assert done.status == 2
    assert words in done.stderr
    assert 'Traceback' not in done.stderr


def test_live_keeps_the_recorded_times(tiny_artifact: Path, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', {'/front/image': (IMAGES, messages()[0])})
    report = replayed(tmp_path, bag, '--artifact', tiny_artifact, '--mode', 'live', '--rate', '2')
    assert report['frames']['sent'] == report['frames']['received'] == FRAMES
    assert report['mode'] == 'live'


def test_a_bag_of_compressed_pictures_with_a_broken_one(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    whole = cv2.imencode('.png', scene(scale=SCALE)[0])[1].tobytes()
    stamps = [START_NS + number * 40_000_000 for number in range(3)]
    data = [whole, whole[: len(whole) // 2], whole]
    rows = [(s, compressed(d, s)) for s, d in zip(stamps, data, strict=True)]
    bag = write_bag(tmp_path / 'bag', {'/front': ('sensor_msgs/msg/CompressedImage', rows)})
    report = replayed(tmp_path, bag, '--artifact', tiny_artifact, '--mode', 'lossless')
    assert report['frames'] == {
        'sent': 3, 'received': 3, 'processed': 2, 'replaced': 0, 'skipped': 1, 'lost': 0,
    }  # fmt: skip


def test_pictures_of_several_sizes(tiny_artifact: Path, tmp_path: Path) -> None:
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for number, scale in enumerate((1, 3, 2)):
        cv2.imwrite(str(folder / f'{number}.png'), scene(scale=scale)[0])
    report = replayed(tmp_path, folder, '--artifact', tiny_artifact, '--mode', 'lossless')
    assert report['frames']['processed'] == 3


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['missing', '--artifact', 'ARTIFACT'], 'missing does not exist'),
        (['BAG', '--artifact', 'nothing'], 'nothing does not exist'),
        (['BAG', '--artifact', 'ARTIFACT', '--topic', '/rear'], '/rear'),
        (['BAG', '--artifact', 'ARTIFACT', '--runtime', 'abacus'], 'abacus'),
        (['BAG', '--artifact', 'ARTIFACT', '--precision', 'int8'], 'int8'),
        (['BAG', '--artifact', 'ARTIFACT', '--ground-truth', 'lost.json'], 'lost.json'),
        (['EMPTY', '--artifact', 'ARTIFACT'], 'empty'),
    ],
)
def test_what_cannot_be_played_is_refused_before_anything_starts(
    tiny_artifact: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    known = {
        'ARTIFACT': tiny_artifact,
        'BAG': write_bag(tmp_path / 'bag', {'/front': (IMAGES, messages()[0])}),
        'EMPTY': write_bag(tmp_path / 'empty', {'/front': (IMAGES, [])}),
    }
    given = [known.get(argument, argument) for argument in arguments]
    done = kd_yolo('replay', *given, '--out', 'out', cwd=tmp_path)
    assert words in done.refused()
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_replay_leaves_no_node_and_no_half_report(
    tiny_artifact: Path, tmp_path: Path, number: int
) -> None:
    rows = [(START_NS + n * 10**9, image(scene()[0], START_NS + n * 10**9)) for n in range(100)]
    bag = write_bag(tmp_path / 'bag', {'/front': (IMAGES, rows)})
    command = [sys.executable, '-m', 'kd_yolo_ros.cli.main', 'replay', str(bag)]
    process = subprocess.Popen(
        [*command, '--artifact', str(tiny_artifact), '--out', 'out'],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + TIMEOUT_S

    def nodes() -> list[psutil.Process]:
        return [p for p in children if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    children: list[psutil.Process] = []
    while not children:
        assert time.monotonic() < deadline
        assert process.poll() is None
        children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, number)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode != 0
    assert 'Traceback' not in errors
    while nodes():
        assert time.monotonic() < deadline, 'the node was left behind'
    assert not (tmp_path / 'out' / 'report.json').exists()


def test_coco128_through_the_node_has_the_models_own_ap(
    yolov5n_artifact: Path, data_dir: Path, tmp_path: Path
) -> None:
    report = replayed(
        tmp_path, data_dir / 'coco128', '--artifact', yolov5n_artifact, '--mode', 'lossless',
        '--runtime', 'onnxruntime', '--precision', 'fp32', '--no-video',
    )  # fmt: skip
    assert report['frames']['processed'] == 128
    assert report['ap']['map50_95'] == pytest.approx(0.357, abs=0.003)
    assert report['ap']['map50'] == pytest.approx(0.548, abs=0.003)


def test_a_real_drive_loses_nothing(
    yolov5n_artifact: Path, data_dir: Path, tmp_path: Path
) -> None:
    drive = data_dir / 'drives' / 'highway.mp4'
    report = replayed(
        tmp_path, drive, '--artifact', yolov5n_artifact, '--mode', 'lossless', '--no-video'
    )
    assert report['frames']['sent'] == report['frames']['processed'] == 221
    assert report['latency_ms']['count'] == 221  # every header came back as it was sent
