# SPDX-License-Identifier: Apache-2.0
"""Why a network was taken goes with its weights, through the export into the artifact."""

from __future__ import annotations

import json

import pytest
import torch
from synthetic_runs import write_run

from kd_yolo_ros.artifact import load_artifact
from kd_yolo_training.compression.artifact import export_checkpoint
from kd_yolo_training.filter.chosen import CHOSEN, write_chosen
from kd_yolo_training.filter.models import describe_model
from kd_yolo_training.models.open import open_checkpoint

SELECTION = {'sentence': 'plain is taken: …', 'differences': {'cwd': {'low': -0.1, 'high': 0.2}}}


@pytest.mark.parametrize('masks', [0, 32])
def test_into_the_artifact(tmp_path, masks):
    model = describe_model(write_run(tmp_path / 'run', 4, masks=masks))
    write_chosen(tmp_path / CHOSEN, model, SELECTION)
    before, after = open_checkpoint(model.path), open_checkpoint(tmp_path / CHOSEN)
    assert all(torch.equal(after.state[name], before.state[name]) for name in before.state)
    assert (after.names, after.imgsz, after.epoch) == (before.names, before.imgsz, before.epoch)
    assert (after.task, after.masks) == ('segment' if masks else 'detect', masks)
    assert after.training['run'] == before.training['run']
    assert after.training['provenance'] == {
        **before.training['provenance'],
        'selection': SELECTION,
    }
    beside = json.loads((tmp_path / CHOSEN).with_suffix('.json').read_text())
    assert (beside['task'], beside['masks']) == (after.task, masks)
    assert beside['provenance']['selection'] == SELECTION
    export_checkpoint(tmp_path / CHOSEN, tmp_path / 'artifact')
    manifest = load_artifact(tmp_path / 'artifact').manifest
    assert manifest.provenance['training']['provenance']['selection'] == SELECTION
