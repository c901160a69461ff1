# SPDX-License-Identifier: Apache-2.0
"""Names, lists and `each` become the words of a command line."""

from __future__ import annotations

import pytest

from kd_yolo_ros.errors import UserError
from kd_yolo_training.recipes.expand import combinations, fill, flatten, option_words

VALUES = {'epochs': 20, 'seeds': [0, 1], 'keep': False, 'weights': '', 'out': '{out}'}


def test_a_name_alone_is_the_value_and_in_a_text_its_text():
    assert fill('{epochs}', VALUES) == 20
    assert fill('{seeds}', VALUES) == [0, 1]
    assert fill('{out}/run-{epochs}', VALUES) == '{out}/run-20'
    assert fill(0.5, VALUES) == 0.5
    assert fill('seeds={seeds}', VALUES) == 'seeds=0,1'  # as --set takes it
    assert fill('keep={keep}', VALUES) == 'keep=false'
    assert fill(r'(\d{2})\.rf', VALUES) == r'(\d{2})\.rf'


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match=r'\{epoch\} is unknown; there are \{epochs\}'):
        fill('run-{epoch}', VALUES)


def test_each_makes_all_combinations_and_the_first_varies_slowest():
    every = combinations({'arm': ['cwd', 'pkd'], 'seed': '{seeds}'}, VALUES)
    made = [(one['arm'], one['seed'], one['epochs']) for one in every]
    assert made == [('cwd', 0, 20), ('cwd', 1, 20), ('pkd', 0, 20), ('pkd', 1, 20)]
    assert list(combinations({}, VALUES)) == [VALUES]


def test_a_value_with_each_stands_for_many():
    listed = ['a', {'each': {'seed': '{seeds}'}, 'value': 'cwd={out}/cwd-{seed}'}, '{seeds}']
    assert flatten(listed, VALUES) == ['a', 'cwd={out}/cwd-0', 'cwd={out}/cwd-1', 0, 1]


@pytest.mark.parametrize(
    ('value', 'words'),
    [
        ('{epochs}', ['--close-mosaic', '20']),
        (0.0005, ['--close-mosaic', '0.0005']),
        (0, ['--close-mosaic', '0']),
        (True, ['--close-mosaic']),
        ('{keep}', ['--no-close-mosaic']),
        ('{seeds}', ['--close-mosaic', '0', '--close-mosaic', '1']),
        ('{weights}', []),
        (None, []),
        ([], []),
    ],
)
def test_options_as_on_a_command_line(value, words):
    assert option_words('close_mosaic', value, VALUES) == words


def test_a_name_without_quotes_is_explained():
    with pytest.raises(UserError, match=r"names stand in quotes: '\{epochs\}'"):
        option_words('epochs', {'epochs': None}, VALUES)  # what YAML makes of {epochs}
