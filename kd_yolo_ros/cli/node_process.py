# SPDX-License-Identifier: Apache-2.0
"""A node as a child process: started with parameters, watched, and ended in order."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, Iterator, List, Optional, Type

import psutil
import yaml

from kd_yolo_ros.cli.child import child_environment, end_with_parent
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.host import peak_rss_mb

STOP_TIMEOUT_S = 20.0


class NodeProcess:
    """Runs `python -m kd_yolo_ros.nodes.MODULE`; use it as a context manager.

    Args:
        module: of the node, such as 'detector_node'.
        parameters: ROS parameters.
        namespace: that the node gets.
    """

    def __init__(self, module: str, parameters: Dict[str, Any], namespace: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix='kd_yolo_')
        file = Path(self._folder.name) / 'parameters.yaml'
        file.write_text(yaml.safe_dump({'/**': {'ros__parameters': parameters}}))
        self._log = Path(self._folder.name) / 'output'
        with open(self._log, 'a') as log, _signals_deferred():
            self.process = subprocess.Popen(
                [
                    *(sys.executable, '-m', f'kd_yolo_ros.nodes.{module}', '--ros-args'),
                    *('--params-file', str(file), '-r', f'__ns:={namespace}'),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its own process group: a terminal's Ctrl-C reaches only us, and we end it.
                start_new_session=True,
                # And should we be killed, the node must not stay behind.
                preexec_fn=end_with_parent(),
                env=child_environment(RCUTILS_CONSOLE_OUTPUT_FORMAT='{message}'),
            )
        self.peak_rss_mb: Optional[float] = None
        self.cpu_s = 0.0

    def alive(self) -> None:
        """Raise UserError with the node's own words if it has ended."""
        if self.process.poll() is not None:
            raise UserError(f'The node ended: {self._last_words()}')

    def measure(self) -> None:
        """Read peak memory and processor time so far."""
        self.peak_rss_mb = peak_rss_mb(self.process.pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(self.process.pid).cpu_times()
            self.cpu_s = times.user + times.system

    def stop(self) -> int:
        """End the node with SIGINT and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def output(self) -> str:
        """Return everything the node has printed so far."""
        return self._log.read_text(encoding='utf-8', errors='replace')

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.output().splitlines() if line.strip()]
        return lines[-1] if lines else f'it gave no reason (status {self.process.returncode}).'

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        status = self.stop()
        words = self._last_words() if status else ''
        self._folder.cleanup()
        if status and error is None:
            how = (
                f'did not end within {STOP_TIMEOUT_S:.0f} s and was killed'
                if status == -signal.SIGKILL
                else f'ended with status {status}'
            )
            raise UserError(f'The node {how}; its last words: {words}')


@contextlib.contextmanager
def _signals_deferred() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait for the end of the block.

    Forking runs hooks whose exceptions Python drops: a Ctrl-C in one of them would be lost.
    """
    arrived: List[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {n: signal.signal(n, lambda number, _: arrived.append(number)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if arrived:
        signal.raise_signal(arrived[0])
