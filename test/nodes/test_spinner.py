# SPDX-License-Identifier: Apache-2.0
"""The thread that runs a node's callbacks: it ends when told to, and does not grow."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest
import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from kd_yolo_ros.nodes.spinner import Spinner

TIMEOUT_S = 60.0


@pytest.fixture
def node() -> Iterator[Node]:
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    made = Node('spun', context=context)
    yield made
    made.destroy_node()
    rclpy.try_shutdown(context=context)


def test_it_ends_while_it_waits_and_where_it_never_began(node: Node) -> None:
    ended = threading.Event()
    spinner = Spinner(node, on_end=ended.set)
    spinner.start()
    spinner.stop()
    assert ended.is_set()
    assert not spinner.failed
    Spinner(node).stop()


def test_a_failing_callback_ends_it(node: Node) -> None:
    ended = threading.Event()
    spinner = Spinner(node, on_end=ended.set)
    node.create_timer(0.001, lambda: 1 / 0)
    spinner.start()
    assert ended.wait(TIMEOUT_S)
    assert spinner.failed
    spinner.stop()


def test_callbacks_leave_nothing_behind(node: Node) -> None:
    objects: list[int] = []
    enough = threading.Event()

    def callback() -> None:
        gc.collect()
        objects.append(len(gc.get_objects()))
        if len(objects) == 200:
            enough.set()

    spinner = Spinner(node)
    node.create_timer(0.001, callback)
    spinner.start()
    assert enough.wait(TIMEOUT_S)
    spinner.stop()
    # One object for each callback would be 150 of them.
    assert objects[199] - objects[49] < 50
