# SPDX-License-Identifier: Apache-2.0
"""The pictures that a quantization is calibrated on, as the tensors that the graph takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import Source
from kd_yolo_ros.frames.held_out import HeldOut, picture_digest
from kd_yolo_ros.letterbox import Letterbox, to_network_input
from kd_yolo_ros.manifest import InputSpec

__all__ = ['Calibration', 'HeldOut', 'fingerprint', 'picture_digest']


class Calibration:
    """Streams sources' pictures through the letterbox, one at a time, as often as asked.

    Attributes:
        digests: hash of each picture's content, filled by the first pass.
    """

    def __init__(self, sources: Sequence[Source], spec: InputSpec, limit: int) -> None:
        """Take at most `limit` pictures, spread evenly over all sources, one after the other.

        Args:
            sources: each must have an end.
            spec: the tensor that the graph takes.
            limit: number of pictures; the sources may have fewer.

        Raises:
            UserError: a source has no end.
        """
        for source in sources:
            if source.length is None:
                raise UserError(
                    f'{source.description} has no end; calibrate on recorded pictures.'
                )
        self.sources = sources
        self.spec = spec
        available = sum(source.length for source in sources)
        count = min(limit, available)
        self.chosen = set(np.linspace(0, available - 1, count).round().astype(int).tolist())
        self.digests: set[str] = set()

    def __len__(self) -> int:
        return len(self.chosen)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield (1, H, W, 3) or (1, 3, H, W) tensors; a picture that does not decode is left out.

        Raises:
            UserError: after the last, when none decoded.
        """
        letterbox = Letterbox(self.spec.height, self.spec.width)
        given = 0
        for index, frame in enumerate(chain.from_iterable(self.sources)):
            if index not in self.chosen:
                continue
            try:
                picture = frame.image
            except UserError:
                continue
            self.digests.add(picture_digest(picture))
            # A copy, because the letterbox's buffer is overwritten by the next picture.
            yield to_network_input(letterbox(picture)[0], self.spec).copy()
            given += 1
        if not given:
            named = ', '.join(source.description for source in self.sources)
            raise UserError(f'{named} has no picture to calibrate on.')

    def read(self) -> None:
        """Fill `digests` without anything else."""
        for _ in self:
            pass

    def describe(self) -> dict[str, object]:
        """Return the number and hash of the pictures read, as the manifest has them."""
        return {'pictures': len(self.digests), 'pictures_sha256': fingerprint(self.digests)}


def fingerprint(digests: set[str]) -> str:
    """Return one hash of a set of pictures, whatever their order and names."""
    return hashlib.sha256('\n'.join(sorted(digests)).encode()).hexdigest()
