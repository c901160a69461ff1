# SPDX-License-Identifier: Apache-2.0
"""The player against a segmenter of the test's own, which tells and answers what it wants to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from ros_peer import Peer
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray, LabelInfo

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import Frame
from kd_yolo_ros.frames.frame import keep
from kd_yolo_ros.nodes import qos
from kd_yolo_ros.nodes.player import NAMESPACE, Player

NAME = f'{NAMESPACE}/segmenter: inference'.lstrip('/')
FRAME = Frame('a.png', 0, 'camera', keep(np.zeros((8, 8, 3), np.uint8)))


class Segmenter(Peer):
    """Takes pictures in the player's namespace, answers without objects, and sends no masks."""

    def __init__(self) -> None:
        super().__init__('segmenter', NAMESPACE)
        self._labels = self.node.create_publisher(LabelInfo, 'label_info', qos.LATCHED)
        self._told = self.node.create_publisher(DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS)
        self._answers = self.node.create_publisher(Detection2DArray, 'detections', qos.DETECTIONS)
        self.node.create_subscription(Image, 'image', self._answer, qos.PUBLISHED_IMAGE)

    def _answer(self, message: Image) -> None:
        self._answers.publish(Detection2DArray(header=message.header))

    def activate(self) -> None:
        self._labels.publish(LabelInfo())

    def tell(self, **values: str) -> None:
        told = [KeyValue(key=key, value=value) for key, value in values.items()]
        status = DiagnosticStatus(name=NAME, values=told)
        self._told.publish(DiagnosticArray(status=[status]))


@pytest.fixture
def segmenter() -> Iterator[Segmenter]:
    with Segmenter() as peer:
        yield peer


@pytest.fixture
def player(segmenter: Segmenter) -> Iterator[Player]:
    with Player(['a'], False, lambda: None, 'segment', masks=True) as one:
        yield one


def activated(segmenter: Segmenter, player: Player) -> float:
    """Wait until the player is ready; return the start it had before it knew of masks."""
    waiting = threading.Thread(target=player.wait_until_active)
    waiting.start()
    segmenter.activate()
    segmenter.wait(lambda: player.played.start_s, 'the player to see an active node')
    start_s = player.played.start_s
    assert waiting.is_alive(), 'it waits for the node to know that masks are wanted'

    def ready() -> bool:
        segmenter.tell(masks='debug')
        return not waiting.is_alive()

    segmenter.wait(ready, 'the player to be ready')
    return start_s


def test_the_start_ends_when_the_node_is_active(segmenter: Segmenter, player: Player) -> None:
    assert activated(segmenter, player) == player.played.start_s > 0


def test_masks_that_do_not_come_are_named(
    segmenter: Segmenter, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    activated(segmenter, player)
    patient = player._wait

    def wait(condition: Any, timeout_s: float, problem: str) -> None:
        patient(condition, 0.0 if 'masks' in problem else timeout_s, problem)

    monkeypatch.setattr(player, '_wait', wait)
    with pytest.raises(UserError, match='Replay: the masks of a.png did not come within'):
        list(player.play_lossless([FRAME]))
    assert list(player.played.answers) == ['a.png']
