# SPDX-License-Identifier: Apache-2.0
"""Any model as a Predictor: artifacts and exports here, checkpoints through what training adds."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Tuple

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import Thresholds
from kd_yolo_ros.plugins import MODELS, entry_points
from kd_yolo_ros.predictor import Predictor

SUFFIXES = ('.pt', '.safetensors')
RUN_WEIGHTS = 'weights'  # the folder in that of a training run
RUNTIME = 'torch'


def is_checkpoint(path: Path) -> bool:
    """Tell whether a path is that of a checkpoint or a training run, by name alone."""
    return path.suffix in SUFFIXES or (path / RUN_WEIGHTS).is_dir()


def open_predictor(
    model: Path,
    runtime: str = 'auto',
    precision: str = 'auto',
    threads: Optional[int] = None,
    thresholds: Optional[Thresholds] = None,
    imgsz: Optional[Tuple[int, int]] = None,
    provider: Optional[str] = None,
) -> Predictor:
    """Load an artifact, a plain export, a checkpoint or a training run's best weights.

    Args:
        model: its path.
        runtime: see `Predictor`; for a checkpoint 'auto' or 'torch'.
        precision: see `Predictor`; 'auto' is 'fp32' for a checkpoint.
        threads: of one inference; None for the runtime's choice.
        thresholds: None for the model's own.
        imgsz: (height, width) of a checkpoint's input; None for what it was trained with.
        provider: see `Predictor`; a checkpoint runs on CUDA where there is one.

    Raises:
        UserError: it is broken, does not fit the wish or the machine, or needs the training
            extra.
    """
    if not is_checkpoint(model):
        if imgsz is not None:
            raise UserError(f'--imgsz is for checkpoints only; {model} has a fixed input size.')
        return Predictor(model, runtime, precision, threads, thresholds, provider)
    if runtime not in ('auto', RUNTIME):
        raise UserError(
            f'{model} is a checkpoint, which runs on {RUNTIME} only; '
            f'export it to an artifact for {runtime}.'
        )
    if provider is not None:
        raise UserError(
            f'{model} is a checkpoint, which runs on CUDA where there is one; '
            f'--provider is for artifacts and exports.'
        )
    if precision == 'int8':
        raise UserError(f'{model} is a checkpoint without INT8; export and quantize it.')
    precision = 'fp32' if precision == 'auto' else precision
    try:
        load = entry_points(MODELS)['checkpoint'].load()
    except (KeyError, ImportError) as error:
        reason = error if isinstance(error, ImportError) else 'kd_yolo_training is not there'
        raise UserError(
            f'{model} is a checkpoint, which needs PyTorch ({reason}); give an artifact, or '
            f"pip install 'kd_yolo_ros[training]'."
        ) from None
    return load(model, precision, threads, thresholds, imgsz)
