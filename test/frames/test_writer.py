# SPDX-License-Identifier: Apache-2.0
"""Pictures and videos appear whole, or not at all."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import open_source
from kd_yolo_ros.frames.writer import PictureWriter, VideoWriter

PICTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def names_in(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())


def test_pictures_keep_their_names(tmp_path):
    with PictureWriter(tmp_path / 'out') as writer:
        writer.write(PICTURE, 'one.png')
        writer.write(PICTURE, 'sub/two.png')
        writer.write(PICTURE, 'frame_000012')
    assert names_in(tmp_path / 'out') == ['frame_000012.jpg', 'one.png', 'sub/two.png']
    assert np.array_equal(cv2.imread(str(tmp_path / 'out/sub/two.png')), PICTURE)
    assert str(tmp_path / 'out') in writer.description


def test_a_picture_is_replaced_as_a_whole(tmp_path):
    with PictureWriter(tmp_path) as writer:
        writer.write(PICTURE, 'one.png')
        linked = tmp_path / 'linked.png'
        linked.hardlink_to(tmp_path / 'one.png')
        writer.write(PICTURE // 2, 'one.png')
    assert np.array_equal(cv2.imread(str(linked)), PICTURE), 'not written into'
    assert np.array_equal(cv2.imread(str(tmp_path / 'one.png')), PICTURE // 2)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    with (
        pytest.raises(UserError, match=r'file/one\.png cannot be written'),
        PictureWriter(tmp_path / 'file') as writer,
    ):
        writer.write(PICTURE, 'one.png')
    with (
        pytest.raises(UserError, match=r'file/drive\.mp4 cannot be written'),
        VideoWriter(tmp_path / 'file' / 'drive.mp4', 25) as writer,
    ):
        writer.write(PICTURE)
    assert names_in(tmp_path) == ['file']


@pytest.mark.parametrize('size', [(48, 64), (47, 63), (270, 480)])
def test_a_video_is_read_back(tmp_path, size):
    path = tmp_path / 'drive.mp4'
    with VideoWriter(path, 20) as writer:
        for value in range(0, 200, 20):
            writer.write(np.full((*size, 3), value, np.uint8))
            assert not path.exists(), 'it appears when it is whole'
    assert names_in(tmp_path) == ['drive.mp4']
    frames = [frame.image for frame in open_source(path)]
    assert len(frames) == 10
    assert frames[0].shape == (size[0] - size[0] % 2, size[1] - size[1] % 2, 3)
    for frame, value in zip(frames, range(0, 200, 20), strict=True):
        assert abs(frame.mean() - value) < 6
    with open_source(path) as source:
        assert source.fps == pytest.approx(20)


def test_pictures_of_another_size_are_fitted_in(tmp_path):
    with VideoWriter(tmp_path / 'drive.mp4', None) as writer:
        for size in ((48, 64), (96, 64), (20, 200)):
            writer.write(np.full((*size, 3), 200, np.uint8))
    frames = [frame.image for frame in open_source(tmp_path / 'drive.mp4')]
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
    assert frames[1][24, 2].max() < 150 and frames[1][24, 32].min() > 150, 'grey at the sides'


def test_an_interrupted_video_leaves_what_was_there(tmp_path):
    path = tmp_path / 'drive.mp4'
    path.write_bytes(b'the one of yesterday')
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, 25) as writer:
        writer.write(PICTURE)
        raise KeyboardInterrupt
    assert names_in(tmp_path) == ['drive.mp4']
    assert path.read_bytes() == b'the one of yesterday'


def test_no_picture_no_video(tmp_path):
    with VideoWriter(tmp_path / 'drive.mp4', 25):
        pass
    assert names_in(tmp_path) == []
