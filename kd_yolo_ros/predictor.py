# SPDX-License-Identifier: Apache-2.0
"""A picture in, Detections out: letterbox, infer, decode, non-maximum suppression, masks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from time import perf_counter
from typing import Dict, NamedTuple, Optional, Sequence, Union

import numpy as np

from kd_yolo_ros.artifact import Artifact
from kd_yolo_ros.backends import Backend, Running, backend_class
from kd_yolo_ros.decode import decode, expected_outputs, prototypes
from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.exports import open_model
from kd_yolo_ros.letterbox import Letterbox, Placement, to_network_input
from kd_yolo_ros.manifest import READY_LAYOUTS, Manifest, ModelFile, Thresholds
from kd_yolo_ros.masks import Masks, decode_masks
from kd_yolo_ros.nms import nms, strongest
from kd_yolo_ros.selection import select


class _Seen(NamedTuple):
    """What the masks of the last picture's N detections are made of.

    Attributes:
        outputs: of the network; the next picture may overwrite them.
        coefficients: (N, M) float32.
        boxes: (N, 4) in network pixels.
        placement: of the picture.
    """

    outputs: Sequence[np.ndarray]
    coefficients: np.ndarray
    boxes: np.ndarray
    placement: Placement


class Predictor:
    """A loaded model with its stages.

    Not for use from several threads at once; `thresholds` and `mask_scale` may be replaced from
    any thread.

    Attributes:
        manifest: of the artifact.
        thresholds: what is kept; replace it to change what the next picture gives.
        mask_scale: size of the next masks as a share of the picture's, above 0 and at most 1.
        running: runtime, provider, precision and threads that are really active.
        file: the model file in use.
        size_bytes: of that file, with all its parts.
        stages_ms: time of each stage of the last picture, in ms.
    """

    def __init__(
        self,
        artifact: Union[str, Path, Artifact],
        runtime: str = 'auto',
        precision: str = 'auto',
        threads: Optional[int] = None,
        thresholds: Optional[Thresholds] = None,
        provider: Optional[str] = None,
    ) -> None:
        """Load an artifact's model file for a runtime and check that it is what it says.

        Args:
            artifact: an artifact, or the path of one or of a plain export.
            runtime: a backend's name, or 'auto'.
            precision: 'auto', 'fp32', 'bf16', 'fp16' or 'int8'.
            threads: of one inference; None for the runtime's choice.
            thresholds: None for the artifact's own.
            provider: what of the runtime executes, see `Backend`; None for its CPU.

        Raises:
            UserError: the artifact is broken or does not fit the wish or the machine.
        """
        if not isinstance(artifact, Artifact):
            artifact = open_model(artifact)
        chosen = select(artifact.manifest, runtime, precision, provider)
        path = artifact.model_path(chosen.file)
        backend = backend_class(chosen.runtime)(
            path, chosen.file, chosen.precision, threads, provider
        )
        size_bytes = sum((artifact.folder / n).stat().st_size for n in chosen.file.sha256)
        self._set_up(backend, artifact.manifest, chosen.file, thresholds, str(path), size_bytes)

    @classmethod
    def around(
        cls,
        backend: Backend,
        manifest: Manifest,
        file: ModelFile,
        thresholds: Optional[Thresholds] = None,
    ) -> Predictor:
        """Put the stages around a backend that is loaded already, such as one in training.

        Args:
            backend: gives what `file` says.
            manifest: of the model.
            file: its input and outputs; nothing is read from it, so `size_bytes` is 0.
            thresholds: None for the manifest's own.

        Raises:
            UserError: the backend does not fit the manifest.
        """
        predictor = cls.__new__(cls)
        predictor._set_up(backend, manifest, file, thresholds, manifest.name, 0)
        return predictor

    def _set_up(
        self,
        backend: Backend,
        manifest: Manifest,
        file: ModelFile,
        thresholds: Optional[Thresholds],
        where: str,
        size_bytes: int,
    ) -> None:
        self._backend = backend
        self.manifest = manifest
        self.file = file
        self.thresholds = thresholds or manifest.thresholds
        self.size_bytes = size_bytes
        self.mask_scale = 1.0
        self.stages_ms: Dict[str, float] = {}
        self._seen: Optional[_Seen] = None
        self._check(where)
        self._letterbox = Letterbox(file.input.height, file.input.width)

    @property
    def running(self) -> Running:
        """What is really active, as the runtime tells it."""
        return self._backend.running

    @property
    def class_names(self) -> Sequence[str]:
        """Class names by class id."""
        return self.manifest.class_names

    def predict(self, picture: np.ndarray, masks: bool = True) -> Detections:
        """Find the objects in one picture.

        Args:
            picture: (H, W, 3) uint8 BGR of any size.
            masks: compute what each object covers too, where the model segments; `masks` can do so
                later.

        Returns:
            Boxes in pixels of that picture, and masks in one of `mask_scale` times its size.
            `stages_ms` then holds letterbox, infer, decode, nms and, where computed, masks.
        """
        thresholds = self.thresholds
        started = perf_counter()
        letterboxed, placement = self._letterbox(picture)
        tensor = to_network_input(letterboxed, self.file.input)
        letterbox_done = perf_counter()
        outputs = self._backend.infer(tensor)
        infer_done = perf_counter()
        manifest = self.manifest
        candidates = decode(
            outputs, manifest.head, self.file, len(manifest.class_names), thresholds
        )
        decode_done = perf_counter()
        suppress = strongest if manifest.head.layout in READY_LAYOUTS else nms
        keep = suppress(candidates, thresholds)
        detections = Detections(
            placement.to_source(candidates.boxes[keep]),
            candidates.scores[keep],
            candidates.class_ids[keep],
        )
        nms_done = perf_counter()
        self.stages_ms = {
            'letterbox': (letterbox_done - started) * 1e3,
            'infer': (infer_done - letterbox_done) * 1e3,
            'decode': (decode_done - infer_done) * 1e3,
            'nms': (nms_done - decode_done) * 1e3,
        }
        self._seen = None
        if candidates.coefficients is not None:
            self._seen = _Seen(
                outputs, candidates.coefficients[keep], candidates.boxes[keep], placement
            )
        return dataclasses.replace(detections, masks=self.masks()) if masks else detections

    def masks(self) -> Optional[Masks]:
        """Compute what each object of the last picture covers.

        Returns:
            Masks in a picture of `mask_scale` times its size, in the order of its detections;
            `stages_ms` then holds masks too. None where the model does not segment, or has seen no
            picture.
        """
        if self._seen is None:
            return None
        started, scale = perf_counter(), self.mask_scale
        outputs, coefficients, boxes, placement = self._seen
        height, width = (max(1, round(side * scale)) for side in placement.source)
        found = decode_masks(
            coefficients,
            prototypes(outputs, self.manifest.head, self.file),
            boxes,
            placement,
            (self.file.input.height, self.file.input.width),
            (height, width),
        )
        self.stages_ms['masks'] = (perf_counter() - started) * 1e3
        return found

    def warm_up(self, runs: int = 2) -> None:
        """Run blank pictures, so that the first real one does not pay for first-time work."""
        spec = self.file.input
        blank = np.full((spec.height, spec.width, 3), 114, np.uint8)
        for _ in range(runs):
            self.predict(blank)

    def _check(self, where: str) -> None:
        """Refuse a graph that does not take or give what the manifest says, before a picture."""
        spec = self.file.input
        blank = to_network_input(np.zeros((spec.height, spec.width, 3), np.uint8), spec)
        try:
            outputs = self._backend.infer(blank)
        except Exception as error:  # the runtimes' exceptions share no narrower base class
            reason = ' '.join(str(error).split())[:120]
            raise UserError(
                f'{where} does not run on the {blank.shape} {spec.dtype} input that the manifest '
                f'says it takes ({reason}); import the model again.'
            ) from error
        shapes = [tuple(output.shape) for output in outputs]
        num_classes = len(self.manifest.class_names)
        expected = expected_outputs(shapes, self.manifest.head, self.file, num_classes)
        if expected:
            raise UserError(
                f'{where}: its outputs {shapes} do not fit the {num_classes} classes of the '
                f'manifest ({expected} expected); import the model again.'
            )
