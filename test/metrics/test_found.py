# SPDX-License-Identifier: Apache-2.0
"""What was found comes back from its file as it was, or not at all."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from artifacts import scene
from mask_scenes import HEIGHT, WIDTH, random_found, random_truth
from tiny_segmenter import write_tiny_segmenter

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import Frame
from kd_yolo_ros.frames.frame import keep
from kd_yolo_ros.masks import Masks
from kd_yolo_ros.metrics.found import Found, compressed, find, read_found, write_found
from kd_yolo_ros.predictor import Predictor


def some_found(counts=(3, 0, 2)):
    random = np.random.default_rng(0)
    return [
        Found(
            Detections(
                random.uniform(0, 90, (count, 4)).astype(np.float32),
                random.random(count).astype(np.float32),
                random.integers(0, 5, count),
            ),
            (640 + number, 480),
        )
        for number, count in enumerate(counts)
    ]


@pytest.mark.parametrize('counts', [(3, 0, 2), (0,)])
def test_it_comes_back(tmp_path, counts):
    found = some_found(counts)
    write_found(tmp_path / 'new' / 'found.npz', found)
    back = read_found(tmp_path / 'new' / 'found.npz', len(found))
    for (one, *rest), (other, *other_rest) in zip(found, back, strict=True):
        assert rest == other_rest and rest[1] is None
        for name in ('boxes', 'scores', 'class_ids'):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_masks_come_back_compressed(tmp_path):
    found = [
        compressed(detections, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        for detections in random_found(random_truth(0), 0).values()
    ]
    nothing = Masks((HEIGHT, WIDTH), np.zeros((0, 2), np.int64), ())
    none = dataclasses.replace(Detections.empty(), masks=nothing)
    found.insert(1, compressed(none, np.zeros((HEIGHT, WIDTH, 3), np.uint8)))
    assert found[0].detections.masks is None and found[0].size == (WIDTH, HEIGHT)
    write_found(tmp_path / 'found.npz', found)
    back = read_found(tmp_path / 'found.npz', len(found), masks=True)
    assert [one.masks for one in back] == [one.masks for one in found]
    assert len(back[0].masks) == len(back[0].detections) > 0 and len(back[1].masks) == 0
    del found[0]
    write_found(tmp_path / 'found.npz', [found[0]._replace(masks=None), *found[1:]])
    assert all(one.masks is None for one in read_found(tmp_path / 'found.npz', len(found)))
    assert read_found(tmp_path / 'found.npz', len(found), masks=True) is None


def test_what_is_not_whole_does_not_come_back(tmp_path):
    file = tmp_path / 'found.npz'
    assert read_found(file, 3) is None
    write_found(file, some_found())
    assert read_found(file, 4) is None, 'of other pictures'
    file.write_bytes(file.read_bytes()[:-40])
    assert read_found(file, 3) is None
    with pytest.raises(UserError, match='cannot be written'):
        write_found(file / 'below.npz', some_found())


class Centre:
    """Finds one object in the middle of a picture."""

    class_names = ('thing',)

    def __init__(self):
        self.stages_ms = {}

    def predict(self, picture, masks=True):
        height, width = picture.shape[:2]
        box = np.array([[width / 4, height / 4, width * 3 / 4, height * 3 / 4]], np.float32)
        return Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64))


def test_masks_that_nobody_compares_are_not_computed(tmp_path):
    predictor = Predictor(write_tiny_segmenter(tmp_path / 'seg'), 'onnxruntime')
    frames = [Frame('a', 0, 'camera', keep(scene(scale=2)[0]))]
    (with_masks,), (without,) = (find(predictor, frames, masks) for masks in (True, False))
    assert len(with_masks.masks) == len(without.detections) == 3
    assert without.masks is None and 'masks' not in predictor.stages_ms


def test_find_tells_the_size_that_boxes_refer_to():
    frames = [
        Frame(str(side), side, 'camera', keep(np.zeros((side, 2 * side, 3), np.uint8)))
        for side in (8, 16)
    ]
    found = find(Centre(), frames)
    assert [one.size for one in found] == [(16, 8), (32, 16)]
    assert found[1][0].boxes.tolist() == [[8, 4, 24, 12]]


def test_whatever_damages_it(tmp_path):
    """Not one flipped bit is an error of its own, wherever it lies."""
    file = tmp_path / 'found.npz'
    found = some_found((50,) * 3)
    write_found(file, found)
    whole = file.read_bytes()
    for place in range(0, len(whole), 3):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        back = read_found(file, len(found))
        assert back is None or all(
            np.array_equal(one.detections.boxes, other.detections.boxes)
            for one, other in zip(found, back, strict=True)
        )
