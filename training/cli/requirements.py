# SPDX-License-Identifier: Apache-2.0
"""One sentence instead of a traceback where the training extra is not installed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any

import click

from kd_yolo_ros.errors import UserError

EXPORT = ('torch', 'safetensors', 'onnx', 'onnxscript', 'onnxruntime')


def needs(*modules: str) -> Callable[[click.Command], click.Command]:
    """Have a verb refuse to run without these, and `require_all` say so beforehand."""

    def mark(command: click.Command) -> click.Command:
        run = command.callback
        assert run is not None

        @functools.wraps(run)
        def checked(*arguments: Any, **options: Any) -> Any:
            require(*modules)
            return run(*arguments, **options)

        command.callback = checked
        command.needs = modules
        return command

    return mark


def require(*modules: str, extra: str = 'training') -> None:
    """Raise UserError naming the install line unless all modules can be imported."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise UserError(
            f'This needs {", ".join(missing)}, which is not installed; '
            f"pip install 'kd_yolo_ros[{extra}]'."
        )


def require_all(command: click.Command) -> None:
    """Raise UserError unless there is all that a verb `needs`."""
    require(*getattr(command, 'needs', ()))


def require_for(runtimes: Iterable[str]) -> None:
    """Raise UserError unless there is what writes the files of these runtimes."""
    if 'tflite' in runtimes:
        require('ai_edge_litert', extra='tflite')
        require('litert_torch', extra='tflite-export')
