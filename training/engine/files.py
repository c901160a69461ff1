# SPDX-License-Identifier: Apache-2.0
"""Weights and training states on disk: safetensors, with what they are in the file's header.

A file is replaced as a whole, so that a kill at any moment leaves the old or the new one.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.report import write_json

HEADER = 'kd_yolo_ros'


def write_tensors(path: Path, tensors: dict[str, Tensor], info: dict[str, Any]) -> None:
    """Write tensors, and `info` (of JSON's types) into the header of the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f'.{path.name}.new')
    try:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            scratch,
            {HEADER: json.dumps(info)},
        )
        with open(scratch, 'rb') as file:
            os.fsync(file.fileno())  # the name must not reach the disk before the content
        os.replace(scratch, path)
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror}.') from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            scratch.unlink()


def write_weights(path: Path, state: dict[str, Tensor], info: dict[str, Any]) -> None:
    """Write a network's weights, with a copy of `info` beside them for people: a .json."""
    write_tensors(path, state, info)
    write_json(path.with_suffix('.json'), info)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Raises:
        UserError: it is missing, damaged, or not one of ours.
    """
    try:
        with safe_open(path, framework='pt') as file:
            header = (file.metadata() or {}).get(HEADER)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        info = json.loads(header) if header else None
    except FileNotFoundError:
        raise UserError(f'{path} does not exist.') from None
    except (OSError, SafetensorError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f'{path} is damaged ({reason}); take another checkpoint.') from None
    if not isinstance(info, dict):
        raise UserError(f'{path} was not written by kd-yolo train.')
    return tensors, info
