# SPDX-License-Identifier: Apache-2.0
"""What a .tflite file says of itself, and the metadata that Ultralytics appends as a zip."""

from __future__ import annotations

import ast
import contextlib
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any, Dict

import numpy as np

from kd_yolo_ros.backends.tflite import TfliteBackend, load_interpreter
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.graphs import Graph

SUFFIXES = ('.json', '.txt')
MAX_METADATA_BYTES = 1 << 20

# What zipfile, json and ast raise at content that is damaged or another.
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    TypeError,
    RecursionError,
    MemoryError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
)


def read_tflite(path: Path) -> Graph:
    """Describe a .tflite file, whose decoded boxes are shares of the input's sides.

    An integer input is described as uint8: the backend turns pixels into its integers.

    Raises:
        UserError: no such file, or nothing is installed that reads it.
    """
    if not TfliteBackend.installed():
        raise UserError(f'{path} needs its runtime to be read; {TfliteBackend.install}.')
    interpreter = load_interpreter(path, threads=1)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    metadata = _read_metadata(path)
    return Graph(
        dtype='uint8' if _is_quantized(inputs[0]) else np.dtype(inputs[0]['dtype']).name,
        input_shape=tuple(map(int, inputs[0]['shape'])),
        output_shapes=[tuple(map(int, output['shape'])) for output in outputs],
        metadata=metadata,
        output_names=[output['name'] for output in outputs],
        output_dtypes=[
            'float32' if _is_quantized(output) else np.dtype(output['dtype']).name
            for output in outputs
        ],
        normalized_boxes=True,
        quantized=any(
            tensor['dtype'] in (np.int8, np.uint8)
            and tensor['quantization_parameters']['scales'].size
            for tensor in interpreter.get_tensor_details()
        ),
    )


def _is_quantized(detail: Dict[str, Any]) -> bool:
    return bool(np.issubdtype(detail['dtype'], np.integer) and detail['quantization'][0])


def _read_metadata(path: Path) -> Dict[str, Any]:
    """Read the JSON or Python dictionary that is appended; nothing where there is none.

    Other parts, such as TensorFlow's lists of labels, are not read.
    """
    if not zipfile.is_zipfile(path):
        return {}
    with contextlib.suppress(*UNREADABLE), zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            if part.filename.endswith(SUFFIXES) and part.file_size <= MAX_METADATA_BYTES:
                with contextlib.suppress(*UNREADABLE):
                    text = archive.read(part).decode('utf-8')
                    is_json = part.filename.endswith('.json')
                    content = json.loads(text) if is_json else ast.literal_eval(text)
                    if isinstance(content, dict):
                        return content
    return {}
