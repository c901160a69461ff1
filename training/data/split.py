# SPDX-License-Identifier: Apache-2.0
"""Which pictures belong to which split: whole groups, the same ones at every run.

Pictures of one photo, drive or city resemble each other; apart in fit and val they would make
a model look better than it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from kd_yolo_ros.errors import UserError

Item = TypeVar('Item')


def split_groups(
    groups: Mapping[str, Sequence[Item]], shares: Mapping[str, float], rest: str = 'fit'
) -> dict[str, list[Item]]:
    """Deal out whole groups until every split has about its share of the items.

    Groups are taken in the order of their names' hashes, so the answer depends on nothing but
    the names and sizes. Where there are too few groups for all splits, the first named splits
    and `rest` get some.

    Args:
        groups: items by the name of their group.
        shares: for each split its share of all items, 0 to 1; what is left goes to `rest`.
        rest: the split that gets what is left; its share is 1 less all others.

    Raises:
        UserError: the shares are no shares.
    """
    given = sum(shares.values())
    if any(not 0 <= share <= 1 for share in shares.values()) or given > 1 + 1e-9:
        text = ', '.join(f'{split} {share:g}' for split, share in shares.items())
        raise UserError(f'the splits must have shares from 0 to 1, at most 1 in all, not {text}.')
    keep = 0 if given > 1 - 1e-9 else 1  # groups that `rest` gets at least
    total = sum(len(items) for items in groups.values())
    left = sorted(groups, key=_hash)
    splits: dict[str, list[str]] = {}
    for split, share in shares.items():
        wanted, taken = share * total, 0
        splits[split] = []
        for name in list(left):
            size = len(groups[name])
            if taken + size / 2 <= wanted and len(left) > keep:
                splits[split].append(name)
                left.remove(name)
                taken += size
        if share and not taken and len(left) > keep:
            smallest = min(left, key=lambda name: (len(groups[name]), _hash(name)))
            splits[split].append(smallest)
            left.remove(smallest)
    splits = {rest: left, **splits}
    return {
        split: [item for name in sorted(names) for item in groups[name]]
        for split, names in splits.items()
    }


def group_by(names: Mapping[str, Item], pattern: str | None) -> dict[str, list[Item]]:
    """Group items by the first group of a regular expression in their names.

    Args:
        names: items by name, as `images/a.rf.1.jpg`.
        pattern: the expression, searched in the name; its first group (the whole match where it
            has none) is the group's name. An item that does not match is a group of its own, as
            is every item without a pattern.

    Raises:
        UserError: the pattern is no regular expression.
    """
    try:
        expression = re.compile(pattern) if pattern else None
    except re.error as error:
        raise UserError(f'{pattern!r} is no regular expression: {error}.') from None
    groups: dict[str, list[Item]] = {}
    for name, item in names.items():
        match = expression.search(name) if expression else None
        key = name
        if match:
            key = match.group(1 if match.re.groups else 0) or name
        groups.setdefault(key, []).append(item)
    return groups


def official_split(names: Mapping[str, Item]) -> dict[str, dict[str, Item]] | None:
    """Return the items of train, val and test where their folders say so, else None.

    Args:
        names: items by name, as `train/a.jpg`; `valid` is `val`.
    """
    parts: dict[str, dict[str, Item]] = {'train': {}, 'val': {}, 'test': {}}
    for name, item in names.items():
        folder = name.split('/')[0] if '/' in name else ''
        part = 'val' if folder == 'valid' else folder
        if part not in parts:
            return None
        parts[part][name] = item
    return parts if parts['train'] and parts['val'] else None


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
