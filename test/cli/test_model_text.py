# SPDX-License-Identifier: Apache-2.0
"""A model in one line."""

from __future__ import annotations

import pytest
from artifacts import tiny_manifest

from kd_yolo_ros.cli.model_text import model_text


@pytest.mark.parametrize(
    'names, classes',
    [
        (('car',), '1 class (car)'),
        (('a', 'b', 'c', 'd'), '4 classes (a, b, c, d)'),
        (('a', 'b', 'c', 'd', 'e'), '5 classes (a, b, c, d, …)'),
    ],
)
def test_a_few_classes_are_named(names, classes):
    text = model_text(tiny_manifest(class_names=names, licence='CC0'))
    assert text == f'tiny: detect, {classes}, licence CC0'
