# SPDX-License-Identifier: Apache-2.0
"""The libraries that quantization takes report nothing over the network."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import sys

import kd_yolo_ros
import openvino
import nncf
from nncf.telemetry import wrapper
from openvino.tools.ovc import telemetry_utils

stubs = wrapper.telemetry, telemetry_utils.tm.Telemetry
print(*(stub.__module__ if isinstance(stub, type) else type(stub).__module__ for stub in stubs))
print(*(name for name, module in sys.modules.items() if 'openvino_telemetry' in name and module))
"""


def test_openvino_and_nncf_get_stubs():
    """In a process of its own: under pytest NNCF reports nothing anyway."""
    env = {name: value for name, value in os.environ.items() if name not in ('CI', 'NNCF_CI')}
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM], capture_output=True, text=True, check=True, env=env
    )
    stubs, reporters = done.stdout.splitlines()
    assert stubs == 'unittest.mock openvino.tools.ovc.telemetry_stub'
    assert not reporters
