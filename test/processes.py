# SPDX-License-Identifier: Apache-2.0
"""Commands run as a user runs them: in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

TIMEOUT_S = 240  # far more than any of them needs, also on a busy machine


def run_python(
    *arguments: object,
    path: Sequence[Path] = (),
    cwd: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> subprocess.CompletedProcess:
    """Run Python with these arguments, and with folders before all others on its path."""
    inherited = os.environ.get('PYTHONPATH')
    paths = [*map(str, path), *([inherited] if inherited else [])]
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(paths)},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def kd_yolo(*arguments: object, cwd: Path, path: Sequence[Path] = ()) -> Finished:
    """Run the command line in a folder, in which it leaves its runs/."""
    done = run_python('-m', 'kd_yolo_ros.cli.main', *arguments, path=path, cwd=cwd)
    return Finished(done)


class Finished:
    """How a command ended."""

    def __init__(self, done: subprocess.CompletedProcess) -> None:
        self.status: int = done.returncode
        self.stdout: str = done.stdout
        self.stderr: str = done.stderr

    def succeeded(self) -> str:
        """Return what it printed, after making sure that all went well."""
        assert self.status == 0, f'status {self.status}\n{self.stdout}\n{self.stderr}'
        return self.stdout

    def refused(self) -> str:
        """Return the one sentence of an error, after making sure that nothing else was said."""
        assert self.status == 1, f'status {self.status}\n{self.stdout}\n{self.stderr}'
        # A progress bar may have been drawn, and wiped out again, before.
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        assert lines and lines[-1].rpartition('\r')[2].startswith('Error: '), self.stderr
        assert 'Traceback' not in self.stderr, self.stderr
        return lines[-1].rpartition('\r')[2]


def without(folder: Path, *packages: str) -> Path:
    """Fill a folder so that, where it is on the path, packages are found nowhere; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'sitecustomize.py').write_text(
        'from importlib.machinery import PathFinder\n'
        'found = PathFinder.find_spec\n'
        'def find_spec(cls, name, path=None, target=None):\n'
        f'    absent = name.partition(".")[0] in {packages!r}\n'
        '    return None if absent else found(name, path, target)\n'
        'PathFinder.find_spec = classmethod(find_spec)\n'
    )
    return folder
