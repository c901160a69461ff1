# SPDX-License-Identifier: Apache-2.0
"""Exports of other tools load without a manifest, and what is no detector is refused."""

from __future__ import annotations

import cv2
import numpy as np
import onnx
import pytest
from artifacts import tiny_model
from onnx import TensorProto, helper, numpy_helper

from kd_yolo_ros.artifact import sha256_of
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.exports import describe_export, open_model
from kd_yolo_ros.predictor import Predictor

FLOAT, UINT8 = TensorProto.FLOAT, TensorProto.UINT8
BOX = (48, 32, 20, 10)  # centre and size of the one object


def constant_model(*outputs, shape=(1, 3, 64, 96), dtype=FLOAT, dynamic=(), metadata=None):
    """A graph that gives the same outputs for every picture.

    The input is summed up and taken times 0, so that it is used; `dynamic` names the axes of
    the first output whose length the graph does not tell.
    """
    nodes = [
        helper.make_node('Cast', ['images'], ['float'], to=FLOAT),
        helper.make_node('ReduceSum', ['float'], ['sum'], keepdims=0),
        helper.make_node('Mul', ['sum', 'nought'], ['zero']),
    ]
    weights = [numpy_helper.from_array(np.float32(0), 'nought')]
    values = []
    for number, output in enumerate(outputs):
        output = np.asarray(output, np.float32)
        weights.append(numpy_helper.from_array(output, f'constant{number}'))
        name = f'output{number}'
        nodes.append(helper.make_node('Add', [f'constant{number}', 'zero'], [name]))
        lengths = [
            f'd{i}' if i in dynamic and not number else n for i, n in enumerate(output.shape)
        ]
        values.append(helper.make_tensor_value_info(name, FLOAT, lengths))
    graph = helper.make_graph(
        nodes, 'g', [helper.make_tensor_value_info('images', dtype, shape)], values, weights
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    return model


def anchor_grid(classes=2, boxes=30, masks=0):
    """(1, boxes, 5 + classes): YOLOv5's decoded output, with one object in it."""
    output = np.zeros((1, boxes, 5 + classes + masks), np.float32)
    output[0, 7, :5] = [*BOX, 0.9]
    output[0, 7, 5 + classes - 1] = 0.8
    return output


def anchor_free(classes=2, boxes=30, masks=0):
    """(1, 4 + classes, boxes): YOLOv8's decoded output, with one object in it."""
    output = np.zeros((1, 4 + classes + masks, boxes), np.float32)
    output[0, :4, 7] = BOX
    output[0, 4 + classes - 1, 7] = 0.72
    return output


@pytest.fixture
def save(tmp_path):
    def save_model(model, name='model.onnx'):
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    return save_model


def refusal(path, *arguments):
    with pytest.raises(UserError) as raised:
        describe_export(path, *arguments)
    sentence = str(raised.value)
    assert str(path) in sentence and '\n' not in sentence
    return sentence


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
@pytest.mark.parametrize(
    ('head', 'dynamic'),  # the number of boxes may be left open, that of values must not
    [(anchor_grid, ()), (anchor_grid, (1,)), (anchor_free, ()), (anchor_free, (2,))],
)
def test_decoded_heads_are_told_apart(save, head, dynamic, runtime):
    path = save(constant_model(head(), dynamic=dynamic))
    predictor = Predictor(path, runtime)
    assert predictor.manifest.head.layout == head.__name__
    assert predictor.class_names == ('class_0', 'class_1')
    detections = predictor.predict(np.zeros((128, 192, 3), np.uint8))
    assert detections.class_ids.tolist() == [1]
    np.testing.assert_allclose(detections.boxes, [[76, 54, 116, 74]], atol=1e-3)
    assert detections.scores[0] == pytest.approx(0.72)


@pytest.mark.parametrize('head', [anchor_grid, anchor_free])
def test_masks_are_no_classes(save, head):
    model = constant_model(head(masks=4), np.zeros((1, 4, 16, 24)))
    manifest = open_model(save(model)).manifest
    assert manifest.task == 'segment' and manifest.head.mask_coefficients == 4
    assert manifest.class_names == ('class_0', 'class_1')


@pytest.mark.parametrize(
    'names',
    ["{0: 'stop', 1: 'go'}", "{1: 'go', 0: 'stop'}", "['stop', 'go']", "{'0': 'stop', '1': 'go'}"],
)
def test_names_of_the_metadata(save, names):
    metadata = {'names': names, 'license': 'AGPL-3.0', 'stride': '32', 'args': "{'int8': True}"}
    manifest = open_model(save(constant_model(anchor_grid(), metadata=metadata))).manifest
    assert manifest.class_names == ('stop', 'go')
    assert manifest.licence == 'AGPL-3.0' and manifest.files[0].precision == 'int8'
    assert manifest.provenance['export']['stride'] == '32'


def test_names_written_as_texts_keep_their_order(save):
    names = {str(i): f'name {i}' for i in range(12)}
    path = save(constant_model(anchor_grid(12), metadata={'names': str(names)}))
    assert open_model(path).manifest.class_names == tuple(names.values())


@pytest.mark.parametrize('names', ['(' * 5000, 'stop', "{'a': 'stop'}", '7', '{[]}', ''])
def test_names_that_cannot_be_read_are_numbered(save, names):
    path = save(constant_model(anchor_grid(), metadata={'names': names}))
    assert open_model(path).manifest.class_names == ('class_0', 'class_1')


def test_names_given(save):
    path = save(constant_model(anchor_grid(), metadata={'names': "['stop', 'go']"}))
    assert describe_export(path, ['red', 'green']).manifest.class_names == ('red', 'green')
    assert 'predicts 2 classes, but 3 names' in refusal(path, ['red', 'green', 'blue'])
    assert 'class name' in refusal(path, ['red', 'red'])


def test_names_that_do_not_fit_the_outputs(save):
    path = save(constant_model(anchor_grid(3), metadata={'names': "['stop', 'go']"}))
    assert '(1, 30, 8)' in refusal(path)


@pytest.mark.parametrize(
    ('shape', 'dtype', 'expected'),
    [
        ((1, 3, 64, 96), FLOAT, (96, 64, 'float32', 'nchw', 1 / 255)),
        ((1, 64, 96, 3), FLOAT, (96, 64, 'float32', 'nhwc', 1 / 255)),
        ((1, 64, 96, 3), UINT8, (96, 64, 'uint8', 'nhwc', 1.0)),
        (('n', 3, 64, 96), FLOAT, (96, 64, 'float32', 'nchw', 1 / 255)),
        (('n', 3, 'h', 'w'), FLOAT, (640, 640, 'float32', 'nchw', 1 / 255)),
    ],
)
def test_inputs(save, shape, dtype, expected):
    path = save(constant_model(anchor_grid(), shape=shape, dtype=dtype))
    spec = open_model(path).manifest.files[0].input
    assert (spec.width, spec.height, spec.dtype, spec.layout, spec.scale) == expected
    assert spec.colour_order == 'rgb'
    Predictor(path).warm_up(1)


@pytest.mark.parametrize(
    ('imgsz', 'expected'),
    [('[64, 96]', (64, 96)), ('[None, 3]', (640, 640)), ('96', (640, 640)), ('x', (640, 640))],
)
def test_size_of_a_dynamic_input(save, imgsz, expected):
    model = constant_model(anchor_grid(), shape=(1, 3, 'h', 'w'), metadata={'imgsz': imgsz})
    spec = open_model(save(model)).manifest.files[0].input
    assert (spec.height, spec.width) == expected


def test_colours_are_given_as_rgb(save):
    """The scores of this graph are proportional to the mean of its first channel."""
    model = constant_model(anchor_grid(1))
    nodes = [
        helper.make_node('Split', ['images'], ['r', 'g', 'b'], axis=1, num_outputs=3),
        helper.make_node('ReduceMean', ['r'], ['mean'], keepdims=0),
        helper.make_node('Mul', ['constant0', 'mean'], ['output0']),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    predictor = Predictor(save(model))
    for colour, score in (((0, 0, 255), 0.72), ((255, 0, 0), None)):
        found = predictor.predict(np.full((64, 96, 3), colour, np.uint8)).scores.tolist()
        assert found == ([] if score is None else [pytest.approx(score)])


def test_a_raw_graph_of_ours_without_its_manifest(save):
    assert 'no detector that can be decoded here' in refusal(save(tiny_model()))


@pytest.mark.parametrize(
    ('outputs', 'expected'),
    [
        ([np.zeros((1, 1000))], '(1, 1000)'),
        ([np.zeros((1, 8, 8, 3))], '(1, 8, 8, 3)'),
        ([np.zeros((2, 30, 7))], '(2, 30, 7)'),
        ([np.zeros((1, 300, 4))], '(1, 300, 4)'),
        ([np.float32(0)], '()'),
    ],
)
def test_no_detector(save, outputs, expected):
    sentence = refusal(save(constant_model(*outputs)))
    assert 'no detector' in sentence and expected in sentence and 'export it' in sentence


@pytest.mark.parametrize('shape', [(1, 10), (1, 1, 64, 96), (8, 3, 64, 96), (1, 3, 64, 96, 2)])
def test_an_input_that_is_no_picture(save, shape):
    assert f'input of shape {shape}' in refusal(save(constant_model(anchor_grid(), shape=shape)))


@pytest.mark.parametrize(('dtype', 'name'), [(TensorProto.FLOAT16, 'float16'), (6, 'int32')])
def test_an_input_of_another_type(save, dtype, name):
    assert name in refusal(save(constant_model(anchor_grid(), dtype=dtype)))


@pytest.mark.parametrize('shape', [(1, 3, 8, 8), (1, 3, 64, 100_000)])
def test_an_absurd_size(save, shape):
    assert 'pixels' in refusal(save(constant_model(anchor_grid(), shape=shape)))


@pytest.mark.parametrize('content', [b'', b'no model', b'\x08\x08\x12\x04', bytes(1000)])
@pytest.mark.parametrize('name', ['model.onnx', 'model.xml'])
def test_no_model(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    path.with_suffix('.bin').write_bytes(b'')
    assert 'can load' in refusal(path)


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / 'model.pt'
    path.write_bytes(b'')
    assert 'kd-yolo import model.pt --out DIR' in refusal(path)
    text = tmp_path / 'notes.md'
    text.write_text('no model')
    assert 'kd-yolo import MODEL.pt' in refusal(text)  # importing notes.md would lead nowhere


@pytest.fixture
def openvino_export(save, tmp_path):
    """What Ultralytics' OpenVINO export leaves: a folder with .xml, .bin and metadata.yaml."""
    import openvino

    model = openvino.convert_model(save(constant_model(anchor_free())))
    folder = tmp_path / 'tiny_openvino_model'
    openvino.save_model(model, folder / 'tiny.xml', compress_to_fp16=False)
    (folder / 'metadata.yaml').write_text('names: {0: stop, 1: go}\nimgsz: [64, 96]\n')
    return folder


def test_an_openvino_folder(openvino_export):
    for path in (openvino_export, openvino_export / 'tiny.xml'):
        artifact = open_model(path)
        (file,) = artifact.manifest.files
        assert artifact.manifest.class_names == ('stop', 'go') and file.runtimes == ('openvino',)
        assert list(file.sha256) == ['tiny.xml', 'tiny.bin']
        detections = Predictor(path).predict(np.zeros((128, 192, 3), np.uint8))
        np.testing.assert_allclose(detections.boxes, [[76, 54, 116, 74]], atol=1e-3)
    with pytest.raises(UserError, match='nothing for runtime onnxruntime'):
        Predictor(openvino_export, 'onnxruntime')


@pytest.mark.parametrize('text', ['a: [1', '- 1', 'text', 'a: 2024-99-99'])
def test_an_openvino_folder_with_other_metadata(openvino_export, text):
    (openvino_export / 'metadata.yaml').write_text(text)
    assert 'metadata.yaml' in refusal_of(openvino_export)


def refusal_of(folder):
    with pytest.raises(UserError) as raised:
        open_model(folder)
    return str(raised.value)


def test_an_openvino_file_without_weights(openvino_export):
    (openvino_export / 'tiny.bin').unlink()
    assert 'tiny.bin is missing' in refusal_of(openvino_export)


def test_a_folder_with_two_models(openvino_export, tmp_path):
    (openvino_export / 'second.onnx').write_bytes(b'')
    assert 'holds 2 model files' in refusal_of(openvino_export)


def test_a_real_export_in_both_runtimes(data_dir):
    path = data_dir / 'weights' / 'yolov5n-seg.onnx'
    artifact = open_model(path)
    manifest = artifact.manifest
    assert manifest.task == 'segment' and manifest.head.mask_coefficients == 32
    assert manifest.head.layout == 'anchor_grid' and len(manifest.class_names) == 80
    (file,) = manifest.files
    assert file.sha256 == {path.name: sha256_of(path)} and file.decode_inside
    assert (file.input.height, file.input.width, file.input.colour_order) == (640, 640, 'rgb')
    picture = cv2.imread(str(sorted((data_dir / 'coco128' / 'images').iterdir())[0]))
    ort, ov = (Predictor(path, r, 'fp32').predict(picture) for r in ('onnxruntime', 'openvino'))
    assert len(ort) > 0 and ort.class_ids.tolist() == ov.class_ids.tolist()
    np.testing.assert_allclose(ort.boxes, ov.boxes, atol=0.05)
    np.testing.assert_allclose(ort.scores, ov.scores, atol=1e-3)
