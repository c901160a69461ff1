# SPDX-License-Identifier: Apache-2.0
"""By which figure models are compared."""

from __future__ import annotations

import pytest

from kd_yolo_ros.metrics.judged import BOX, MASK, judged_by


@pytest.mark.parametrize(
    ('results', 'figure'),
    [
        ([], BOX),
        ([{BOX: 0.5}], BOX),
        ([{BOX: 0.5, MASK: 0.4}], MASK),
        ([{BOX: 0.5, MASK: 0.4}, {BOX: 0.5, MASK: None}], BOX),
        ([{BOX: 0.5, MASK: 0.0}] * 2, MASK),
    ],
)
def test_masks_where_all_have_them(results, figure):
    assert judged_by(iter(results)) == figure
