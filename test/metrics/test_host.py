# SPDX-License-Identifier: Apache-2.0
"""What is told about the machine, and what is not."""

from __future__ import annotations

import json
import platform
import socket
import subprocess
import sys

import numpy as np
import pytest

from kd_yolo_ros.metrics.host import host, peak_rss_mb, versions


def test_host():
    facts = host()
    assert facts['cpu'] and facts['os'] and facts['machine'] == platform.machine()
    assert 1 <= facts['cores'] <= facts['cores_total']
    assert facts['memory_gb'] > 0.1


def test_nothing_private():
    text = json.dumps([host(), versions()])
    assert f'"{socket.gethostname()}"' not in text and '/' not in text.replace('GNU/Linux', '')


def test_versions_of_what_is_installed():
    found = versions()
    assert found['numpy'] == np.__version__ and found['python'] == platform.python_version()
    assert all(isinstance(version, str) for version in found.values())


def test_versions_import_nothing():
    code = (
        'import sys; from kd_yolo_ros.metrics.host import versions; versions(); '
        'print([m for m in ("torch", "openvino", "onnxruntime", "rclpy") if m in sys.modules])'
    )
    output = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == '[]'


def test_peak_memory_of_this_process_does_not_go_down():
    code = (
        'from kd_yolo_ros.metrics.host import peak_rss_mb; import numpy as np\n'
        'before = peak_rss_mb(); block = np.ones(int(3e8), np.uint8); del block\n'
        'print(peak_rss_mb() - before)'
    )
    output = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert float(output.stdout) == pytest.approx(300, abs=30)


def test_peak_memory_of_another_process():
    code = 'block = b"1" * 300_000_000; print("ready", flush=True); input()'
    child = subprocess.Popen(
        [sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout.readline() == b'ready\n'
        assert peak_rss_mb(child.pid) == pytest.approx(310, abs=40)
    finally:
        child.communicate(b'\n')
    assert peak_rss_mb(child.pid) is None
