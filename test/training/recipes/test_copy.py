# SPDX-License-Identifier: Apache-2.0
"""The copy of a recipe that says with which values it ran, and makes the same steps."""

from __future__ import annotations

import pytest

from kd_yolo_training.recipes.copy import with_variables
from kd_yolo_training.recipes.recipe import bundled, read_recipe

BLOCK = """name: a
# Why.
variables:
  lights:            # a folder
  'names': red,green  # in order
  seeds:
  - 0                # one
  - 1                # two
  fast: false        # or true

steps:
- {name: 'b-{seed}', each: {seed: '{seeds}'}, verb: c,
   options: {l: '{lights}', n: '{names}', f: '{fast}'}}  # all
"""
FLOW = "{name: a, variables: {lights: null, seeds: [0]}, steps: [{name: b, verb: '{lights}'}]}"
ANCHORS = """name: a
variables: {one: &x [1], two: *x, lights: null}
common: {three: *x}
steps: [{name: b, verb: c, options: {o: '{one}', t: '{two}', l: '{lights}', h: *x}}]
"""
LIGHTS = 'lights=~/a: "b", {c} # ü'


@pytest.mark.parametrize(
    ('text', 'settings'),
    [
        (BLOCK, [LIGHTS, 'names=on', 'seeds=5,06,true', 'fast=true']),
        (BLOCK, ['seeds=3', LIGHTS]),
        (FLOW, [LIGHTS, 'seeds=1']),
        (ANCHORS, [LIGHTS]),
        (ANCHORS, [LIGHTS, 'one=7']),
        (ANCHORS, [LIGHTS, 'two=7']),
    ],
)
def test_it_makes_the_same_without_settings(text, settings):
    recipe = read_recipe(text, 'a', settings)
    again = read_recipe(with_variables(text, recipe.variables), 'a')
    assert again.steps == recipe.steps and again.variables == recipe.variables


@pytest.mark.parametrize('name', bundled())
def test_of_the_bundled_ones_every_comment_stays(name):
    text = bundled()[name]
    bare = read_recipe(text, name)
    settings = [f'{one}=/data/{one}' for one in bare.missing]
    settings += ['seeds=7'] if 'seeds' in bare.variables else ['epochs=7']
    recipe = read_recipe(text, name, settings)
    made = with_variables(text, recipe.variables)
    assert read_recipe(made, name).steps == recipe.steps
    assert [line.partition('# ')[2] for line in made.splitlines()] == [
        line.partition('# ')[2] for line in text.splitlines()
    ]


def test_nothing_set_is_nothing_changed():
    recipe = read_recipe(BLOCK, 'a')
    assert with_variables(BLOCK, recipe.variables) == BLOCK
