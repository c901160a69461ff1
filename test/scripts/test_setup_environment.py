# SPDX-License-Identifier: Apache-2.0
"""What `scripts/setup_environment.py` takes as done, and what it installs for which wish."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / 'scripts' / 'setup_environment.py'


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, whose .venv is an empty folder."""
    spec = importlib.util.spec_from_file_location('setup_environment', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, 'STAMP', tmp_path / 'stamp')
    return module


def test_all_serves_the_runtime_too_and_not_the_other_way_round(setup: ModuleType) -> None:
    def ready(fingerprint: str) -> tuple[bool, bool]:
        return setup.is_ready('runtime', fingerprint), setup.is_ready('all', fingerprint)

    assert ready('new') == (False, False)
    setup.write_whole(setup.STAMP, 'new runtime')
    assert ready('new') == (True, False)
    setup.write_whole(setup.STAMP, 'new all')
    assert ready('new') == (True, True)
    assert ready('newer') == (False, False)


@pytest.mark.parametrize('text', ['', 'new', 'new all more'])
def test_a_stamp_of_another_form_is_none(setup: ModuleType, text: str) -> None:
    setup.write_whole(setup.STAMP, text)
    assert not setup.is_ready('all', 'new') and not setup.is_ready('runtime', 'new')


def test_the_runtime_alone_installs_nothing_that_trains(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(setup, 'run', lambda command: asked.append([str(w) for w in command]))
    for wanted in ('runtime', 'all'):
        setup.pip_install('constraints.txt', [], wanted)
    runtime, everything = (
        set(words[-1].partition('[')[2].rstrip(']').split(',')) for words in asked
    )
    assert runtime == {'onnxruntime', 'openvino'}
    assert everything == runtime | {'tflite', 'training', 'test'}
