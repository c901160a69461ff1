# SPDX-License-Identifier: Apache-2.0
"""A picture in, known boxes out, in both runtimes, at every size; and models that do not fit."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import onnx
import pytest
from artifacts import CLASS_NAMES, SQUARES, Square, scene, tiny_manifest, tiny_model
from tiny_segmenter import write_tiny_segmenter

from kd_yolo_ros.artifact import write_artifact
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import open_source
from kd_yolo_ros.manifest import AP_THRESHOLDS, Head, InputSpec, Thresholds
from kd_yolo_ros.metrics.evaluation import evaluate
from kd_yolo_ros.metrics.ground_truth import read_ground_truth
from kd_yolo_ros.predictor import Predictor

RUNTIMES = ('onnxruntime', 'openvino')


@pytest.fixture(scope='module', params=RUNTIMES)
def predictor(request, tiny_artifact):
    return Predictor(tiny_artifact, request.param, 'fp32', threads=1)


def by_class(detections):
    order = np.argsort(detections.class_ids, kind='stable')
    return detections.boxes[order], detections.class_ids[order].tolist()


@pytest.mark.parametrize('scale', [1, 2, 5, 20])
def test_known_boxes_in_source_pixels(predictor, scale):
    picture, expected = scene(scale=scale)
    detections = predictor.predict(picture)
    boxes, class_ids = by_class(detections)
    assert [CLASS_NAMES[i] for i in class_ids] == [square.name for square in SQUARES]
    np.testing.assert_allclose(boxes, expected, atol=0.01 * scale)
    assert detections.scores.min() > 0.99
    assert detections.boxes.dtype == detections.scores.dtype == np.float32


@pytest.mark.parametrize(
    ('height', 'width', 'top', 'left'),
    [(96, 96, 0, 48), (64, 192, 64, 0), (128, 128, 0, 64), (63, 32, 1, 64), (32, 95, 33, 1)],
)
def test_boxes_in_a_letterboxed_picture(predictor, height, width, top, left):
    """The scene's part of a canvas; whatever of it is cut off is padded with grey."""
    canvas, boxes = scene(scale=2)
    part = canvas[top : top + height, left : left + width]
    scale = min(64 / height, 96 / width)
    network = cv2.resize(part, (round(width * scale), round(height * scale)))
    grey = np.full((64, 96, 3), 114, np.uint8)
    y, x = (64 - network.shape[0]) // 2, (96 - network.shape[1]) // 2
    grey[y : y + network.shape[0], x : x + network.shape[1]] = network
    expected, class_ids = by_class(predictor.predict(grey))
    expected = np.clip((expected - [x, y] * 2) / scale, 0, [width, height] * 2)
    found, found_ids = by_class(predictor.predict(part))
    assert found_ids == class_ids
    np.testing.assert_allclose(found, expected, atol=1)


def test_nothing_in_grey_pictures(predictor):
    for value in (0, 114, 255):
        detections = predictor.predict(np.full((30, 50, 3), value, np.uint8))
        assert len(detections) == 0 and detections.boxes.shape == (0, 4)


def test_pictures_whose_size_changes(predictor):
    sizes = [scene(scale=s) for s in (3, 1, 2, 1)]
    for picture, expected in sizes:
        np.testing.assert_allclose(by_class(predictor.predict(picture))[0], expected, atol=0.1)


def test_thresholds_of_the_next_picture(tiny_artifact):
    predictor = Predictor(tiny_artifact)
    picture, _ = scene()
    assert predictor.thresholds == tiny_manifest().thresholds
    for thresholds, names in [
        (Thresholds(), ['red', 'green', 'blue']),
        (Thresholds(class_ids=(1,)), ['green']),
        (Thresholds(score=1), []),
    ]:
        predictor.thresholds = thresholds
        found = predictor.predict(picture)
        assert [predictor.class_names[i] for i in sorted(found.class_ids)] == names
    predictor.thresholds = Thresholds(max_detections=2)
    assert len(predictor.predict(picture)) == 2
    assert Predictor(tiny_artifact, thresholds=AP_THRESHOLDS).thresholds == AP_THRESHOLDS


def test_stages_and_what_runs(predictor, tiny_artifact):
    predictor.warm_up()
    assert list(predictor.stages_ms) == ['letterbox', 'infer', 'decode', 'nms']
    assert all(0 < ms < 60_000 for ms in predictor.stages_ms.values())
    assert predictor.running.precision == 'fp32' and predictor.running.threads == 1
    assert predictor.size_bytes == (tiny_artifact / 'model.onnx').stat().st_size


def test_answers_are_the_callers_own(predictor):
    """OpenVINO's outputs are views that the next picture overwrites."""
    picture, expected = scene([Square('red', 32, 1, 0)])
    first = predictor.predict(picture)
    predictor.predict(np.zeros_like(picture))
    np.testing.assert_allclose(first.boxes, expected, atol=0.01)
    assert first.scores[0] > 0.99


@pytest.fixture(scope='module', params=RUNTIMES)
def segmenter(request, tmp_path_factory):
    artifact = write_tiny_segmenter(tmp_path_factory.mktemp('segmenter') / 'a')
    return Predictor(artifact, request.param, 'fp32', threads=1)


@pytest.mark.parametrize('scale', [1, 2, 5])
def test_masks_cover_the_objects(segmenter, scale):
    picture, boxes = scene(scale=scale)
    found = segmenter.predict(picture)
    assert found.masks.size == picture.shape[:2] and len(found) == len(found.masks) == 3
    for box, class_id in zip(boxes.astype(int), range(3), strict=True):
        (index,) = np.flatnonzero(found.class_ids == class_id)
        expected = np.zeros(picture.shape[:2], bool)
        expected[box[1] : box[3], box[0] : box[2]] = True
        np.testing.assert_array_equal(found.masks.full(index), expected)
    # Without its square, a class has no mask either.
    segmenter.thresholds = Thresholds(class_ids=(1,))
    assert len(segmenter.predict(picture).masks) == 1
    segmenter.thresholds = Thresholds()


def test_masks_of_another_size(segmenter):
    picture, boxes = scene(scale=4)
    segmenter.mask_scale = 0.25
    found = segmenter.predict(picture)
    np.testing.assert_allclose(by_class(found)[0], boxes, atol=0.1)
    assert found.masks.size == (64, 96)
    painted = found.masks.semantic_map(found.class_ids)
    for square in SQUARES:
        left, top, right, bottom = square.box
        inside = painted[top:bottom, left:right]
        assert (inside == CLASS_NAMES.index(square.name)).all()
    assert (painted != 255).sum() == sum(square.stride**2 for square in SQUARES)
    segmenter.mask_scale = 1e-9
    assert segmenter.predict(picture).masks.size == (1, 1)
    segmenter.mask_scale = 1.0


def test_masks_only_where_they_are_wanted(segmenter, predictor):
    picture, _ = scene()
    assert segmenter.predict(picture, masks=False).masks is None
    assert 'masks' not in segmenter.stages_ms
    assert segmenter.predict(picture).masks is not None
    assert list(segmenter.stages_ms) == ['letterbox', 'infer', 'decode', 'nms', 'masks']
    assert predictor.predict(picture).masks is None and 'masks' not in predictor.stages_ms
    nothing = segmenter.predict(np.full((30, 50, 3), 114, np.uint8))
    assert len(nothing) == len(nothing.masks) == 0 and nothing.masks.size == (30, 50)


def test_masks_after_the_detections(segmenter, predictor):
    picture, _ = scene(scale=2)
    found = segmenter.predict(picture, masks=False)
    segmenter.mask_scale = 0.5
    masks = segmenter.masks()
    segmenter.mask_scale = 1.0
    assert masks.size == (64, 96) and segmenter.stages_ms['masks'] > 0
    whole, again = segmenter.masks(), segmenter.predict(picture)
    np.testing.assert_array_equal(found.class_ids, again.class_ids)
    for index in range(3):
        np.testing.assert_array_equal(whole.full(index), again.masks.full(index))
    segmenter.predict(np.zeros_like(picture), masks=False)
    assert len(segmenter.masks()) == 0, 'those of the last picture'
    predictor.predict(picture)
    assert predictor.masks() is None and 'masks' not in predictor.stages_ms


def test_masks_are_the_callers_own(segmenter):
    picture, _ = scene([Square('red', 32, 1, 0)])
    first = segmenter.predict(picture)
    segmenter.predict(np.zeros_like(picture))
    assert first.masks.full(0).sum() == 32 * 32


def write_model(folder, model=None, **changes):
    """Write an artifact whose manifest does not have to tell the truth."""
    source = folder / 'source.onnx'
    onnx.save(model or tiny_model(), source)
    return write_artifact(folder / 'a', tiny_manifest(**changes), {'model.onnx': source}).folder


def refusal(artifact, runtime):
    with pytest.raises(UserError) as raised:
        Predictor(artifact, runtime)
    sentence = str(raised.value)
    assert 'model.onnx' in sentence and '\n' not in sentence and len(sentence) < 400
    return sentence


(FILE,) = tiny_manifest().files


@pytest.mark.parametrize('runtime', RUNTIMES)
class TestModelsThatDoNotFitTheirManifest:
    def test_class_count(self, tmp_path, runtime):
        artifact = write_model(tmp_path, class_names=('red', 'green'))
        sentence = refusal(artifact, runtime)
        assert '2 classes' in sentence and '(1, 24, 8, 12)' in sentence

    def test_levels(self, tmp_path, runtime):
        head = tiny_manifest().head
        head = dataclasses.replace(head, strides=head.strides[:2], anchors=head.anchors[:2])
        assert 'do not fit' in refusal(write_model(tmp_path, head=head), runtime)

    def test_decode_inside(self, tmp_path, runtime):
        file = dataclasses.replace(FILE, decode_inside=True)
        for layout in ('anchor_grid', 'anchor_free'):
            artifact = write_model(tmp_path, head=Head(layout), files=(file,))
            assert 'values a box expected' in refusal(artifact, runtime)

    @pytest.mark.parametrize(
        'spec',
        [
            InputSpec(128, 64),
            InputSpec(96, 64, dtype='float32'),
            InputSpec(96, 64, layout='nchw'),
        ],
    )
    def test_input(self, tmp_path, runtime, spec):
        artifact = write_model(tmp_path, files=(dataclasses.replace(FILE, input=spec),))
        sentence = refusal(artifact, runtime)
        assert 'says it takes' in sentence or '(1, 24, 8, 12)' in sentence

    def test_no_model(self, tmp_path, runtime):
        (tmp_path / 'source.onnx').write_text('no model')
        manifest = tiny_manifest()
        sources = {'model.onnx': tmp_path / 'source.onnx'}
        artifact = write_artifact(tmp_path / 'a', manifest, sources).folder
        assert 'cannot load' in refusal(artifact, runtime)


# Reference figures for the genuine weights on coco128, from the data's README.
AP, AP50, TOLERANCE = 0.357, 0.548, 0.003
EQUAL = 0.001


@pytest.fixture(scope='module')
def coco128_ap(data_dir, yolov5n_artifact):
    """AP of each runtime in FP32."""
    folder = data_dir / 'coco128'
    results = {}
    for runtime in RUNTIMES:
        predictor = Predictor(yolov5n_artifact, runtime, 'fp32', thresholds=AP_THRESHOLDS)
        assert predictor.running.precision == 'fp32'
        results[runtime] = evaluate(predictor, open_source(folder), read_ground_truth(folder))
    return results


def test_real_weights_reach_the_published_ap(coco128_ap):
    for result in coco128_ap.values():
        assert result['images'] == 128
        assert result['map50_95'] == pytest.approx(AP, abs=TOLERANCE)
        assert result['map50'] == pytest.approx(AP50, abs=TOLERANCE)


def test_both_runtimes_reach_the_same_ap(coco128_ap):
    first, second = (coco128_ap[runtime] for runtime in RUNTIMES)
    assert first['map50_95'] == pytest.approx(second['map50_95'], abs=EQUAL)
    assert first['map50'] == pytest.approx(second['map50'], abs=EQUAL)
