# SPDX-License-Identifier: Apache-2.0
"""The picture lies centred and undistorted in the input, and boxes come back where they were."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kd_yolo_ros.letterbox import PADDING_GREY, Letterbox, Placement, to_network_input
from kd_yolo_ros.manifest import InputSpec

TARGETS = [(640, 640), (384, 640), (640, 384), (64, 96)]
SOURCES = [
    *[(1, 1), (1, 4000), (4000, 1), (2, 3), (37, 53), (480, 640), (539, 961), (540, 960)],
    *[(640, 480), (640, 640), (719, 1281), (720, 1280), (1080, 1920), (1081, 1919), (2161, 3841)],
    *[tuple(sides) for sides in np.random.default_rng(0).integers(1, 3000, (60, 2)).tolist()],
]


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize('source', SOURCES)
def test_placement_is_the_largest_that_fits_in_the_middle(source, target):
    place = Placement.fit(source, target)
    height, width = place.scaled
    assert height == target[0] or width == target[1]
    assert place.top >= 0 and place.left >= 0
    bottom, right = target[0] - height - place.top, target[1] - width - place.left
    assert bottom - place.top in (0, 1) and right - place.left in (0, 1)
    scale = min(target[0] / source[0], target[1] / source[1])
    assert height == pytest.approx(source[0] * scale, abs=0.5) or height == 1
    assert width == pytest.approx(source[1] * scale, abs=0.5) or width == 1


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize('source', SOURCES)
def test_boxes_come_back_where_they_were(source, target):
    place = Placement.fit(source, target)
    random = np.random.default_rng(1)
    limit = np.array([source[1], source[0]], np.float64)
    corners = np.sort(random.random((20, 2, 2)), axis=1) * limit
    boxes = np.concatenate([corners.reshape(20, 4), [[0, 0, *limit]]])
    # Independent of the code: pixels of the source, per axis, to pixels of the network.
    factor = np.array([place.scaled[1] / source[1], place.scaled[0] / source[0]] * 2)
    in_network = boxes * factor + [place.left, place.top] * 2
    back = place.to_source(in_network.astype(np.float32))
    assert back.dtype == np.float32
    # float32 knows a network pixel to about 1e-4, and so much of the source lies in one.
    assert np.abs(back - boxes).max() <= 1e-3 * max(1, 1 / factor.min())


def test_boxes_are_clipped_to_the_picture():
    place = Placement.fit((30, 60), (64, 64))
    (box,) = place.to_source(np.array([[-5, -5, 70, 70]], np.float32))
    assert box.tolist() == [0, 0, 60, 30]
    (outside,) = place.to_source(np.array([[10, 0, 20, 10]], np.float32))
    assert outside[1] == outside[3] == 0, 'a box in the padding has no area'


def test_no_boxes():
    assert Placement.fit((30, 60), (64, 64)).to_source(np.zeros((0, 4), np.float32)).shape == (
        0,
        4,
    )


@pytest.mark.parametrize('source', [(48, 96), (64, 50), (200, 300), (33, 31), (64, 96)])
def test_the_buffer_holds_the_resized_picture_and_grey_around(source):
    picture = np.random.default_rng(2).integers(0, 256, (*source, 3), np.uint8)
    buffer, place = Letterbox(64, 96)(picture)
    assert buffer.shape == (64, 96, 3) and buffer.dtype == np.uint8
    (height, width), top, left = place.scaled, place.top, place.left
    expected = np.full((64, 96, 3), PADDING_GREY, np.uint8)
    expected[top : top + height, left : left + width] = cv2.resize(picture, (width, height))
    assert np.array_equal(buffer, expected)


def test_nothing_stays_of_a_picture_of_another_size():
    letterbox = Letterbox(64, 96)
    tall, wide = np.full((96, 32, 3), 7, np.uint8), np.full((10, 96, 3), 9, np.uint8)
    first = letterbox(tall)[0]
    buffer, place = letterbox(wide)
    assert buffer is first, 'one buffer, allocated once'
    assert place.source == (10, 96)
    assert set(np.unique(buffer)) == {9, PADDING_GREY}
    assert set(np.unique(letterbox(tall)[0])) == {7, PADDING_GREY}


def test_a_picture_that_is_no_contiguous_array():
    picture = np.random.default_rng(3).integers(0, 256, (90, 120, 3), np.uint8)
    for view in (picture[:, ::-1], picture[..., ::-1], picture[10:70, 5:100]):
        expected = Letterbox(64, 96)(np.ascontiguousarray(view))[0]
        assert np.array_equal(Letterbox(64, 96)(view)[0], expected)


@pytest.mark.parametrize(
    'picture',
    [
        np.zeros((48, 64), np.uint8),
        np.zeros((48, 64, 1), np.uint8),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((48, 64, 3), np.float32),
        np.zeros((64, 96, 3), np.uint16),
        np.zeros((0, 64, 3), np.uint8),
        np.zeros((48, 0, 3), np.uint8),
    ],
    ids=lambda picture: f'{picture.shape} {picture.dtype}',
)
def test_what_is_no_bgr_picture_never_passes_for_the_one_before(picture):
    letterbox = Letterbox(64, 96)
    letterbox(np.full((48, 64, 3), 200, np.uint8))
    with pytest.raises(ValueError, match=r'\(H, W, 3\) uint8') as raised:
        letterbox(picture)
    assert str(picture.shape) in str(raised.value)


@pytest.mark.parametrize('dtype', ['uint8', 'float32'])
@pytest.mark.parametrize('layout', ['nhwc', 'nchw'])
@pytest.mark.parametrize('order', ['bgr', 'rgb'])
def test_network_input(dtype, layout, order):
    picture = np.random.default_rng(4).integers(0, 256, (64, 96, 3), np.uint8)
    scale = 1 / 255 if dtype == 'float32' else 1.0
    tensor = to_network_input(picture, InputSpec(96, 64, dtype, layout, order, scale))
    assert tensor.dtype == dtype and tensor.flags.c_contiguous
    assert tensor.shape == ((1, 64, 96, 3) if layout == 'nhwc' else (1, 3, 64, 96))
    channels_last = tensor[0] if layout == 'nhwc' else tensor[0].transpose(1, 2, 0)
    expected = picture if order == 'bgr' else picture[..., ::-1]
    np.testing.assert_allclose(channels_last, expected * scale, rtol=1e-6)


def test_our_own_input_is_not_copied():
    picture = np.zeros((64, 96, 3), np.uint8)
    assert np.shares_memory(to_network_input(picture, InputSpec(96, 64)), picture)
