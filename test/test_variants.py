# SPDX-License-Identifier: Apache-2.0
"""Every file of an artifact on every runtime, each as what it is."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from artifacts import CLASS_NAMES, scene, tiny_manifest, tiny_model

from kd_yolo_ros.artifact import write_artifact
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.variants import find_variants


@pytest.fixture(scope='module')
def artifact(tmp_path_factory):
    """The tiny detector with an FP32 file and two that are called INT8."""
    folder = tmp_path_factory.mktemp('variants')
    onnx.save(tiny_model(), folder / 'model.onnx')
    manifest = tiny_manifest()
    (fp32,) = manifest.files
    names = ('static.onnx', 'dynamic.onnx')
    files = [
        dataclasses.replace(fp32, path=name, precision='int8', runtimes=('onnxruntime',))
        for name in names
    ]
    manifest = dataclasses.replace(manifest, files=(fp32, *files))
    sources = dict.fromkeys(('model.onnx', *names), folder / 'model.onnx')
    return write_artifact(folder / 'artifact', manifest, sources).folder


def named(variants):
    return [(one.runtime, one.precision, one.file.path) for one in variants]


def test_all_of_them(artifact):
    runtimes = ['openvino', 'onnxruntime']
    assert named(find_variants(artifact, runtimes)) == [
        ('onnxruntime', 'fp32', 'model.onnx'),
        ('onnxruntime', 'int8', 'static.onnx'),
        ('onnxruntime', 'int8', 'dynamic.onnx'),
        ('openvino', 'fp32', 'model.onnx'),
        ('openvino', 'bf16', 'model.onnx'),
    ]
    assert set(named(find_variants(artifact))) >= set(named(find_variants(artifact, runtimes)))
    assert named(find_variants(artifact, runtimes, ['int8'])) == [
        ('onnxruntime', 'int8', 'static.onnx'),
        ('onnxruntime', 'int8', 'dynamic.onnx'),
    ]


def test_each_runs_as_what_it_is(artifact):
    for variant in find_variants(artifact, ['onnxruntime']):
        predictor = variant.open(threads=1)
        assert predictor.file.path == variant.file.path
        assert predictor.running.precision == variant.precision
        found = predictor.predict(scene()[0])
        assert sorted(CLASS_NAMES[i] for i in found.class_ids) == sorted(CLASS_NAMES)
        np.testing.assert_allclose(found.scores, 1, atol=0.01)


def test_what_is_not_there(artifact, tmp_path):
    with pytest.raises(UserError, match="no runtime 'fast'"):
        find_variants(artifact, ['fast'])
    with pytest.raises(UserError, match='none does not exist'):
        find_variants(tmp_path / 'none')
    (variant, *_) = find_variants(artifact, ['onnxruntime'], provider='abacus')
    with pytest.raises(UserError, match='abacus'):
        variant.open()
