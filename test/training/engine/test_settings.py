# SPDX-License-Identifier: Apache-2.0
"""Settings: what is impossible is refused in one sentence, and they survive a recipe."""

from __future__ import annotations

import pytest

from kd_yolo_ros.errors import UserError
from kd_yolo_training.engine.settings import Settings, setting_fields


@pytest.mark.parametrize(
    ('wrong', 'said'),
    [
        ({'imgsz': 100}, 'multiple of 32'),
        ({'model': 'z'}, 'n, s, m, l, x'),
        ({'optimizer': 'adam'}, 'sgd, adamw'),
        ({'epochs': 0}, 'epochs'),
        ({'class_balance': 1.0}, 'class_balance'),
        ({'anchor_ratio': 1.0}, 'anchor_ratio'),
        ({'freeze': 25}, 'freeze'),
        ({'nominal_batch': 0}, 'nominal_batch'),
        ({'ema_warmup': 0.0}, 'ema_warmup'),
        ({'momentum': 1.0}, 'momentum'),
        ({'seed': -1}, 'seed'),
        ({'mosaic': 2.0}, 'mosaic'),
        ({'scale': 1.0}, 'scale'),
        ({'close_mosaic': -3}, 'close_mosaic'),
        ({'learning_rate': 0.1}, "no setting 'learning_rate'"),
    ],
)
def test_impossible_settings_are_refused(wrong, said):
    with pytest.raises(UserError, match=said):
        Settings.from_dict(wrong)


def test_a_recipe_gives_the_same_settings():
    settings = Settings.from_dict(
        {'model': 'n', 'lr': 0.002, 'mosaic': 0.5, 'class_balance': 0.99}
    )
    assert settings.augmentation.mosaic == 0.5
    assert Settings.from_dict(settings.to_dict()) == settings
    assert set(settings.to_dict()) == {field.name for field in setting_fields()}


@pytest.mark.parametrize(
    ('epochs', 'close', 'mosaic'),
    [(100, None, 90), (12, None, 8), (2, None, 2), (30, 0, 30), (15, 10, 5), (5, 10, 0)],
)
def test_the_last_epochs_go_without_mosaics(epochs, close, mosaic):
    settings = Settings.from_dict({'epochs': epochs, 'close_mosaic': close})
    assert settings.mosaic_epochs == mosaic


def test_every_setting_says_what_it_is():
    assert all(field.metadata['help'] for field in setting_fields())
