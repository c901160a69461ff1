# SPDX-License-Identifier: Apache-2.0
"""The code passes ruff and mypy, with the settings of pyproject.toml."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

against_pinned_packages = pytest.mark.skipif(
    'ROS_DISTRO' in os.environ, reason='mypy reads the pinned numpy, not that of a distribution'
)


@pytest.mark.parametrize(
    'command',
    ['ruff check', 'ruff format --check', pytest.param('mypy', marks=against_pinned_packages)],
)
def test_passes(command: str) -> None:
    done = subprocess.run(
        [sys.executable, '-m', *command.split()],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f'{command}:\n{done.stdout}'
