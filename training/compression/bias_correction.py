# SPDX-License-Identifier: Apache-2.0
"""Bias correction: what rounding the weights does to a convolution's mean goes into its bias.

Nagel et al., Data-Free Quantization through Weight Equalization and Bias Correction, 2019, section
4.2, with the inputs' means as measured. Their cross-layer equalization is not done: it
moves scale from a layer to the next through an activation with f(s x) = s f(x), which SiLU is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import numpy_helper


def correct_biases(
    model: onnx.ModelProto,
    convolutions: Iterable[onnx.NodeProto],
    channel_means: Mapping[str, np.ndarray],
    limit: int,
) -> None:
    """Take the mean error that rounding the weights causes out of each convolution's bias.

    Args:
        model: changed in place.
        convolutions: nodes of the model whose weights will be rounded; of those without a bias,
            and of transposed ones, whose taps meet fewer than all, nothing changes.
        channel_means: of their inputs, (C,).
        limit: largest absolute integer of a weight.
    """
    constants = {initializer.name: initializer for initializer in model.graph.initializer}
    for node in convolutions:
        if node.op_type != 'Conv' or len(node.input) < 3:
            continue
        if not {node.input[1], node.input[2]} <= constants.keys():
            continue
        weight = numpy_helper.to_array(constants[node.input[1]])
        bias = constants[node.input[2]]
        scale = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / limit
        scale[scale == 0] = 1
        error = (weight - np.round(weight / scale) * scale).sum(axis=(2, 3))
        means = channel_means[node.input[0]]
        groups = len(means) // error.shape[1]
        shift = np.einsum(
            'goc,gc->go', error.reshape(groups, -1, error.shape[1]), means.reshape(groups, -1)
        )
        corrected = numpy_helper.to_array(bias) + shift.ravel()
        bias.CopyFrom(numpy_helper.from_array(corrected.astype(np.float32), bias.name))
