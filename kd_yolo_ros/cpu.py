# SPDX-License-Identifier: Apache-2.0
"""The instruction sets of this CPU, by the names that the Linux kernel gives them."""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import FrozenSet

# Instructions that multiply and add 8-bit integers at full speed. Without one of them INT8
# is emulated with 16-bit products and is often no faster than FP32.
INT8_INSTRUCTIONS = frozenset({'avx_vnni', 'avx512_vnni', 'amx_int8', 'asimddp', 'i8mm', 'asimd'})

# Instructions that multiply bf16 numbers; without one of them bf16 is slower than FP32.
NATIVE_BF16 = frozenset({'avx512_bf16', 'amx_bf16'})


@functools.lru_cache(maxsize=None)
def cpu_features() -> FrozenSet[str]:
    """Return the CPU's feature flags (empty where the kernel does not tell)."""
    flags = set()
    try:
        text = Path('/proc/cpuinfo').read_text()
    except OSError:
        text = ''
    for line in text.splitlines():
        key, _, value = line.partition(':')
        if key.strip() in ('flags', 'Features'):  # x86 and ARM spelling
            flags.update(value.split())
            break
    return frozenset(flags)


def has_fast_int8() -> bool:
    """Tell whether INT8 convolutions run at the speed that INT8 promises."""
    return bool(INT8_INSTRUCTIONS & cpu_features())


def architecture() -> str:
    """Return 'x64', 'arm64' or the machine name that Python reports."""
    machine = platform.machine().lower()
    return {'x86_64': 'x64', 'amd64': 'x64', 'aarch64': 'arm64'}.get(machine, machine)
