# SPDX-License-Identifier: Apache-2.0
"""INT8 for TFLite: integers from the pixels to the head, whose numbers keep their own sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_model import CHANNELS, SIDE, write_convolutions, write_shift

from kd_yolo_ros.backends.tflite import TfliteBackend
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import InputSpec, ModelFile
from kd_yolo_training.compression.judge import Verdict
from kd_yolo_training.compression.quantize import quantize
from kd_yolo_training.compression.tflite_int8 import (
    TfliteQuantizer,
    _Graph,
)

FLOATS = InputSpec(SIDE, SIDE, 'float32')


@pytest.fixture(scope='module')
def floats(tmp_path_factory) -> Path:
    return write_convolutions(tmp_path_factory.mktemp('float') / 'model.tflite')


@pytest.fixture(scope='module')
def pictures():
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (1, SIDE, SIDE, 3), np.uint8) for _ in range(6)]


@pytest.fixture(scope='module')
def quantizer(floats, pictures) -> TfliteQuantizer:
    return TfliteQuantizer(floats, pictures)


@pytest.fixture(scope='module')
def made(floats, pictures, tmp_path_factory) -> tuple[Path, ModelFile]:
    folder = tmp_path_factory.mktemp('int8')
    fp32 = ModelFile(floats.name, ('tflite',), 'fp32', FLOATS, output_layout='nhwc')
    file, record = quantize(floats, fp32, 'tflite', pictures, folder)
    assert (record['runtime'], record['calibrator']) == ('tflite', 'percentile-99.999')
    assert [path.name for path in folder.iterdir()] == list(file.sha256) == [file.path]
    return folder / file.path, file


def test_it_answers_like_the_float_file(made, floats, pictures):
    path, file = made
    assert (file.precision, file.runtimes, file.output_layout) == ('int8', ('tflite',), 'nhwc')
    assert file.input == InputSpec(SIDE, SIDE)
    integers = TfliteBackend(path, file, 'int8', 1)
    exact = TfliteBackend(floats, ModelFile('x', ('tflite',), 'fp32', FLOATS), 'fp32', 1)
    (got,) = integers.infer(pictures[0])
    (expected,) = exact.infer(pictures[0].astype(np.float32))
    assert got.shape == expected.shape and not np.array_equal(got, expected)
    # Each channel by itself: they lie 16 apart, and one scale for all would round them away.
    for channel in range(CHANNELS):
        alike = np.corrcoef(got[..., channel].ravel(), expected[..., channel].ravel())[0, 1]
        assert alike > 0.99, channel


def test_pixels_go_in_as_they_are_and_weights_have_8_bits(made):
    interpreter = Interpreter(
        str(made[0]),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    (first,) = interpreter.get_input_details()
    assert first['dtype'] == np.int8 and first['quantization'] == (1.0, -128)
    (output,) = interpreter.get_output_details()
    assert output['dtype'] == np.float32
    details = {d['index']: d for d in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()
    convolutions = [o for o in operators if o['op_name'] == 'CONV_2D']
    assert len(convolutions) == 2
    for operator in convolutions:
        weight = details[operator['inputs'][1]]
        assert weight['dtype'] == np.int8
        assert len(weight['quantization_parameters']['scales']) == weight['shape'][0]
    between = [o for o in operators if o['op_name'] in ('LOGISTIC', 'MUL')]
    assert {details[i]['dtype'] for o in between for i in o['inputs']} == {np.int8}


def test_prototypes_and_their_silu_are_float(pictures, tmp_path):
    source = write_convolutions(tmp_path / 'model.tflite', bent=True)
    TfliteQuantizer(source, pictures).write(tmp_path / 'int8.tflite', 'minmax')
    interpreter = Interpreter(
        str(tmp_path / 'int8.tflite'),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    details = {d['index']: d for d in interpreter.get_tensor_details()}
    given = {
        details[int(o['outputs'][0])]['name'].rstrip(';'): (
            o['op_name'],
            details[int(o['outputs'][0])]['dtype'],
        )
        for o in interpreter._get_ops_details()
    }
    assert given['raw'] == ('CONV_2D', np.float32)
    assert given['last gate'] == ('LOGISTIC', np.float32)
    assert given['output'] == ('MUL', np.float32)
    assert given['gate'] == ('LOGISTIC', np.int8) and given['after'] == ('MUL', np.int8)
    weight = next(
        details[o['inputs'][1]] for o in interpreter._get_ops_details()
        if details[int(o['outputs'][0])]['name'] == 'raw'
    )  # fmt: skip
    assert weight['dtype'] == np.int8


def test_ranges_are_those_of_the_pictures(quantizer, floats, pictures):
    graph = _Graph.read(floats)
    ranges = quantizer.ranges('moving-average', None)
    assert ranges['pixels'] == (0.0, 255.0)
    highest = []
    for picture in pictures:
        graph.run(picture)
        highest.append(graph.interpreter.get_tensor(graph.tensors['before']).max())
    assert ranges['before'][1] == pytest.approx(np.mean(highest), rel=1e-5)
    assert quantizer.ranges('minmax', None)['before'][1] == pytest.approx(np.max(highest))


def test_what_goes_into_silu_saturates(quantizer, floats):
    assert _Graph.read(floats).before_silu == {'before'}
    low = quantizer.ranges('minmax', None)['before'][0]
    floored = quantizer.ranges('minmax', low / 2)
    assert floored['before'][0] == low / 2
    assert floored['after'] == quantizer.ranges('minmax', None)['after']


class Judge:
    """One to whom the third file that it sees is the best."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def __call__(self, path: Path, file: ModelFile, runtime: str | None = None) -> Verdict:
        self.seen.append(path.read_bytes())
        ap = 0.5 if len(self.seen) == 3 else 0.1
        return Verdict(ap, ap, 4, 1.0, '1')


def test_the_calibrator_with_the_highest_ap(floats, pictures, tmp_path):
    fp32 = ModelFile(floats.name, ('tflite',), 'fp32', FLOATS, output_layout='nhwc')
    judge = Judge()
    file, record = quantize(floats, fp32, 'tflite', pictures, tmp_path, judge=judge)
    best = record['candidates'][2]
    assert (record['calibrator'], record['silu_floor'], 0.5) == (*best.values(),)
    assert (tmp_path / file.path).read_bytes() == judge.seen[2]
    assert len(set(judge.seen)) > 4, 'ranges make a difference'


def test_a_quantized_file(made, pictures):
    with pytest.raises(UserError, match='is quantized already; give the FP32 model'):
        TfliteQuantizer(made[0], pictures)


def test_a_file_without_convolutions(pictures, tmp_path):
    with pytest.raises(UserError, match='has no convolution'):
        TfliteQuantizer(write_shift(tmp_path / 'shift.tflite'), pictures)


def test_a_file_that_is_no_tflite(pictures, tmp_path):
    (tmp_path / 'model.tflite').write_bytes(b'no model at all')
    with pytest.raises(UserError, match='is no TFLite model'):
        TfliteQuantizer(tmp_path / 'model.tflite', pictures)


def test_no_picture(floats):
    with pytest.raises(UserError, match='There is no picture to calibrate on'):
        TfliteQuantizer(floats, [])
