# SPDX-License-Identifier: Apache-2.0
"""The options by which `export` and `import` choose the files of an artifact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

# As the exporters' table has them; its module imports torch.
RUNTIMES = ('onnxruntime', 'openvino', 'opencv', 'torch', 'tflite')
DEFAULT = ('onnxruntime', 'openvino')


def file_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --runtime and --decode-inside."""
    function = click.option(
        '--decode-inside',
        is_flag=True,
        help='End the ONNX graph with decoded boxes, for other consumers than the nodes here.',
    )(function)
    return click.option(
        '--runtime',
        'runtimes',
        type=click.Choice(RUNTIMES),
        multiple=True,
        default=DEFAULT,
        show_default=True,
        help='Write the file that this runtime loads; may be given several times. The first '
        'three share one.',
    )(function)
