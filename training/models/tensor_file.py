# SPDX-License-Identifier: Apache-2.0
"""Tensors on disk as safetensors, with what they are as JSON in the header of the same file.

A file is replaced as a whole, so that a kill at any moment leaves the old or the new one.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from kd_yolo_ros.errors import UserError

HEADER = 'kd_yolo_ros'


def write_tensors(path: Path, tensors: dict[str, Tensor], info: dict[str, Any]) -> None:
    """Write tensors, and `info` (of JSON's types) into the header of the same file."""
    scratch = path.with_name(f'.{path.name}.new')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not its save_file, which a kill leaves under a name that nobody would ever remove.
        content = save(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            {HEADER: json.dumps(info)},
        )
        with open(scratch, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the name must not reach the disk before the content
        os.replace(scratch, path)
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror}.') from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            scratch.unlink()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Read tensors, and what the header says of them: None where it was written by others.

    Raises:
        UserError: the file is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f'{path} is not a file; give a checkpoint (.pt or .safetensors).')
    try:
        with safe_open(path, framework='pt') as file:
            header = (file.metadata() or {}).get(HEADER)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        info = None if header is None else json.loads(header)
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f'{path} is damaged ({reason}); take another checkpoint.') from None
    if info is not None and not isinstance(info, dict):
        raise UserError(f'{path}: its header holds no JSON object; take another checkpoint.')
    return tensors, info
