# SPDX-License-Identifier: Apache-2.0
"""`detector_node`: camera topic in, vision_msgs/Detection2DArray out."""

from __future__ import annotations

import sys
from typing import Optional, Sequence

from kd_yolo_ros.nodes.inference_node import InferenceNode
from kd_yolo_ros.nodes.process import run_node


class DetectorNode(InferenceNode):
    """Runs a detection model on every picture of the topic `image`."""

    task = 'detect'

    def __init__(self) -> None:
        super().__init__('detector')


def main(args: Optional[Sequence[str]] = None) -> None:
    """Run the node until a signal ends it."""
    sys.exit(
        run_node(
            DetectorNode,
            start=InferenceNode.autostart,
            stop=InferenceNode.end,
            args=args,
        )
    )


if __name__ == '__main__':
    main()
