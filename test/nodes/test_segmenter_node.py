# SPDX-License-Identifier: Apache-2.0
"""segmenter_node as a real process over real DDS; what it shares is tested with the detector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from artifacts import CLASS_NAMES, SQUARES, scene
from ros_peer import Peer
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Float64, Header
from tiny_segmenter import write_tiny_segmenter

from kd_yolo_ros.bundled import NOTE
from kd_yolo_ros.cli.node_process import NodeProcess
from kd_yolo_ros.masks import UNLABELLED
from kd_yolo_ros.nodes import qos
from kd_yolo_ros.packed_masks import FORMAT, unpack_masks
from kd_yolo_ros.predictor import Predictor

SCALE = 2


@pytest.fixture(scope='module')
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_segmenter(tmp_path_factory.mktemp('segmenter') / 'tiny-seg')


@pytest.fixture
def segmenter(artifact: Path) -> Iterator[Peer]:
    """An active segmenter on the tiny model, and the peer that talks to it."""
    parameters = {'artifact': str(artifact), 'runtime': 'onnxruntime'}
    with Peer('segmenter') as peer, NodeProcess('segmenter_node', parameters, '/'):
        peer.wait_active()
        yield peer


class Masks:
    """A subscriber to one of the topics with masks."""

    def __init__(self, peer: Peer, name: str, topic: str, kind: type = Image) -> None:
        self.messages: list = []
        self._peer, self._name = peer, name
        self._subscription = peer.subscribe(kind, topic, qos.DETECTIONS, self.messages)
        peer.wait(lambda: self.known(), f'the segmenter to know of {topic}')

    def known(self) -> bool:
        return self._name in self._peer.status('inference').get('masks', '').split()

    def to(self, header: Header) -> Image | CompressedImage:
        return self._peer.wait(
            lambda: next((m for m in self.messages if m.header == header), None), 'masks'
        )

    def close(self) -> None:
        self._peer.node.destroy_subscription(self._subscription)
        self._peer.wait(lambda: not self.known(), 'the segmenter to forget it')


def pixels(message: Image) -> np.ndarray:
    kind = {'mono8': np.uint8, 'mono16': np.dtype('<u2')}[message.encoding]
    assert not message.is_bigendian
    assert message.step == message.width * np.dtype(kind).itemsize
    return np.frombuffer(message.data, kind).reshape(message.height, message.width)


def test_every_pixel_names_its_object_and_its_class(segmenter: Peer) -> None:
    picture, boxes = scene(scale=SCALE)
    instances = Masks(segmenter, 'instance', 'instance_mask')
    semantics = Masks(segmenter, 'semantic', 'semantic_mask')
    answer = segmenter.ask(picture)
    instance_map = pixels(instances.to(answer.header))
    semantic_map = pixels(semantics.to(answer.header))
    assert instance_map.shape == semantic_map.shape == picture.shape[:2]
    expected = np.full(picture.shape[:2], UNLABELLED, np.uint8)
    for square, (left, top, right, bottom) in zip(SQUARES, boxes.astype(int), strict=True):
        expected[top:bottom, left:right] = CLASS_NAMES.index(square.name)
    np.testing.assert_array_equal(semantic_map, expected)
    assert len(answer.detections) == len(SQUARES)
    for number, detection in enumerate(answer.detections, 1):
        name = detection.results[0].hypothesis.class_id
        np.testing.assert_array_equal(
            instance_map == number, expected == CLASS_NAMES.index(name), name
        )
    np.testing.assert_array_equal(instance_map == 0, expected == UNLABELLED)


def test_each_objects_own_mask_is_that_of_the_predictor(segmenter: Peer, artifact: Path) -> None:
    picture = scene(scale=SCALE)[0]
    packed = Masks(segmenter, 'debug', 'segmenter/debug/masks', CompressedImage)
    message = packed.to(segmenter.ask(picture).header)
    assert message.format == FORMAT
    masks = unpack_masks(bytes(message.data))
    expected = Predictor(artifact, 'onnxruntime').predict(picture).masks
    assert masks.size == expected.size and len(masks.crops) == len(SQUARES)
    for index in range(len(SQUARES)):
        np.testing.assert_array_equal(masks.full(index), expected.full(index))


def test_nothing_is_computed_that_nobody_looks_at(segmenter: Peer) -> None:
    picture = scene(scale=SCALE)[0]
    times: list[Float64] = []
    segmenter.subscribe(Float64, 'segmenter/debug/masks_ms', qos.DETECTIONS, times)
    instances = Masks(segmenter, 'instance', 'instance_mask')
    assert not segmenter.status('inference')['masks'].count('semantic')
    instances.to(segmenter.ask(picture).header)
    segmenter.wait(lambda: times, 'the time of the stage')
    instances.close()
    count = len(times)
    answer = segmenter.ask(picture)
    segmenter.wait_count(processed=2)
    assert len(answer.detections) == len(SQUARES) and len(times) == count


def test_masks_of_another_size(segmenter: Peer) -> None:
    picture = scene(scale=SCALE)[0]
    semantics = Masks(segmenter, 'semantic', 'semantic_mask')
    assert segmenter.set_parameter('mask_scale', 0.5).successful
    small = pixels(semantics.to(segmenter.ask(picture).header))
    assert small.shape == (picture.shape[0] // 2, picture.shape[1] // 2)
    assert set(np.unique(small)) == {0, 1, 2, UNLABELLED}
    assert not segmenter.set_parameter('mask_scale', 0.0).successful


@pytest.mark.parametrize('node', ['detector', 'segmenter'])
def test_a_model_of_the_other_task_is_refused(
    node: str, artifact: Path, tiny_artifact: Path
) -> None:
    path, task = (artifact, 'segment') if node == 'detector' else (tiny_artifact, 'detect')
    parameters = {'artifact': str(path), 'runtime': 'onnxruntime'}
    process = NodeProcess(f'{node}_node', parameters, '/refused')
    try:
        assert process.process.wait(60) == 1
        refusal = f"{path} is a model for task '{task}'"
        assert sum(refusal in line for line in process.output().splitlines()) == 1
    finally:
        process.stop()


def test_without_an_artifact_it_is_refused() -> None:
    process = NodeProcess('segmenter_node', {'runtime': 'onnxruntime'}, '/refused')
    try:
        assert process.process.wait(60) == 1
        assert 'artifact has to be given' in process.output() and NOTE not in process.output()
    finally:
        process.stop()
