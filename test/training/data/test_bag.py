# SPDX-License-Identifier: Apache-2.0
"""Labelled pictures as a bag: what comes back out of it, and that it can be replayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from artifacts import CLASS_NAMES, HEIGHT, WIDTH, scene
from click.testing import CliRunner
from processes import kd_yolo

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.bag import Bag, ground_truth
from kd_yolo_ros.metrics.ground_truth import read_bag
from kd_yolo_training.cli.data import data as verbs
from kd_yolo_training.data.bag import START_NS, TRUTH_TOPIC, write_bag
from kd_yolo_training.data.cityscapes import NAMES
from kd_yolo_training.data.drive import read_drive
from kd_yolo_training.data.read import read_dataset
from kd_yolo_training.data.scenes import drive as generated_drive
from kd_yolo_training.data.scenes.write import plan, write

FRAMES = 4


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A YOLO data set whose every object the tiny model finds; the last picture has none."""
    folder = tmp_path / 'set'
    (folder / 'images').mkdir(parents=True)
    (folder / 'labels').mkdir()
    for number in range(FRAMES):
        picture, boxes = scene(background=30 + number)
        size = np.array([WIDTH, HEIGHT])
        rows = [
            ' '.join(map(str, (class_id, *((a + c) / 2 / size), *((c - a) / size))))
            for class_id, (a, c) in enumerate(zip(boxes[:, :2], boxes[:, 2:], strict=True))
        ]
        if number == FRAMES - 1:
            picture, rows = np.full_like(picture, 30), []
        cv2.imwrite(str(folder / 'images' / f'{number}.png'), picture)
        (folder / 'labels' / f'{number}.txt').write_text('\n'.join(rows))
    (folder / 'data.yaml').write_text(yaml.safe_dump({'names': list(CLASS_NAMES)}))
    return folder


def pictures(folder: Path) -> list[np.ndarray]:
    return [cv2.imread(str(folder / 'images' / f'{k}.png')) for k in range(FRAMES)]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('compressed', [False, True])
def test_the_ground_truth_is_that_of_the_data_set(
    dataset: Path, tmp_path: Path, storage: str, compressed: bool
) -> None:
    out = tmp_path / 'bag'
    written = write_bag(out, read_drive(dataset), 10, compressed=compressed, storage=storage)
    assert (written.frames, written.judged) == (FRAMES, FRAMES)
    frames = list(Bag(out))
    assert [frame.stamp_ns for frame in frames] == [
        START_NS + k * 100_000_000 for k in range(FRAMES)
    ]
    for frame, picture in zip(frames, pictures(dataset), strict=True):
        np.testing.assert_array_equal(frame.image, picture)
    truth = read_bag(out)
    names = truth.names or {}
    data = read_dataset(dataset)
    for frame, picture in zip(frames, data.pictures, strict=True):
        key = truth.find(frame)
        assert key is not None
        found = truth.pictures[key]
        expected = picture.boxes.astype(float) * (WIDTH, HEIGHT, WIDTH, HEIGHT)
        np.testing.assert_allclose(found.boxes, expected, atol=1e-9)
        assert [names[k] for k in found.class_ids] == [data.names[k] for k in picture.class_ids]
    assert len(truth.pictures[str(frames[-1].stamp_ns)].boxes) == 0


def test_boxes_follow_a_rescaled_picture(dataset: Path, tmp_path: Path) -> None:
    write_bag(tmp_path / 'bag', read_drive(dataset), size=(2 * WIDTH, HEIGHT))
    (first, *_) = Bag(tmp_path / 'bag')
    assert first.image.shape == (HEIGHT, 2 * WIDTH, 3)
    boxes = read_dataset(dataset).pictures[0].boxes.astype(float)
    found = read_bag(tmp_path / 'bag').pictures[str(first.stamp_ns)].boxes
    np.testing.assert_allclose(found, boxes * (2 * WIDTH, HEIGHT, 2 * WIDTH, HEIGHT), atol=1e-9)


def camera_infos(bag: Path) -> list[Any]:
    from rosbags.highlevel import AnyReader

    with AnyReader([bag]) as reader:
        topics = [c for c in reader.connections if c.topic == '/camera/camera_info']
        return [reader.deserialize(raw, c.msgtype) for c, _, raw in reader.messages(topics)]


def test_camera_info_comes_with_every_picture(dataset: Path, tmp_path: Path) -> None:
    write_bag(tmp_path / 'bag', read_drive(dataset), frame_id='front')
    infos = camera_infos(tmp_path / 'bag')
    assert len(infos) == FRAMES
    for info, frame in zip(infos, Bag(tmp_path / 'bag'), strict=True):
        stamp = info.header.stamp.sec * 1_000_000_000 + info.header.stamp.nanosec
        assert (stamp, info.header.frame_id) == (frame.stamp_ns, 'front')
        assert (info.width, info.height) == (WIDTH, HEIGHT)
        assert info.k[0] == info.k[4] > 0 and (info.k[2], info.k[5]) == (WIDTH / 2, HEIGHT / 2)
        assert list(info.p) == [*info.k[:3], 0, *info.k[3:6], 0, *info.k[6:], 0]


def test_a_generated_drive_becomes_a_bag(tmp_path: Path) -> None:
    size, count = (256, 128), 3
    list(write(plan(tmp_path / 'root', 0, {}, size, 1, count, fps=5), processes=1))
    drive = read_drive(tmp_path / 'root', 'val')
    written = write_bag(tmp_path / 'bag', drive, 5, size=(512, 256))
    scenes = list(generated_drive(0, count, 5, size))
    objects = [one for frame in scenes for one in frame.objects if one.label in NAMES]
    assert (written.frames, written.judged, written.objects) == (count, count, len(objects))
    truth = ground_truth(tmp_path / 'bag')
    assert [name for found in truth.values() for name, _ in found] == [o.label for o in objects]
    boxes = np.array([box for found in truth.values() for _, box in found])
    np.testing.assert_allclose(boxes, [2 * one.box for one in objects], atol=1e-3)
    info = camera_infos(tmp_path / 'bag')[0]
    np.testing.assert_allclose(
        info.k[[0, 2]], 2 * np.array([scenes[0].camera.focal, scenes[0].camera.centre[0]])
    )


def test_only_labelled_frames_of_a_sequence_are_judged(tmp_path: Path) -> None:
    """As in Cityscapes: 30 pictures of a snippet, of which one is labelled."""
    root = tmp_path / 'root'
    for snippet, frame in ((0, 18), (0, 19), (0, 20), (1, 19)):
        name = f'ulm_{snippet:06d}_{frame:06d}'
        file = root / 'leftImg8bit_sequence' / 'val' / 'ulm' / f'{name}_leftImg8bit.png'
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.full((64, 128, 3), frame, np.uint8))
    labels = root / 'gtFine' / 'val' / 'ulm'
    labels.mkdir(parents=True)
    objects = [
        {'label': label, 'polygon': [[x, 10], [x + 20, 10], [x + 20, 30], [x, 30]]}
        for label, x in (('sky', 10), ('car', 10), ('persongroup', 40))
    ]
    content = {'imgWidth': 128, 'imgHeight': 64, 'objects': objects}
    (labels / 'ulm_000000_000019_gtFine_polygons.json').write_text(json.dumps(content))
    camera = root / 'camera' / 'val' / 'ulm' / 'ulm_000000_000019_camera.json'
    camera.parent.mkdir(parents=True)
    camera.write_text(json.dumps({'intrinsic': {'fx': 120, 'fy': 121, 'u0': 60, 'v0': 30}}))

    written = write_bag(tmp_path / 'bag', read_drive(root, 'val'), 20)
    assert (written.frames, written.judged, written.objects, written.crowds) == (4, 1, 1, 1)
    stamps = [frame.stamp_ns - START_NS for frame in Bag(tmp_path / 'bag')]
    assert stamps == [0, 50_000_000, 100_000_000, 1_100_000_000]
    assert ground_truth(tmp_path / 'bag') == {START_NS + stamps[1]: [('car', (10, 10, 30, 30))]}
    focal = [info.k[4] for info in camera_infos(tmp_path / 'bag')]
    assert focal[:3] == [121] * 3 and focal[3] != 121  # the other snippet has no calibration


def test_a_broken_picture_is_left_out(dataset: Path, tmp_path: Path) -> None:
    (dataset / 'images' / '1.png').write_bytes(b'no picture')
    written = write_bag(tmp_path / 'bag', read_drive(dataset))
    assert written.frames == FRAMES - 1
    assert [problem.file.name for problem in written.problems] == ['1.png']
    assert len(Bag(tmp_path / 'bag')) == FRAMES - 1


def test_nothing_is_left_of_a_bag_that_failed(dataset: Path, tmp_path: Path) -> None:
    drive = read_drive(dataset)

    def interrupted(frames: Any, *_: object) -> Any:
        yield frames[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bag(tmp_path / 'bag', drive, progress=interrupted)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['set']
    for picture in (dataset / 'images').iterdir():
        picture.write_bytes(b'')
    with pytest.raises(UserError, match='none of the 4 pictures can be read'):
        write_bag(tmp_path / 'bag', drive)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['set']


def test_a_bag_that_is_there_is_not_overwritten(dataset: Path, tmp_path: Path) -> None:
    write_bag(tmp_path / 'bag', read_drive(dataset))
    before = {file: file.read_bytes() for file in (tmp_path / 'bag').iterdir()}
    with pytest.raises(UserError, match='exists already'):
        write_bag(tmp_path / 'bag', read_drive(dataset))
    assert {file: file.read_bytes() for file in (tmp_path / 'bag').iterdir()} == before


def test_the_split_of_sequences_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / 'leftImg8bit_sequence' / 'val').mkdir(parents=True)
    with pytest.raises(UserError, match='name one of its splits, val'):
        read_drive(tmp_path)
    with pytest.raises(UserError, match='holds no'):
        read_drive(tmp_path, 'val')


def test_the_verb_says_what_it_wrote(dataset: Path, tmp_path: Path) -> None:
    report = tmp_path / 'report.json'
    arguments = ['bag', str(dataset), '--out', str(tmp_path / 'bag'), '--json', str(report)]
    done = CliRunner().invoke(verbs, arguments)
    assert done.exit_code == 0, done.output
    content = json.loads(report.read_text())
    objects = sum(len(picture.boxes) for picture in read_dataset(dataset).pictures)
    assert f'--ground-truth {TRUTH_TOPIC}' in done.output
    assert (content['frames'], content['judged'], content['objects']) == (FRAMES, FRAMES, objects)


def test_a_replay_of_the_bag_is_judged(tiny_artifact: Path, dataset: Path, tmp_path: Path) -> None:
    """Losslessly through the real node: the tiny model finds every object."""
    write_bag(tmp_path / 'bag', read_drive(dataset), compressed=True)
    kd_yolo(
        'replay', tmp_path / 'bag', '--artifact', tiny_artifact, '--mode', 'lossless',
        '--ground-truth', TRUTH_TOPIC, '--out', 'out', '--no-video', cwd=tmp_path,
    ).succeeded()  # fmt: skip
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert report['frames']['processed'] == FRAMES
    assert report['ap']['images'] == FRAMES
    assert report['ap']['map50'] == pytest.approx(1)
