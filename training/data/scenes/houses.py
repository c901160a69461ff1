# SPDX-License-Identifier: Apache-2.0
"""Houses along the street: a textured front, a gable towards the camera, a roof."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .camera import Pose
from .canvas import Canvas
from .facades import Front

_DEPTH = 11.0  # m from the street to the back


@dataclass(frozen=True)
class House:
    """A house whose front stands along the pose's heading.

    Attributes:
        front: its front.
        side: 1 on the right of the street, -1 on the left.
        pitched: whether the roof slopes up from the street.
    """

    front: Front
    side: int
    pitched: bool

    @property
    def size(self) -> tuple[float, float, float]:
        """(width, height, length) m."""
        return (0.2, self.front.height, self.front.width)

    def draw(self, canvas: Canvas, pose: Pose, time: float) -> None:
        """Draw it; the pose is the middle of its front."""
        del time
        front, camera = self.front, canvas.camera
        half = front.width / 2
        ahead, out = pose.rotation[:, 2], -self.side * pose.rotation[:, 0]
        near, far = pose.position - ahead * half, pose.position + ahead * half
        up = np.array([0, front.height, 0])
        back = -out * _DEPTH
        if camera.to_camera(far[None])[0, 2] < 1:
            return
        # The wall towards the camera: seen in gaps, at corners and above lower neighbours.
        corner, right = (near, back) if self.side > 0 else (near + back, -back)
        canvas.texture(front.texture, corner, right, up, -ahead)
        if self.pitched:
            ridge = near + up + back / 2 + [0, 3.2, 0]
            canvas.surface(np.array([near + up, near + up + back, ridge]), front.wall, -ahead)
        corner, right = (far, near - far) if self.side > 0 else (near, far - near)
        canvas.texture(front.texture, corner, right, up, out)
        if self.pitched:
            slope = back / 2 + [0, 3.2, 0]
            roof = np.array([near + up, far + up, far + up + slope, near + up + slope])
            tilted = out * 0.5 + [0, 0.86, 0]
            canvas.surface(roof, front.roof, tilted)
