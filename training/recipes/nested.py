# SPDX-License-Identifier: Apache-2.0
"""A step that runs a recipe itself."""

from __future__ import annotations

from pathlib import Path

from kd_yolo_ros.errors import UserError

from .recipe import OUT, Recipe, Step, open_recipe

VERB = ['recipe', 'run']


def is_nested(step: Step) -> bool:
    """Say whether a step runs a recipe."""
    return step.verb.split() == VERB


def nested(step: Step, out: Path | str) -> tuple[Recipe, Path]:
    """Return the recipe that such a step runs, with its values, and its folder.

    Args:
        step: whose command line can be parsed.
        out: folder of the recipe that the step belongs to.

    Raises:
        UserError: there is no such recipe, something in it or its values is wrong or missing, or
            the step names no folder for it.
    """
    from ..cli.recipe import run

    words = step.command(out)[len(VERB) :]
    given = run.make_context(step.name, words).params
    if given['out'] is None:
        raise UserError(f'give the recipe that it runs a folder, as in out: {OUT}/{step.name}.')
    recipe = open_recipe(given['file'], given['settings'])
    recipe.require_values()
    return recipe, given['out']
