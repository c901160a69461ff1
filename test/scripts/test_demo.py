# SPDX-License-Identifier: Apache-2.0
"""`make demo`: without data a generated drive, with all that trains missing; else one's own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from types import ModuleType

import cv2
import pytest
from extras import TRAINING_ONLY
from processes import without

REPOSITORY = Path(__file__).resolve().parents[2]
LIMIT_S = 60
FRAMES = 12  # more than one part of a drive


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, in a folder of its own and with nothing given."""
    spec = importlib.util.spec_from_file_location('demo', REPOSITORY / 'scripts' / 'demo.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in module.INPUTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return module


def test_a_generated_drive_without_anything_of_training(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    absent = without(tmp_path / 'without', *TRAINING_ONLY)
    monkeypatch.setenv('PYTHONPATH', str(absent), prepend=os.pathsep)
    assert demo.generated_drive(FRAMES) == 0
    shown = capfd.readouterr().out
    assert 'AP50-95' in shown and 'send to answer' in shown and 'street' in shown
    out = tmp_path / demo.OUT
    accuracy, live = (json.loads((out / n / 'report.json').read_text()) for n in demo.REPLAYS)
    assert accuracy['ap']['images'] == accuracy['frames']['processed'] == FRAMES
    assert (accuracy['mode'], live['mode'], live['frames']['sent']) == ('lossless', 'live', FRAMES)
    video = cv2.VideoCapture(str(out / 'live' / 'annotated.mp4'))
    assert sum(video.grab() for _ in range(FRAMES + 1)) == FRAMES


@pytest.mark.parametrize('given', ['MODEL', 'DRIVE', 'KD_YOLO_DATA'])
def test_what_is_given_and_not_there_is_named(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, given: str
) -> None:
    monkeypatch.setenv(given, 'nowhere')
    assert demo.main() == 1
    said = capfd.readouterr()
    assert said.err.startswith('There is no model for the demo (') and said.out == ''


def test_a_second_demo_waits_for_the_first(demo: ModuleType, capfd: pytest.CaptureFixture) -> None:
    entered = threading.Event()

    def second() -> None:
        with demo.alone():
            entered.set()

    thread = threading.Thread(target=second)
    with demo.alone():
        thread.start()
        said, deadline = '', time.monotonic() + LIMIT_S
        while 'this one waits for it to end' not in said:
            assert time.monotonic() < deadline
            time.sleep(0.01)
            said += capfd.readouterr().out
        assert not entered.is_set()
    thread.join(LIMIT_S)
    assert entered.is_set()


def test_make_works_in_a_folder_with_a_space(tmp_path: Path) -> None:
    folder = tmp_path / 'a folder'
    python = folder / '.venv' / 'bin' / 'python'
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho ran "$@"\n')
    python.chmod(0o755)
    shutil.copy(REPOSITORY / 'Makefile', folder)
    for goal, ran in (('lint', '-m ruff check'), ('demo', 'scripts/demo.py')):
        done = subprocess.run(
            ['make', goal, f'PYTHON={python}'], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert 'ran scripts/setup_environment.py' in done.stdout and f'ran {ran}' in done.stdout


def test_only_a_demo_of_ones_own_sets_up_what_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(REPOSITORY / 'Makefile', tmp_path)
    # What make passes to its children would speak for the make that runs these tests.
    for name in ('KD_YOLO_DATA', 'MODEL', 'DRIVE', 'CALIBRATION', 'MAKEFLAGS', 'MAKELEVEL'):
        monkeypatch.delenv(name, raising=False)

    def setup(*given: str) -> str:
        done = subprocess.run(
            ['make', '-n', 'demo', *given], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return next(line for line in done.stdout.splitlines() if 'setup_environment' in line)

    assert setup().endswith('--only runtime')
    for name in ('MODEL', 'DRIVE', 'CALIBRATION', 'KD_YOLO_DATA'):
        assert '--only' not in setup(f'{name}=mine')
