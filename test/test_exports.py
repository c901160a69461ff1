# SPDX-License-Identifier: Apache-2.0
"""Exports of other tools load without a manifest, and what is no detector is refused."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import onnx
import pytest
from artifacts import tiny_model
from onnx import TensorProto, helper, numpy_helper

from kd_yolo_ros.artifact import sha256_of
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.exports import describe_export, open_model
from kd_yolo_ros.manifest import Head, Thresholds
from kd_yolo_ros.predictor import Predictor

FLOAT, UINT8 = TensorProto.FLOAT, TensorProto.UINT8
BOX = (48, 32, 20, 10)  # centre and size of the one object


def constant_model(
    *outputs, shape=(1, 3, 64, 96), dtype=FLOAT, dynamic=(), metadata=None, names=None
):
    """A graph that gives the same outputs for every picture.

    The input is summed up and taken times 0, so that it is used; `dynamic` names the axes of
    the first output whose length the graph does not tell.
    """
    nodes = [
        helper.make_node('Cast', ['images'], ['float'], to=FLOAT),
        helper.make_node('ReduceSum', ['float'], ['sum'], keepdims=0),
        helper.make_node('Mul', ['sum', 'nought'], ['zero']),
        helper.make_node('Cast', ['zero'], ['whole'], to=TensorProto.INT64),
    ]
    weights = [numpy_helper.from_array(np.float32(0), 'nought')]
    values = []
    for number, output in enumerate(outputs):
        whole = np.issubdtype(np.asarray(output).dtype, np.integer)
        output = np.asarray(output, np.int64 if whole else np.float32)
        weights.append(numpy_helper.from_array(output, f'constant{number}'))
        name = names[number] if names else f'output{number}'
        nought = 'whole' if whole else 'zero'
        nodes.append(helper.make_node('Add', [f'constant{number}', nought], [name]))
        lengths = [
            f'd{i}' if i in dynamic and not number else n for i, n in enumerate(output.shape)
        ]
        kind = TensorProto.INT64 if whole else FLOAT
        values.append(helper.make_tensor_value_info(name, kind, lengths))
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


def end_to_end(values=6):
    """(1, 300, 6): two boxes of a class that overlap, and one with too low a score."""
    output = np.zeros((1, 300, values), np.float32)
    output[0, :3, :6] = [
        [38, 27, 58, 37, 0.9, 1],
        [39, 27, 59, 37, 0.8, 1],
        [0, 0, 9, 9, 0.1, 0],
    ]
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
    assert manifest.files[0].outputs == () and manifest.files[0].output_layout == 'nchw'


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino', 'opencv'])
@pytest.mark.parametrize('order', [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize('head', [anchor_grid, anchor_free, end_to_end])
def test_masks_wherever_the_prototypes_stand(save, head, order, runtime):
    """Prototypes of which the second covers the left half: that is what the object asks for."""
    protos = np.zeros((1, 4, 16, 24), np.float32)
    protos[0, 1] = np.where(np.arange(24) < 12, 1, -1)
    if head is end_to_end:
        boxes = end_to_end(10)
        boxes[0, :2, 7] = 5
    else:
        boxes = head(masks=4)
        (boxes[0, 7] if head is anchor_grid else boxes[0, :, 7])[-3] = 5
    outputs = [(boxes, protos, np.zeros((1, 2), np.float32))[place] for place in order]
    metadata = {'names': "['stop', 'go']", 'end2end': str(head is end_to_end)}
    path = save(constant_model(*outputs, metadata=metadata))
    (file,) = open_model(path).manifest.files
    assert file.outputs == (() if order == (0, 1, 2) else (order.index(0), order.index(1)))
    predictor = Predictor(path, runtime)
    found = predictor.predict(np.zeros((128, 192, 3), np.uint8))
    assert found.class_ids[0] == 1 and len(found.masks) == len(found)
    rows, columns = np.nonzero(found.masks.full(0))
    box = [76, 54, 96, 74]  # left of the middle, in a picture of twice the network's size
    assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == box
    predictor.thresholds = Thresholds(score=0.95)
    assert len(predictor.predict(np.zeros((128, 192, 3), np.uint8)).masks) == 0


def test_prototypes_of_another_size_are_refused(save):
    path = save(constant_model(anchor_grid(masks=4), np.zeros((1, 4, 8, 12))))
    with pytest.raises(UserError, match=r'prototypes \(1, 4, 16, 24\) behind the boxes expected'):
        Predictor(path)


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


def quantized_model(*nodes):
    """The anchor grid, with nodes of quantization on the way from the input."""
    model = constant_model(anchor_grid())
    constants = {'scale': np.float32(1), 'point': np.uint8(0)}
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    model.graph.node[1].input[0] = nodes[-1].output[0]
    for node in reversed(nodes):
        model.graph.node.insert(1, node)
    return model


@pytest.mark.parametrize(
    'nodes',
    [
        [
            helper.make_node('QuantizeLinear', ['float', 'scale', 'point'], ['q']),
            helper.make_node('DequantizeLinear', ['q', 'scale', 'point'], ['d']),
        ],
        [
            helper.make_node('DynamicQuantizeLinear', ['float'], ['q', 's', 'z']),
            helper.make_node('Cast', ['q'], ['d'], to=FLOAT),
        ],
    ],
)
def test_a_quantized_graph_is_int8(save, nodes, monkeypatch):
    path = save(quantized_model(*nodes))
    (file,) = open_model(path).manifest.files
    assert file.precision == 'int8' and 'opencv' not in file.runtimes
    assert Predictor(path, 'onnxruntime').running.precision == 'int8'
    # Without ONNX Runtime, OpenVINO reads the file.
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    assert open_model(path).manifest.files[0].precision == 'int8'


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


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
@pytest.mark.parametrize(
    'metadata',
    [
        {'names': "['stop', 'go']"},
        {'names': "['stop', 'go']", 'end2end': 'True'},
        {'names': "['stop', 'go']", 'args': "{'nms': True}"},
    ],
)
def test_end_to_end_exports_need_no_suppression(save, metadata, runtime):
    predictor = Predictor(save(constant_model(end_to_end(), metadata=metadata)), runtime)
    assert predictor.manifest.head.layout == 'end_to_end'
    picture = np.zeros((128, 192, 3), np.uint8)
    found = predictor.predict(picture)
    assert found.class_ids.tolist() == [1, 1]
    np.testing.assert_allclose(found.boxes, [[76, 54, 116, 74], [78, 54, 118, 74]], atol=1e-3)
    predictor.thresholds = Thresholds(max_detections=1)
    assert predictor.predict(picture).scores.tolist() == [np.float32(0.9)]
    predictor.thresholds = Thresholds(score=0.05, class_ids=(0,))
    assert predictor.predict(picture).scores.tolist() == [np.float32(0.1)]


def test_six_values_of_one_class_are_an_anchor_grid_unless_the_export_says_otherwise(save):
    one = {'names': "['stop']"}
    for metadata, layout in ((one, 'anchor_grid'), ({**one, 'end2end': 'True'}, 'end_to_end')):
        path = save(constant_model(end_to_end(), metadata=metadata))
        assert open_model(path).manifest.head.layout == layout


def test_end_to_end_with_masks(save):
    metadata = {'names': "['stop', 'go']", 'end2end': 'True'}
    model = constant_model(end_to_end(10), np.zeros((1, 4, 16, 24)), metadata=metadata)
    manifest = open_model(save(model)).manifest
    assert manifest.head == Head('end_to_end', mask_coefficients=4)
    assert manifest.task == 'segment'


PIXELS = np.float32([[38, 27, 58, 37], [0, 0, 9, 9]])
SHARES = PIXELS[None][..., [1, 0, 3, 2]] / np.float32([64, 96, 64, 96])
SCORES = np.float32([0.9, 0.1])
TORCHVISION = {'boxes': PIXELS, 'labels': np.array([2, 1]), 'scores': SCORES}
TENSORFLOW = {
    'detection_boxes': SHARES,
    'detection_classes': np.float32([[2, 1]]),
    'detection_multiclass_scores': np.zeros((1, 2, 3)),
    'detection_scores': SCORES[None],
    'num_detections': np.float32([2]),
    'raw_detection_boxes': np.zeros((1, 9, 4)),
    'raw_detection_scores': np.zeros((1, 9, 3)),
}


def ready_model(outputs, named=True, **more):
    return constant_model(*outputs.values(), names=list(outputs) if named else None, **more)


def turned(outputs, *order):
    return {name: outputs[name] for name in order}


TFLITE_ORDER = ('detection_boxes', 'detection_classes', 'detection_scores', 'num_detections')


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
@pytest.mark.parametrize(
    ('model', 'places'),
    [
        (ready_model(TORCHVISION, dynamic=(0,)), (0, 1, 2)),
        (ready_model(TORCHVISION, shape=(3, 64, 96)), (0, 1, 2)),
        (ready_model({**TORCHVISION, 'masks': np.zeros((2, 1, 8, 8))}), (0, 1, 2)),
        (ready_model(turned(TORCHVISION, 'scores', 'boxes', 'labels')), (1, 2, 0)),
        (ready_model(turned(TORCHVISION, 'scores', 'labels', 'boxes'), named=False), (2, 1, 0)),
        (ready_model(TENSORFLOW, shape=(1, 64, 96, 3), dtype=UINT8), (0, 1, 3, 4)),
        (ready_model({f'{name}:0': a for name, a in TENSORFLOW.items()}), (0, 1, 3, 4)),
        (ready_model(turned(TENSORFLOW, *TFLITE_ORDER), named=False), (0, 1, 2, 3)),
        (
            ready_model(turned(TENSORFLOW, *(TFLITE_ORDER[i] for i in (2, 0, 3, 1))), False),
            (1, 3, 0, 2),
        ),
    ],
)
def test_ready_detections(save, model, places, runtime):
    artifact = describe_export(save(model), ['stop', 'go'])
    (file,) = artifact.manifest.files
    assert file.outputs == places
    assert artifact.manifest.head == Head('detections', first_label=1)
    found = Predictor(artifact, runtime).predict(np.zeros((128, 192, 3), np.uint8))
    assert found.class_ids.tolist() == [1]
    np.testing.assert_allclose(found.boxes, [[76, 54, 116, 74]], atol=1e-3)
    assert found.scores[0] == pytest.approx(0.9)


def test_ready_detections_in_opencv(save):
    """It lists the outputs by the alphabet, and gives whole numbers as it likes."""
    outputs = {name: np.float32(TORCHVISION[name]) for name in ('scores', 'labels', 'boxes')}
    artifact = describe_export(save(ready_model(outputs)), ['stop', 'go'])
    found = Predictor(artifact, 'opencv').predict(np.zeros((128, 192, 3), np.uint8))
    assert found.class_ids.tolist() == [1] and found.scores[0] == pytest.approx(0.9)
    np.testing.assert_allclose(found.boxes, [[76, 54, 116, 74]], atol=1e-3)


def test_labels_count_the_background_where_it_has_a_name(save):
    artifact = describe_export(save(ready_model(TORCHVISION)), ['__background__', 'stop', 'go'])
    found = Predictor(artifact).predict(np.zeros((64, 96, 3), np.uint8))
    assert [artifact.manifest.class_names[i] for i in found.class_ids] == ['go']


def test_ready_detections_without_names(save):
    sentence = refusal(save(ready_model(TORCHVISION)))
    assert 'neither which classes' in sentence
    assert 'kd-yolo import model.onnx --names FILE' in sentence


def test_ready_detections_of_a_class_beyond_the_names(save):
    predictor = Predictor(describe_export(save(ready_model(TORCHVISION)), ['stop']))
    with pytest.raises(UserError, match='object of class 1, but names only 0 to 0'):
        predictor.predict(np.zeros((64, 96, 3), np.uint8))


@pytest.mark.parametrize(
    'outputs',
    [
        [PIXELS],
        [PIXELS, SCORES],
        [PIXELS, SCORES, SCORES],
        [PIXELS, PIXELS, np.array([2, 1]), SCORES],
        [PIXELS, SCORES, SCORES, SCORES],
        [PIXELS, np.float32([2]), np.float32([2]), SCORES],
    ],
)
def test_boxes_whose_labels_cannot_be_told(save, outputs):
    assert 'no detector' in refusal(save(constant_model(*outputs)), ['stop', 'go'])


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


def test_a_quantized_openvino_file(save, tmp_path):
    import openvino

    nodes = [
        helper.make_node('QuantizeLinear', ['float', 'scale', 'point'], ['q']),
        helper.make_node('DequantizeLinear', ['q', 'scale', 'point'], ['d']),
    ]
    model = openvino.convert_model(save(quantized_model(*nodes)))
    openvino.save_model(model, tmp_path / 'int8.xml', compress_to_fp16=False)
    assert open_model(tmp_path / 'int8.xml').manifest.files[0].precision == 'int8'


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
    first, second = ort.masks.instance_map(), ov.masks.instance_map()
    assert first.shape == picture.shape[:2] and first.any()
    assert (first != second).mean() < 0.001
