# SPDX-License-Identifier: Apache-2.0
"""A node as a child process, at the moments it is made and ended."""

from __future__ import annotations

import signal

import pytest
from processes import run_python

from kd_yolo_ros.cli import node_process
from kd_yolo_ros.errors import UserError


@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM'])
def test_a_signal_while_the_process_is_made_is_not_lost(name: str) -> None:
    done = run_python(
        '-c',
        'import os, signal\n'
        'from kd_yolo_ros.cli.node_process import NodeProcess\n'
        'signal.signal(signal.SIGTERM, signal.default_int_handler)\n'
        f'os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.{name}))\n'
        'try:\n'
        "    NodeProcess('detector_node', {}, '/')\n"
        'except KeyboardInterrupt:\n'
        "    print('interrupted')\n",
    )
    assert done.stdout == 'interrupted\n', done.stderr


def test_one_that_does_not_end_is_killed_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_process, 'STOP_TIMEOUT_S', 1.0)
    node = node_process.NodeProcess('detector_node', {}, '/')
    killed = pytest.raises(UserError, match='did not end within 1 s and was killed')
    with killed, node:
        node.process.send_signal(signal.SIGSTOP)
    assert node.process.returncode == -signal.SIGKILL
