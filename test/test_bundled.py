# SPDX-License-Identifier: Apache-2.0
"""Bundled models by name: what is on disk comes first, and that one is taken is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kd_yolo_ros import bundled
from kd_yolo_ros.cli import common
from kd_yolo_ros.cli.common import find_artifact
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.exports import open_model


@pytest.fixture
def small(tiny_artifact, tmp_path, monkeypatch):
    """A package whose one bundled model is the tiny one, by the name `small`; its folder."""
    folder = shutil.copytree(tiny_artifact, tmp_path / 'models' / 'small')
    monkeypatch.setattr(bundled, 'MODELS', tmp_path / 'models')
    monkeypatch.setattr(common, 'DEFAULT', folder)
    (tmp_path / 'cwd').mkdir()
    monkeypatch.chdir(tmp_path / 'cwd')
    return folder


def test_a_name_is_that_of_a_bundled_model(small):
    assert open_model('small').folder == small
    assert open_model(Path('small')).manifest.name == 'tiny'


@pytest.mark.parametrize('name', ['other', 'below/small', '../cwd/small', '/small', '..', '.'])
def test_anything_else_is_a_path(small, name):
    assert bundled.find_model(name) == Path(name)
    with pytest.raises(UserError):
        open_model(name)


def test_what_is_here_comes_first(small, tiny_artifact):
    shutil.copytree(tiny_artifact, 'small')
    assert open_model('small').folder == Path('small')
    assert not bundled.is_bundled(Path('small'))


def test_a_bundled_model_is_taken_aloud(small, tiny_artifact, capsys):
    assert find_artifact(None) == find_artifact(Path('small')) == small
    assert capsys.readouterr().err == f'{bundled.NOTE}\n' * 2
    assert find_artifact(tiny_artifact) == tiny_artifact
    assert capsys.readouterr().err == ''
