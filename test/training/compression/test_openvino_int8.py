# SPDX-License-Identifier: Apache-2.0
"""INT8 for OpenVINO: the calibrators' ranges where NNCF puts quantizers, and layers in float."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from artifacts import scene, tiny_manifest, write_dataset
from random_yolov5 import random_yolov5
from stiff import LAYERS, stiff_model

from kd_yolo_ros.manifest import InputSpec, ModelFile
from kd_yolo_ros.metrics.pool import open_sets, read_sets
from kd_yolo_training.compression.export import export_onnx
from kd_yolo_training.compression.graph import name_nodes
from kd_yolo_training.compression.judge import Judge
from kd_yolo_training.compression.openvino_int8 import OpenVinoQuantizer
from kd_yolo_training.compression.prepare import prepare
from kd_yolo_training.compression.quantize import quantize

FP32 = ModelFile('model.onnx', ('openvino',), 'fp32', InputSpec(96, 64))
SIDE = 64


@pytest.fixture
def judge(tmp_path) -> Judge:
    sets = open_sets([str(write_dataset(tmp_path / 'set'))])
    read_sets(sets)
    return Judge(tiny_manifest(), sets)


@pytest.fixture(scope='module')
def quantizer(tmp_path_factory) -> OpenVinoQuantizer:
    path = tmp_path_factory.mktemp('float') / 'model.onnx'
    export_onnx(random_yolov5(), path, SIDE, SIDE)
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 200, (1, SIDE, SIDE, 3), np.uint8) for _ in range(3)]
    return OpenVinoQuantizer(prepare(path, InputSpec(SIDE, SIDE)), pictures)


def pictures() -> list[np.ndarray]:
    return [scene(background=value)[0][None] for value in (40, 60, 80)]


def stiff() -> onnx.ModelProto:
    model = stiff_model()
    name_nodes(model)
    return model


def read(path: Path) -> list[Any]:
    import openvino

    return openvino.Core().read_model(path).get_ops()


def spans(path: Path) -> dict[str, tuple[float, float]]:
    """Return the (low, high) of each quantizer of activations, by the name of what it rounds."""
    found = {}
    for operation in read(path):
        if operation.get_type_name() == 'FakeQuantize':
            giver = operation.input_value(0).get_node()
            name = giver.get_friendly_name()
            bounds = [operation.input_value(port).get_node().data.item() for port in (1, 2)]
            found['pixels' if giver.get_type_name() == 'Convert' else name] = (*bounds,)
    return found


def test_ranges_are_the_calibrators(quantizer, tmp_path):
    quantizer.write(tmp_path / 'a.xml', 'minmax')
    found = spans(tmp_path / 'a.xml')
    wanted = quantizer._graph.ranges('minmax', None)
    assert len(found) > 50
    assert found.pop('pixels') == (0, 255), 'pixels stay what they are'
    one = found['model.1.act/Mul']
    step = (one[1] - one[0]) / 255
    assert one == pytest.approx(wanted['model.1.act/Mul'], abs=step)
    quantizer.write(tmp_path / 'b.xml', 'percentile-99.9')
    other = spans(tmp_path / 'b.xml')
    assert other.keys() == {*found, 'pixels'}
    assert sum(other[name][1] < found[name][1] for name in found) > len(found) / 2


def test_what_meets_in_a_concatenation_has_one_range(quantizer, tmp_path):
    quantizer.write(tmp_path / 'a.xml', 'minmax')
    found = spans(tmp_path / 'a.xml')
    wanted = quantizer._graph.ranges('minmax', None)
    # Two concatenations and the upsampling between them chain these.
    names = ('model.4.cv3.act/Mul', 'model.14.act/Mul', 'model.15/Resize', 'model.18.act/Mul')
    assert len({found[name] for name in names}) == 1
    assert found[names[0]][1] == pytest.approx(max(wanted[n][1] for n in names), rel=0.01)
    assert len({wanted[name] for name in names}) > 1


def test_biases_make_up_for_the_rounding_of_weights(quantizer, tmp_path, monkeypatch):
    """Two ways to write the same integers, of which only the biases differ."""
    quantizer.write(tmp_path / 'a.xml', 'minmax')
    monkeypatch.setattr(
        'kd_yolo_training.compression.calibrated_graph.correct_biases', lambda *arguments: None
    )
    quantizer.write(tmp_path / 'b.xml', 'minmax')
    assert spans(tmp_path / 'a.xml') == spans(tmp_path / 'b.xml')
    contents = [(tmp_path / name).read_bytes() for name in ('a.bin', 'b.bin')]
    assert len(contents[0]) == len(contents[1]) and contents[0] != contents[1]


def test_layers_go_back_into_float(judge, tmp_path):
    onnx.save(stiff(), tmp_path / 'model.onnx')
    (tmp_path / 'out').mkdir()
    file, record = quantize(
        *(tmp_path / 'model.onnx', FP32, 'openvino', pictures(), tmp_path / 'out'),
        *('accuracy-aware', judge, 'minmax', 0.01),
    )
    assert record['fp32_map50_95'] == pytest.approx(1)
    assert record['steps'][0]['map50_95'] < 0.5, 'the default is ruined'
    assert record['met'] and record['map50_95'] >= 0.99
    assert {*record['kept_in_float']} & {*LAYERS}
    again = judge(tmp_path / 'out' / file.path, file).map50_95
    assert again == pytest.approx(record['map50_95'], abs=1e-5)
    names = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert names == ['openvino.bin', 'openvino.xml'] == sorted(file.sha256)


def test_float_layers_hold_no_integers(quantizer, tmp_path):
    quantizer.write(tmp_path / 'a.xml', 'minmax', kept=quantizer.layers)
    assert not spans(tmp_path / 'a.xml')
    first = next(iter(quantizer.layers))
    quantizer.write(tmp_path / 'b.xml', 'minmax', kept=[first])
    assert 'pixels' not in spans(tmp_path / 'b.xml'), 'nobody else reads the pixels'
    assert 'model.0.act/Mul' in spans(tmp_path / 'b.xml')


def test_float_weights_take_16_bits_at_most(tmp_path):
    OpenVinoQuantizer(stiff(), pictures()).write(tmp_path / 'openvino.xml', 'minmax')
    kinds = set()
    for operation in read(tmp_path / 'openvino.xml'):
        if operation.get_type_name() in ('Convolution', 'GroupConvolution'):
            weight = operation.input_value(1).get_node()
            while weight.get_type_name() != 'Constant':
                weight = weight.input_value(0).get_node()
            kinds.add(weight.get_element_type().get_type_name())
    assert kinds == {'f16', 'i8'}, 'the head, and the layers before it'
