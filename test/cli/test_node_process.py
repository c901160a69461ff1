# SPDX-License-Identifier: Apache-2.0
"""A node as a child process, at the moment it is made."""

from __future__ import annotations

import pytest
from processes import run_python


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
