# SPDX-License-Identifier: Apache-2.0
"""The bundled recipes: every one passes the checks with the real verbs."""

from __future__ import annotations

import pytest

from kd_yolo_ros.cli.main import kd_yolo
from kd_yolo_training.recipes.check import check_commands
from kd_yolo_training.recipes.recipe import bundled, open_recipe

RECIPES = bundled()


def test_the_promised_ones_are_there():
    detect = {'cityscapes', 'driveu', 'scenes-n', 'scenes-tiny', 'traffic-lights'}
    assert RECIPES.keys() >= {*detect, 'cityscapes-seg', 'scenes-seg-tiny'}


@pytest.mark.parametrize('name', RECIPES)
@pytest.mark.parametrize('seeds', [None, '0', '3,4'])
def test_passes_the_checks(name, seeds, tmp_path):
    for folder in ('train', 'valid'):
        (tmp_path / folder).mkdir()
    opened = open_recipe(name)
    settings = [f'{missing}={tmp_path}' for missing in opened.missing]
    if seeds and 'seeds' in opened.variables:
        settings.append(f'seeds={seeds}')
    recipe = open_recipe(name, settings)
    assert recipe.name == name and recipe.about.endswith('.') and not recipe.missing
    check_commands(recipe.steps, kd_yolo)


@pytest.mark.parametrize('name', RECIPES)
def test_every_variable_is_used(name):
    for variable in open_recipe(name).variables:
        assert f'{{{variable}}}' in RECIPES[name], variable


@pytest.mark.parametrize('name', RECIPES)
def test_val_is_only_reported(name):
    """No step that trains or chooses reads val, and one at the end does."""
    readers = {
        step.verb
        for step in open_recipe(name).steps
        if any(path in ('val', '{out}/set/val.json', '{out}/val') for path in step.inputs)
    }
    # The one only looks for what distillation-arms is to report, the other runs recipes.
    none = ('distillation-methods', 'distillation')
    assert readers & {'compare', 'evaluate'} or name in none
    assert readers <= {'compare', 'evaluate', 'quantize'}  # the last notes what INT8 costs


@pytest.mark.parametrize('name', RECIPES)
def test_students_that_are_chosen_from_differ_in_their_teacher_alone(name):
    def options(step) -> dict[str, str]:
        words = list(step.words)
        return {w: words[i + 1] for i, w in enumerate(words) if w.startswith('--')}

    steps = open_recipe(name, []).steps
    trained = {options(step)['--out']: options(step) for step in steps if step.verb == 'train'}
    students = [
        {key: value for key, value in trained[path].items() if not _of_the_teacher(key)}
        for step in steps
        if step.verb == 'select'
        for path in (word.rpartition('=')[2] for word in step.words)
        if path in trained
    ]
    for student in students:
        if student.get('--weights') == '{out}/teacher':  # as is what it begins with, of a teacher
            del student['--weights']
        assert student['--anchors'] == '{out}/teacher'
    for student in students:
        assert {**student, '--seed': ''} == {**students[0], '--seed': ''}


def _of_the_teacher(option: str) -> bool:
    own = ('--out', '--teacher', '--feature-layers', '--cwd-tau')
    return option in own or option.startswith(('--distil-', '--imitation-'))
