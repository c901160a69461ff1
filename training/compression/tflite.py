# SPDX-License-Identifier: Apache-2.0
"""Exports a network as a float TFLite file, through litert-torch."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from kd_yolo_ros.backends.tflite import TfliteBackend
from kd_yolo_ros.manifest import InputSpec, ModelFile
from kd_yolo_ros.metrics.report import write_whole

from ..models.yolov5 import YOLOv5
from .export import CameraInput, check_answers, check_size


def export_tflite(network: YOLOv5, path: Path, height: int, width: int) -> ModelFile:
    """Write the network as a float .tflite, after comparing its answer with the network's.

    Its input is (1, height, width, 3) float32 BGR in 0..255, so that quantization can make it the
    pixels themselves; its outputs are the raw head convolutions, float32
    (1, height/s, width/s, anchors * (5 + classes)).

    Returns:
        What a manifest says of it.

    Raises:
        UserError: the size does not fit the network, or the file answers differently.
    """
    check_size(height, width)
    file = ModelFile(
        path.name,
        ('tflite',),
        'fp32',
        InputSpec(width, height, 'float32', 'nhwc', 'bgr', 1.0),
        output_layout='nhwc',
    )
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / path.name
        with _quiet():
            import litert_torch

            litert_torch.convert(
                CameraInput(network, file.output_layout).eval(),
                (torch.zeros(1, height, width, 3),),
            ).export(str(written))
        backend = TfliteBackend(written, file, 'fp32', None)
        check_answers(
            network,
            lambda picture: backend.infer(picture.astype('float32')),
            height,
            width,
            file.output_layout,
        )
        write_whole(path, written.read_bytes())
    return file


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the converter's steps and its libraries' warnings off the terminal."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(level)
