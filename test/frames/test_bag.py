# SPDX-License-Identifier: Apache-2.0
"""Bags of both storages, whole and broken, through the real rosbags library."""

from __future__ import annotations

import sqlite3

import cv2
import numpy as np
import pytest
from frames import bag_writer
from frames.bag_writer import FRAME_ID, PERIOD_NS, START_NS, write_bag

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import open_source
from kd_yolo_ros.frames.bag import COMPRESSED_IMAGE, DETECTIONS, IMAGE, ground_truth

STORAGES = ('sqlite3', 'mcap')


def stamps(count):
    return [START_NS + index * PERIOD_NS for index in range(count)]


def pictures(count, seed=0):
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(count)]


def images(count):
    # Recorded 5 ms after the camera's stamp, as in life: the two must not be mixed up.
    return IMAGE, [
        (stamp + 5_000_000, bag_writer.image(picture, stamp))
        for picture, stamp in zip(pictures(count), stamps(count), strict=True)
    ]


@pytest.fixture(params=STORAGES)
def storage(request):
    return request.param


def storage_file(bag):
    return next(file for file in bag.iterdir() if file.suffix in ('.db3', '.mcap'))


def test_an_image_without_a_stamp_gets_its_time_of_recording(tmp_path, storage):
    rows = [(time, bag_writer.image(p, 0)) for time, p in zip(stamps(3), pictures(3), strict=True)]
    bag = write_bag(tmp_path / 'drive', {'/camera/image': (IMAGE, rows)}, storage)
    for frame, time, picture in zip(open_source(bag), stamps(3), pictures(3), strict=True):
        assert frame.stamp_ns == time
        message = bag_writer.STORE.deserialize_cdr(frame.serialized, IMAGE)
        assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == time
        assert message.header.frame_id == FRAME_ID
        np.testing.assert_array_equal(message.data.reshape(picture.shape), picture)


def test_images_come_back_as_recorded(tmp_path, storage):
    topic = images(5)
    bag = write_bag(tmp_path / 'drive', {'/camera/image': topic}, storage)
    with open_source(bag) as source:
        assert len(source) == 5
        for _ in range(2):  # a source can be played again
            frames = list(source)
            assert [frame.stamp_ns for frame in frames] == stamps(5)
            assert [frame.name for frame in frames][:2] == ['frame_000000', 'frame_000001']
            assert {frame.frame_id for frame in frames} == {FRAME_ID}
            assert {frame.message_type for frame in frames} == {IMAGE}
            for frame, expected, (_, message) in zip(frames, pictures(5), topic[1], strict=True):
                np.testing.assert_array_equal(frame.image, expected)
                assert frame.serialized == bytes(bag_writer.STORE.serialize_cdr(message, IMAGE))


def test_a_single_file_without_its_metadata(tmp_path, storage):
    bag = write_bag(tmp_path / 'drive', {'/camera/image': images(3)}, storage)
    assert len(list(open_source(storage_file(bag)))) == 3


def test_rescaled_pictures_are_not_published_as_recorded(tmp_path):
    bag = write_bag(tmp_path / 'drive', {'/camera/image': images(1)})
    (frame,) = open_source(bag, size=(32, 24))
    assert frame.image.shape == (24, 32, 3)
    assert frame.serialized is None and frame.message_type is None


def test_a_broken_jpeg_stops_only_its_own_picture(tmp_path, storage):
    ok, jpeg = cv2.imencode('.jpg', pictures(1)[0])
    assert ok
    data = [jpeg.tobytes(), jpeg.tobytes()[:200], b'', jpeg.tobytes()]
    messages = [(s, bag_writer.compressed(d, s)) for s, d in zip(stamps(4), data, strict=True)]
    bag = write_bag(
        tmp_path / 'drive', {'/image/compressed': (COMPRESSED_IMAGE, messages)}, storage
    )
    frames = list(open_source(bag))
    assert [frame.message_type for frame in frames] == [COMPRESSED_IMAGE] * 4
    assert frames[0].image.shape == frames[3].image.shape == (48, 64, 3)
    with pytest.raises(UserError, match='image 1: the compressed image is cut off'):
        _ = frames[1].image
    with pytest.raises(UserError, match='image 2: the compressed image is empty'):
        _ = frames[2].image


def test_a_message_that_is_cut_off(tmp_path, storage):
    topic = images(3)
    whole = bytes(bag_writer.STORE.serialize_cdr(topic[1][1][1], IMAGE))
    topic[1][1] = (topic[1][1][0], whole[:500])
    topic[1][2] = (topic[1][2][0], b'\x00\x01')
    frames = list(open_source(write_bag(tmp_path / 'drive', {'/image': topic}, storage)))
    assert frames[1].stamp_ns == stamps(2)[1]
    for frame in frames[1:]:
        with pytest.raises(UserError, match='cut off or broken'):
            _ = frame.image


def test_topics(tmp_path, storage):
    topics = {'/left/image': images(2), '/right/image': images(3)}
    bag = write_bag(tmp_path / 'drive', topics, storage)
    assert len(open_source(bag, topic='/right/image')) == 3
    with pytest.raises(UserError, match='several topics.*: /left/image, /right/image$'):
        open_source(bag)
    with pytest.raises(UserError, match='no topic /rear/image.*: /left/image, /right/image$'):
        open_source(bag, topic='/rear/image')
    with pytest.raises(UserError, match='no fitting topic.*: none$'):
        ground_truth(bag)


def test_a_topic_without_messages(tmp_path, storage):
    topics = {'/empty': (IMAGE, []), '/image': images(1)}
    bag = write_bag(tmp_path / 'drive', topics, storage)
    with pytest.raises(UserError, match='holds no message on topic /empty'):
        open_source(bag, topic='/empty')


def test_an_empty_bag(tmp_path, storage):
    bag = write_bag(tmp_path / 'drive', {'/image': (IMAGE, [])}, storage)
    with pytest.raises(UserError, match='is empty, it holds no message'):
        open_source(bag)


@pytest.mark.parametrize('kept', [0, 10, 5000, 0.5, 0.98])
def test_a_file_that_is_cut_off(tmp_path, storage, kept):
    bag = write_bag(tmp_path / 'drive', {'/image': images(40)}, storage)
    file = storage_file(bag)
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    for path in (bag, file):
        with pytest.raises(UserError, match='cannot be read as a rosbag2|is empty') as caught:
            list(open_source(path))
        assert '\n' not in str(caught.value)


def test_fewer_messages_than_announced(tmp_path):
    bag = write_bag(tmp_path / 'drive', {'/image': images(10)})
    with sqlite3.connect(storage_file(bag)) as connection:
        connection.execute('DELETE FROM messages WHERE id > 7')
    source = open_source(bag)
    with pytest.raises(UserError, match='announces 10 images, has 7'):
        list(source)


@pytest.mark.parametrize('text', ['', 'not: [yaml', 'rosbag2_bagfile_information: 3\n'])
def test_broken_metadata(tmp_path, text):
    bag = write_bag(tmp_path / 'drive', {'/image': images(1)})
    (bag / 'metadata.yaml').write_text(text)
    with pytest.raises(UserError, match='cannot be read as a rosbag2'):
        open_source(bag)


@pytest.mark.parametrize('definitions', [True, False])
def test_ground_truth(tmp_path, definitions):
    objects = [('car', (1.0, 2.0, 31.0, 22.0)), ('bus', (0.0, 0.0, 5.5, 7.0))]
    messages = [
        (START_NS, bag_writer.detections(objects, START_NS)),
        (START_NS + PERIOD_NS, bag_writer.detections([], START_NS + PERIOD_NS)),
    ]
    bag = write_bag(tmp_path / 'drive', {'/truth': (DETECTIONS, messages), '/image': images(2)})
    if not definitions:  # as recorders before Iron leave them
        with sqlite3.connect(storage_file(bag)) as connection:
            connection.execute('DELETE FROM message_definitions')
    truth = ground_truth(bag)
    assert truth == {START_NS: objects, START_NS + PERIOD_NS: []}
    assert len(list(open_source(bag))) == 2
