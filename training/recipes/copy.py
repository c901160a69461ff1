# SPDX-License-Identifier: Apache-2.0
"""A recipe's file as it ran: with the values that its variables had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

ONE_LINE = 1 << 20  # columns


def with_variables(text: str, variables: Mapping[str, Any]) -> str:
    """Return a recipe's text with other values of its variables; the rest stays, comments too.

    Args:
        text: of a recipe without mistakes.
        variables: all of them, by name.
    """
    old = yaml.safe_load(text)
    defaults = old.get('variables') or {}
    changed = {name: value for name, value in variables.items() if value != defaults[name]}
    new = text
    for key, value in reversed(_pairs(text)):  # from the end, so that places before it still hold
        if key.value in changed:
            shown = yaml.safe_dump([changed[key.value]], default_flow_style=True, width=ONE_LINE)
            end = _end(value)
            new = f'{new[: key.end_mark.index]}: {shown.strip()[1:-1]}{new[end:]}'
    wanted = {**old, 'variables': dict(variables)} if changed else old
    try:
        if yaml.safe_load(new) == wanted:
            return new
    except yaml.YAMLError:
        pass
    # Anchors and the like: what they stand for is written out.
    return yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True)


def _pairs(text: str) -> list[tuple[yaml.Node, yaml.Node]]:
    """Return name and value of the variables as they stand in the text."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    (variables,) = [value for key, value in root.value if key.value == 'variables'] or [None]
    return variables.value if isinstance(variables, yaml.MappingNode) else []


def _end(node: yaml.Node) -> int:
    """Return where a value ends; that of a block list is where its last item does."""
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return node.end_mark.index
