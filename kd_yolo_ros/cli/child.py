# SPDX-License-Identifier: Apache-2.0
"""What every process of ours that runs `python -m` has in common."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Callable, Dict

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def child_environment(**more: str) -> Dict[str, str]:
    """Return this process' environment with what is given by name.

    From Python 3.11 on `-m` then does not look for modules in the current directory first: a
    `yaml.py` that lies there is no business of ours.
    """
    return {**os.environ, 'PYTHONSAFEPATH': '1', **more}


def end_with_parent() -> Callable[[], object]:
    """Return what a child calls to get SIGTERM as soon as its parent ends, killed or not.

    It is for `preexec_fn`, and belongs to the thread that starts the child. Only Linux has it.
    """
    if sys.platform != 'linux':
        return lambda: None
    prctl = ctypes.CDLL(None).prctl  # found before the fork, after which little is safe
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
