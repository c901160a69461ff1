# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo train` as users start it: killed and resumed, from a recipe, on several processes."""

from __future__ import annotations

import csv
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
from kd_yolo_training.models.yolov5 import YOLOv5

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
        time.sleep(0.0005)  # or it would take a core from the process it watches
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
    deadline = time.monotonic() + LIMIT_S
    while not first_epoch_done(out):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
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


def test_two_processes_learn_what_one_learns(data, tmp_path):
    """DDP over gloo. Of a loss that is a mean over cells, two halves have the same gradient.

    (Means over objects and batch statistics differ between halves, so box and class gains are 0
    and only the head, which has no statistics, is trained.)
    """
    rendezvous = ('--rdzv-backend=c10d', '--rdzv-endpoint=localhost:0')
    launcher = ('-m', 'torch.distributed.run', '--nproc-per-node=2', *rendezvous)
    options = {'epochs': 2, 'freeze': 24, 'box': 0, 'classes': 0, 'nominal-batch': 4}
    options.update(
        {'warmup-epochs': 0, 'lr': 0.1, 'ema-warmup': 0.1, 'ema-decay': 0.01, 'objectness': 100}
    )
    run(*arguments(data, tmp_path / 'one', **options))
    said = run(*arguments(data, tmp_path / 'two', **options), launcher=launcher)
    assert said.count('epoch    2/2') == 1
    one, two = (read_tensors(tmp_path / name / LAST)[0] for name in ('one', 'two'))
    trained = [name for name in one if name.startswith('model.24.m')]
    for name in trained:
        torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-6)
    prior = YOLOv5('n', 3).head.m[0].bias.detach().view(3, -1)[:, 4]
    assert (one['model.24.m.0.bias'].view(3, -1)[:, 4] - prior).abs().min() > 0.01


def test_two_processes_share_a_teacher(data, tmp_path):
    """With and without the teacher all processes have gradients for the same parameters."""
    rendezvous = ('--rdzv-backend=c10d', '--rdzv-endpoint=localhost:0')
    launcher = ('-m', 'torch.distributed.run', '--nproc-per-node=2', *rendezvous)
    run(*arguments(data, tmp_path / 'teacher', epochs=1))
    words = arguments(data, tmp_path / 'student', epochs=3)
    taught = ('--teacher', str(tmp_path / 'teacher'), '--distil-cwd', '1', '--distil-boxes', '1')
    said = run(*words, *taught, '--distil-close', '1', launcher=launcher)
    assert said.count('epoch    3/3') == 1
    with open(tmp_path / 'student' / 'results.csv') as file:
        assert [float(row['distil_cwd']) > 0 for row in csv.DictReader(file)] == [
            True,
            True,
            False,
        ]


def test_another_setting_is_refused_and_spoils_nothing(data, undisturbed):
    before = (undisturbed / 'settings.yaml').read_bytes()
    words = arguments(data, undisturbed, lr=0.5)
    assert "another 'lr'" in kd_yolo('train', *words, cwd=undisturbed).refused()
    assert (undisturbed / 'settings.yaml').read_bytes() == before


def test_bad_input_is_one_sentence(data, tmp_path):
    for words, sentence in (
        (['--data', str(data / 'nothing'), '--out', str(tmp_path / 'a')], 'does not exist'),
        ([*arguments(data, tmp_path / 'a'), '--imgsz', '100'], 'multiple of 32'),
        ([*arguments(data, tmp_path / 'a'), '--device', 'tpu'], 'is no device'),
        ([*arguments(data, data / 'dataset.yaml')], 'is a file'),
        ([*arguments(data, data)], 'holds other things'),
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
    assert '1 problems' in said and 'fit_003.png' in said
