# SPDX-License-Identifier: Apache-2.0
"""Reads the pickle inside a PyTorch file and executes nothing that it asks for.

Tensors and plain containers are rebuilt; known classes become objects that only hold state.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kd_yolo_ros.errors import UserError

ZIP_START = b'PK\x03\x04'
# torch's files before version 1.6: a pickled magic number, then further pickles without a zip.
LEGACY_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, 'little')

STORAGES = {
    'BFloat16Storage': torch.bfloat16,
    'BoolStorage': torch.bool,
    'ByteStorage': torch.uint8,
    'CharStorage': torch.int8,
    'DoubleStorage': torch.float64,
    'FloatStorage': torch.float32,
    'HalfStorage': torch.float16,
    'IntStorage': torch.int32,
    'LongStorage': torch.int64,
    'ShortStorage': torch.int16,
}

# What YOLOv5 checkpoints name besides tensors. None of it is imported.
INERT_CLASSES = {
    '_codecs': ['encode'],
    'argparse': ['Namespace'],
    'models.common': ['Bottleneck', 'C3', 'Concat', 'Conv', 'Proto', 'SPPF'],
    'models.yolo': ['Detect', 'DetectionModel', 'Model', 'Segment', 'SegmentationModel'],
    'numpy': ['dtype', 'ndarray'],
    'numpy._core.multiarray': ['_reconstruct', 'scalar'],
    'numpy.core.multiarray': ['_reconstruct', 'scalar'],
    'pathlib': ['PosixPath', 'WindowsPath'],
    'torch': ['Size', 'device'],
    'torch.nn.modules.activation': ['SiLU'],
    'torch.nn.modules.batchnorm': ['BatchNorm2d'],
    'torch.nn.modules.container': ['ModuleList', 'Sequential'],
    'torch.nn.modules.conv': ['Conv2d'],
    'torch.nn.modules.linear': ['Identity'],
    'torch.nn.modules.pooling': ['MaxPool2d'],
    'torch.nn.modules.upsampling': ['Upsample'],
}

# They reach objects round find_class: Python's extension registry, and ids outside the zip.
REFUSED_OPCODES = {'EXT1', 'EXT2', 'EXT4', 'PERSID'}
MEMO_OPCODES = {'PUT', 'BINPUT', 'LONG_BINPUT'}

MAX_DIMENSIONS = 8


class InertObject:
    """Stands for an instance of a class that is not imported.

    Attributes:
        class_name: the class it stands for.
        args: what the class would have been called with.
        state: what the instance would have been given, mostly its attributes as a dict.
    """

    class_name = ''

    def __new__(cls, *args: Any, **kwargs: Any) -> InertObject:
        """Keep the arguments and do nothing with them."""
        self = super().__new__(cls)
        self.args = args
        self.state = None
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Dict(dict):
    """Stands for OrderedDict; attributes that the pickle gives it are dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


def load_inert(path: Path) -> Any:
    """Return what stands in a file written by `torch.save`.

    Returns:
        Tensors, plain containers and `InertObject`s.

    Raises:
        UserError: the file is no such file, is damaged, or asks for anything else.
    """
    with open(path, 'rb') as file:
        start = file.read(64)
    if not start.startswith(ZIP_START):
        if LEGACY_MAGIC in start:
            raise UserError(
                f'{path} is in the format from before torch 1.6; load it with the torch it was '
                f'made with and save it again.'
            )
        raise UserError(f'{path} is not a PyTorch checkpoint; give a .pt file of YOLOv5.')
    try:
        with zipfile.ZipFile(path) as archive:
            return _Reader(archive, path).load()
    except UserError:
        raise
    except Exception as error:  # a hostile or cut off file can raise anything
        raise UserError(
            f'{path} is damaged or was not written by torch.save '
            f'({type(error).__name__}: {error}); fetch it again.'
        ) from None


class _Reader:
    """The zip archive of one file."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self.archive = archive
        self.path = path
        self.buffers: dict[str, bytearray] = {}
        self.entries = {info.filename: info for info in archive.infolist()}
        # torch stores without compression. Anything else could unpack to more than the file.
        if any(info.compress_type != zipfile.ZIP_STORED for info in self.entries.values()):
            raise UserError(f'{path} is compressed, which torch.save never does; unpack it first.')
        if sum(info.file_size for info in self.entries.values()) > path.stat().st_size:
            raise self.damaged('its entries overlap')

    def damaged(self, how: str) -> UserError:
        return UserError(f'{self.path} is damaged or hostile: {how}; fetch it again.')

    def load(self) -> Any:
        if any(name.split('/')[1:2] == ['code'] for name in self.entries):
            raise UserError(
                f'{self.path} is a TorchScript program, not a checkpoint; give the .pt file '
                f'that it was exported from.'
            )
        pickles = [name for name in self.entries if name.split('/')[1:] == ['data.pkl']]
        if len(pickles) != 1:
            raise UserError(f'{self.path} is a zip file but not a PyTorch checkpoint.')
        self.folder = pickles[0].split('/')[0]
        order = self.entries.get(f'{self.folder}/byteorder')
        if order and self.archive.read(order).strip() != b'little':
            raise UserError(f'{self.path} was written on a big-endian machine; save it elsewhere.')
        data = self.archive.read(pickles[0])
        self.check_opcodes(data)
        return _Unpickler(data, self).load()

    def check_opcodes(self, data: bytes) -> None:
        """Refuse what must not even reach the unpickler; raises on a pickle that is cut off."""
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in REFUSED_OPCODES:
                raise self.damaged(f'its pickle uses {opcode.name}')
            # The unpickler allocates a table up to the largest index that it is told.
            if opcode.name in MEMO_OPCODES and argument > len(data):
                raise self.damaged('its pickle has an absurd index')

    def storage(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        """Return the 1-D tensor of `count` values in the entry `key`."""
        name = f'{self.folder}/data/{key}'
        if name not in self.entries:
            raise self.damaged(f'the tensor data {key!r} is missing')
        if key not in self.buffers:
            self.buffers[key] = bytearray(self.archive.read(name))
        buffer = self.buffers[key]
        if count * dtype.itemsize > len(buffer):
            raise self.damaged(f'the tensor data {key!r} is shorter than it says')
        if count == 0:
            return torch.empty(0, dtype=dtype)
        return torch.frombuffer(buffer, dtype=dtype, count=count)

    def tensor(self, storage: Tensor, offset: int, size: tuple, stride: tuple) -> Tensor:
        """Return a view into a storage after checking that it stays inside."""
        if not isinstance(storage, Tensor) or storage.dim() != 1:
            raise self.damaged('a tensor has no data')
        numbers = (offset, *size, *stride)
        if any(type(n) is not int or n < 0 for n in numbers) or len(size) != len(stride):
            raise self.damaged('a tensor has an impossible shape')
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        # More elements than data would be a small file that unfolds into a huge tensor.
        elements = math.prod(size)
        outside = elements > 0 and last >= len(storage)
        if len(size) > MAX_DIMENSIONS or elements > len(storage) or outside:
            raise self.damaged('a tensor reaches outside its data')
        return storage.as_strided(size, stride, offset) if elements else storage.new_empty(size)


class _Unpickler(pickle.Unpickler):
    """Finds only what is named above, and makes it anew for every file.

    Anew, because a pickle can set attributes of what it is handed.
    """

    def __init__(self, data: bytes, reader: _Reader) -> None:
        super().__init__(io.BytesIO(data))
        self.reader = reader
        self.found: dict[tuple[str, str], Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        key = (module, name)
        if key not in self.found:
            self.found[key] = self.stand_in(module, name)
        return self.found[key]

    def stand_in(self, module: str, name: str) -> Any:
        reader = self.reader
        if name in INERT_CLASSES.get(module, ()):
            return type(name, (InertObject,), {'class_name': f'{module}.{name}'})
        if module == 'torch' and name in STORAGES:
            return STORAGES[name]
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return _tensor_builder(reader)
        if (module, name) == ('torch._utils', '_rebuild_parameter'):
            return lambda data, requires_grad, hooks: data
        if (module, name) == ('collections', 'OrderedDict'):
            return type('OrderedDict', (_Dict,), {})
        if module in ('__builtin__', 'builtins') and name == 'set':
            return set
        if module.split('.')[0] == 'ultralytics':
            raise UserError(
                f"{reader.path} is a newer, anchor-free model ('{module}.{name}'), which is not "
                f'read from .pt; export it to ONNX with the tool that made it and import that.'
            )
        raise UserError(
            f"{reader.path} asks for '{module}.{name}', which no YOLOv5 checkpoint needs; "
            f'nothing of it was executed, do not load it with torch either.'
        )

    def persistent_load(self, pid: Any) -> Tensor:
        kind, dtype, key, _, count = pid
        if kind != 'storage' or not isinstance(dtype, torch.dtype) or type(key) is not str:
            raise self.reader.damaged('its tensor data has an unknown form')
        if type(count) is not int or count < 0:
            raise self.reader.damaged('its tensor data has an impossible size')
        return self.reader.storage(key, dtype, count)


def _tensor_builder(reader: _Reader) -> Callable[..., Tensor]:
    def build(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
        return reader.tensor(storage, offset, size, stride)

    return build
