# SPDX-License-Identifier: Apache-2.0
"""A recipe's file becomes steps that know what they make and use."""

from __future__ import annotations

from pathlib import Path

import pytest

from kd_yolo_ros.errors import UserError
from kd_yolo_training.recipes.recipe import Step, open_recipe, read_recipe, within

TEXT = r"""
name: lights
about: >
  Two
  lines.
variables: {lights: null, seeds: [0, 1], epochs: 3}
common: &train {epochs: '{epochs}', data: '{out}/set'}
steps:
- name: set
  verb: data yolo
  arguments: '{lights}'
  options: {group_by: '(.*)\.rf\.', out: '{out}/set'}
- name: run-{seed}
  each: {seed: '{seeds}'}
  verb: train
  options: {<<: *train, epochs: 5, seed: '{seed}', out: '{out}/run-{seed}'}
- name: compare
  verb: compare
  options:
    data: '{out}/set'
    arm: {each: {seed: '{seeds}'}, value: 'plain={out}/run-{seed}'}
    out: '{out}/compare'
"""


def changed(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new)


def test_steps_are_commands():
    recipe = read_recipe(TEXT, 'lights.yaml', ['lights=/data/a b'])
    assert (recipe.name, recipe.about, recipe.missing) == ('lights', 'Two lines.', [])
    assert [step.name for step in recipe.steps] == ['set', 'run-0', 'run-1', 'compare']
    assert recipe.steps[0].command('runs/x') == [
        *('data', 'yolo', '/data/a b', '--group-by', r'(.*)\.rf\.', '--out', 'runs/x/set')
    ]
    assert recipe.steps[2].command('runs/x') == [
        *('train', '--epochs', '5', '--data', 'runs/x/set', '--seed', '1'),
        *('--out', 'runs/x/run-1'),
    ]


def test_a_step_uses_those_whose_outputs_it_names():
    recipe = read_recipe(TEXT, 'lights.yaml')
    uses = {step.name: step.uses(recipe.steps[:n]) for n, step in enumerate(recipe.steps)}
    assert uses == {
        'set': [],
        'run-0': ['set'],
        'run-1': ['set'],
        'compare': ['set', 'run-0', 'run-1'],
    }


def test_a_name_that_only_begins_alike_is_another_folder():
    assert within('{out}/run-1/weights/best.safetensors', '{out}/run-1')
    assert not within('{out}/run-10', '{out}/run-1')
    assert within('sets/./a', 'sets/a/')
    step = Step('show', 'data show', ('{out}/set-2', '--json', '{out}/show.json'))
    assert step.uses([Step('set', 'data yolo', ('x', '--out', '{out}/set'))]) == []
    assert step.outputs == ['{out}/show.json'] and '{out}/set-2' in step.inputs


def test_of_a_list_of_paths_every_one_is_used():
    made = [Step(name, 'data yolo', ('x', '--out', f'{{out}}/{name}')) for name in 'abc']
    step = Step('all', 'recipe run', ('look', '--set', 'sets={out}/a,{out}/c', '--out', '{out}/d'))
    assert step.uses(made) == ['a', 'c']


def test_variables_are_set_in_the_form_of_their_defaults():
    recipe = read_recipe(TEXT, 'lights.yaml', ['seeds=5,6,7', 'epochs=9'])
    assert recipe.missing == ['lights']
    assert recipe.variables['seeds'] == ['5', '6', '7']
    assert [step.name for step in recipe.steps[1:-1]] == ['run-5', 'run-6', 'run-7']
    switch = (
        "name: a\nvariables: {eval: true}\nsteps: [{name: b, verb: c, options: {eval: '{eval}'}}]"
    )
    assert read_recipe(switch, 'a').steps[0].words == ('--eval',)
    assert read_recipe(switch, 'a', ['eval=false']).steps[0].words == ('--no-eval',)
    with pytest.raises(UserError, match='true or false'):
        read_recipe(switch, 'a', ['eval=no'])
    home = read_recipe(TEXT, 'a', ['lights=~/lights'])
    assert home.steps[0].words[0] == f'{Path.home()}/lights'
    assert home.variables['lights'] == '~/lights'


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('- a', 'is no mapping; it needs name, steps'),
        ('name: [', 'no valid YAML'),
        ('name: a', "has no 'steps'"),
        (changed('name: lights', 'name: ../lights'), "'../lights' is no name"),
        ('name: a\nsteps: 3', "'steps' has to be a list"),
        (changed('about:', 'abuot:'), "'abuot' is unknown; there are name, steps, about"),
        (changed('options: {group_by', 'option: {group_by'), "step 1: 'option' is unknown"),
        (
            changed("{seed: '{seeds}'}", "{seed: '{sedes}'}"),
            r'step .run-.seed..: .sedes. is',
        ),
        (changed('name: run-{seed}', 'name: run'), "two steps are named 'run'"),
        (changed('name: compare', 'name: ../compare'), "'../compare' is no name"),
        (changed("'{epochs}'", '{epochs}').replace('epochs: 5, ', ''), 'epochs: .*in quotes'),
        (changed("each: {seed: '{seeds}'}\n", 'each: [seed]\n'), "'each' needs names with lists"),
        (changed('epochs: 3}', 'epochs: 3, out: x}'), 'out} is the folder of --out'),
    ],
)
def test_mistakes_are_named(text, said):
    with pytest.raises(UserError, match=said) as caught:
        read_recipe(text, 'lights.yaml')
    assert str(caught.value).startswith('lights.yaml')


@pytest.mark.parametrize(
    ('setting', 'said'),
    [('epochs', 'NAME=VALUE'), ('epoch=3', "no variable 'epoch'; it has lights, seeds, epochs"),
     ('lights=', '--set lights= gives no value'), ('epochs=', 'needs one for epochs'),
     ('seeds=', 'needs one for seeds')],
)  # fmt: skip
def test_settings_are_checked(setting, said):
    with pytest.raises(UserError, match=said):
        read_recipe(TEXT, 'lights.yaml', [setting])


def test_what_is_empty_may_be_set_empty():
    text = """{name: a, variables: {weights: '', more: []}, steps: [
        {name: b, verb: c, options: {w: '{weights}', m: '{more}'}}]}"""
    settings = ['weights=x', 'more=1,2']
    assert read_recipe(text, 'a', settings).steps[0].words == ('--w', 'x', '--m', '1', '--m', '2')
    assert read_recipe(text, 'a', ['weights=', 'more=']).steps[0].words == ()


def test_files_and_bundled_names(tmp_path):
    (tmp_path / 'mine.yaml').write_text(TEXT)
    assert open_recipe(str(tmp_path / 'mine.yaml')).name == 'lights'
    assert open_recipe('cityscapes').name == 'cityscapes'
    with pytest.raises(UserError, match='there is no recipe nowhere.yaml; .*scenes-tiny'):
        open_recipe('nowhere.yaml')
    (tmp_path / 'binary.yaml').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(UserError, match='binary.yaml cannot be read'):
        open_recipe(str(tmp_path / 'binary.yaml'))
