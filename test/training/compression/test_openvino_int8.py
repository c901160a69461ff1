# SPDX-License-Identifier: Apache-2.0
"""NNCF's accuracy control: what it tries is judged, and the best of it is written."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from artifacts import scene, tiny_manifest, write_dataset
from stiff import stiff_model

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.held_out import HeldOut
from kd_yolo_ros.manifest import InputSpec, ModelFile
from kd_yolo_ros.metrics.dataset import open_dataset
from kd_yolo_training.compression.graph import name_nodes
from kd_yolo_training.compression.judge import Judge
from kd_yolo_training.compression.openvino_int8 import (
    quantize_openvino,
    quantize_with_accuracy_control,
)

FP32 = ModelFile('model.onnx', ('openvino',), 'fp32', InputSpec(96, 64))
INT8 = ModelFile('openvino.xml', ('openvino',), 'int8', InputSpec(96, 64))


@pytest.fixture
def judge(tmp_path) -> Judge:
    source, truth = open_dataset(write_dataset(tmp_path / 'set'))
    return Judge(tiny_manifest(), HeldOut(source, set()), truth)


def pictures() -> list[np.ndarray]:
    return [scene(background=value)[0][None] for value in (40, 60, 80)]


def stiff() -> onnx.ModelProto:
    model = stiff_model()
    name_nodes(model)
    return model


def test_layers_go_back_into_float(judge, tmp_path):
    target = tmp_path / 'openvino.xml'
    float_ap, tried, chosen = quantize_with_accuracy_control(
        stiff(), target, pictures(), judge, FP32, 0.01
    )
    assert float_ap == pytest.approx(1)
    assert tried[0].map50_95 < 0.5, 'the default is ruined'
    assert tried[0].kept == ()
    assert chosen.map50_95 >= 0.99
    assert chosen.kept
    assert judge(target, INT8).map50_95 == pytest.approx(chosen.map50_95)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['openvino.bin', 'openvino.xml', 'set']


def test_an_error_while_judging_is_not_swallowed(judge, tmp_path):
    def fails(*arguments):
        raise UserError('no ground truth')

    judge.by_picture = fails
    with pytest.raises(UserError, match='no ground truth'):
        quantize_with_accuracy_control(
            stiff(), tmp_path / 'openvino.xml', pictures(), judge, FP32, 0.01
        )


def test_an_error_that_happens_once_ends_the_run(judge, tmp_path):
    calls = []
    works = judge.by_picture

    def fails_once(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise RuntimeError('for once')
        return works(*arguments)

    judge.by_picture = fails_once
    with pytest.raises(RuntimeError, match='for once'):
        quantize_with_accuracy_control(
            stiff(), tmp_path / 'openvino.xml', pictures(), judge, FP32, 0.01
        )
    assert len(calls) == 1


def test_float_weights_take_16_bits_at_most(tmp_path):
    import openvino

    model = stiff()
    quantize_openvino(model, tmp_path / 'openvino.xml', pictures())
    network = openvino.Core().read_model(tmp_path / 'openvino.xml')
    kinds = set()
    for operation in network.get_ops():
        if operation.get_type_name() in ('Convolution', 'GroupConvolution'):
            weight = operation.input_value(1).get_node()
            while weight.get_type_name() != 'Constant':
                weight = weight.input_value(0).get_node()
            kinds.add(weight.get_element_type().get_type_name())
    assert kinds == {'f16', 'i8'}, 'the head, and the layers before it'


def test_ap_of_pictures_one_by_one(judge, tmp_path):
    onnx.save(stiff_model(), tmp_path / 'model.onnx')
    ap, each = judge.by_picture(tmp_path / 'model.onnx', FP32, {0, 3})
    assert ap == pytest.approx(1)
    assert each == pytest.approx([1, 0]), 'the last picture holds nothing'
    assert len(judge) == 4
