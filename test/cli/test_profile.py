# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo profile`: tables, JSON and picture of the bundled model; wishes that cannot be met."""

from __future__ import annotations

from processes import kd_yolo
from reports import read_report


def test_profile(tmp_path):
    done = kd_yolo(
        *('profile', '--runs', '2', '--threads', '1', '--precision', 'int8'),
        *('--out', 'out', '--json', 'report.json'),
        cwd=tmp_path,
    )
    text = done.succeeded()
    results = read_report(tmp_path / 'report.json', 'profile')['results']
    assert {result['runtime'] for result in results} == {'onnxruntime', 'openvino'}
    assert all(operator['ms'] > 0 for result in results for operator in result['operators'])
    assert 'QLinearConv' in text and 'Convolution' in text
    assert (tmp_path / 'out' / 'operators.png').stat().st_size > 10_000


def test_a_runtime_without_counters(tmp_path):
    refused = kd_yolo('profile', '--runtime', 'opencv', cwd=tmp_path).refused()
    assert 'opencv has no counters' in refused


def test_nothing_to_run(tmp_path):
    # The bundled model has INT8 files alone.
    refused = kd_yolo('profile', '--precision', 'fp32', cwd=tmp_path).refused()
    assert 'offers nothing' in refused
