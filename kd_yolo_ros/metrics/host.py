# SPDX-License-Identifier: Apache-2.0
"""What a measurement ran on: CPU, memory, system and the versions that are installed.

Never the host's name or a path; a report may be published.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

from kd_yolo_ros.cpu import cpu_features

# What decides the speed of a network on a CPU.
_TELLING_FEATURES = (
    'sse4_2', 'avx', 'avx2', 'fma', 'f16c', 'avx_vnni', 'avx512f', 'avx512_vnni', 'avx512_bf16',
    'avx512_fp16', 'amx_int8', 'amx_bf16', 'asimd', 'fphp', 'asimdhp', 'asimddp', 'i8mm', 'bf16',
    'sve',
)  # fmt: skip

# Name in the report: distributions that provide it (the first installed one counts).
_PACKAGES = {
    'kd_yolo_ros': ['kd_yolo_ros'],
    'numpy': ['numpy'],
    'opencv': ['opencv-python', 'opencv-python-headless', 'opencv-contrib-python', 'opencv'],
    'onnxruntime': ['onnxruntime', 'onnxruntime-gpu', 'onnxruntime-openvino'],
    'openvino': ['openvino'],
    'tensorrt': ['tensorrt'],
    'tflite': ['ai-edge-litert', 'tflite-runtime'],
    'torch': ['torch'],
    'nncf': ['nncf'],
    'onnx': ['onnx'],
    'ultralytics': ['ultralytics'],
    'pycocotools': ['pycocotools'],
    'rosbags': ['rosbags'],
    'rclpy': ['rclpy', 'ros-jazzy-rclpy'],
}


def host() -> Dict[str, Any]:
    """Return the machine: cpu, cores (usable by this process), cpu_features, memory_gb, os …."""
    features = cpu_features()
    return {
        'cpu': _cpu_model(),
        'machine': platform.machine(),
        'board': _board(),
        'cores': _usable_cores(),
        'cores_total': os.cpu_count(),
        'cpu_features': [name for name in _TELLING_FEATURES if name in features],
        'memory_gb': _memory_gb(),
        'os': _os_name(),
        'kernel': platform.release(),
    }


def versions() -> Dict[str, str]:
    """Return {name: version} of Python, ROS and the libraries installed; imports none."""
    found = {'python': platform.python_version()}
    for name, distributions in _PACKAGES.items():
        version = _version(distributions)
        if version is not None:
            found[name] = version
    loaded = getattr(sys.modules.get('cv2'), '__version__', None)
    if loaded is not None:  # apt's OpenCV is no Python distribution, and wins over none
        found['opencv'] = loaded
    for variable, name in (('ROS_DISTRO', 'ros'), ('RMW_IMPLEMENTATION', 'rmw')):
        if os.environ.get(variable):
            found[name] = os.environ[variable]
    return found


def peak_rss_mb(pid: Optional[int] = None) -> Optional[float]:
    """Return the most memory a process ever held, in MB (10^6 bytes); this one's without pid.

    None where the process is gone or the system does not tell.
    """
    value = _field(f'/proc/{pid or "self"}/status', 'VmHWM')
    return None if value is None else int(value.split()[0]) * 1024 / 1e6


def _version(distributions: List[str]) -> Optional[str]:
    for distribution in distributions:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def _usable_cores() -> Optional[int]:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # no Linux
        return os.cpu_count()


def _cpu_model() -> str:
    return _field('/proc/cpuinfo', 'model name') or platform.processor() or platform.machine()


def _board() -> Optional[str]:
    """Name the board on Jetson and i.MX, whose cpuinfo does not."""
    text = _read('/proc/device-tree/model')
    return text.strip('\0\n ') if text else None


def _memory_gb() -> Optional[float]:
    value = _field('/proc/meminfo', 'MemTotal')
    return None if value is None else round(int(value.split()[0]) * 1024 / 1e9, 1)


def _os_name() -> str:
    name = _field('/etc/os-release', 'PRETTY_NAME', '=')
    return name.strip('"') if name else platform.system()


def _field(file: str, key: str, separator: str = ':') -> Optional[str]:
    """Return the value of the first `key: value` line."""
    for line in (_read(file) or '').splitlines():
        name, _, value = line.partition(separator)
        if name.strip() == key:
            return value.strip()
    return None


def _read(file: Union[str, Path]) -> Optional[str]:
    try:
        return Path(file).read_text(errors='replace')
    except OSError:
        return None
