# SPDX-License-Identifier: Apache-2.0
"""Every way in which a model runs on this machine: each of its files, on each runtime."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from kd_yolo_ros.artifact import Artifact
from kd_yolo_ros.backends import backend_class, installed_runtimes
from kd_yolo_ros.exports import open_model
from kd_yolo_ros.manifest import PRECISIONS, ModelFile, Thresholds
from kd_yolo_ros.predictor import Predictor
from kd_yolo_ros.selection import serves


@dataclass(frozen=True)
class Variant:
    """One way to run a model.

    Attributes:
        model: what was named: an artifact's folder or an export.
        artifact: the same, with the variant's file alone in its manifest.
        runtime: the backend's name.
        precision: what the runtime is to compute in.
        provider: of the runtime; None for its CPU.
        fp32_sha256: hashes of the FP32 files that the model has.
    """

    model: Path
    artifact: Artifact
    runtime: str
    precision: str
    provider: Optional[str] = None
    fp32_sha256: Tuple[str, ...] = ()

    @property
    def file(self) -> ModelFile:
        """The model file that runs."""
        return self.artifact.manifest.files[0]

    def open(
        self, threads: Optional[int] = None, thresholds: Optional[Thresholds] = None
    ) -> Predictor:
        """Load it; UserError where this machine or runtime cannot, after all, see `Predictor`."""
        return Predictor(
            self.artifact, self.runtime, self.precision, threads, thresholds, self.provider
        )


def find_variants(
    model: Path,
    runtimes: Sequence[str] = (),
    precisions: Sequence[str] = (),
    provider: Optional[str] = None,
) -> List[Variant]:
    """Return what a model offers to the runtimes here; nothing is loaded.

    Args:
        model: an artifact, or a plain export.
        runtimes: only these; all that are installed where none is named.
        precisions: only these; all where none is named.
        provider: for all of them.

    Raises:
        UserError: no such model or runtime.
    """
    for runtime in runtimes:
        backend_class(runtime)  # says so where there is no such runtime
    artifact = open_model(model)
    # A file of several parts by all of them: the same .xml goes with other weights too.
    floats = tuple(
        '+'.join(sorted(file.sha256.values()))
        for file in artifact.manifest.files
        if file.precision == 'fp32'
    )
    return [
        Variant(model, _alone(artifact, file), runtime, precision, provider, floats)
        for runtime in sorted(set(runtimes) or installed_runtimes())
        for precision in PRECISIONS
        for file in artifact.manifest.files
        if precision in (precisions or PRECISIONS)
        and runtime in file.runtimes
        and serves(file, precision, runtime)
    ]


def _alone(artifact: Artifact, file: ModelFile) -> Artifact:
    manifest = dataclasses.replace(artifact.manifest, files=(file,))
    return dataclasses.replace(artifact, manifest=manifest)
