# SPDX-License-Identifier: Apache-2.0
"""The float files of an artifact that quantization starts from."""

from __future__ import annotations

from kd_yolo_ros.artifact import Artifact
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import ModelFile


def float_onnx(artifact: Artifact) -> ModelFile:
    """Return the artifact's FP32 ONNX file, which quantization starts from.

    Raises:
        UserError: there is none.
    """
    for file in artifact.manifest.files:
        if file.precision == 'fp32' and file.path.endswith('.onnx'):
            return file
    raise UserError(
        f'{artifact.folder} has no FP32 ONNX file to quantize; import the model from its '
        f'checkpoint or ONNX export.'
    )


def float_tflite(artifact: Artifact) -> ModelFile:
    """Return the artifact's float .tflite, of which the INT8 file for TFLite is made.

    Raises:
        UserError: there is none.
    """
    for file in artifact.manifest.files:
        raw = not file.decode_inside and file.output_layout == 'nhwc'
        if raw and file.precision == 'fp32' and file.path.endswith('.tflite'):
            return file
    raise UserError(
        f'{artifact.folder} has no FP32 file for TFLite, of which the INT8 one is made; export '
        f'the checkpoint with --runtime tflite too.'
    )
