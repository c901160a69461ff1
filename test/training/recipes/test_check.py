# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a recipe's commands is said before anything starts."""

from __future__ import annotations

import dataclasses

import click
import pytest

from kd_yolo_ros import bundled
from kd_yolo_ros.cli.main import Unavailable, kd_yolo
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import MANIFEST
from kd_yolo_training.cli.requirements import needs
from kd_yolo_training.recipes.check import check_commands
from kd_yolo_training.recipes.recipe import Step, open_recipe

SET = Step('set', 'data yolo', ('.', '--out', '{out}/set'))
RUN = Step('run', 'train', ('--data', '{out}/set', '--out', '{out}/run'))
STUDENT = ('--data', '{out}/set', '--out', '{out}/student', '--teacher', '{out}/run')
LOOK = """
name: look
variables: {data: null, splits: [fit], count: 4}
steps:
- name: look-{split}
  each: {split: '{splits}'}
  verb: data show
  arguments: '{data}'
  options: {split: '{split}', count: '{count}', out: '{out}/look-{split}'}
- name: check
  verb: data check
  arguments: '{data}'
"""
ITSELF = 'name: a\nsteps: [{name: b, verb: recipe run, arguments: a.yaml, options: {out: b}}]'


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


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


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (('--epochs', '3', '--close-mosaic', '3', '--distil-cwd', '1'), 'no epoch is left'),
        (('--epochs', '3', '--distil-close', '3', '--distil-cwd', '1'), 'no epoch is left'),
        ((), 'nothing to learn'),
        (('--distil-cwd', '1', '--teacher-weights', '2,1'), '2 teacher_weights for 1 teachers'),
    ],
)
def test_a_student_is_refused_before_its_teacher_is_trained(words, said):
    check_commands([SET, RUN, Step('student', 'train', (*STUDENT, '--distil-cwd', '1'))], kd_yolo)
    with pytest.raises(UserError, match=f"^step 'student': .*{said}"):
        check_commands([SET, RUN, Step('student', 'train', (*STUDENT, *words))], kd_yolo)


def test_gains_want_a_teacher():
    with pytest.raises(UserError, match="^step 'run': distil_cwd .*--teacher"):
        check_commands([SET, Step('run', 'train', (*RUN.words, '--distil-cwd', '1'))], kd_yolo)


def look(*words: str, file: str = 'look.yaml') -> Step:
    values = ('--set', 'data={out}/set', '--out', '{out}/look')
    return Step('inside', 'recipe run', (file, *values, *words))


def test_what_a_recipe_in_it_makes_is_read_by_later_steps(place):
    (place / 'look.yaml').write_text(LOOK)
    inner = look('--set', 'splits=fit,val')
    for path in ('look-val', 'steps/check.log', 'recipe.json', '.'):
        later = Step('later', 'data check', (f'{{out}}/look/{path}',))
        check_commands([SET, inner, later], kd_yolo)
    with pytest.raises(UserError, match="^step 'later': no step before it makes .*look-select"):
        later = Step('later', 'data check', ('{out}/look/look-select',))
        check_commands([SET, inner, later], kd_yolo)


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (('--set', 'count=many'), "step 'look-fit', data show: Invalid value for '--count'"),
        (('--set', 'cuont=3'), "look.yaml has no variable 'cuont'"),
        (('--set', 'data={out}/sat'), "step 'look-fit': no step before it makes .out./sat"),
        (('--set', 'data=nowhere'), "step 'look-fit': there is no nowhere"),
        (('--out', '{out}'), '.out. is not for look alone; give it .out./inside'),
        (('--out', '{out}/..'), '.out./.. is not for look alone'),
    ],
)
def test_a_recipe_in_it_is_checked_with_its_values(place, words, said):
    (place / 'look.yaml').write_text(LOOK)
    check_commands([SET, look()], kd_yolo)
    with pytest.raises(UserError, match=f"^step 'inside': {said}"):
        check_commands([SET, look(*words)], kd_yolo)


def test_a_recipe_in_it_has_to_be_whole_and_there(place):
    (place / 'look.yaml').write_text(LOOK)
    bare = Step('inside', 'recipe run', ('look.yaml', '--out', '{out}/look'))
    with pytest.raises(UserError, match="^step 'inside': look needs --set data=…"):
        check_commands([SET, bare], kd_yolo)
    with pytest.raises(UserError, match="^step 'inside': give .* a folder, .*out: .out./inside"):
        check_commands([SET, Step('inside', 'recipe run', ('look.yaml',))], kd_yolo)
    with pytest.raises(UserError, match="^step 'inside': there is no recipe nowhere.yaml"):
        check_commands([SET, look(file='nowhere.yaml')], kd_yolo)
    with pytest.raises(UserError, match="^step 'inside': .* before anything starts"):
        check_commands([SET, look(file='{out}/recipe.yaml')], kd_yolo)
    with pytest.raises(UserError, match="^step 'again': a step before it runs .*another folder"):
        again = dataclasses.replace(look(), name='again')
        check_commands([SET, look(), again], kd_yolo)


def test_a_recipe_that_runs_itself_is_refused(place):
    (place / 'a.yaml').write_text(ITSELF)
    recipe = open_recipe('a.yaml')
    with pytest.raises(UserError, match="^step 'b': a would run itself"):
        check_commands(recipe.steps, kd_yolo, recipe.text)
    (place / 'around.yaml').write_text(ITSELF.replace('name: a', 'name: around'))
    recipe = open_recipe('around.yaml')
    with pytest.raises(UserError, match="^step 'b': step 'b': a would run itself"):
        check_commands(recipe.steps, kd_yolo, recipe.text)


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


def test_nothing_is_written(place):
    (place / 'look.yaml').write_text(LOOK)
    check_commands([SET, RUN, look()], kd_yolo)
    assert [file.name for file in place.iterdir()] == ['look.yaml']
