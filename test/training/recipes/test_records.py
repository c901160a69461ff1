# SPDX-License-Identifier: Apache-2.0
"""What is noted of steps: the time of all attempts, and what other recipes made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kd_yolo_training.recipes.recipe import Step
from kd_yolo_training.recipes.records import (
    FOLDER,
    begin,
    folders_from_before,
    log_file,
    pending,
    write_record,
)

SET = Step('set', 'data yolo', ('pictures', '--out', '{out}/set'))
LONG = Step('long', 'data check', ('{out}/set', '--json', '{out}/long.json'))


def test_seconds_of_attempts_that_did_not_finish_are_told(tmp_path):
    log = log_file(tmp_path, LONG)

    def say_last(seconds: float) -> None:
        log.write_text('a line')
        now = log.stat().st_mtime
        os.utime(log, (now + seconds, now + seconds))

    assert begin(tmp_path, LONG) == 0
    say_last(100)
    assert begin(tmp_path, LONG) == pytest.approx(100, abs=5)
    say_last(50)
    assert begin(tmp_path, LONG) == pytest.approx(150, abs=10)
    write_record(tmp_path, LONG, [], 200)
    assert begin(tmp_path, LONG) == 0  # that is another time
    say_last(-100)
    other = Step('long', 'data check', ('{out}/other',))
    assert begin(tmp_path, other) == 0
    assert begin(tmp_path, other) == 0  # killed before it said anything


def finish(out: Path, *steps: Step) -> None:
    for number, step in enumerate(steps):
        for made in step.made(out):
            Path(made).mkdir(parents=True, exist_ok=True)
        write_record(out, step, steps[:number], 1)


def test_what_another_recipe_made_is_watched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, other = Path('one'), Path('deep/other')
    reader = Step('reader', 'data check', ('one/set/val.json', '--json', '{out}/r'))
    far = Step('far', 'compare', ('--arm', f'a={tmp_path}/one/run', '--out', '{out}/c'))
    run = Step('run', 'train', ('--data', '{out}/set', '--out', '{out}/run'))
    finish(one, SET, run)
    Path('one/set/val.json').touch()
    finish(other, reader, far)
    assert pending([reader, far], other) == {}
    finish(one, run)
    assert pending([reader, far], other) == {'far': f'{tmp_path}/one/run is made anew'}
    finish(other, far)
    (one / FOLDER / 'set.json').unlink()  # it is at work
    assert pending([reader, far], other) == {'reader': 'one/set/val.json is made anew'}
    finish(one, SET)
    assert pending([reader, far], other) == {'reader': 'one/set/val.json is made anew'}
    finish(other, reader)
    assert pending([reader, far], other) == {}


def test_what_is_about_to_be_made_anew_counts_as_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('set').mkdir()
    run = Step('run', 'train', ('--data', 'set', '--out', '{out}/run'))
    finish(Path('out'), run)
    assert pending([run], Path('out'), ['other']) == {}
    assert pending([run], Path('out'), ['set/fit.json']) == {'run': 'set is made anew'}
    assert folders_from_before([run], Path('out')) == []
    assert folders_from_before([run], Path('out'), ['set']) == ['out/run']
