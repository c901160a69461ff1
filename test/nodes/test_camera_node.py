# SPDX-License-Identifier: Apache-2.0
"""camera_node as a real process: pictures of a folder as image and camera_info."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from frames.bag_writer import START_NS, image, write_bag
from processes import run_python
from ros_peer import Peer
from sensor_msgs.msg import CameraInfo, Image

from kd_yolo_ros.cli.node_process import NodeProcess
from kd_yolo_ros.nodes import qos
from kd_yolo_ros.nodes.image_messages import to_picture

CALIBRATION = {
    'image_width': 96,
    'image_height': 64,
    'camera_name': 'front',
    'camera_matrix': {'rows': 3, 'cols': 3, 'data': [50, 0, 48, 0, 50, 32, 0, 0, 1]},
    'distortion_model': 'plumb_bob',
    'distortion_coefficients': {'rows': 1, 'cols': 5, 'data': [0.1, 0, 0, 0, 0]},
    'rectification_matrix': {'rows': 3, 'cols': 3, 'data': [1, 0, 0, 0, 1, 0, 0, 0, 1]},
    'projection_matrix': {'rows': 3, 'cols': 4, 'data': [50, 0, 48, 0, 0, 50, 32, 0, 0, 0, 1, 0]},
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for value in (40, 80, 120):
        cv2.imwrite(str(folder / f'{value:03d}.png'), np.full((64, 96, 3), value, np.uint8))
    return folder


def test_pictures_and_calibration(pictures: Path, tmp_path: Path) -> None:
    calibration = tmp_path / 'front.yaml'
    calibration.write_text(yaml.safe_dump(CALIBRATION))
    parameters = {
        'source': str(pictures),
        'loop': True,
        'fps': 50.0,
        'frame_id': 'front_camera_optical_frame',
        'size': [192, 128],
        'camera_info_file': str(calibration),
    }
    images: list[Image] = []
    infos: list[CameraInfo] = []
    with Peer(node='camera') as peer:
        peer.subscribe(Image, 'image', qos.IMAGE, images)
        peer.subscribe(CameraInfo, 'camera_info', qos.IMAGE, infos)
        with NodeProcess('camera_node', parameters, '/'):
            peer.wait(lambda: len(images) >= 6 and infos, 'a looping camera')
    seen = {int(to_picture(message).mean()) for message in images}
    assert seen == {40, 80, 120}
    assert to_picture(images[0]).shape == (128, 192, 3)
    stamps = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in images]
    assert stamps == sorted(stamps)
    assert {m.header.frame_id for m in images} == {'front_camera_optical_frame'}
    info = infos[0]
    assert (info.width, info.height, info.distortion_model) == (192, 128, 'plumb_bob')
    # The size is twice that of the calibration, and so are focal length and centre.
    assert info.k.tolist() == [100, 0, 96, 0, 100, 64, 0, 0, 1]
    assert info.p.tolist() == [100, 0, 96, 0, 0, 100, 64, 0, 0, 0, 1, 0]
    assert list(info.d) == [0.1, 0, 0, 0, 0]


def test_a_bag_is_played_at_its_recorded_times(tmp_path: Path) -> None:
    times = [START_NS + n * 300_000_000 for n in range(4)]
    rows = [(time, image(np.zeros((64, 96, 3), np.uint8), time)) for time in times]
    bag = write_bag(tmp_path / 'bag', {'/front': ('sensor_msgs/msg/Image', rows)})
    images: list[Image] = []
    with Peer(node='camera') as peer:
        peer.subscribe(Image, 'image', qos.IMAGE, images)
        with NodeProcess('camera_node', {'source': str(bag), 'loop': True}, '/'):
            peer.wait(lambda: len(images) >= 6, 'a second round')
    stamps = [m.header.stamp.sec + m.header.stamp.nanosec / 1e9 for m in images]
    # At 25 Hz, five gaps would take 0.2 s.
    assert (stamps[5] - stamps[0]) / 5 == pytest.approx(0.3, abs=0.1)


def test_a_camera_may_be_a_number(tmp_path: Path) -> None:
    done = run_python('-m', 'kd_yolo_ros.nodes.camera_node', '--ros-args', '-p', 'source:=97')
    assert done.returncode == 1
    assert 'camera 97 does not open' in done.stderr


@pytest.mark.parametrize(
    'change', [{'image_width': 0}, {'camera_matrix': {'data': [1, 2, 3]}}, {'image_height': 'x'}]
)
def test_an_absurd_calibration_is_refused(pictures: Path, tmp_path: Path, change: dict) -> None:
    calibration = tmp_path / 'front.yaml'
    calibration.write_text(yaml.safe_dump({**CALIBRATION, **change}))
    arguments = ['-p', f'source:={pictures}', '-p', f'camera_info_file:={calibration}']
    done = run_python('-m', 'kd_yolo_ros.nodes.camera_node', '--ros-args', *arguments)
    assert done.returncode == 1
    assert 'front.yaml is no calibration' in done.stderr


@pytest.mark.parametrize(
    ('parameter', 'words'),
    [
        ('source:=nowhere', 'nowhere does not exist'),
        ('fps:=-1.0', 'fps'),
        ('size:=[0, 5]', 'size'),
        ('camera_info_file:=missing.yaml', 'missing.yaml'),
    ],
)
def test_a_bad_parameter_ends_with_one_sentence_and_status_1(
    pictures: Path, parameter: str, words: str
) -> None:
    arguments = ['-p', f'source:={pictures}', '-p', parameter]
    done = run_python('-m', 'kd_yolo_ros.nodes.camera_node', '--ros-args', *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert 'Traceback' not in done.stderr
