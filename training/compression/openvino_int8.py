# SPDX-License-Identifier: Apache-2.0
"""Static INT8 for OpenVINO, by NNCF on the ONNX graph.

On the IR, NNCF leaves each SiLU as separate nodes that OpenVINO does not fuse: slower.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import onnx

from .graph import float_nodes, name_nodes


def quantize_openvino(source: Path, target: Path, pictures: Collection[np.ndarray]) -> None:
    """Write an INT8 IR (`target` and the `.bin` beside it) of a float ONNX graph.

    The head convolutions and the decode after them stay in float (`float_nodes`).

    Args:
        source: a float graph with one input of a fixed size, all nodes named.
        target: where the `.xml` goes.
        pictures: calibration tensors as the graph takes them.
    """
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    model = onnx.load(source)
    name_nodes(model)
    name = model.graph.input[0].name

    class Named:
        """NNCF iterates several times and wants each picture by the input's name."""

        def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
            return ({name: picture} for picture in pictures)

    quantized = nncf.quantize(
        model,
        nncf.Dataset(Named()),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(pictures),
        ignored_scope=nncf.IgnoredScope(names=float_nodes(model)),
    )
    converted = target.with_suffix('.onnx')
    onnx.save(quantized, converted)
    openvino.save_model(openvino.convert_model(converted), target, compress_to_fp16=False)
    converted.unlink()
