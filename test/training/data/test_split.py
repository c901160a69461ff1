# SPDX-License-Identifier: Apache-2.0
"""Groups never part, splits get their shares, and the same names always give the same splits."""

from __future__ import annotations

import pytest

from kd_yolo_ros.errors import UserError
from kd_yolo_training.data.split import group_by, split_groups

SHARES = {'val': 0.2, 'select': 0.1, 'calibrate': 0.05}


def test_shares_of_many_groups():
    groups = {f'photo{n}': [f'{n}a', f'{n}b', f'{n}c'] for n in range(400)}
    splits = split_groups(groups, SHARES)
    assert {split: len(items) for split, items in splits.items()} == {
        'fit': 780, 'val': 240, 'select': 120, 'calibrate': 60,
    }  # fmt: skip
    assert sorted(item for items in splits.values() for item in items) == sorted(
        item for items in groups.values() for item in items
    )
    where = {item[:-1]: split for split, items in splits.items() for item in items}
    assert all(where[item[:-1]] == split for split, items in splits.items() for item in items)


def test_neither_order_nor_run_matters():
    groups = {f'photo{n}': [n] for n in range(50)}
    backwards = dict(reversed(list(groups.items())))
    splits = split_groups(groups, SHARES)
    assert splits == split_groups(groups, SHARES) == split_groups(backwards, SHARES)
    # By the hash, not by the name: neighbours in a drive do not all land in one split.
    assert splits['val'] != list(range(10))


def test_few_or_uneven_groups():
    splits = split_groups({'a': [1]}, SHARES)
    assert splits == {'fit': [1], 'val': [], 'select': [], 'calibrate': []}
    splits = split_groups({name: [name] for name in 'abcd'}, SHARES)
    assert all(len(items) == 1 for items in splits.values())
    # A group that is larger than a split's share does not go there while others fit.
    splits = split_groups({'large': list(range(90)), 'x': [1] * 5, 'y': [2] * 5}, {'select': 0.1})
    assert sorted(splits['select']) == [1] * 5 + [2] * 5


def test_everything_in_one_split():
    splits = split_groups({'a': [1], 'b': [2]}, {'val': 1.0, 'select': 0.0})
    assert splits == {'fit': [], 'val': [1, 2], 'select': []}


@pytest.mark.parametrize('shares', [{'val': 0.8, 'select': 0.3}, {'val': -0.1}, {'val': 1.5}])
def test_no_shares(shares):
    with pytest.raises(UserError, match='must have shares from 0 to 1'):
        split_groups({'a': [1]}, shares)


def test_grouping_by_name():
    names = {'p.rf.1.jpg': 1, 'q.rf.1.jpg': 2, 'p.rf.2.jpg': 3, 'other.jpg': 4}
    assert group_by(names, r'(.*)\.rf\.') == {'p': [1, 3], 'q': [2], 'other.jpg': [4]}
    assert group_by(names, r'^[a-z]') == {'p': [1, 3], 'q': [2], 'o': [4]}
    assert group_by(names, None) == {name: [item] for name, item in names.items()}
    with pytest.raises(UserError, match='no regular expression'):
        group_by(names, '(')
