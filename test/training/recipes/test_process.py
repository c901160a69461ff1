# SPDX-License-Identifier: Apache-2.0
"""A step's process: what it says is shown and kept, and how it ended is known."""

from __future__ import annotations

import fcntl
import os
import sys

import pytest

from kd_yolo_training.recipes.process import last_line, run_command


@pytest.mark.parametrize(
    ('output', 'line'),
    [
        (b'', ''),
        (b'one\ntwo\n\n', 'two'),
        (b'bar  10%\rbar 100%\r          \rdone\n', 'done'),
        (b'\x1b[31mError: the disk is full.\x1b[0m\n', 'the disk is full.'),
        ('é'.encode()[1:] + b' torn\n', '\ufffd torn'),
    ],
)
def test_last_line(output, line):
    assert last_line(output) == line


def test_shown_and_kept(tmp_path):
    log, shown = tmp_path / 'log', []
    log.write_bytes(b'of yesterday\n')
    with open(os.devnull) as anything:
        status, line = run_command(['data', 'nothing'], log, shown.append, anything.fileno())
    assert status == 2 and "No such command 'nothing'" in line
    assert log.read_bytes() == b'of yesterday\n' + b''.join(shown)


@pytest.mark.skipif(sys.version_info < (3, 11), reason='Python 3.10 has no safe path')
def test_modules_that_lie_around_are_not_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'click.py').write_text('raise SystemExit(7)')
    with open(os.devnull) as anything:
        status, line = run_command(['--version'], tmp_path / 'log', len, anything.fileno())
    assert status == 0 and 'version' in line


def test_its_end_comes_with_an_error_here(tmp_path):
    """Nobody reads any more what is shown, as where the output goes into `head`."""

    def show(block: bytes) -> None:
        raise BrokenPipeError

    lock = tmp_path / 'lock'
    with open(lock, 'w') as held, pytest.raises(BrokenPipeError):
        fcntl.flock(held, fcntl.LOCK_EX)
        command = ['data', 'scenes', '--train', '1000', '--out', str(tmp_path / 'scenes')]
        run_command(command, tmp_path / 'log', show, held.fileno())
    with open(lock) as other:  # it and its workers held the lock as well
        fcntl.flock(other, fcntl.LOCK_EX)
