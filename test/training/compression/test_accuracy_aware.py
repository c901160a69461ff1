# SPDX-License-Identifier: Apache-2.0
"""Layers that 8 bits hurt are found, and no more of them are float than need be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from stiff import LAYERS, stiff_model

from kd_yolo_ros.manifest import Head
from kd_yolo_training.compression.accuracy_aware import Step, _error, rank, restore
from kd_yolo_training.compression.judge import Verdict
from kd_yolo_training.compression.onnxruntime_int8 import OnnxRuntimeQuantizer

RANKED = [f'layer{number}' for number in range(40)]


def verdict(ap: float) -> Verdict:
    return Verdict(ap, ap, 10, 1.0, '1')


@pytest.mark.parametrize('needed', [1, 2, 3, 7, 8, 9, 33, 40])
def test_the_fewest_layers_that_are_enough(needed):
    tried = []

    def try_out(kept: Sequence[str]) -> Verdict:
        assert list(kept) == RANKED[: len(kept)]
        tried.append(len(kept))
        return verdict(0.5 if len(kept) >= needed else 0.4)

    restored = restore(RANKED, Step((), verdict(0.4), 0.0), 0.497, try_out)
    assert restored.met
    assert restored.chosen.kept == tuple(RANKED[:needed])
    assert len(tried) == len(set(tried)) <= 12
    assert len(restored.steps) == len(tried) + 1


def test_a_default_that_is_good_enough_is_left_alone():
    def never(kept: Sequence[str]) -> Verdict:
        raise AssertionError(kept)

    restored = restore(RANKED, Step((), verdict(0.5), 0.0), 0.497, never)
    assert (restored.chosen.kept, restored.met, len(restored.steps)) == ((), True, 1)


def test_a_drop_that_cannot_be_met_gives_the_best_found():
    aps = {1: 0.39, 2: 0.44, 4: 0.44, 8: 0.43, 16: 0.42, 32: 0.41, 40: 0.38}
    restored = restore(
        RANKED, Step((), verdict(0.4), 0.0), 0.497, lambda kept: verdict(aps[len(kept)])
    )
    assert not restored.met
    assert len(restored.chosen.kept) == 2
    worse = restore(RANKED, Step((), verdict(0.4), 0.0), 0.497, lambda kept: verdict(0.3))
    assert worse.chosen.kept == (), 'never worse than the default'


def test_the_layers_that_hurt_come_first(tmp_path):
    model = stiff_model()
    onnx.save(model, tmp_path / 'float.onnx')
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 256, (1, 64, 96, 3), np.uint8) for _ in range(2)]
    quantizer = OnnxRuntimeQuantizer(model, pictures)
    assert tuple(quantizer.layers) == ('signed', *LAYERS)

    def write(kept: Sequence[str]) -> Path:
        # With the layer before it in float, the one behind decides alone.
        quantizer.write(tmp_path / 'int8.onnx', 'minmax', kept=[*kept, 'widen'])
        return tmp_path / 'int8.onnx'

    def outputs(path: Path) -> list[list[np.ndarray]]:
        session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
        return [session.run(None, {'images': picture}) for picture in pictures]

    expected = outputs(tmp_path / 'float.onnx')
    damage = rank(expected, ['signed', 'narrow'], write, outputs)
    assert list(damage) == ['narrow', 'signed']
    assert damage['narrow'] > 0.9 > 0.1 > damage['signed']


def test_errors_count_where_the_float_network_sees_objects():
    head = Head('anchor_grid', (8,), (((8, 8), (16, 16)),))
    expected = np.zeros((1, 2 * 6, 2, 2), np.float32)
    expected[0, [4, 10]] = -20  # objectness: nothing anywhere
    expected[0, 4, 0, 0] = 20  # but in one cell
    here, there = expected.copy(), expected.copy()
    here[0, 0, 0, 0] = there[0, 0, 1, 1] = 1
    errors = [_error([[array]], [[expected]], head) for array in (here, there)]
    assert errors[0] == pytest.approx(1 / 6, rel=1e-3)
    assert errors[1] < 1e-5
    assert _error([[here]], [[expected]], None) == pytest.approx(1 / 48)


def test_prototypes_weigh_as_much_as_all_heads_together():
    head = Head('anchor_grid', (8,), (((8, 8), (16, 16)),), mask_coefficients=2)
    random = np.random.default_rng(0)
    expected = [random.normal(size=shape) for shape in ((1, 2 * 8, 2, 2), (1, 2, 4, 4))]

    def error(of_heads: float, of_prototypes: float) -> float:
        factors = 1 + of_heads, 1 + of_prototypes
        got = [array * factor for array, factor in zip(expected, factors, strict=True)]
        return _error([got], [expected], head, prototypes=True)

    assert error(0.1, 0) == pytest.approx(error(0, 0.1)) == pytest.approx(0.01)
    assert error(0.1, 0.2) == pytest.approx(0.05)
