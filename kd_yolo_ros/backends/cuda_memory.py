# SPDX-License-Identifier: Apache-2.0
"""The few calls of CUDA's runtime library that move arrays to a GPU and back, through ctypes.

The boards' images hold the library and TensorRT, and no Python package for it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import weakref
from typing import Any, List, Tuple

import numpy as np

from kd_yolo_ros.errors import UnsupportedError

LIBRARIES = ('libcudart.so', 'libcudart.so.13', 'libcudart.so.12', 'libcudart.so.11.0')

# cudaMemcpyKind
HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2

# cudaDeviceProp begins with the name, in every version; the rest of it grows and is not read.
PROPERTIES_BYTES, NAME_BYTES = 1 << 14, 256


class Cuda:
    """The runtime library, with one stream that everything is queued on.

    The stream and the memory are given back with the object.

    Attributes:
        stream: its handle.
    """

    def __init__(self) -> None:
        """Load the library and make a stream.

        Raises:
            UnsupportedError: no library, or no GPU that it can use.
        """
        self._library = _load_library()
        stream = ctypes.c_void_p()
        self._call('cudaStreamCreate', ctypes.byref(stream))
        self.stream = stream.value or 0
        self._addresses: List[int] = []
        done = weakref.finalize(self, _give_back, self._library, self.stream, self._addresses)
        done.atexit = False  # the driver does it then, and may be gone before

    def device_name(self) -> str:
        """Return what the GPU is called."""
        properties = ctypes.create_string_buffer(PROPERTIES_BYTES)
        self._call('cudaGetDeviceProperties', properties, 0)
        return properties.raw[:NAME_BYTES].split(b'\0', 1)[0].decode('ascii', 'replace')

    def allocate(self, count: int) -> int:
        """Return the address of `count` bytes on the GPU, which live as long as this object."""
        address = ctypes.c_void_p()
        self._call('cudaMalloc', ctypes.byref(address), ctypes.c_size_t(count))
        self._addresses.append(address.value or 0)
        return self._addresses[-1]

    def upload(self, array: np.ndarray, address: int) -> None:
        """Queue a copy to the GPU; the array must stay as it is until `wait`."""
        self._copy(address, array.ctypes.data, array.nbytes, HOST_TO_DEVICE)

    def download(self, address: int, array: np.ndarray) -> None:
        """Queue a copy from the GPU into an array, which holds it after `wait`."""
        self._copy(array.ctypes.data, address, array.nbytes, DEVICE_TO_HOST)

    def wait(self) -> None:
        """Wait until everything queued is done."""
        self._call('cudaStreamSynchronize', ctypes.c_void_p(self.stream))

    def _copy(self, target: int, source: int, count: int, kind: int) -> None:
        self._call(
            'cudaMemcpyAsync',
            ctypes.c_void_p(target),
            ctypes.c_void_p(source),
            ctypes.c_size_t(count),
            kind,
            ctypes.c_void_p(self.stream),
        )

    def _call(self, function: str, *arguments: Any) -> None:
        error = getattr(self._library, function)(*arguments)
        if error:
            describe = self._library.cudaGetErrorString
            describe.restype = ctypes.c_char_p
            reason = (describe(error) or b'unknown').decode('ascii', 'replace')
            raise UnsupportedError(f'CUDA refuses {function} ({reason}); is there a GPU to use?')


def _give_back(library: Any, stream: int, addresses: List[int]) -> None:
    for address in addresses:
        library.cudaFree(ctypes.c_void_p(address))
    library.cudaStreamDestroy(ctypes.c_void_p(stream))


def _load_library() -> Any:
    found = ctypes.util.find_library('cudart')
    names: Tuple[str, ...] = (*((found,) if found else ()), *LIBRARIES)
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise UnsupportedError(
        f"CUDA's runtime library is not found ({', '.join(LIBRARIES)}); install it, or add its "
        f'folder to LD_LIBRARY_PATH.'
    )
