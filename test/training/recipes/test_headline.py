# SPDX-License-Identifier: Apache-2.0
"""What is said of a step in one line."""

from __future__ import annotations

import pytest

from kd_yolo_training.recipes.headline import headline


@pytest.mark.parametrize(
    ('report', 'line'),
    [
        ({}, ''),
        ({'map50_95': 0.1234, 'map50': 0.2}, 'AP50-95 0.123'),
        ({'best': {'map50_95': 0.5}, 'epochs': []}, 'AP50-95 0.500'),
        ({'best': {'map50_95': 0.5, 'mask_map50_95': 0.4}}, 'mask AP50-95 0.400'),
        ({'best': {'map50_95': None}}, ''),
        ({'size_mb': 7.46}, '7.5 MB'),
        ({'results': [{'runtime': 'tflite', 'precision': 'int8', 'map50_95': 0.3}, {}]},
         'AP50-95 tflite int8 0.300'),
        ({'arms': [{'name': 'plain', 'map50_95': 0.1}, {'name': 'cwd', 'map50_95': 0.2}],
          'results': [{'map50_95': 0.1}]}, 'AP50-95 plain 0.100, cwd 0.200'),
        ({'kind': 'recipe', 'steps': [{'result': 'AP50-95 0.1'}, {'result': 'takes cwd'},
                                      {'result': ''}]}, 'takes cwd'),
        ({'kind': 'recipe', 'steps': [{'result': ''}]}, ''),
        ({'decision': {'arm': 'cwd'}, 'arms': [{'name': 'plain', 'map50_95': 0.1}]}, 'takes cwd'),
    ],
)  # fmt: skip
def test_headline(report, line):
    assert headline(report) == line
