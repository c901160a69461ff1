# SPDX-License-Identifier: Apache-2.0
"""What a recipe's YAML may hold for one step: `{name}`, lists, and `each` with its values.

`{name}` alone is the value itself, a list too; within a longer text it is the value's text, as
`--set` takes it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kd_yolo_ros.errors import UserError

NAME = re.compile(r'\{([A-Za-z][\w-]*)\}')  # so that \d{2} of a regular expression is none

Values = Mapping[str, Any]


def fill(value: Any, values: Values) -> Any:
    """Put values in the place of every `{name}`.

    Args:
        value: of the recipe; what is no text stays as it is.
        values: by name.

    Raises:
        UserError: a name is unknown.
    """
    if not isinstance(value, str):
        return value

    def look_up(found: re.Match[str]) -> Any:
        if found[1] not in values:
            known = ', '.join(f'{{{name}}}' for name in values)
            raise UserError(f'{found[0]} is unknown; there are {known}.')
        return values[found[1]]

    whole = NAME.fullmatch(value)
    return look_up(whole) if whole else NAME.sub(lambda found: as_text(look_up(found)), value)


def as_text(value: Any) -> str:
    """Return a value as --set takes it: a list as a,b,c, truth as true or false."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ','.join(map(as_text, value))
    return str(value)


def combinations(each: Any, values: Values) -> Iterator[dict[str, Any]]:
    """Yield `values` with every combination of those that `each` lists; the first varies slowest.

    Args:
        each: lists by name, or the name of a variable that holds one.
        values: what else is known.

    Raises:
        UserError: it is no such mapping.
    """
    if not isinstance(each, dict):
        raise UserError("'each' needs names with lists of values, as in {seed: [0, 1, 2]}.")
    lists = {name: flatten(listed, values) for name, listed in each.items()}
    for combination in itertools.product(*lists.values()):
        yield {**values, **dict(zip(lists, combination, strict=True))}


def flatten(value: Any, values: Values) -> list[Any]:
    """Return all values that one value of the recipe stands for.

    Args:
        value: a scalar, a list of such values, or `{each: {seed: [0, 1]}, value: 'run-{seed}'}`.
        values: what `{name}` stands for.

    Raises:
        UserError: a name is unknown, or it has another form.
    """
    if isinstance(value, dict):
        if set(value) != {'each', 'value'}:
            (first, *_) = value or ['']
            raise UserError(
                f"a value is a mapping of {', '.join(map(str, value)) or 'nothing'}; only 'each' "
                f"with 'value' may be one, and names stand in quotes: '{{{first}}}'."
            )
        every = combinations(value['each'], values)
        return [one for known in every for one in flatten(value['value'], known)]
    filled = fill(value, values)
    if isinstance(filled, list):
        return [one for item in filled for one in flatten(item, values)]
    return [filled]


def option_words(name: str, value: Any, values: Values) -> list[str]:
    """Return an option as it stands on a command line.

    A list repeats it, true and false are `--name` and `--no-name`; of what is empty nothing is
    left.
    """
    name = name.replace('_', '-')
    words = []
    for one in flatten(value, values):
        if isinstance(one, bool):
            words.append(f'--{name}' if one else f'--no-{name}')
        elif one not in (None, ''):
            words += [f'--{name}', str(one)]
    return words
