# SPDX-License-Identifier: Apache-2.0
"""Hostile and damaged checkpoints: refused in one sentence, and nothing of them runs."""

from __future__ import annotations

import contextlib
import io
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch

from kd_yolo_ros.errors import UserError
from kd_yolo_training.models.inert_pickle import InertObject, load_inert


def write_zip(path: Path, data_pkl: bytes, method=zipfile.ZIP_STORED, **storages: bytes) -> Path:
    with zipfile.ZipFile(path, 'w', method) as archive:
        archive.writestr('archive/data.pkl', data_pkl)
        for key, data in storages.items():
            archive.writestr(f'archive/data/{key}', data)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_inert(path)
    message = str(caught.value)
    assert str(path) in message
    assert '\n' not in message
    return message


def text(value: str) -> bytes:
    raw = value.encode()
    return b'X' + struct.pack('<I', len(raw)) + raw


@pytest.mark.parametrize(
    'name',
    [
        'os system',
        'posix system',
        'nt system',
        'subprocess Popen',
        'builtins eval',
        'builtins exec',
        'builtins getattr',
        'builtins bytearray',
        '__builtin__ getattr',
        '__builtin__ apply',
        'builtins __import__',
        'importlib import_module',
        'operator attrgetter',
        'functools partial',
        'copyreg _reconstructor',
        'codecs encode',
        'torch load',
        'torch.hub load',
        'torch.serialization load',
        'torch._utils _rebuild_tensor',
        'torch.nn.modules.conv torch',
        'models.common torch',
        'kd_yolo_training.models.inert_pickle load_inert',
    ],
)
@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_every_other_name_is_refused_and_not_called(tmp_path, name, protocol):
    module, function = name.split()
    canary = tmp_path / 'ran'
    argument = text(f'touch {canary}')
    if protocol == 0:
        body = b'(' + argument + b'i' + f'{module}\n{function}\n'.encode() + b'.'
    elif protocol == 2:
        body = b'\x80\x02c' + f'{module}\n{function}\n'.encode() + argument + b'\x85R.'
    else:
        body = b'\x80\x04' + text(module) + text(function) + b'\x93' + argument + b'\x85R.'
    message = refusal(write_zip(tmp_path / 'bad.pt', body))
    assert f"'{module}.{function}'" in message
    assert not canary.exists()


def test_a_dotted_name_does_not_climb_out_of_a_known_class(tmp_path):
    climb = 'Conv.__init__.__globals__'
    body = b'\x80\x04' + text('models.common') + text(climb) + b'\x93.'
    assert climb in refusal(write_zip(tmp_path / 'bad.pt', body))


def test_reduce_of_a_python_object_is_refused(tmp_path):
    class Runs:
        def __reduce__(self):
            return eval, (f'open({str(tmp_path / "ran")!r}, "w")',)

    torch.save({'model': Runs()}, tmp_path / 'bad.pt')
    assert "'builtins.eval'" in refusal(tmp_path / 'bad.pt').replace('__builtin__', 'builtins')
    assert not (tmp_path / 'ran').exists()


BUILD_ON = {
    'class': b'cmodels.common\nConv\n',
    'tensor builder': b'ctorch._utils\n_rebuild_tensor_v2\n',
    'parameter builder': b'ctorch._utils\n_rebuild_parameter\n',
    'ordered dict': b'ccollections\nOrderedDict\n',
    'storage type': b'ctorch\nFloatStorage\n',
    'set': b'c__builtin__\nset\n',
}


@pytest.mark.parametrize('target', BUILD_ON)
def test_build_cannot_change_what_the_next_file_is_read_with(tmp_path, target):
    # State (None, {name: value}) makes a pickle set attributes of whatever stands below it.
    attributes = b'}(' + b''.join(
        text(name) + b'c__builtin__\nset\n'
        for name in ('__setstate__', '__new__', '__defaults__', 'class_name')
    ) + b'u'  # fmt: skip
    write_zip(tmp_path / 'bad.pt', b'\x80\x02' + BUILD_ON[target] + b'N' + attributes + b'\x86b.')
    with contextlib.suppress(UserError):
        load_inert(tmp_path / 'bad.pt')
    torch.save({'a': torch.arange(3), 'b': {1, 2}}, tmp_path / 'good.pt')
    good = load_inert(tmp_path / 'good.pt')
    assert good['a'].tolist() == [0, 1, 2]
    assert good['b'] == {1, 2}
    assert '__setstate__' in vars(InertObject)
    assert InertObject.class_name == ''


def test_known_classes_only_hold_their_state(tmp_path):
    body = b'\x80\x02cmodels.common\nConv\n)\x81}' + text('training') + b'\x89sb.'
    held = load_inert(write_zip(tmp_path / 'x.pt', body))
    assert isinstance(held, InertObject)
    assert held.class_name == 'models.common.Conv'
    assert held.state == {'training': False}


@pytest.mark.parametrize(
    ('body', 'words'),
    [
        (b'\x80\x02\x82\x01.', 'EXT1'),
        (b'\x80\x02Pname\n.', 'PERSID'),
        (b'\x80\x02Nr\xff\xff\xff\xff.', 'absurd index'),
        (b'\x80\x02N', 'damaged'),
        (b'\x80\x02X\xff\xff\xff\x7fabc.', 'damaged'),
        (b'\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00.', 'damaged'),
        (b'\x80\x7fN.', 'damaged'),
        (b'\x80\x02.', 'damaged'),
        (b'\x80\x02' + text('storage') + b'Q.', 'damaged'),
        (b'', 'damaged'),
    ],
)
def test_broken_pickles(tmp_path, body, words):
    assert words in refusal(write_zip(tmp_path / 'bad.pt', body))


class Storage:
    """Pickled as torch pickles a float storage of 4 values in the entry `0`."""


class Pickler(pickle.Pickler):
    pid: tuple

    def persistent_id(self, thing):
        return self.pid if isinstance(thing, Storage) else None


def tensor_file(path: Path, offset, size, stride, key='0', count=4) -> Path:
    class View:
        def __reduce__(self):
            from torch._utils import _rebuild_tensor_v2

            return _rebuild_tensor_v2, (Storage(), offset, size, stride, False, None)

    buffer = io.BytesIO()
    pickler = Pickler(buffer, protocol=2)
    pickler.pid = ('storage', torch.FloatStorage, key, 'cpu', count)
    pickler.dump(View())
    return write_zip(path, buffer.getvalue(), **{'0': struct.pack('<4f', 1, 2, 3, 4)})


def test_views_inside_their_storage_are_read(tmp_path):
    assert load_inert(tensor_file(tmp_path / 'x.pt', 1, (2,), (2,))).tolist() == [2, 4]
    assert load_inert(tensor_file(tmp_path / 'x.pt', 0, (2, 2), (1, 2))).tolist() == [
        [1, 3],
        [2, 4],
    ]
    assert load_inert(tensor_file(tmp_path / 'x.pt', 3, (), ())).item() == 4
    assert load_inert(tensor_file(tmp_path / 'x.pt', 0, (0, 3), (3, 1))).shape == (0, 3)


@pytest.mark.parametrize(
    'view',
    [
        (1, (4,), (1,)),
        (4, (), ()),
        (10**12, (1,), (1,)),
        (-1, (1,), (1,)),
        (0, (2,), (-1,)),
        (0, (2, 2), (4, 1)),
        (0, (10**12,), (0,)),
        (0, (5,), (0,)),
        (0, (2,), (1, 1)),
        (0, (-1,), (1,)),
        (0, (1.5,), (1,)),
        (0, (True,), (1,)),
        ('0', (1,), (1,)),
        (0, (1,) * 9, (1,) * 9),
        (0, None, None),
    ],
)
def test_views_outside_their_storage_are_refused(tmp_path, view):
    assert 'damaged' in refusal(tensor_file(tmp_path / 'bad.pt', *view))


@pytest.mark.parametrize(
    'storage', [{'count': 5}, {'count': -1}, {'count': 10**12}, {'key': '1'}, {'key': '../0'}]
)
def test_storages_that_lie_are_refused(tmp_path, storage):
    assert 'damaged' in refusal(tensor_file(tmp_path / 'bad.pt', 0, (1,), (1,), **storage))


def test_a_cut_off_file(tmp_path):
    torch.save({'weights': torch.ones(1000)}, tmp_path / 'whole.pt')
    whole = (tmp_path / 'whole.pt').read_bytes()
    for share in (0.1, 0.5, 0.99):
        (tmp_path / 'cut.pt').write_bytes(whole[: int(len(whole) * share)])
        assert 'damaged' in refusal(tmp_path / 'cut.pt')


def test_a_flipped_byte(tmp_path):
    torch.save({'weights': torch.ones(1000)}, tmp_path / 'x.pt')
    content = bytearray((tmp_path / 'x.pt').read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / 'x.pt').write_bytes(content)
    assert 'damaged' in refusal(tmp_path / 'x.pt')


def test_compressed_entries_are_refused(tmp_path):
    write_zip(tmp_path / 'x.pt', b'\x80\x02N.', zipfile.ZIP_DEFLATED, **{'0': bytes(10**6)})
    assert 'compressed' in refusal(tmp_path / 'x.pt')


def test_files_of_another_kind(tmp_path):
    path = tmp_path / 'x.pt'
    for content in (b'', b'hello', bytes(100), pickle.dumps({'a': 1})):
        path.write_bytes(content)
        assert 'not a PyTorch checkpoint' in refusal(path)
    torch.save({'a': torch.ones(1)}, path, _use_new_zipfile_serialization=False)
    assert 'before torch 1.6' in refusal(path)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('hello.txt', 'hello')
    assert 'not a PyTorch checkpoint' in refusal(path)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('model/code/__torch__.py', 'pass')
        archive.writestr('model/data.pkl', b'\x80\x02N.')
    assert 'TorchScript' in refusal(path)


def test_newer_models_are_named_as_such(tmp_path):
    body = b'\x80\x02cultralytics.nn.tasks\nDetectionModel\n.'
    assert 'anchor-free' in refusal(write_zip(tmp_path / 'yolov8n.pt', body))
