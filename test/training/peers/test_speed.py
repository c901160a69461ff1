# SPDX-License-Identifier: Apache-2.0
"""Blocks of a timing: their order, what counts, and what an interrupted one leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from labelled import write_yolo

from kd_yolo_training.peers import OURS, THEIRS, speed

CASES = [speed.Case('n', 320), speed.Case('s', 320)]
PICTURES = 6


@pytest.fixture
def load(tmp_path: Path) -> speed.Load:
    data = write_yolo(tmp_path / 'data', ['0 0.5 0.5 0.2 0.2'] * PICTURES, ['car'])
    return speed.Load(data, batch=2, epochs=3, threads=1)


class Stopwatch:
    """Stands for both trainers: each epoch takes as long as it says here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, epoch_s: dict[str, tuple]) -> None:
        self.ran: list[str] = []
        self.fails_in: str | None = None

        def arm(trainer: str):
            def run(case: speed.Case, load: speed.Load, block: int, folder: Path) -> tuple:
                name = f'{trainer} {case} {block}'
                self.ran.append(name)
                assert not folder.exists()  # nothing of an interrupted block is taken over
                folder.mkdir(parents=True)
                if name == self.fails_in:
                    raise KeyboardInterrupt
                return epoch_s[trainer]

            return run

        monkeypatch.setattr(speed, '_ours', arm(OURS))
        monkeypatch.setattr(speed, '_theirs', arm(THEIRS))


def test_trainers_take_turns_and_the_first_epoch_does_not_count(
    load: speed.Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Stopwatch(monkeypatch, {OURS: (60.0, 1.0, 2.0), THEIRS: (60.0, 3.0, 3.0)})
    rows = speed.measure(CASES[:1], load, 2, tmp_path / 'out')
    assert watch.ran == [f'{OURS} n 320 px 0', f'{THEIRS} n 320 px 0',
                         f'{THEIRS} n 320 px 1', f'{OURS} n 320 px 1']  # fmt: skip
    ours, theirs = rows
    assert (ours['trainer'], theirs['trainer']) == (OURS, THEIRS)
    # 6 pictures in 1 and 2 seconds, twice: 6, 3, 6, 3 a second; the other has 2 each time.
    assert ours['median'] == pytest.approx(4.5)
    assert ours['p10'] == pytest.approx(np.percentile([6, 3, 6, 3], 10))
    assert theirs['median'] == theirs['p10'] == theirs['p90'] == pytest.approx(2)
    assert ours['ratio'] == pytest.approx(4.5 / 2)
    assert theirs['ratio'] is None
    assert ours['epochs'] == 4
    assert 0 <= ours['busy_percent'] <= 100


def test_an_interrupted_timing_goes_on_with_the_block_it_was_in(
    load: speed.Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Stopwatch(monkeypatch, {OURS: (1.0, 1.0, 1.0), THEIRS: (1.0, 1.0, 1.0)})
    watch.fails_in = f'{OURS} s 320 px 0'
    with pytest.raises(KeyboardInterrupt):
        speed.measure(CASES, load, 1, tmp_path / 'out')
    before, watch.ran, watch.fails_in = watch.ran, [], None
    rows = speed.measure(CASES, load, 1, tmp_path / 'out')
    assert before[-1] == watch.ran[0] == f'{OURS} s 320 px 0'
    assert watch.ran == [f'{OURS} s 320 px 0', f'{THEIRS} s 320 px 0']
    assert [row['ratio'] for row in rows] == [1.0, None, 1.0, None]


def test_another_load_is_measured_anew(
    load: speed.Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Stopwatch(monkeypatch, {OURS: (1.0, 1.0), THEIRS: (1.0, 1.0)})
    speed.measure(CASES[:1], load, 1, tmp_path / 'out')
    other = speed.Load(load.data, batch=4, epochs=3, threads=1)
    speed.measure(CASES[:1], other, 1, tmp_path / 'out')
    assert len(watch.ran) == 4
