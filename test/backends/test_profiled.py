# SPDX-License-Identifier: Apache-2.0
"""Times by kind of operator, of the bundled model on both runtimes that have counters."""

from __future__ import annotations

import numpy as np
import pytest

from kd_yolo_ros.backends.profiled import PROFILED
from kd_yolo_ros.bundled import DEFAULT
from kd_yolo_ros.letterbox import to_network_input
from kd_yolo_ros.metrics.operator_plot import CONVOLUTIONS, group
from kd_yolo_ros.variants import find_variants


@pytest.mark.parametrize('runtime', sorted(PROFILED))
def test_operators(runtime, tmp_path, monkeypatch):
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    (variant,) = find_variants(DEFAULT, [runtime], ['int8'])
    file = variant.file
    backend = PROFILED[runtime](
        variant.artifact.model_path(file), file, variant.precision, threads=1
    )
    picture = np.zeros((file.input.height, file.input.width, 3), np.uint8)
    operators = backend.operator_times(to_network_input(picture, file.input), runs=15)
    # YOLOv5n has 60 convolutions, and nothing else takes as long.
    convolutions = [o for o in operators if group(o.kind) == CONVOLUTIONS]
    assert sum(operator.nodes for operator in convolutions) == 60
    assert operators[0] in convolutions
    assert [o.ms for o in operators] == sorted((o.ms for o in operators), reverse=True)
    assert all(operator.ms > 0 for operator in operators)
    assert not list(tmp_path.glob('kd-yolo*'))  # the profiler's own file is gone
