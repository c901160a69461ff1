# SPDX-License-Identifier: Apache-2.0
"""How a node's process starts, spins and ends.

It ends with status 0 on SIGINT and SIGTERM, whatever is under way, and 1 on a failed start.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.nodes.spinner import Spinner

FASTDDS_PROFILE = Path(__file__).with_name('fastdds_large_images.xml')
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h


def use_large_image_transport() -> None:
    """Let Fast DDS carry camera pictures in shared memory, unless the user chose a profile.

    Its default segment of 512 kB drops most best-effort pictures larger than that.
    """
    os.environ.setdefault('FASTRTPS_DEFAULT_PROFILES_FILE', str(FASTDDS_PROFILE))


def keep_large_buffers() -> None:
    """Make glibc reuse the memory of pictures instead of returning it after each one.

    By default every buffer over 128 kB is mapped afresh, and each of its pages costs a fault:
    that tripled the time from sending to callback of a 1280x720 picture (docs/performance.md).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another libc
        return
    mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the largest that glibc accepts
    mallopt(M_TRIM_THRESHOLD, 256 << 20)
    mallopt(M_TOP_PAD, 16 << 20)


def middleware() -> str:
    """Return the name of the RMW implementation that would be used."""
    return rclpy.get_rmw_implementation_identifier()


class StopRequest:
    """Waits for SIGINT or SIGTERM, from its making on and whichever thread gets the signal.

    The system may hand a signal to a thread of the middleware. Python's handlers run in the main
    thread alone, and one that waits on a lock would not wake up for that; the byte that Python
    writes at once, wherever it is, does wake a reader.
    """

    def __init__(self) -> None:
        # Open until the process ends: a signal may come as late as that.
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)

    def set(self) -> None:
        """End the waiting without a signal."""
        os.write(self._writer, b'\0')

    def wait(self) -> None:
        """Return as soon as there has been a signal or a `set`."""
        os.read(self._reader, 1)


def run_node(
    create: Callable[[], Node],
    start: Callable[[Any], Optional[bool]],
    stop: Callable[[Any], None],
    args: Optional[Sequence[str]] = None,
) -> int:
    """Create a node, spin it until a signal comes, and end it in order.

    rclpy's own signal handlers shut the context down at once, under a worker that is still
    publishing; here a signal only ends the waiting, and a second one changes nothing.

    Args:
        create: makes the node.
        start: called before spinning; False means that it failed and said why.
        stop: called after spinning, with the context still valid.
        args: command line; None for the process's own.

    Returns:
        The exit status.
    """
    stop_request = StopRequest()
    use_large_image_transport()
    keep_large_buffers()
    try:
        rclpy.init(
            args=list(args) if args else None, signal_handler_options=SignalHandlerOptions.NO
        )
    except RuntimeError as error:  # --ros-args that rcl does not understand, a missing file
        print(f'Error: {error}', file=sys.stderr)
        return 1
    try:
        node = create()
    except (UserError, InvalidParameterTypeException, InvalidParameterValueException) as error:
        print(f'Error: {error}', file=sys.stderr)
        rclpy.shutdown()
        return 1
    spinner = Spinner(node, on_end=stop_request.set)
    try:
        started = start(node) is not False
        if started:
            spinner.start()
            stop_request.wait()
        spinner.stop()
        stop(node)
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
    return 0 if started and not spinner.failed else 1
