# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo recipe` as users start it: finished, changed, failing, killed and interrupted steps."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from labelled import write_yolo
from processes import Finished, kd_yolo

from kd_yolo_training.cli.recipe import recipe as verbs

RECIPE = """
name: small
about: A set, looked at.
variables: {pictures: null, share: 0.2, split: fit}
steps:
- name: set
  verb: data yolo
  arguments: '{pictures}'
  options: {select: '{share}', names: disc, out: '{out}/set'}
- name: look
  verb: data show
  arguments: '{out}/set'
  options: {split: '{split}', count: 4, out: '{out}/look.png'}
- name: check
  verb: data check
  arguments: '{out}/set'
"""
SCENES = """
name: scenes
steps:
- name: scenes
  verb: data scenes
  options: {train: 6, val: 0, size: 128x64, processes: 1, out: '{out}/scenes'}
- name: set
  verb: data cityscapes
  arguments: '{out}/scenes'
  options: {out: '{out}/set'}
"""
LIMIT_S = 240


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> Path:
    """A folder with the recipe, its pictures, and what it makes of them in out/."""
    place = tmp_path_factory.mktemp('made')
    write_yolo(place / 'pictures', ['0 0.5 0.5 0.5 0.5\n'] * 10)
    (place / 'small.yaml').write_text(RECIPE)
    said = run(place, '--json', 'report.json').succeeded()
    (place / 'said').write_text(said)
    return place


@pytest.fixture
def place(made, tmp_path) -> Path:
    """A copy of it: a recipe's folder may be moved."""
    shutil.copytree(made, tmp_path / 'copy')
    return tmp_path / 'copy'


def run(place: Path, *more: object) -> Finished:
    words = ('--out', 'out', '--set', 'pictures=pictures', *more)
    return kd_yolo('recipe', 'run', 'small.yaml', *words, cwd=place)


def record(place: Path, step: str) -> dict:
    return json.loads((place / 'out' / 'steps' / f'{step}.json').read_text())


def test_every_step_is_shown_kept_and_noted(made):
    said = (made / 'said').read_text()
    for number, step in enumerate(('set', 'look', 'check'), 1):
        assert f'step {number}/3 {step}: kd-yolo data' in said
        log = (made / 'out' / 'steps' / f'{step}.log').read_text()
        assert log.strip() and log in said
    assert record(made, 'look')['command'] == [
        *('data', 'show', '{out}/set', '--split', 'fit', '--count', '4', '--out', '{out}/look.png')
    ]
    assert record(made, 'look')['uses'] == {'set': record(made, 'set')['finished']}
    copy = RECIPE.replace('pictures: null', 'pictures: pictures')
    assert (made / 'out' / 'recipe.yaml').read_text() == copy
    report = json.loads((made / 'report.json').read_text())
    assert report == json.loads((made / 'out' / 'recipe.json').read_text())
    assert [(row['step'], row['ran_now']) for row in report['steps']] == [
        *(('set', True), ('look', True), ('check', True))
    ]
    assert report['variables']['split'] == 'fit'


def test_finished_steps_are_not_repeated(place):
    noted = {step: record(place, step) for step in ('set', 'check', 'look')}
    said = run(place).succeeded()
    assert said.count('finished before') == 3 and 'kd-yolo data' not in said
    assert {step: record(place, step) for step in noted} == noted


def test_the_copy_repeats_the_run_without_settings(place):
    words = ('recipe', 'run', 'out/recipe.yaml', '--out', 'out')
    said = kd_yolo(*words, cwd=place).succeeded()
    assert said.count('finished before') == 3
    (place / 'out' / 'recipe.yaml').rename(place / 'copy.yaml')
    said = run(place, '--set', 'split=val').stderr
    assert "has no split 'val'" in said  # the copy is there from the start
    assert 'split: val}' in (place / 'out' / 'recipe.yaml').read_text()


def test_a_changed_step_is_repeated_and_what_depends_on_it(place):
    before = record(place, 'check')['finished']
    said = run(place, '--set', 'share=0.4').succeeded()
    assert 'set: its command changed: was --select 0.2, is --select 0.4\n' in said
    assert 'check: set is made anew\n' in said and 'look: set is made anew\n' in said
    assert 'where a verb does not go over one, move it away:\n  out/set\n' in said
    assert record(place, 'check')['finished'] > record(place, 'set')['finished'] > before
    assert record(place, 'look')['uses'] == {'set': record(place, 'set')['finished']}


def test_what_is_gone_is_made_again(place):
    (place / 'out' / 'look.png').unlink()
    said = run(place).succeeded()
    assert 'look: out/look.png is gone\n' in said and (place / 'out' / 'look.png').is_file()
    assert 'step 3/3 check: finished before' in said


def test_a_failing_step_ends_it(place):
    done = run(place, '--set', 'share=0.4', '--set', 'split=val')
    assert done.status == 1
    (line,) = (line for line in done.stderr.splitlines() if line.strip())
    assert line.startswith("Error: step 2/3 look failed with status 1: out/set has no split 'val'")
    assert '(log: out/steps/look.log)' in line
    assert line.endswith(' out/look.png is from before: move it away to have it made anew.')
    assert 'step 1/3 set: kd-yolo' in done.stdout and 'step 3/3' not in done.stdout
    assert "has no split 'val'" in (place / 'out' / 'steps' / 'look.log').read_text()
    assert not (place / 'out' / 'steps' / 'look.json').exists()
    again = run(place, '--set', 'share=0.4', '--set', 'split=val')
    assert again.stderr == done.stderr  # also what to move away
    (place / 'out' / 'look.png').unlink()
    again = run(place, '--set', 'share=0.4', '--set', 'split=val')
    assert 'look failed' in again.stderr and 'from before' not in again.stderr


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--set', 'pictures=nowhere'], "step 'set': there is no nowhere."),
        (['--set', 'share=many'], "step 'set', data yolo: Invalid value for '--select'"),
        (['--set', 'slit=val'], "no variable 'slit'"),
        (['--out', 'pictures'], 'pictures is there and holds other things'),
    ],
)
def test_nothing_starts_with_bad_input(place, words, said):
    before = sorted(place.rglob('*'))
    assert said in run(place, *words).refused()
    assert sorted(place.rglob('*')) == before


def test_a_missing_variable_is_named(place):
    done = kd_yolo('recipe', 'run', 'small.yaml', '--out', 'new', cwd=place)
    assert done.refused() == 'Error: small needs --set pictures=…'
    assert not (place / 'new').exists()


def test_one_folder_is_for_one_run_at_a_time(place):
    with open(place / 'out' / 'steps' / '.lock') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert 'out is in use by another' in run(place).refused()
    run(place).succeeded()


def test_show_says_what_is_finished(place, monkeypatch):
    monkeypatch.chdir(place)
    words = ['show', 'small.yaml', '--out', 'out', '--set', 'pictures=pictures']
    said = CliRunner().invoke(verbs, [*words, '--set', 'split=val'], catch_exceptions=False).output
    assert '# step 1/3 set (finished)\nkd-yolo data yolo pictures --select 0.2' in said
    assert '(again: its command changed: was --split fit, is --split val)' in said
    said = CliRunner().invoke(verbs, ['show', 'small.yaml'], catch_exceptions=False).output
    assert '--set pictures=…  (has to be given)' in said
    assert "# step 1/3 set (to do)\nkd-yolo data yolo '{pictures}' --select 0.2" in said
    assert '--out runs/small/look.png' in said


def test_list_names_the_bundled_ones():
    said = CliRunner().invoke(verbs, ['list'], catch_exceptions=False).output
    assert 'cityscapes=…' in said and 'scenes-tiny' in said and 'seeds=0,1,2' in said


def start_scenes(place: Path) -> subprocess.Popen:
    (place / 'scenes.yaml').write_text(SCENES)
    return subprocess.Popen(
        [*KD_YOLO, 'recipe', 'run', 'scenes.yaml', '--out', 'out'],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


KD_YOLO = [sys.executable, '-m', 'kd_yolo_ros.cli.main']


def first_picture(place: Path) -> Path | None:
    return next(iter(sorted(place.glob('out/scenes/leftImg8bit/train/*/[!.]*.png'))), None)


def wait_for(reached: Callable[[], object], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not reached():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_killed_and_gone_on(tmp_path):
    process = start_scenes(tmp_path)
    wait_for(lambda: first_picture(tmp_path), process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    picture = first_picture(tmp_path)
    written = picture.stat().st_mtime_ns
    assert not (tmp_path / 'out' / 'steps' / 'scenes.json').exists()
    attempt = tmp_path / 'out' / 'steps' / '.scenes.attempt'
    attempt.write_text(json.dumps({**json.loads(attempt.read_text()), 'spent': 1000}))
    # Until the step that was left has cleaned up, nobody else may begin.
    deadline = time.monotonic() + LIMIT_S
    while True:
        done = kd_yolo('recipe', 'run', 'scenes.yaml', '--out', 'out', cwd=tmp_path)
        if done.status == 0 or time.monotonic() > deadline:
            break
        assert 'in use by another' in done.refused()
    assert 'step 1/2 scenes: kd-yolo' in done.succeeded()
    assert picture.stat().st_mtime_ns == written  # the verb goes on with what is there
    assert 1000 < record(tmp_path, 'scenes')['seconds'] < 1000 + 2 * LIMIT_S
    assert not attempt.exists()
    assert (tmp_path / 'out' / 'set' / 'dataset.yaml').is_file()


def test_interrupted(tmp_path):
    process = start_scenes(tmp_path)
    wait_for(lambda: first_picture(tmp_path), process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert said == 'Interrupted in step 1/2 scenes; the same command goes on there.\n'
    assert not (tmp_path / 'out' / 'steps' / 'scenes.json').exists()
    assert (tmp_path / 'out' / 'steps' / 'scenes.log').read_text().endswith('Interrupted.\n')
    with open(tmp_path / 'out' / 'steps' / '.lock') as lock:  # the step has ended too
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
