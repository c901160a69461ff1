# SPDX-License-Identifier: Apache-2.0
"""Every encoding against a picture of known colours, and every way to get one wrong."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
import pytest

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.image_encoding import SUPPORTED_ENCODINGS, decode_compressed, to_bgr

HEIGHT, WIDTH = 32, 48
RED, GREEN, BLUE = (30, 40, 200), (50, 180, 60), (220, 30, 20)  # as BGR


def smooth_picture():
    """A picture without sharp edges, since YUV 4:2:0 and Bayer halve the colour's resolution."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    channels = [60 + 2 * x, 180 - 3 * y, 40 + x + 2 * y]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def flat_picture(colour):
    return np.full((HEIGHT, WIDTH, 3), colour, np.uint8)


def yuv422(picture, first_luma):
    """Return (H, W, 2), with luma at `first_luma` and the chroma shared by two pixels."""
    yuv = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)  # BT.601 limited range, as cameras send
    luma = yuv[:HEIGHT]
    chroma = yuv[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2).repeat(2, axis=1)
    packed = np.empty((HEIGHT, WIDTH, 2), np.uint8)
    packed[:, :, first_luma] = luma
    packed[:, 0::2, 1 - first_luma] = chroma[0]
    packed[:, 1::2, 1 - first_luma] = chroma[1]
    return packed


def half_planes(picture, first):
    """Return NV12 (`first` 0: U before V) or NV21 (1)."""
    yuv = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
    chroma = yuv[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
    pairs = np.stack([chroma[first], chroma[1 - first]], axis=-1)
    return np.vstack([yuv[:HEIGHT], pairs.reshape(HEIGHT // 2, WIDTH)])


def bayer(picture, pattern):
    """Sample a picture through the filter whose first row begins with pattern[0], pattern[1]."""
    channel = {'b': 0, 'g': 1, 'r': 2}
    mosaic = np.empty((HEIGHT, WIDTH), np.uint8)
    for index, letter in enumerate(pattern):
        row, column = divmod(index, 2)
        mosaic[row::2, column::2] = picture[row::2, column::2, channel[letter]]
    return mosaic


def encode(picture, encoding):
    """Return an encoding's rows, written from its definition and not from the tested table."""
    if encoding in ('bgr8', '8UC3'):
        return picture
    if encoding == 'rgb8':
        return picture[:, :, ::-1]
    if encoding in ('bgra8', 'rgba8'):
        colour = picture if encoding == 'bgra8' else picture[:, :, ::-1]
        return np.dstack([colour, np.full((HEIGHT, WIDTH), 7, np.uint8)])
    if encoding in ('mono8', '8UC1'):
        return picture[:, :, 0]
    if encoding == 'mono16':
        return picture[:, :, 0].astype('<u2') * 256 + 77
    if encoding in ('yuv422', 'uyvy'):
        return yuv422(picture, first_luma=1)
    if encoding in ('yuv422_yuy2', 'yuyv'):
        return yuv422(picture, first_luma=0)
    if encoding in ('nv12', 'nv21'):
        return half_planes(picture, first=('nv12', 'nv21').index(encoding))
    assert encoding.startswith('bayer_')
    mosaic = bayer(picture, encoding[6:10])
    return mosaic if encoding.endswith('8') else mosaic.astype('<u2') * 256 + 77


def rows_and_step(encoded, padding=0):
    rows = np.ascontiguousarray(encoded).reshape(len(encoded), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    return rows.tobytes(), rows.shape[1]


def expected(picture, encoding):
    if encoding in ('mono8', '8UC1', 'mono16'):
        return picture[:, :, :1].repeat(3, axis=2)
    return picture


EXACT = ('bgr8', '8UC3', 'rgb8', 'bgra8', 'rgba8', 'mono8', '8UC1', 'mono16')


@pytest.mark.parametrize('padding', [0, 12])
@pytest.mark.parametrize('encoding', SUPPORTED_ENCODINGS)
@pytest.mark.parametrize('colour', [RED, GREEN, BLUE, None])
def test_colours(encoding, colour, padding):
    picture = smooth_picture() if colour is None else flat_picture(colour)
    data, step = rows_and_step(encode(picture, encoding), padding)
    result = to_bgr(data, WIDTH, HEIGHT, encoding, step)
    assert result.shape == (HEIGHT, WIDTH, 3) and result.dtype == np.uint8
    # The outermost pixels of a Bayer picture are extrapolated.
    inner = np.s_[2:-2, 2:-2]
    difference = np.abs(result.astype(int) - expected(picture, encoding))[inner]
    assert difference.max() <= (0 if encoding in EXACT else 6)


@pytest.mark.parametrize('encoding', ['mono16', 'bayer_rggb16'])
def test_big_endian_samples(encoding):
    encoded = encode(smooth_picture(), encoding)
    little, step = rows_and_step(encoded)
    big, _ = rows_and_step(encoded.astype('>u2'))
    np.testing.assert_array_equal(
        to_bgr(big, WIDTH, HEIGHT, encoding, step, is_bigendian=True),
        to_bgr(little, WIDTH, HEIGHT, encoding, step),
    )


@pytest.mark.parametrize('padding', [0, 12])
def test_bgr8_is_a_view(padding):
    raw, step = rows_and_step(smooth_picture(), padding)
    data = array('B', raw)  # the type that rclpy gives
    result = to_bgr(data, WIDTH, HEIGHT, 'bgr8', step)
    data[2 * step + 3] = 99
    assert result[2, 1, 0] == 99


@pytest.mark.parametrize('encoding', ['rgb8', 'mono8', 'nv12', 'bayer_rggb8', 'mono16'])
def test_conversion_into_a_buffer(encoding):
    data, step = rows_and_step(encode(smooth_picture(), encoding))
    out = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    assert to_bgr(data, WIDTH, HEIGHT, encoding, step, out=out) is out
    np.testing.assert_array_equal(out, to_bgr(data, WIDTH, HEIGHT, encoding, step))
    # A buffer of the size before a change of size is not written to.
    small = np.zeros((4, 4, 3), np.uint8)
    assert to_bgr(data, WIDTH, HEIGHT, encoding, step, out=small).shape == out.shape


@pytest.mark.parametrize('kind', [bytes, bytearray, memoryview, lambda b: array('B', b)])
def test_kinds_of_data(kind):
    raw, step = rows_and_step(smooth_picture())
    result = to_bgr(kind(raw), WIDTH, HEIGHT, 'bgr8', step)
    np.testing.assert_array_equal(result, smooth_picture())


@pytest.mark.parametrize('encoding', SUPPORTED_ENCODINGS)
@pytest.mark.parametrize('change', [-1, 1, -(10**9)])
def test_wrong_amount_of_data(encoding, change):
    data, step = rows_and_step(encode(smooth_picture(), encoding))
    wrong = data[:change] if change < 0 else data + b'\0' * change
    with pytest.raises(UserError) as caught:
        to_bgr(wrong, WIDTH, HEIGHT, encoding, step)
    assert f'got {len(wrong)} bytes of data, expected {len(data)}' in str(caught.value)


@pytest.mark.parametrize(
    ('width', 'height', 'encoding', 'step', 'words'),
    [
        (48, 32, 'bgr9', 144, "'bgr9' is not supported, expected one of bgr8"),
        (48, 32, '', 144, "'' is not supported"),
        (0, 32, 'bgr8', 144, 'width and height must be at least 1'),
        (48, 0, 'bgr8', 144, 'width and height must be at least 1'),
        (48, 32, 'bgr8', 143, 'got a step of 143 bytes, expected at least 144'),
        (48, 32, 'bgr8', 0, 'got a step of 0 bytes, expected at least 144'),
        (47, 32, 'yuv422', 94, 'needs an even width'),
        (47, 32, 'yuv422_yuy2', 94, 'needs an even width'),
        (47, 32, 'nv12', 47, 'needs an even width'),
        (48, 31, 'nv12', 48, 'needs an even height'),
        (48, 31, 'nv21', 48, 'needs an even height'),
    ],
)
def test_impossible_images(width, height, encoding, step, words):
    with pytest.raises(UserError, match=words):
        to_bgr(bytes(max(height * step, 1)), width, height, encoding, step)


def test_the_smallest_bayer_picture():
    assert (to_bgr(bytes([90]) * 9, 3, 3, 'bayer_rggb8', 3) == 90).all()
    with pytest.raises(UserError, match='at least 3'):
        to_bgr(bytes([90]) * 4, 2, 2, 'bayer_rggb8', 2)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_compressed(suffix):
    ok, data = cv2.imencode(suffix, smooth_picture())
    assert ok
    for kind in (bytes, lambda raw: array('B', raw), lambda raw: np.frombuffer(raw, np.uint8)):
        result = decode_compressed(kind(data.tobytes()))
        difference = np.abs(result.astype(int) - smooth_picture())
        assert difference.max() <= (0 if suffix == '.png' else 12)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
@pytest.mark.parametrize('kept', [0, 2, 20, 200, 0.5, 0.9, -1])
def test_compressed_data_that_are_cut_off(suffix, kept):
    ok, encoded = cv2.imencode(suffix, np.random.default_rng(1).integers(
        0, 256, (HEIGHT, WIDTH, 3), np.uint8
    ))  # fmt: skip
    data = encoded.tobytes()
    assert ok and len(data) > 1000
    with pytest.raises(UserError, match='cut off|empty|could not be decoded'):
        decode_compressed(data[: int(kept * len(data)) if isinstance(kept, float) else kept])


def test_a_whole_thumbnail_in_a_cut_off_jpeg():
    ok, small = cv2.imencode('.jpg', smooth_picture()[:8, :8])
    ok, large = cv2.imencode('.jpg', smooth_picture())
    thumbnail = b'Exif\0\0' + small.tobytes()
    marker = b'\xff\xe1' + (len(thumbnail) + 2).to_bytes(2, 'big') + thumbnail
    whole = large.tobytes()[:2] + marker + large.tobytes()[2:]
    assert decode_compressed(whole).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(UserError, match='cut off'):
        decode_compressed(whole[:-100])


@pytest.mark.parametrize('data', [b'GIF or what', b'\xff\xd8\xff\xd9', b'\x89PNG\r\n\x1a\nIEND'])
def test_data_that_are_no_picture(data):
    with pytest.raises(UserError, match='could not be decoded|cut off'):
        decode_compressed(data)
