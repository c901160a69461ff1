# SPDX-License-Identifier: Apache-2.0
"""Everything that can be wrong with a recipe's commands, found before the first one starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import click
from click.core import ParameterSource

from kd_yolo_ros.bundled import find_model
from kd_yolo_ros.cli.main import Unavailable
from kd_yolo_ros.errors import UserError

from ..cli.requirements import require_all
from .nested import is_nested, nested
from .recipe import APPENDED, OUT, OUTPUTS, Step, overlap, within
from .records import FOLDER
from .run import RECIPE, RESULT

OUTER = '<out>'  # {out} of the recipe around one whose own {out} is another folder


def check_commands(steps: Sequence[Step], verbs: click.Group, text: str = '') -> None:
    """Parse every command as `kd-yolo` will, and follow what one step makes and another reads.

    Args:
        steps: of a recipe all of whose variables are given.
        verbs: the group of all verbs.
        text: of the recipe, which it may not run itself.

    Raises:
        UserError: a verb, an option or a value is wrong, or what a step reads is neither there
            nor made before it; also of a recipe that a step runs.
    """
    _check(steps, verbs, [], (text,))


def _check(
    steps: Sequence[Step], verbs: click.Group, made: list[str], running: tuple[str, ...]
) -> None:
    """Check steps after others that have `made` files and folders, and note what these make."""
    for step in steps:
        try:
            context = _parse(step, verbs)
            if is_nested(step):
                made += _check_nested(step, context, verbs, made, running)
                continue
            for path in (*_paths(context), *filter(_of_recipe, step.inputs)):
                if any(overlap(path, output) for output in made):
                    continue
                if _of_recipe(path):
                    raise UserError(f'no step before it makes {path}.')
                if not find_model(path).exists():  # a bundled model's name is no path
                    raise UserError(f'there is no {path}.')
        except UserError as error:
            raise UserError(f"step '{step.name}': {error}") from None
        except click.ClickException as error:
            sentence = error.format_message().rstrip('.')
            raise UserError(f"step '{step.name}', {step.verb}: {sentence}.") from None
        made += step.outputs


def _check_nested(
    step: Step,
    context: click.Context,
    verbs: click.Group,
    made: list[str],
    running: tuple[str, ...],
) -> list[str]:
    """Check the recipe that a step runs as if its steps stood here; return what else it makes."""
    if OUT in context.params['file']:
        raise UserError('the recipe that it runs has to be there before anything starts.')
    recipe, folder = nested(step, OUTER)
    if recipe.text in running:
        raise UserError(f'{recipe.name} would run itself, again and again.')
    out = str(folder).replace(OUTER, OUT)
    if within(OUT, out):
        raise UserError(f'{out} is not for {recipe.name} alone; give it {OUT}/{step.name}.')
    own = [f'{out}/{name}' for name in (FOLDER, RECIPE, RESULT)]
    if own[0] in made:
        raise UserError(f'a step before it runs a recipe in {out}; give it another folder.')
    inner = [
        dataclasses.replace(
            one,
            words=tuple(word.replace(OUT, str(folder)).replace(OUTER, OUT) for word in one.words),
        )
        for one in recipe.steps
    ]
    _check(inner, verbs, made, (*running, recipe.text))
    return own


def _of_recipe(path: str) -> bool:
    return within(path, OUT)


def _parse(step: Step, verbs: click.Group) -> click.Context:
    command: click.Command | None = verbs
    for word in step.verb.split():
        group = command if isinstance(command, click.Group) else None
        command = group.get_command(click.Context(group), word) if group else None
        if isinstance(command, Unavailable):
            command.refuse()
    if command is None:
        raise UserError(f"there is no verb '{step.verb}'; see kd-yolo --help.")
    if isinstance(command, click.Group):
        known = ', '.join(command.list_commands(click.Context(command)))
        raise UserError(f"'{step.verb}' needs one of its verbs: {known}.")
    require_all(command)
    context = command.make_context(step.verb, list(step.words))
    if step.verb == 'train':
        _check_settings(context)
    return context


def _check_settings(context: click.Context) -> None:
    """Say what `train` itself would only say when its turn has come."""
    from ..distillation.gains import check_gains
    from ..engine.settings import Settings, setting_fields

    names = [field.name for field in setting_fields()]
    settings = Settings.from_dict({name: context.params[name] for name in names})
    check_gains(settings, len(context.params['teachers']))


def _paths(context: click.Context) -> Iterator[str]:
    """Yield the paths that a command reads, as far as its options say that they are paths."""
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) == ParameterSource.COMMANDLINE
        written = {*OUTPUTS, APPENDED}.intersection(parameter.opts)
        if given and not written and isinstance(parameter.type, click.Path):
            value = context.params.get(name)
            yield from map(str, value if isinstance(value, tuple) else (value,))
