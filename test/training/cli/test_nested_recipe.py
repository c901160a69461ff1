# SPDX-License-Identifier: Apache-2.0
"""A recipe of recipes: one command makes everything, and again only what has changed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from labelled import write_yolo
from processes import Finished, kd_yolo

INNER = """
name: look
variables: {data: null, splits: [fit], count: 4}
steps:
- name: look-{split}
  each: {split: '{splits}'}
  verb: data show
  arguments: '{data}'
  options: {split: '{split}', count: '{count}', out: '{out}/look-{split}.png'}
- name: subset
  verb: data subset
  arguments: '{data}'
  options: {split: fit, first: 2, out: '{out}/subset'}
"""
OUTER = """
name: all
variables: {pictures: pictures, share: 0.2, splits: [fit, select], count: 4}
steps:
- name: set
  verb: data yolo
  arguments: '{pictures}'
  options: {select: '{share}', names: disc, out: '{out}/set'}
- name: looks
  verb: recipe run
  arguments: look.yaml
  options:
    set: ['data={out}/set', 'splits={splits}', 'count={count}']
    out: '{out}/looks'
- name: check
  verb: data check
  arguments: '{out}/looks/subset'
"""
SCENES = """
name: scenes
variables: {pictures: 6}
steps:
- name: few
  verb: data scenes
  options: {train: 1, val: 0, size: 128x64, processes: 1, out: '{out}/few'}
- name: scenes
  verb: data scenes
  options: {train: '{pictures}', val: 0, size: 128x64, processes: 1, out: '{out}/scenes'}
"""
AROUND = """
name: around
steps:
- {name: inner, verb: recipe run, arguments: scenes.yaml, options: {out: '{out}/inner'}}
- {name: set, verb: data cityscapes, arguments: '{out}/inner/scenes', options: {out: '{out}/set'}}
"""
LIMIT_S = 240


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> Path:
    """A folder with both recipes, pictures, and what they make of them in out/."""
    place = tmp_path_factory.mktemp('made')
    write_yolo(place / 'pictures', ['0 0.5 0.5 0.5 0.5\n'] * 10)
    (place / 'look.yaml').write_text(INNER)
    (place / 'all.yaml').write_text(OUTER)
    (place / 'said').write_text(run(place).succeeded())
    return place


@pytest.fixture
def place(made, tmp_path) -> Path:
    shutil.copytree(made, tmp_path / 'copy')
    return tmp_path / 'copy'


def run(place: Path, *more: str) -> Finished:
    return kd_yolo('recipe', 'run', 'all.yaml', '--out', 'out', *more, cwd=place)


def ran(place: Path) -> set[str]:
    """The steps of both recipes that ran the last time."""
    rows = []
    for report in ('out/recipe.json', 'out/looks/recipe.json'):
        rows += json.loads((place / report).read_text())['steps']
    return {row['step'] for row in rows if row['ran_now']}


def test_its_steps_run_with_their_values(made):
    said = (made / 'said').read_text()
    assert 'step 2/3 looks: kd-yolo recipe run look.yaml --set data=out/set' in said
    assert 'step 2/3 look-select: kd-yolo data show out/set --split select' in said
    assert (made / 'out' / 'looks' / 'look-select.png').is_file()
    inner = json.loads((made / 'out' / 'looks' / 'recipe.json').read_text())
    assert inner['variables'] == {'data': 'out/set', 'splits': ['fit', 'select'], 'count': '4'}
    _, outer, _ = json.loads((made / 'out' / 'recipe.json').read_text())['steps']
    assert outer['seconds'] == pytest.approx(sum(row['seconds'] for row in inner['steps']))


def test_what_is_finished_is_not_repeated(place):
    said = run(place).succeeded()
    assert said.count('finished before') == 3 and 'kd-yolo' not in said


def test_a_changed_recipe_is_found_in_it(place):
    """Also where the command around it stayed the same."""
    (place / 'look.yaml').write_text(INNER.replace('first: 2', 'first: 1'))
    before = json.loads((place / 'out' / 'recipe.json').read_text())['steps'][1]['seconds']
    said = run(place).succeeded()
    assert 'looks: subset in it: its command changed: was --first 2, is --first 1\n' in said
    assert 'check: looks is made anew\n' in said and 'out/looks/subset\n' in said
    assert ran(place) == {'looks', 'subset', 'check'}
    rows = json.loads((place / 'out' / 'recipe.json').read_text())['steps']
    assert rows[1]['seconds'] > before / 2  # what was not repeated counts


def test_what_is_gone_in_it_is_made_again(place):
    (place / 'out' / 'looks' / 'look-fit.png').unlink()
    said = run(place, '--set', 'splits=fit,select').succeeded()
    assert 'looks: look-fit in it: out/looks/look-fit.png is gone\n' in said
    assert (place / 'out' / 'looks' / 'look-fit.png').is_file()


def test_what_it_reads_is_made_anew_and_so_are_its_steps(place):
    said = run(place, '--set', 'share=0.4').succeeded()
    assert 'looks: set is made anew\n' in said
    assert '\n  out/set out/looks/subset\n' in said  # all that may be in the way
    assert 'look-fit: out/set is made anew\n' in said
    assert ran(place) == {'set', 'looks', 'look-fit', 'look-select', 'subset', 'check'}
    assert run(place, '--set', 'share=0.4').succeeded().count('finished before') == 3


def test_a_new_value_repeats_what_depends_on_it(place):
    said = run(place, '--set', 'splits=select', '--set', 'count=3').succeeded()
    assert 'was --set splits=fit,select --set count=4, is --set splits=select' in said
    assert ran(place) == {'looks', 'look-select', 'check'}
    assert "count: '3'" in (place / 'out' / 'looks' / 'recipe.yaml').read_text()


def test_a_failure_in_it_is_told(place):
    done = run(place, '--set', 'splits=fit,val')
    assert done.status == 1
    (line,) = (line for line in done.stderr.splitlines() if line.strip())
    assert line.startswith(
        'Error: step 2/3 looks failed with status 1: step 2/3 look-val failed with status 1: '
        "out/set has no split 'val'"
    )
    assert 'out/looks is from before' not in line  # most of it is finished


@pytest.mark.parametrize(
    ('value', 'said'),
    [
        ('count=many', "step 'looks': step 'look-fit', data show: Invalid value for '--count'"),
        ('splits=/x', "step 'looks': look.yaml: step 'look-{split}': 'look-/x' is no name"),
    ],
)
def test_nothing_starts_where_it_is_wrong(place, value, said):
    before = sorted(place.rglob('*'))
    assert said in run(place, '--set', value).refused()
    assert sorted(place.rglob('*')) == before


def test_interrupted_and_gone_on(tmp_path):
    (tmp_path / 'scenes.yaml').write_text(SCENES)
    (tmp_path / 'around.yaml').write_text(AROUND)
    words = ('recipe', 'run', 'around.yaml', '--out', 'out')
    process = subprocess.Popen(
        [sys.executable, '-m', 'kd_yolo_ros.cli.main', *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    inner = tmp_path / 'out' / 'inner'
    deadline = time.monotonic() + LIMIT_S
    while not (inner / 'scenes').exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert said == 'Interrupted in step 1/2 inner; the same command goes on there.\n'
    log = (tmp_path / 'out' / 'steps' / 'inner.log').read_text()
    assert log.endswith('Interrupted in step 2/2 scenes; the same command goes on there.\n')
    finished = (inner / 'steps' / 'few.json').read_bytes()
    said = kd_yolo(*words, cwd=tmp_path).succeeded()
    assert 'step 1/2 few: finished before' in said and 'step 2/2 scenes: kd-yolo' in said
    assert (inner / 'steps' / 'few.json').read_bytes() == finished
    assert (tmp_path / 'out' / 'set' / 'dataset.yaml').is_file()
