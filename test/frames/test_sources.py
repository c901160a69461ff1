# SPDX-License-Identifier: Apache-2.0
"""Pictures, folders, data sets, videos, cameras and streams as one kind of source."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import open_source
from kd_yolo_ros.frames.capture import LiveSource


def grey(value, width=64, height=48):
    return np.full((height, width, 3), value, np.uint8)


def write_pictures(folder, names):
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / name), grey(10 * index))
    return folder


def write_video(file, frames=12, fps=20):
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*'MJPG'), fps, (64, 48))
    assert writer.isOpened()
    for index in range(frames):
        writer.write(grey(20 * index))
    writer.release()
    return file


def test_a_picture(tmp_path):
    write_pictures(tmp_path, ['one.png'])
    with open_source(tmp_path / 'one.png') as source:
        (frame,) = source
    assert frame.name == 'one.png' and frame.stamp_ns == 0
    assert frame.frame_id.endswith('_optical_frame') and frame.serialized is None
    np.testing.assert_array_equal(frame.image, grey(0))


def test_a_folder(tmp_path):
    write_pictures(tmp_path, ['b.png', 'a/z.JPG', 'a/y.png'])
    (tmp_path / 'notes.txt').write_text('no picture')
    (tmp_path / '._b.png').write_text('left there by a file manager')
    source = open_source(tmp_path, fps=10)
    for _ in range(2):
        frames = list(source)
        assert [frame.name for frame in frames] == ['a/y.png', 'a/z.JPG', 'b.png']
        assert [frame.stamp_ns for frame in frames] == [0, 100_000_000, 200_000_000]
    assert len(source) == 3 and source.fps == 10 and source.skipped == []


def test_a_data_set_has_its_pictures_in_images(tmp_path):
    write_pictures(tmp_path / 'images', ['train/a.png', 'val/a.png'])
    write_pictures(tmp_path, ['preview.png'])
    assert [f.name for f in open_source(tmp_path)] == ['train/a.png', 'val/a.png']


def test_rescaling(tmp_path):
    write_pictures(tmp_path, ['a.png'])
    for size in ((32, 24), (128, 72)):
        (frame,) = open_source(tmp_path, size=size)
        assert frame.image.shape == (size[1], size[0], 3)


def test_unreadable_pictures_are_counted_and_left_out(tmp_path):
    write_pictures(tmp_path, ['b.jpg', 'd.jpg', 'e.png'])
    (tmp_path / 'a.jpg').write_text('no picture at all')
    (tmp_path / 'c.jpg').write_bytes(b'')
    (tmp_path / 'd.jpg').write_bytes((tmp_path / 'd.jpg').read_bytes()[:-50])
    source = open_source(tmp_path)
    frames = list(source)
    assert [frame.name for frame in frames] == ['b.jpg', 'e.png']
    assert [frame.stamp_ns for frame in frames] == [0, 40_000_000]
    assert {s.name for s in source.skipped} == {'a.jpg', 'c.jpg', 'd.jpg'}
    reasons = {s.name: s.reason for s in source.skipped}
    assert 'could not be decoded' in reasons['a.jpg']
    assert 'empty' in reasons['c.jpg'] and 'cut off' in reasons['d.jpg']
    assert len(source) == 2
    assert len(list(source)) == 2 and len(source.skipped) == 3


def test_nothing_readable(tmp_path):
    (tmp_path / 'a.jpg').write_text('no picture')
    (tmp_path / 'b.png').write_bytes(b'')
    with pytest.raises(UserError, match='none of the 2 pictures'):
        open_source(tmp_path)
    with pytest.raises(UserError, match=r'none of the 1 pictures in .*a\.jpg'):
        open_source(tmp_path / 'a.jpg')


@pytest.mark.parametrize('name', ['missing', 'missing.mp4', 'missing.db3', 'empty', 'a.txt'])
def test_what_is_no_source(tmp_path, name):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'a.txt').write_text('words')
    with pytest.raises(UserError, match=r'does not exist|holds no picture|is no source') as caught:
        open_source(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_exif_orientation_is_applied(tmp_path):
    image = pytest.importorskip('PIL.Image')
    picture = image.new('RGB', (64, 48))
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by 90 degrees to show
    picture.save(tmp_path / 'turned.jpg', exif=exif)
    (frame,) = open_source(tmp_path / 'turned.jpg')
    assert frame.image.shape == (64, 48, 3)


def test_a_video(tmp_path):
    source = open_source(write_video(tmp_path / 'drive.avi'))
    assert len(source) == 12 and source.fps == 20
    for _ in range(2):
        frames = list(source)
        assert [f.stamp_ns for f in frames] == [index * 50_000_000 for index in range(12)]
        assert frames[11].name == 'frame_000011'
        for index, frame in enumerate(frames):
            assert abs(int(frame.image.mean()) - 20 * index) <= 3
    assert source.skipped == []


def test_two_passes_over_a_video_at_once(tmp_path):
    source = open_source(write_video(tmp_path / 'drive.avi'))
    pairs = list(zip(source, source, strict=True))
    assert len(pairs) == 12
    assert all((one.image == other.image).all() for one, other in pairs)


def test_closing_a_video_within_a_pass_ends_it(tmp_path):
    source = open_source(write_video(tmp_path / 'drive.avi'))
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == [] and len(source) == 12 and source.skipped == []


def test_a_rescaled_video(tmp_path):
    source = open_source(write_video(tmp_path / 'drive.avi'), size=(128, 72))
    assert {frame.image.shape for frame in source} == {(72, 128, 3)}


@pytest.mark.parametrize('kept', [0, 100, 0.5])
def test_a_video_that_is_cut_off(tmp_path, kept):
    """It is refused, or plays as far as it goes with an honest length."""
    file = write_video(tmp_path / 'drive.avi')
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    try:
        source = open_source(file)
    except UserError as error:
        assert 'does not open as a video' in str(error) or 'holds no frame' in str(error)
    else:
        frames = list(source)
        assert 0 < len(frames) < 12 and len(source) == len(frames)


def test_no_video_at_all(tmp_path):
    (tmp_path / 'drive.mp4').write_text('words')
    with pytest.raises(UserError, match='does not open as a video'):
        open_source(tmp_path / 'drive.mp4')


def test_the_real_drive(data_dir):
    source = open_source(data_dir / 'drives' / 'highway.mp4')
    frames = [(frame.stamp_ns, frame.image.shape) for frame in source]
    assert len(source) == len(frames) == 221 and source.fps == 25
    assert frames[-1] == (220 * 40_000_000, (540, 960, 3))


def test_a_camera_that_is_not_there():
    with pytest.raises(UserError, match='camera 99 does not open'):
        open_source('99')


def test_gstreamer():
    gstreamer = 'gst:videotestsrc num-buffers=5 ! videoconvert ! video/x-raw,format=BGR ! appsink'
    if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        assert len(list(open_source(gstreamer))) == 5
    else:
        with pytest.raises(UserError, match='needs an OpenCV built with GStreamer'):
            open_source(gstreamer)


def test_a_source_without_an_end(tmp_path):
    """A capture of a file stands in for the device that test machines lack."""
    file = write_video(tmp_path / 'drive.avi', frames=3)

    class Live(LiveSource):
        description = 'live'
        opened = 0

        def open_capture(self):
            self.opened += 1
            return cv2.VideoCapture(str(file))

    source = Live()
    source.open_now()
    assert source.fps == 20
    with pytest.raises(TypeError, match='live has no end'):
        len(source)
    stamps = [frame.stamp_ns for frame in source]
    assert source.opened == 1  # a device must not be opened twice
    assert len(list(source)) == 3 and stamps == sorted(stamps) and stamps[0] > 1e18
    source.open_now()
    source.close()
    assert len(list(source)) == 3
