# SPDX-License-Identifier: Apache-2.0
"""One sentence instead of a traceback where the training extra is not installed."""

from __future__ import annotations

from importlib.util import find_spec

from kd_yolo_ros.errors import UserError


def require(*modules: str) -> None:
    """Raise UserError naming the install line unless all modules can be imported."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise UserError(
            f'This needs {", ".join(missing)}, which is not installed; '
            f"pip install 'kd_yolo_ros[training]'."
        )


def require_export() -> None:
    """Raise UserError unless checkpoints can be read and exported."""
    require('torch', 'safetensors', 'onnx', 'onnxscript', 'onnxruntime')
