# SPDX-License-Identifier: Apache-2.0
"""cv2.dnn reads our graphs and those of others, and answers as ONNX Runtime does."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import onnx
import pytest
from artifacts import HEIGHT, SQUARES, WIDTH, scene, tiny_manifest

from kd_yolo_ros.artifact import load_artifact
from kd_yolo_ros.backends.opencv import OpenCvBackend
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.onnx_file import OnnxFile
from kd_yolo_ros.predictor import Predictor

(FILE,) = tiny_manifest().files


@pytest.fixture(autouse=True)
def _threads_as_before():
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def for_opencv(folder):
    """The artifact with the runtime added to its one file."""
    artifact = load_artifact(folder)
    file = dataclasses.replace(artifact.manifest.files[0], runtimes=('onnxruntime', 'opencv'))
    manifest = dataclasses.replace(artifact.manifest, files=(file,))
    return dataclasses.replace(artifact, manifest=manifest)


def test_what_really_runs(tiny_artifact):
    running = OpenCvBackend(tiny_artifact / 'model.onnx', FILE, 'fp32', 1).running
    assert (running.runtime, running.runtime_version) == ('opencv', cv2.__version__)
    assert (running.provider, running.precision, running.threads) == ('CPU', 'fp32', 1)


def test_threads_are_left_alone_unless_asked_for(tiny_artifact):
    cv2.setNumThreads(1)
    assert OpenCvBackend(tiny_artifact / 'model.onnx', FILE, 'fp32', None).running.threads == 1
    assert OpenCvBackend(tiny_artifact / 'model.onnx', FILE, 'fp32', 2).running.threads == 2
    assert cv2.getNumThreads() == 2


def test_known_boxes(tiny_artifact):
    predictor = Predictor(for_opencv(tiny_artifact), 'opencv')
    picture, expected = scene(scale=2)
    found = predictor.predict(picture)
    order = np.argsort(found.class_ids)
    assert [predictor.class_names[i] for i in found.class_ids[order]] == [s.name for s in SQUARES]
    np.testing.assert_allclose(found.boxes[order], expected, atol=0.02)


@pytest.mark.parametrize('order', ['abc', 'cab', 'ba', 'bca'])
def test_outputs_come_in_the_graphs_order(tmp_path, order):
    """Not in the alphabet's; one of them goes on into another node, too."""
    helper = onnx.helper
    sums = [('images', 'one', 'a'), ('a', 'two', 'b'), ('images', 'three', 'c')]
    nodes = [helper.make_node('Add', [x, y], [z], name=z) for x, y, z in sums]
    graph = helper.make_graph(
        nodes,
        'g',
        [helper.make_tensor_value_info('images', onnx.TensorProto.FLOAT, [1, 3, 8, 8])],
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8])
            for name in order
        ],
        [
            onnx.numpy_helper.from_array(np.full((1, 3, 8, 8), value, np.float32), name)
            for name, value in (('one', 1), ('two', 2), ('three', 5))
        ],
    )
    opset = [helper.make_opsetid('', 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / 'm.onnx')
    backend = OpenCvBackend(tmp_path / 'm.onnx', FILE, 'fp32', 1)
    answers = backend.infer(np.zeros((1, 3, 8, 8), np.float32))
    expected = {'a': 1, 'b': 3, 'c': 5}
    assert [answer.ravel()[0] for answer in answers] == [expected[name] for name in order]


def test_outputs_that_opencv_calls_otherwise(tiny_artifact, monkeypatch):
    """As old versions do, which name them by the nodes."""
    path, read = tiny_artifact / 'model.onnx', 'kd_yolo_ros.backends.opencv.read_onnx_file'
    monkeypatch.setattr(read, lambda path: OnnxFile(['x', 'y', 'z'], set()))
    with pytest.raises(UserError, match=r'does not tell the outputs of .* \(x, y, z\) apart'):
        OpenCvBackend(path, FILE, 'fp32', 1)


def test_an_answer_belongs_to_its_picture(tiny_artifact):
    backend = OpenCvBackend(tiny_artifact / 'model.onnx', FILE, 'fp32', 1)
    picture = scene()[0][None]
    first = [output.copy() for output in backend.infer(picture)]
    blank = [output.copy() for output in backend.infer(np.zeros((1, HEIGHT, WIDTH, 3), np.uint8))]
    again = backend.infer(picture)
    assert not np.array_equal(first[0], blank[0])
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def assert_alike(path, data_dir):
    picture = cv2.imread(str(sorted((data_dir / 'coco128' / 'images').iterdir())[0]))
    expected, found = (
        Predictor(path, runtime, 'fp32').predict(picture) for runtime in ('onnxruntime', 'opencv')
    )
    assert len(expected) > 0 and found.class_ids.tolist() == expected.class_ids.tolist()
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.05)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)


def test_real_weights_as_onnx_runtime(yolov5n_artifact, data_dir):
    assert_alike(for_opencv(yolov5n_artifact), data_dir)


def test_an_export_of_another_tool_as_onnx_runtime(data_dir):
    assert_alike(data_dir / 'weights' / 'yolov5n-seg.onnx', data_dir)


@pytest.mark.parametrize('content', [b'', b'no model at all', b'\x08\x08\x12\x04', bytes(1000)])
def test_a_file_that_is_no_onnx(tmp_path, content):
    path = tmp_path / 'model.onnx'
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        OpenCvBackend(path, FILE, 'fp32', 1)
    sentence = str(raised.value)
    assert f'OpenCV cannot load {path} (' in sentence and '\n' not in sentence


def test_another_precision_and_provider(tiny_artifact):
    path = tiny_artifact / 'model.onnx'
    with pytest.raises(UserError, match=r'model\.onnx in fp32 only, not in bf16'):
        OpenCvBackend(path, FILE, 'bf16', 1)
    with pytest.raises(UserError, match="OpenCV has no provider 'vulkan' on this machine; it has"):
        OpenCvBackend(path, FILE, 'fp32', 1, 'vulkan')
    assert OpenCvBackend.providers()[0] == 'cpu' and list(OpenCvBackend.precisions()) == ['fp32']
