# SPDX-License-Identifier: Apache-2.0
"""A recipe: the steps that a YAML file lists, as `kd-yolo` commands."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from kd_yolo_ros.errors import UserError

from .expand import combinations, fill, flatten, option_words

OUT = '{out}'  # stays in the words of a step, so that they are the same in every folder
OUTPUTS = ('--out', '--json')
APPENDED = '--csv'
FILE_NAME = re.compile(r'[A-Za-z0-9][\w.=-]*')


@dataclass(frozen=True)
class Step:
    """One command of a recipe.

    Attributes:
        name: of the step; no other has it.
        verb: as `data scenes`.
        words: what follows it, with `{out}` for the recipe's folder.
    """

    name: str
    verb: str
    words: tuple[str, ...]

    def command(self, out: Path | str) -> list[str]:
        """Return verb and words with the folder in the place of `{out}`."""
        return [*self.verb.split(), *(word.replace(OUT, str(out)) for word in self.words)]

    def made(self, out: Path | str) -> list[str]:
        """Return its outputs with the folder in the place of `{out}`."""
        return [output.replace(OUT, str(out)) for output in self.outputs]

    @property
    def outputs(self) -> list[str]:
        """The files and folders it makes."""
        return [word for option, word in self._pairs() if option in OUTPUTS]

    @property
    def inputs(self) -> list[str]:
        """Every other word that may be a path; of NAME=PATH the path too."""
        words = [
            word for option, word in self._pairs() if option not in (*OUTPUTS, APPENDED) and word
        ]
        return [*words, *(word.partition('=')[2] for word in words if '=' in word)]

    def uses(self, earlier: Iterable[Step]) -> list[str]:
        """Return the names of the steps whose outputs its command line names."""
        words = [*self.inputs, *self.outputs]
        paths = [*words, *(part for word in words if ',' in word for part in word.split(','))]
        return [
            step.name
            for step in earlier
            if any(overlap(path, output) for path in paths for output in step.outputs)
        ]

    def _pairs(self) -> Iterator[tuple[str, str]]:
        return zip(('', *self.words), self.words, strict=False)


@dataclass(frozen=True)
class Recipe:
    """A recipe whose variables have their values.

    Attributes:
        name: for tables and the default folder.
        about: one sentence.
        variables: by name, as they were given; None where one is missing.
        steps: in order.
        text: the YAML file.
    """

    name: str
    about: str
    variables: Mapping[str, Any]
    steps: tuple[Step, ...]
    text: str

    @property
    def missing(self) -> list[str]:
        """The variables that have to be given and are not."""
        return [name for name, value in self.variables.items() if value is None]

    def require_values(self) -> None:
        """Raise UserError where one is missing."""
        if self.missing:
            wanted = ' '.join(f'--set {name}=…' for name in self.missing)
            raise UserError(f'{self.name} needs {wanted}')


def overlap(one: str, other: str) -> bool:
    """Say whether one of two paths is the other or lies in it."""
    return within(one, other) or within(other, one)


def within(path: str, folder: str) -> bool:
    """Say whether a path is a folder or lies in it."""
    return PurePosixPath(os.path.normpath(path)).is_relative_to(os.path.normpath(folder))


def bundled() -> dict[str, str]:
    """Return the text of every recipe that comes with the package, by name."""
    folder = resources.files(__package__) / 'bundled'
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return {
        file.name.removesuffix('.yaml'): file.read_text(encoding='utf-8')
        for file in files
        if file.name.endswith('.yaml')
    }


def open_recipe(file: str, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        file: a YAML file, or the name of a bundled recipe.
        settings: values of variables as NAME=VALUE.

    Raises:
        UserError: there is no such recipe, or something in it is wrong.
    """
    known = bundled()
    if file in known:
        return read_recipe(known[file], file, settings)
    try:
        text = Path(file).read_text(encoding='utf-8')
    except FileNotFoundError:
        raise UserError(
            f'there is no recipe {file}; give a file, or one of {", ".join(known)}.'
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f'{file} cannot be read ({str(error).splitlines()[0]}).') from None
    return read_recipe(text, file, settings)


def read_recipe(text: str, where: str, settings: Sequence[str] = ()) -> Recipe:
    """Make a recipe of the text of its file; `where` names it in errors.

    Raises:
        UserError: something in it, or in the settings, is wrong.
    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f'{where} is no valid YAML: {" ".join(str(error).split())}.') from None
    # What stands under `common` is there for YAML's anchors alone.
    content = _mapping(content, where, ('name', 'steps'), ('about', 'variables', 'common'))
    try:
        name = _file_name(content['name'])
    except UserError as error:
        raise UserError(f'{where}: {error}') from None
    variables = _variables(content.get('variables') or {}, where, settings)
    unknown = {name: f'{{{name}}}' for name, value in variables.items() if value is None}
    values = {**{name: _expanded(one) for name, one in variables.items()}, **unknown, 'out': OUT}
    if not isinstance(content['steps'], list) or not content['steps']:
        raise UserError(f"{where}: 'steps' has to be a list.")
    steps = []
    for number, listed in enumerate(content['steps'], 1):
        place = f'{where}: step {number}'
        described = _mapping(listed, place, ('name', 'verb'), ('each', 'arguments', 'options'))
        place = f"{where}: step '{described['name']}'"
        try:
            every = combinations(described.get('each') or {}, values)
            steps += [_step(described, known) for known in every]
        except UserError as error:
            raise UserError(f'{place}: {error}') from None
    names = [step.name for step in steps]
    for twice in names:
        if names.count(twice) > 1:
            raise UserError(
                f"{where}: two steps are named '{twice}'; where a step has 'each', its name needs "
                f'all of its values.'
            )
    about = ' '.join(str(content.get('about') or '').split())
    return Recipe(name, about, variables, tuple(steps), text)


def _step(described: Mapping[str, Any], values: Mapping[str, Any]) -> Step:
    name = _file_name(fill(described['name'], values))
    options = described.get('options') or {}
    if not isinstance(options, dict):
        raise UserError("'options' has to be a mapping of names to values.")
    arguments = flatten(described.get('arguments') or [], values)
    words = [str(argument) for argument in arguments if argument not in (None, '')]
    for option, value in options.items():
        try:
            words += option_words(str(option), value, values)
        except UserError as error:
            raise UserError(f'{option}: {error}') from None
    return Step(name, str(fill(described['verb'], values)), tuple(words))


def _file_name(name: Any) -> str:
    if not FILE_NAME.fullmatch(str(name)):
        raise UserError(f'{str(name)!r} is no name; letters, digits and . _ = - make one.')
    return str(name)


def _mapping(
    content: Any, where: str, needed: Sequence[str], allowed: Sequence[str]
) -> dict[str, Any]:
    """Return a mapping with these keys; UserError where it is none or has others."""
    if not isinstance(content, dict):
        raise UserError(f'{where} is no mapping; it needs {", ".join(needed)}.')
    for key in needed:
        if content.get(key) in (None, ''):
            raise UserError(f"{where} has no '{key}'.")
    for key in content:
        if key not in (*needed, *allowed):
            known = ', '.join((*needed, *allowed))
            raise UserError(f"{where}: '{key}' is unknown; there are {known}.")
    return content


def _variables(defaults: Any, where: str, settings: Sequence[str]) -> dict[str, Any]:
    """Return the variables with those that are set; a list is given as a,b,c."""
    if not isinstance(defaults, dict):
        raise UserError(f"{where}: 'variables' has to be a mapping of names to values.")
    if 'out' in defaults:
        raise UserError(f'{where}: {OUT} is the folder of --out, and no variable.')
    variables = dict(defaults)
    for setting in settings:
        name, equals, value = setting.partition('=')
        if not equals:
            raise UserError(f'--set takes NAME=VALUE, not {setting!r}.')
        if name not in defaults:
            raise UserError(
                f"{where} has no variable '{name}'; it has {', '.join(defaults) or 'none'}."
            )
        if not value and defaults[name] not in ('', []):
            raise UserError(f'--set {setting} gives no value; {where} needs one for {name}.')
        variables[name] = _like(defaults[name], name, value)
    return variables


def _expanded(value: Any) -> Any:
    """Return a path as the shell would: it leaves the ~ of NAME=~/folder alone."""
    return os.path.expanduser(value) if isinstance(value, str) else value


def _like(default: Any, name: str, value: str) -> Any:
    """Return a value of the command line in the form of the variable's default."""
    if isinstance(default, list):
        return [part.strip() for part in value.split(',') if part.strip()]
    if isinstance(default, bool):
        if value not in ('true', 'false'):
            raise UserError(f'{name} is {value!r}; it has to be true or false.')
        return value == 'true'
    return value
