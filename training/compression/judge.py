# SPDX-License-Identifier: Apache-2.0
"""Judges model files by AP on labelled pictures that nothing else of their making has seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kd_yolo_ros.artifact import Artifact
from kd_yolo_ros.frames import Frame
from kd_yolo_ros.frames.held_out import HeldOut
from kd_yolo_ros.manifest import AP_THRESHOLDS, Manifest, ModelFile
from kd_yolo_ros.metrics.class_map import ClassMapFile, map_classes
from kd_yolo_ros.metrics.coco_ap import CocoAP
from kd_yolo_ros.metrics.evaluation import evaluate
from kd_yolo_ros.metrics.ground_truth import GroundTruth
from kd_yolo_ros.predictor import Predictor


@dataclass(frozen=True)
class Verdict:
    """What a model file is worth.

    Attributes:
        map50_95, map50: AP in 0..1; 0 where the pictures hold no object.
        images: number of pictures.
        infer_ms: median of one inference.
        version: of the runtime.
    """

    map50_95: float
    map50: float
    images: int
    infer_ms: float
    version: str


class Judge:
    """Measures model files of one network on the same pictures.

    Attributes:
        pictures: that it judges on.
    """

    def __init__(
        self,
        manifest: Manifest,
        pictures: HeldOut,
        truth: GroundTruth,
        class_map: ClassMapFile = None,
        progress: Callable[[Iterable], Iterable] = iter,
    ) -> None:
        """Take the pictures; nothing is read yet.

        Args:
            manifest: of the network; its files do not matter.
            pictures: without those that the files were calibrated on.
            truth: what is in them.
            class_map: see `map_classes`.
            progress: wraps what is iterated over, to show it.
        """
        self.manifest = manifest
        self.pictures = pictures
        self._truth = truth
        self._class_map = class_map
        self._progress = progress

    def __call__(self, path: Path, file: ModelFile, runtime: str | None = None) -> Verdict:
        """Return the verdict on a file.

        Args:
            path: the file.
            file: what it is.
            runtime: runs it; None for the first of its runtimes.

        Raises:
            UserError: the file does not run, or no picture has ground truth.
        """
        predictor = self._predictor(path, file, runtime)
        result = evaluate(predictor, self._progress(self._frames()), self._truth, self._class_map)
        return Verdict(
            map50_95=float(result['map50_95'] or 0),
            map50=float(result['map50'] or 0),
            images=result['images'],
            infer_ms=float(result['stages_ms']['infer']['p50']),
            version=predictor.running.runtime_version,
        )

    def by_picture(
        self, path: Path, file: ModelFile, wanted: Collection[int]
    ) -> tuple[float, list[float]]:
        """Return AP50-95 over some pictures, and that of each alone, in ascending order.

        Args:
            path: the file.
            file: what it is.
            wanted: indices among the pictures that have ground truth.
        """
        predictor = self._predictor(path, file, None)
        mapping = map_classes(predictor.class_names, self._truth, self._class_map)

        def judge(keys: Iterable[str]) -> float:
            ap = CocoAP(self._truth, predictor.class_names, mapping)
            ap.pictures = {key: every.pictures[key] for key in keys}
            return float(ap.evaluate()['map50_95'] or 0)  # None where no object is

        every = CocoAP(self._truth, predictor.class_names, mapping)
        for index, frame in enumerate(self._frames()):
            if index in wanted:
                image = frame.image
                key = self._truth.find(frame)
                every.process(key, predictor.predict(image), (image.shape[1], image.shape[0]))
        return judge(every.pictures), [judge([key]) for key in every.pictures]

    def __len__(self) -> int:
        """Return the number of pictures that have ground truth; reads them all."""
        return sum(1 for _ in self._frames())

    def _predictor(self, path: Path, file: ModelFile, runtime: str | None) -> Predictor:
        # A file for another processor may be slow here, and answers the same.
        alone = dataclasses.replace(file, path=path.name, cpu_features=(), sha256={})
        artifact = Artifact(path.parent, dataclasses.replace(self.manifest, files=(alone,)))
        return Predictor(
            artifact, runtime or file.runtimes[0], file.precision, thresholds=AP_THRESHOLDS
        )

    def _frames(self) -> Iterator[Frame]:
        return (frame for frame in self.pictures if self._truth.find(frame) is not None)
