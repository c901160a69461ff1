# SPDX-License-Identifier: Apache-2.0
"""The thread that runs a node's callbacks: it ends when told to, and does not grow."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import rclpy
from processes import run_python
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


# In a process of its own: counting takes long among all that other tests have loaded.
COUNTING = """
import gc, threading
import rclpy
from rclpy.node import Node
from kd_yolo_ros.nodes.spinner import Spinner

objects, enough = [], threading.Event()

def callback():
    gc.collect()
    objects.append(len(gc.get_objects()))
    if len(objects) == 300:
        enough.set()

rclpy.init()
node = Node('counting')
node.create_timer(0.001, callback)
spinner = Spinner(node)
spinner.start()
enough.wait()
spinner.stop()
print(objects[299] - objects[99])
"""


def test_callbacks_leave_nothing_behind() -> None:
    done = run_python('-c', COUNTING, timeout_s=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    # One object for each callback would be 200 of them.
    assert int(done.stdout) < 50
