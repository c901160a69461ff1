# SPDX-License-Identifier: Apache-2.0
"""A judge sees the pictures of all data sets together, each with its own classes."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from artifacts import CLASS_NAMES, tiny_manifest, tiny_model, write_dataset
from tiny_segmenter import write_squares_with_outlines, write_tiny_segmenter

from kd_yolo_ros.artifact import load_artifact
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import Manifest
from kd_yolo_ros.metrics.pool import open_sets, read_sets
from kd_yolo_ros.predictor import Predictor
from kd_yolo_training.compression.judge import Judge


@pytest.fixture
def model(tmp_path) -> Path:
    onnx.save(tiny_model(), tmp_path / 'model.onnx')
    return tmp_path / 'model.onnx'


def judge(*given: str, manifest: Manifest | None = None) -> Judge:
    sets = open_sets(given)
    read_sets(sets)
    return Judge(manifest or tiny_manifest(), sets)


def test_one_data_set(tmp_path, model):
    verdict = judge(str(write_dataset(tmp_path / 'set')))(model, tiny_manifest().files[0])
    assert (verdict.map50_95, verdict.map50) == pytest.approx((1, 1))
    assert verdict.images == 4 and verdict.infer_ms > 0 and verdict.version


def test_ap_is_over_all_pictures_together(tmp_path, model):
    right, wrong = (write_dataset(tmp_path / name) for name in ('right', 'wrong'))
    # The same scenes in another size, so that no picture is in both, and one class of three wrong.
    import cv2

    for path in (wrong / 'images').iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), None, fx=2, fy=2))
    (tmp_path / 'map.yaml').write_text(f'{CLASS_NAMES[0]}: {CLASS_NAMES[1]}\n')
    one = f'{wrong}={tmp_path / "map.yaml"}'
    file = tiny_manifest().files[0]
    aps = [judge(*given)(model, file).map50_95 for given in ([str(right)], [one])]
    pooled = judge(str(right), one)(model, file)
    assert pooled.images == 8
    assert aps[1] < pooled.map50_95 < aps[0]


def test_classes_that_do_not_fit_are_refused_at_once(tmp_path):
    folder = write_dataset(tmp_path / 'set')
    (folder / 'classes.txt').write_text('one\ntwo\nthree\n')
    with pytest.raises(UserError, match='no class in common'):
        judge(str(folder))


def test_masks_decide_where_there_are(tmp_path, monkeypatch):
    artifact = load_artifact(write_tiny_segmenter(tmp_path / 'seg'))
    (file,) = artifact.manifest.files
    asked = []
    predict = Predictor.predict
    monkeypatch.setattr(
        *(Predictor, 'predict'),
        lambda self, picture, masks=True: asked.append(masks) or predict(self, picture, masks),
    )
    boxes, outlines = write_dataset(tmp_path / 'a'), write_squares_with_outlines(tmp_path / 'b')
    verdicts = [
        judge(str(data), manifest=artifact.manifest)(artifact.model_path(file), file)
        for data in (boxes, outlines)
    ]
    assert verdicts[0].mask_map50_95 is None and verdicts[0].judged == verdicts[0].map50_95
    assert list(verdicts[0].figures) == ['map50_95']
    assert verdicts[1].judged == verdicts[1].mask_map50_95 == pytest.approx(1)
    assert list(verdicts[1].figures) == ['map50_95', 'mask_map50_95']
    assert asked == [False] * 4 + [True] * 4, 'no mask is computed for boxes'
    detector = judge(str(outlines))
    assert not detector.masks, 'the network finds none'
