# SPDX-License-Identifier: Apache-2.0
"""Judges model files by AP on labelled pictures that nothing else of their making has seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kd_yolo_ros.artifact import Artifact
from kd_yolo_ros.frames import Frame
from kd_yolo_ros.manifest import AP_THRESHOLDS, Manifest, ModelFile
from kd_yolo_ros.metrics.found import find
from kd_yolo_ros.metrics.judged import BOX, MASK
from kd_yolo_ros.metrics.latency import INFER, StageTimes
from kd_yolo_ros.metrics.pool import LabelledSet, has_masks, pooled_ap
from kd_yolo_ros.predictor import Predictor


@dataclass(frozen=True)
class Verdict:
    """What a model file is worth.

    Attributes:
        map50_95, map50: AP in 0..1; 0 where the pictures hold no object.
        images: number of pictures.
        infer_ms: median of one inference.
        version: of the runtime.
        mask_map50_95, mask_map50: AP of masks; None where the network or the data has none.
    """

    map50_95: float
    map50: float
    images: int
    infer_ms: float
    version: str
    mask_map50_95: float | None = None
    mask_map50: float | None = None

    @property
    def judged(self) -> float:
        """What files are preferred by: AP50-95 of masks where there are, else of boxes."""
        return self.map50_95 if self.mask_map50_95 is None else self.mask_map50_95

    @property
    def figures(self) -> dict[str, float]:
        """AP50-95 of boxes and, where there are, of masks, to be kept."""
        figures = {BOX: self.map50_95, MASK: self.mask_map50_95}
        return {name: round(ap, 5) for name, ap in figures.items() if ap is not None}


class Judge:
    """Measures model files of one network on the same pictures, of all data sets together.

    Attributes:
        masks: whether masks are measured: the network finds them, and the pictures have them. If
            not, none is computed.
    """

    def __init__(
        self,
        manifest: Manifest,
        sets: Sequence[LabelledSet],
        progress: Callable[[Iterable[Frame]], Iterable[Frame]] = iter,
    ) -> None:
        """Take the pictures.

        Args:
            manifest: of the network; its files do not matter.
            sets: read (`read_sets`), without pictures that the files were calibrated on.
            progress: wraps what is iterated over, to show it.

        Raises:
            UserError: it cannot be told which class is meant, or a set and the network share none.
        """
        self.manifest = manifest
        self.sets = sets
        self._progress = progress
        known = has_masks(sets, manifest.class_names)  # refuses classes now, not after the work
        self.masks = known and manifest.head.mask_coefficients > 0

    def __call__(self, path: Path, file: ModelFile, runtime: str | None = None) -> Verdict:
        """Return the verdict on a file.

        Args:
            path: the file.
            file: what it is.
            runtime: runs it; None for the first of its runtimes.

        Raises:
            UserError: the file does not run.
        """
        predictor = self._predictor(path, file, runtime)
        times = StageTimes()
        frames = self._progress(frame for one in self.sets for frame in one.frames())
        found = find(predictor, _timed(frames, predictor, times), self.masks)
        rest = iter(found)
        by_set = [[next(rest) for _ in one.keys] for one in self.sets]
        score = self.manifest.thresholds.score
        result = pooled_ap(self.sets, predictor.class_names, by_set, score).evaluate()
        return Verdict(
            map50_95=float(result['map50_95'] or 0),
            map50=float(result['map50'] or 0),
            images=result['images'],
            infer_ms=float(times.summary()[INFER]['p50']),
            version=predictor.running.runtime_version,
            mask_map50_95=result.get(MASK),
            mask_map50=result.get('mask_map50'),
        )

    def _predictor(self, path: Path, file: ModelFile, runtime: str | None) -> Predictor:
        # A file for another processor may be slow here, and answers the same.
        alone = dataclasses.replace(file, path=path.name, cpu_features=(), sha256={})
        artifact = Artifact(path.parent, dataclasses.replace(self.manifest, files=(alone,)))
        return Predictor(
            artifact, runtime or file.runtimes[0], file.precision, thresholds=AP_THRESHOLDS
        )


def _timed(frames: Iterable[Frame], predictor: Predictor, times: StageTimes) -> Iterator[Frame]:
    """Yield the frames, and note how long the predictor took when the next one is asked for."""
    for frame in frames:
        yield frame
        times.add(predictor.stages_ms)
