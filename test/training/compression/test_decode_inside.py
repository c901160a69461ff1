# SPDX-License-Identifier: Apache-2.0
"""A graph with the decode inside gives the same detections as ours, decoded outside."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
from artifacts import CLASS_NAMES, scene, tiny_manifest, tiny_model
from onnx import TensorProto, helper

from kd_yolo_ros.artifact import Artifact
from kd_yolo_ros.decode import decode_anchor_grid, decode_decoded
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import AP_THRESHOLDS, Head
from kd_yolo_ros.predictor import Predictor
from kd_yolo_training.compression.decode_inside import add_decode
from kd_yolo_training.compression.graph import decode_nodes


def raw_outputs(shapes: list[tuple[int, ...]]) -> onnx.ModelProto:
    """Return a graph that gives what it takes, as the raw outputs of a head."""
    names = [f'p{level}' for level in range(len(shapes))]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node('Identity', [f'{name}_in'], [name]) for name in names],
        'raw',
        [value(f'{n}_in', TensorProto.FLOAT, s) for n, s in zip(names, shapes, strict=True)],
        [value(n, TensorProto.FLOAT, s) for n, s in zip(names, shapes, strict=True)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=8)


def test_the_same_candidates():
    head = Head(
        'anchor_grid', (8, 16, 32), tuple(((s, 2 * s), (3.5 * s, s), (s, s)) for s in (9, 20, 40))
    )
    generator = np.random.default_rng(0)
    raw = [generator.normal(size=(1, 3 * 9, 96 // s, 64 // s)).astype(np.float32) * 3
           for s in head.strides]  # fmt: skip
    model = add_decode(raw_outputs([array.shape for array in raw]), head, 4)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feed = {value.name: array for value, array in zip(session.get_inputs(), raw, strict=True)}
    (rows,) = session.run(None, feed)
    assert rows.shape == (1, 3 * (12 * 8 + 6 * 4 + 3 * 2), 9)
    expected = decode_anchor_grid(raw, head, 4, AP_THRESHOLDS)
    got = decode_decoded(rows, head, 4, AP_THRESHOLDS)
    assert len(expected.scores) > 500
    assert got.class_ids.tolist() == expected.class_ids.tolist()
    assert got.scores == pytest.approx(expected.scores, abs=1e-6)
    assert got.boxes == pytest.approx(expected.boxes, abs=1e-3)


def test_the_predictor_gives_the_same_detections(tmp_path):
    manifest = tiny_manifest()
    onnx.save(tiny_model(), tmp_path / 'model.onnx')
    onnx.save(add_decode(tiny_model(), manifest.head, 3), tmp_path / 'inside.onnx')
    inside = dataclasses.replace(manifest.files[0], path='inside.onnx', decode_inside=True)
    expected, got = (
        Predictor(Artifact(tmp_path, m), 'onnxruntime', 'fp32').predict(scene(scale=2)[0])
        for m in (manifest, dataclasses.replace(manifest, files=(inside,)))
    )
    assert len(expected) == 3
    assert got.class_ids.tolist() == expected.class_ids.tolist()
    assert got.boxes == pytest.approx(expected.boxes, abs=1e-3)
    assert got.scores == pytest.approx(expected.scores, abs=1e-5)


def test_rows_are_pixels_and_probabilities():
    model = add_decode(tiny_model(), tiny_manifest().head, len(CLASS_NAMES))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    picture, boxes = scene()
    (rows,) = session.run(None, {'images': picture[None]})
    assert rows.shape == (1, 3 * (8 * 12 + 4 * 6 + 2 * 3), 5 + len(CLASS_NAMES))
    found = rows[0][rows[0, :, 4] > 0.9]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert found[:, :2] == pytest.approx(centres, abs=0.01)
    assert found[:, 2:4] == pytest.approx(boxes[:, 2:] - boxes[:, :2], abs=0.01)
    assert found[:, 5:].argmax(1).tolist() == [0, 1, 2]


def test_quantization_leaves_it_in_float():
    model = add_decode(tiny_model(), tiny_manifest().head, len(CLASS_NAMES))
    assert {n.name for n in model.graph.node if n.name.startswith('decode')} == decode_nodes(model)


@pytest.mark.parametrize(
    ('head', 'classes', 'words'),
    [
        (tiny_manifest().head, 7, 'not the raw outputs of 7 classes'),
        (Head('anchor_free', (8, 16, 32)), 3, 'with anchors'),
    ],
)
def test_heads_that_do_not_fit(head, classes, words):
    with pytest.raises(UserError, match=words):
        add_decode(tiny_model(), head, classes)
