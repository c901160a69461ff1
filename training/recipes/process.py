# SPDX-License-Identifier: Apache-2.0
"""One step in a process of its own: shown, kept in a log, and ended with this one."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from kd_yolo_ros.cli.child import child_environment, end_with_parent

BLOCK = 65536
TAIL = 4096  # of the output, to find its last line in


def run_command(
    command: Sequence[str], log: Path, show: Callable[[bytes], object], keep_open: int
) -> tuple[int, str]:
    """Run `kd-yolo` and wait for it.

    Args:
        command: verb, arguments and options.
        log: gets everything that is said, after what it holds.
        show: is given the same, as it comes.
        keep_open: a file descriptor that lives as long as the process and all its children.

    Returns:
        the exit status, as a shell has it, and the last line.

    Raises:
        KeyboardInterrupt: was raised here; the process has ended too.
        OSError: the log cannot be written, or nobody takes what is shown.
    """
    start = functools.partial(
        subprocess.Popen,
        preexec_fn=end_with_parent(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # A session of its own: Ctrl-C comes to this process alone, which passes it on, once.
        start_new_session=True,
        pass_fds=[keep_open],
        env=child_environment(PYTHONUNBUFFERED='1'),
    )
    words = [sys.executable, '-m', 'kd_yolo_ros.cli.main', *command]
    with open(log, 'ab') as file, start(words) as process:
        try:
            try:
                tail = _copy(process, lambda block: (file.write(block), file.flush(), show(block)))
                process.wait()
            except KeyboardInterrupt:
                process.terminate()  # SIGINT is ignored by what a script started with &
                _copy(process, file.write)
                process.wait()
                raise
        finally:
            if process.poll() is None:  # Ctrl-C again, or nobody reads what is shown
                os.killpg(process.pid, signal.SIGKILL)
    # What a signal ended has, in a shell, 128 and its number.
    status = process.returncode
    return (status if status >= 0 else 128 - status), last_line(tail)


def last_line(output: bytes) -> str:
    """Return the last line that says something, without colours and `Error: `.

    A progress bar draws its line again and again; of these the last counts too.
    """
    lines = re.split(r'[\r\n]+', click.unstyle(output.decode(errors='replace')))
    said = [line.strip() for line in lines if line.strip()]
    return said[-1].removeprefix('Error: ') if said else ''


def _copy(process: subprocess.Popen, to: Callable[[bytes], object]) -> bytes:
    """Hand on all output as it comes; return its end."""
    assert process.stdout is not None
    tail = b''
    while block := process.stdout.read1(BLOCK):
        tail = (tail + block)[-TAIL:]
        to(block)
    return tail
