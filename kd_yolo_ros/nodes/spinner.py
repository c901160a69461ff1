# SPDX-License-Identifier: Apache-2.0
"""Runs a node's callbacks in a thread of its own that ends when it is told to."""

from __future__ import annotations

import threading
import traceback
from typing import Callable

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node


class Spinner:
    """One thread, one node, one callback at a time.

    `spin_until_future_complete` would do, but in Jazzy it leaves a callback with the future for
    every one that it runs: a node that sees 30 pictures a second would grow without an end.

    Args:
        node: whose callbacks run.
        on_end: called in the thread when it ends, for whatever reason.

    Attributes:
        failed: whether a callback's exception ended it; the node has logged it then.
    """

    def __init__(self, node: Node, on_end: Callable[[], None] = lambda: None) -> None:
        self.failed = False
        self._node = node
        self._on_end = on_end
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._spin, name='executor', daemon=True)

    def start(self) -> None:
        """Begin to run callbacks."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for the callback under way and run no other; also where it never started."""
        self._stopping.set()
        # Shutting the executor down while it waits would pull the wait set from under it.
        self._executor.create_task(lambda: None)
        if self._thread.is_alive():
            self._thread.join()
        self._executor.shutdown()

    def _spin(self) -> None:
        try:
            while not self._stopping.is_set():
                self._executor.spin_once()
        except Exception:
            self.failed = True
            self._node.get_logger().fatal(traceback.format_exc())
        finally:
            self._on_end()
