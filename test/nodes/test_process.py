# SPDX-License-Identifier: Apache-2.0
"""How a node's process learns that it shall end."""

from __future__ import annotations

import pytest
from processes import run_python

# The system may hand a signal to any thread; here it is never the main one.
SIGNALLED = """
import signal, threading
from kd_yolo_ros.nodes.process import StopRequest

request = StopRequest()
other = threading.Timer(
    {delay_s}, lambda: signal.pthread_kill(threading.get_ident(), signal.{name})
)
other.start()
{before_waiting}
request.wait()
print('ended')
"""


@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM'])
@pytest.mark.parametrize(
    'timing',
    [{'delay_s': 0, 'before_waiting': 'other.join()'}, {'delay_s': 0.5, 'before_waiting': ''}],
)
def test_a_signal_that_another_thread_gets_ends_the_waiting(name: str, timing: dict) -> None:
    done = run_python('-c', SIGNALLED.format(name=name, **timing), timeout_s=60)
    assert (done.returncode, done.stdout) == (0, 'ended\n'), done.stderr
