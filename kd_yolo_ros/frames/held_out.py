# SPDX-License-Identifier: Apache-2.0
"""Pictures known by their content, and a source without some of them."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Iterator, Set

import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.frame import Frame, Source, keep


class HeldOut(Source):
    """A source without the pictures that a model was made with.

    Attributes:
        left_out: number of pictures that the last pass left out.
        kept: hashes of the pictures that the last pass gave.
    """

    def __init__(self, source: Source, digests: Set[str]) -> None:
        super().__init__(source.size)
        self.source = source
        self.digests = digests
        self.description = source.description
        self.length = source.length
        self.skipped = source.skipped
        self.left_out = 0
        self.kept: Set[str] = set()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames whose picture is not among `digests`.

        Raises:
            UserError: after the last, when none was left.
        """
        self.left_out = 0
        self.kept = set()
        for frame in self.source:
            picture = frame.image
            digest = picture_digest(picture)
            if digest in self.digests:
                self.left_out += 1
            else:
                self.kept.add(digest)
                yield dataclasses.replace(frame, load=keep(picture))
        if not self.kept:
            raise UserError(
                f'All pictures of {self.description} were used for calibration or selection, so '
                f'accuracy on them says nothing; give other pictures.'
            )


def picture_digest(picture: np.ndarray) -> str:
    """Return the hash of a (H, W, 3) uint8 picture's size and pixels."""
    digest = hashlib.sha256(str(picture.shape).encode())
    digest.update(np.ascontiguousarray(picture).data)
    return digest.hexdigest()
