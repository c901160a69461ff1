# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a recipe's commands is said before anything starts."""

from __future__ import annotations

import click
import pytest

from kd_yolo_ros import bundled
from kd_yolo_ros.cli.main import Unavailable, kd_yolo
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import MANIFEST
from kd_yolo_training.cli.requirements import needs
from kd_yolo_training.recipes.check import check_commands
from kd_yolo_training.recipes.recipe import Step

SET = Step('set', 'data yolo', ('.', '--out', '{out}/set'))
RUN = Step('run', 'train', ('--data', '{out}/set', '--out', '{out}/run'))


def test_good_commands_pass():
    report = Step('look', 'data check', ('{out}/run/weights', '--json', '{out}/look.json'))
    check_commands([SET, RUN, report], kd_yolo)


@pytest.mark.parametrize(
    ('verb', 'words', 'said'),
    [
        ('tran', (), "no verb 'tran'"),
        ('data', (), "'data' needs one of its verbs: .*cityscapes"),
        ('data yolo more', (), "no verb 'data yolo more'"),
        ('train', ('--data', '{out}/set'), "Missing option '--out'"),
        ('train', (*RUN.words, '--epcohs', '3'), '--epcohs'),
        ('train', (*RUN.words, '--no-lr'), '--no-lr'),
        ('train', (*RUN.words, '--epochs', 'ten'), "'ten' is not a valid integer"),
        ('train', (*RUN.words, '--imgsz', '100'), 'multiple of 32'),
        ('train', (*RUN.words, '--weights', 'nowhere.pt'), 'there is no nowhere.pt'),
        ('train', (*RUN.words, '--weights', '{out}/teacher'), 'no step before it makes .*teacher'),
        ('compare', ('--data', '{out}/set', '--arm', 'a={out}/a', '--baseline', 'a',
                     '--out', '{out}/c'), 'no step before it makes .out./a'),
        ('data check', ('{out}/run',), 'no step before it makes .out./run'),
        ('data check', (), 'Missing argument'),
    ],
)  # fmt: skip
def test_wrong_commands_are_named(verb, words, said):
    with pytest.raises(UserError, match=said) as caught:
        check_commands([SET, Step('second', verb, words)], kd_yolo)
    assert str(caught.value).startswith("step 'second'")


def test_a_verb_that_cannot_run_here_is_named():
    @needs('click', 'of_the_extra')
    @click.command()
    def dream() -> None:
        raise AssertionError

    verbs = click.Group(commands={'dream': dream})
    with pytest.raises(UserError, match="^step 'a': This needs of_the_extra, .*training"):
        check_commands([Step('a', 'dream', ())], verbs)
    with pytest.raises(UserError, match='^This needs of_the_extra'):
        dream.main([], standalone_mode=False)
    verbs.add_command(Unavailable('data', ImportError('no numpy')))
    for verb in ('data', 'data yolo'):
        with pytest.raises(UserError, match="^step 'a': 'data' cannot run: no numpy."):
            check_commands([Step('a', verb, ('--out', 'b'))], verbs)


def test_a_bundled_model_is_known_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, 'MODELS', tmp_path)
    bench = Step('bench', 'bench', ('small',))
    with pytest.raises(UserError, match='there is no small'):
        check_commands([bench], kd_yolo)
    (tmp_path / 'small').mkdir()
    (tmp_path / 'small' / MANIFEST).touch()
    check_commands([bench], kd_yolo)


def test_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_commands([SET, RUN], kd_yolo)
    assert list(tmp_path.iterdir()) == []
