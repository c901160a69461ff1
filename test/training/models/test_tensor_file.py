# SPDX-License-Identifier: Apache-2.0
"""Tensors on disk: whole or not at all, and refused in one sentence when damaged."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from kd_yolo_ros.errors import UserError
from kd_yolo_training.models.tensor_file import read_tensors, write_tensors


def test_tensors_and_information_come_back(tmp_path):
    tensors = {'a': torch.rand(3, 2), 'b': torch.tensor(7), 'c': torch.rand(4, 3, 2, 2)}
    tensors['c'] = tensors['c'].to(memory_format=torch.channels_last)
    info = {'epoch': 3, 'names': ['car', 'Lkw ü'], 'ap': None, 'lr': 0.1}
    write_tensors(tmp_path / 'deep' / 'x.safetensors', tensors, info)
    read, said = read_tensors(tmp_path / 'deep' / 'x.safetensors')
    assert said == info
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    assert [file.name for file in (tmp_path / 'deep').iterdir()] == ['x.safetensors']


def test_a_damaged_file_is_refused(tmp_path):
    file = tmp_path / 'x.safetensors'
    write_tensors(file, {'a': torch.rand(100)}, {})
    whole = file.read_bytes()
    for content in (b'', whole[:50], whole[:-10], b'\x80\x04pickle'):
        file.write_bytes(content)
        with pytest.raises(UserError, match='damaged'):
            read_tensors(file)


def test_a_foreign_file_says_nothing_of_itself(tmp_path):
    save_file({'a': torch.zeros(1)}, tmp_path / 'x.safetensors')
    assert read_tensors(tmp_path / 'x.safetensors')[1] is None
    with pytest.raises(UserError, match='not a file'):
        read_tensors(tmp_path / 'y.safetensors')
