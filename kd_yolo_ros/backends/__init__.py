# SPDX-License-Identifier: Apache-2.0
"""One file for each runtime, found through the entry points `kd_yolo_ros.backends`."""

from __future__ import annotations

import abc
import contextlib
import importlib
import importlib.util
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import ClassVar, Dict, Iterable, List, Optional, Sequence, Type

import numpy as np

from kd_yolo_ros.errors import UnsupportedError, UserError
from kd_yolo_ros.manifest import ModelFile
from kd_yolo_ros.plugins import BACKENDS, entry_points


@dataclass(frozen=True)
class Running:
    """What a backend really runs, asked of the runtime after loading.

    Attributes:
        runtime: 'onnxruntime', 'openvino', ….
        runtime_version: of its package.
        provider: device or execution provider, as the runtime calls it.
        precision: of the model's arithmetic, 'fp32', 'bf16', 'fp16' or 'int8'.
        threads: threads of one inference; 0 where the runtime decides and does not tell.
    """

    runtime: str
    runtime_version: str
    provider: str
    precision: str
    threads: int


class Backend(abc.ABC):
    """A loaded model file. It chooses neither thresholds nor pictures.

    Attributes:
        running: what really runs.
    """

    package: ClassVar[str]  # the module that has to be importable
    install: ClassVar[str]  # how a user gets it

    running: Running

    @abc.abstractmethod
    def __init__(
        self,
        path: Path,
        file: ModelFile,
        precision: str,
        threads: Optional[int],
        provider: Optional[str] = None,
    ) -> None:
        """Load a model file.

        Args:
            path: the checked file.
            file: its entry in the manifest.
            precision: what to run it in; for an FP32 file that may be 'bf16'.
            threads: of one inference; None for the runtime's choice.
            provider: what executes, by one of the names that `providers` gives; None for the
                CPU. Nothing else ever steps in for it.

        Raises:
            UserError: the runtime refuses the file, cannot run it in this precision, or has no
                such provider here.
        """

    @abc.abstractmethod
    def infer(self, batch: np.ndarray) -> Sequence[np.ndarray]:
        """Run the model on one batch of the shape its file takes.

        The arrays that come back may be overwritten by the next call.
        """

    @classmethod
    def installed(cls) -> bool:
        """Tell whether the runtime's package is there, without importing it."""
        return importlib.util.find_spec(cls.package) is not None

    @classmethod
    def version(cls) -> str:
        """Return the version of the runtime's package."""
        try:
            return metadata.version(cls.package)
        except metadata.PackageNotFoundError:  # another distribution brings it: onnxruntime-gpu
            return str(importlib.import_module(cls.package).__version__)

    @classmethod
    def providers(cls) -> List[str]:
        """Return what can execute on this machine, the default first; imports the runtime.

        Nothing, where it cannot execute here at all.
        """
        return ['cpu']

    @classmethod
    @abc.abstractmethod
    def precisions(cls) -> Dict[str, str]:
        """Return the precisions this machine runs, each with a remark; imports the runtime."""


def check_precision(runtime: str, path: Path, file: ModelFile, precision: str) -> None:
    """Raise UserError unless a file runs in its own precision; most runtimes know no other."""
    if precision != file.precision:
        raise UserError(
            f'{runtime} runs {path.name} in {file.precision} only, not in {precision}; choose '
            f'another --precision or --runtime.'
        )


def choose_provider(runtime: str, provider: Optional[str], present: Sequence[str]) -> str:
    """Return the provider to use: the wished one, or the first of those present.

    Raises:
        UnsupportedError: the wished one is not among them.
    """
    if provider is None:
        return present[0]
    if provider.lower() not in present:
        raise UnsupportedError(
            f"{runtime} has no provider '{provider}' on this machine; it has {', '.join(present)}."
        )
    return provider.lower()


def backend_class(runtime: str) -> Type[Backend]:
    """Return the backend of a runtime.

    Raises:
        UserError: no such runtime, or its package is not installed or not whole.
    """
    points = entry_points(BACKENDS)
    if runtime not in points:
        known = ', '.join(sorted(points)) or 'none: install kd_yolo_ros with pip or colcon'
        raise UserError(f"There is no runtime '{runtime}'; known are {known}.")
    try:
        backend = points[runtime].load()
    except ImportError as error:
        raise UserError(
            f"The runtime '{runtime}' does not import ({error}); install what it needs."
        ) from error
    if not backend.installed():
        raise UserError(
            f"The runtime '{runtime}' is not installed; get it with {backend.install}."
        )
    return backend


def how_to_install(runtimes: Iterable[str]) -> List[str]:
    """Return for each runtime that is known here how a user gets it."""
    points = entry_points(BACKENDS)
    ways = []
    for name in runtimes:
        with contextlib.suppress(KeyError, ImportError):
            ways.append(points[name].load().install)
    return ways


def installed_runtimes() -> List[str]:
    """Return the names of the runtimes whose packages are there."""
    found = []
    for name in sorted(entry_points(BACKENDS)):
        with contextlib.suppress(UserError):
            backend_class(name)
            found.append(name)
    return found
