# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo train` as users start it: killed and resumed, from a recipe, on several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from processes import kd_yolo
from shapes import write_shapes

from kd_yolo_training.engine.run_folder import LAST, RESULTS, RESUME
from kd_yolo_training.models.tensor_file import read_tensors

OPTIONS = {'model': 'n', 'imgsz': 64, 'batch': 4, 'epochs': 4, 'close-mosaic': 1}
TRAIN = ['-m', 'kd_yolo_ros.cli.main', 'train', '--threads', '1', '--device', 'cpu']
LIMIT_S = 240


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp('shapes'), fit=24)


def arguments(data: Path, out: Path, **options: object) -> list[str]:
    words = ['--data', str(data), '--out', str(out)]
    for name, value in {**OPTIONS, **options}.items():
        words += [f'--{name}', str(value)]
    return words


def run(*words: str, launcher: tuple[str, ...] = ()) -> str:
    done = subprocess.run(
        [sys.executable, *launcher, *TRAIN, *words],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope='module')
def undisturbed(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('undisturbed')
    run(*arguments(data, out))
    return out


def assert_equal_weights(one: Path, other: Path) -> None:
    for file in (LAST, RESUME):
        expected, found = read_tensors(one / file)[0], read_tensors(other / file)[0]
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected), file


def kill_when(process: subprocess.Popen, reached: Callable[[], bool]) -> None:
    """Kill -9 as soon as something is there."""
    deadline = time.monotonic() + LIMIT_S
    while not reached():
        assert process.poll() is None, 'it ended before it could be killed'
        assert time.monotonic() < deadline
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def first_epoch_done(out: Path) -> bool:
    return (out / RESULTS).is_file() and (out / RESUME).is_file()


def start(data: Path, out: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *TRAIN, *arguments(data, out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_killed_in_the_middle_of_an_epoch(data, undisturbed, tmp_path):
    out = tmp_path / 'run'
    # The second epoch begins as soon as the state of the first is there.
    kill_when(start(data, out), lambda: first_epoch_done(out))
    rows = (out / RESULTS).read_text().count('\n') - 1
    assert 1 <= rows < OPTIONS['epochs']
    said = run('--resume', str(out))
    assert 'Going on after epoch' in said
    assert_equal_weights(undisturbed, out)


@pytest.mark.parametrize('file', [LAST, RESUME])
def test_killed_in_the_middle_of_writing(data, undisturbed, tmp_path, file):
    out = tmp_path / 'run'
    half = (out / file).with_name(f'.{Path(file).name}.new')
    for _ in range(OPTIONS['epochs'] - 1):  # each start writes an epoch later
        kill_when(start(data, out), lambda: first_epoch_done(out) and half.exists())
        if half.exists():  # else the kill came after the writing
            break
    assert half.exists()
    run(*arguments(data, out))
    assert not half.exists()
    assert_equal_weights(undisturbed, out)


def test_interrupted_by_the_user(data, undisturbed, tmp_path):
    out = tmp_path / 'run'
    process = start(data, out)
    while not first_epoch_done(out):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    run('--resume', str(out))
    assert_equal_weights(undisturbed, out)


def test_a_recipe_gives_the_same_run(data, undisturbed, tmp_path):
    recipe = tmp_path / 'recipe.yaml'
    recipe.write_text(yaml.safe_dump({'data': str(data), **OPTIONS}))
    run('--config', str(recipe), '--out', str(tmp_path / 'a'), '--workers', '2')
    assert_equal_weights(undisturbed, tmp_path / 'a')
    run('--config', str(undisturbed / 'settings.yaml'), '--out', str(tmp_path / 'b'))
    assert_equal_weights(undisturbed, tmp_path / 'b')


def test_two_processes(data, tmp_path):
    """DDP over gloo: both compute the same weights, only the first writes and prints."""
    launcher = ('-m', 'torch.distributed.run', '--nproc-per-node=2', '--master-port=0')
    out = tmp_path / 'run'
    said = run(
        *arguments(data, out, epochs=2),
        launcher=(*launcher, '--rdzv-backend=c10d', '--rdzv-endpoint=localhost:0'),
    )
    assert said.count('epoch    2/2') == 1
    tensors, _ = read_tensors(out / LAST)
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_bad_input_is_one_sentence(data, tmp_path):
    for words, sentence in (
        (['--data', str(data / 'nothing'), '--out', str(tmp_path / 'a')], 'does not exist'),
        ([*arguments(data, tmp_path / 'a'), '--imgsz', '100'], 'multiple of 32'),
        ([*arguments(data, tmp_path / 'a'), '--device', 'tpu'], 'is no device'),
        ([*arguments(data, data / 'dataset.yaml')], 'is a file'),
        (['--resume', str(tmp_path)], 'is no training run'),
        ([*arguments(data / 'fit.json', tmp_path / 'a')], '--select-data'),
    ):
        said = kd_yolo('train', *words, cwd=tmp_path).refused()
        assert sentence in said
    assert not (tmp_path / 'a' / 'weights').exists()


def test_bad_data_can_stop_a_run(tmp_path):
    folder = write_shapes(tmp_path / 'set')
    (folder / 'images' / 'fit_003.png').write_bytes(b'no picture')
    words = arguments(folder, tmp_path / 'run', epochs=1)
    refused = kd_yolo('train', *words, '--bad-data', 'stop', cwd=tmp_path).refused()
    assert 'fit_003.png' in refused and '--bad-data skip' in refused
    said = run(*words)
    assert 'left out 1' in said and 'fit_003.png' in said
