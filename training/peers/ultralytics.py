# SPDX-License-Identifier: Apache-2.0
"""Ultralytics' own trainer, run in a process of its own on our labels and our trunk.

It sees no network and no folder of the user's; nothing it writes is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.report import write_json

from ..data.dataset import DataSet

HEAD = 'model.24.'
SPEC = 'spec.json'
RESULT = 'result.json'  # written last
MODEL = 'model.onnx'
LOG = 'train.log'


@dataclass(frozen=True)
class PeerRun:
    """What a finished run of the peer gave.

    Attributes:
        model: its averaged weights as ONNX, boxes decoded, with class names inside.
        images_per_s: of every step, waiting for the pictures included; on a GPU steps run
            ahead of their work, and only an epoch's time is exact.
        step_epochs: the epoch of every step, from 0.
        epoch_s: duration of each epoch, seconds.
        trunk_tensors: how many tensors it took over from the trunk it was given.
        parameters: of its network.
        settings: its hyper-parameters as it ran them.
    """

    model: Path
    images_per_s: tuple[float, ...]
    step_epochs: tuple[int, ...]
    epoch_s: tuple[float, ...]
    trunk_tensors: int
    parameters: int
    settings: Mapping[str, Any]


def trunk_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a YOLOv5 state dict that lie before its head."""
    return {name: tensor for name, tensor in state.items() if not name.startswith(HEAD)}


def train_peer(
    size: str,
    fit: DataSet,
    folder: Path,
    *,
    imgsz: int,
    epochs: int,
    batch: int,
    trunk: Mapping[str, Tensor] | None = None,
    threads: int | None = None,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> PeerRun:
    """Train the anchor-free YOLOv5 of the ultralytics package with its own trainer.

    Only boxes are handed over: no polygons, no crowd regions. Its validator is off; what counts
    is measured afterwards by our evaluator. On a CPU it loads its pictures in the training
    process, whatever number of workers it is told.

    Args:
        size: n, s, m, l or x.
        fit: what it trains on.
        folder: where its run goes. A finished run of the same arguments there is returned.
        imgsz: side of its square input, pixels.
        epochs: over `fit`.
        batch: pictures of a step.
        trunk: tensors to start from by name, as `trunk_of` returns them; None starts at random.
        threads: of one operation on the CPU; None for all cores.
        seed: of its weights and augmentation.
        on_step: called with (steps done, steps in all).
        settings: its own options by its own names; the rest stay at its defaults.

    Raises:
        UserError: the folder holds another run, the trunk does not fit, or its run failed.
    """
    spec = {
        'size': size,
        'imgsz': imgsz,
        'epochs': epochs,
        'batch': batch,
        'threads': threads or os.cpu_count() or 1,
        'seed': seed,
        'settings': settings,
        'trunk': trunk and _hash_of(trunk),
        'names': list(fit.names),
        'pictures': [
            {
                'file': str(picture.file.resolve()),
                'boxes': picture.boxes[~picture.crowd].tolist(),
                'class_ids': picture.class_ids[~picture.crowd].tolist(),
            }
            for picture in fit.pictures
        ],
    }
    done = _finished(folder, spec)
    if done is None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SPEC, spec)
        if trunk is not None:
            save_file({k: v.contiguous() for k, v in trunk.items()}, folder / 'trunk.safetensors')
        _run(folder, spec['threads'], on_step)
        done = _finished(folder, spec)
        assert done is not None
    return done


def _hash_of(trunk: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(trunk.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _finished(folder: Path, spec: Mapping[str, Any]) -> PeerRun | None:
    """Return the finished run of the folder; None where it is not finished.

    Raises:
        UserError: there is one of other arguments.
    """
    try:
        before = json.loads((folder / SPEC).read_text(encoding='utf-8'))
        result = json.loads((folder / RESULT).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    if before != json.loads(json.dumps(spec)):
        raise UserError(f'{folder} holds a run with other options or data; name another folder.')
    sequences = {k: tuple(v) if isinstance(v, list) else v for k, v in result.items()}
    return PeerRun(model=folder / MODEL, **sequences)


def _run(folder: Path, threads: int, on_step: Callable[[int, int], None] | None) -> None:
    """Run the trainer's process to its end; its output goes to a log."""
    environment = {
        **os.environ,
        'YOLO_CONFIG_DIR': str(folder.resolve()),
        'YOLO_OFFLINE': 'true',
        'YOLO_AUTOINSTALL': 'false',
        'YOLO_VERBOSE': 'true',
        'MPLCONFIGDIR': str(folder.resolve()),
        'OMP_NUM_THREADS': str(threads),  # the package sets 1 where nothing is said
    }
    # Its standard output belongs to its log, so the steps are reported through a pipe of ours.
    reports, theirs = os.pipe()
    module = 'kd_yolo_training.peers.ultralytics_process'
    with open(folder / LOG, 'w', encoding='utf-8') as log, open(reports) as steps:
        try:
            process = subprocess.Popen(
                [sys.executable, '-m', module, str(folder), str(theirs)],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs,),
            )
        finally:
            os.close(theirs)
        with process:
            try:
                for line in steps:
                    if on_step is not None:
                        done, total = line.split()
                        on_step(int(done), int(total))
            except BaseException:
                process.kill()
                raise
    if process.returncode:
        lines = (folder / LOG).read_text(encoding='utf-8', errors='replace').strip().splitlines()
        raise UserError(
            f"ultralytics' trainer ended with status {process.returncode} "
            f'({lines[-1] if lines else "no output"}); all it said is in {folder / LOG}.'
        )
