# SPDX-License-Identifier: Apache-2.0
"""Where results may go, and how tables stand."""

from __future__ import annotations

import pytest

from kd_yolo_ros.cli.common import check_out, print_table
from kd_yolo_ros.errors import UserError


def test_folders_that_may_be_written_to(tmp_path, monkeypatch):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'report.json').touch()
    (tmp_path / 'mine' / 'more').touch()
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / 'new', tmp_path / 'new' / 'below', tmp_path / 'empty'):
        check_out(folder, ['report.json'])
        check_out(folder.relative_to(tmp_path), ['report.json'])
    check_out(tmp_path / 'mine', ['artifact.yaml', 'report.json'])
    assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize(
    ('out', 'expected'),
    [
        ('file', 'file is a file'),
        ('file/below/it', 'file is a file'),
        ('mine', 'mine is there and holds other things; give another --out'),
        ('.', 'holds other things'),
    ],
)
def test_folders_that_may_not(out, expected, tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'report.json').touch()
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / out, (tmp_path / out).relative_to(tmp_path)):
        with pytest.raises(UserError, match=expected):
            check_out(folder, ['artifact.yaml'])


def test_numbers_stand_right_beside_gaps(capsys):
    print_table('', ['name', 'value'], [['a', None], ['b', 0.5], ['c', 12]])
    cells = [line.split('│')[2] for line in capsys.readouterr().out.splitlines() if '│' in line]
    assert cells == ['     – ', ' 0.500 ', '    12 ']
